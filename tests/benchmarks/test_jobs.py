"""Starting jobs: how soon, and how many a second."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.benchmarks.conftest import Board, Row, interleaved, percentile
from tests.benchmarks.peers import no_ops, rate
from tests.eventually import eventually
from tests.live_server import LiveServer

pytestmark = pytest.mark.benchmark

ECHO = {"spec": {"kind": "shell", "command": ["/bin/echo", "x"], "cwd": "/"}}


class Wire:
    """One kept-alive connection, as thin as Python has it."""

    def __init__(self, server: LiveServer) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port)
        self._headers = {"Authorization": f"token {server.token}"}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status < 300, text
        return json.loads(text)

    def follow(self, job_id: str) -> None:
        """Wait for the job's end, asking once: questions would take time from the work."""
        path = f"/tasks/api/jobs/{job_id}/output?follow=true"
        self._connection.request("GET", path, headers=self._headers)
        self._connection.getresponse().read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def succeeded(self) -> int:
        counts: dict[str, int] = self.ask("GET", "/tasks/api/status")["counts"]
        return counts["succeeded"]


@pytest.fixture
def wire(server: LiveServer) -> Iterator[Wire]:
    with Wire(server) as wire:
        yield wire


def test_no_ops_in_bulk(wire: Wire, board: Board, tmp_path: Path) -> None:
    count = 1000

    def ours() -> float:
        before = wire.succeeded()
        begin = time.perf_counter()
        *_, last = wire.ask("POST", "/tasks/api/jobs", [ECHO] * count)["jobs"]
        wire.follow(last["id"])
        eventually(lambda: wire.succeeded() == before + count, within_s=120)
        return count / (time.perf_counter() - begin)

    peers = no_ops(tmp_path, count)
    measures: list[Callable[[], float]] = [ours]
    measures += [lambda command=c: rate(command, count) for c in peers.values()]  # type: ignore[misc]
    mine, *others = interleaved(*measures)
    beside = dict(zip(peers, others, strict=True))
    wanted = max(beside.get("task-spooler", 0), 3 * beside.get("GNU parallel", 0))
    board.add(
        Row(
            what="shell no-ops in bulk over REST, durable, two at a time",
            unit="jobs/s",
            ours=mine,
            goal="at least task-spooler, 3 x GNU parallel",
            is_met=mine >= wanted if wanted else None,
            beside=beside,
        )
    )


def test_submit_to_started(wire: Wire, board: Board) -> None:
    waits: list[float] = []
    for _ in range(300):
        asked = time.time()
        job = wire.ask("POST", "/tasks/api/jobs", ECHO)
        ended = eventually(lambda job=job: _ended(wire, job["id"]))  # type: ignore[misc]
        waits.append((ended["started_at"] - asked) * 1000)
    gets = _latencies_ms(lambda: wire.ask("GET", "/api/kernels"))
    for percent, goal_ms in ((50, 5), (99, 20)):
        mine = percentile(waits, percent)
        board.add(
            Row(
                what=f"submit to process started over REST, durable, p{percent}",
                unit="ms",
                ours=mine,
                goal=f"at most {goal_ms} ms",
                is_met=mine <= goal_ms,
                beside={"GET /api/kernels": percentile(gets, percent)},
            )
        )


def _ended(wire: Wire, job_id: str) -> Any:
    job = wire.ask("GET", f"/tasks/api/jobs/{job_id}")
    return job if job["ended_at"] else None


def _latencies_ms(ask: Callable[[], object], count: int = 300) -> list[float]:
    waits = []
    for _ in range(count):
        begin = time.perf_counter()
        ask()
        waits.append((time.perf_counter() - begin) * 1000)
    return waits


def test_submits_one_by_one_and_in_bulk(board: Board) -> None:
    options = ("--TasksExtension.max_running=1", "--ServerApp.log_level=ERROR")
    with LiveServer(*options) as server, Wire(server) as wire:
        blocker = {"spec": {"kind": "shell", "command": "exec sleep 600", "cwd": "/"}}
        wire.ask("POST", "/tasks/api/jobs", blocker)

        def one_by_one() -> float:
            return _rate(lambda: wire.ask("POST", "/tasks/api/jobs", ECHO), 500)

        def kernels() -> float:
            return _rate(lambda: wire.ask("GET", "/api/kernels"), 500)

        def bulk() -> float:
            begin = time.perf_counter()
            wire.ask("POST", "/tasks/api/jobs", [ECHO] * 10_000)
            return 10_000 / (time.perf_counter() - begin)

        single, many, get = interleaved(one_by_one, bulk, kernels)
    for what, mine, goal in (("one by one", single, 1_000), ("in bulk", many, 20_000)):
        board.add(
            Row(
                what=f"submit {what} over REST on one connection, durable",
                unit="jobs/s",
                ours=mine,
                goal=f"at least {goal:,}/s",
                is_met=mine >= goal,
                beside={"GET /api/kernels": get},
            )
        )


def _rate(ask: Callable[[], object], count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        ask()
    return count / (time.perf_counter() - begin)
