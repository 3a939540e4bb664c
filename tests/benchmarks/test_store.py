"""A long history and a long queue: lists at a million jobs, a start with 100,000 queued."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_tasks.model import State
from jupyter_tasks.store import SqliteStore
from tests.benchmarks.conftest import Board, Row, percentile
from tests.benchmarks.test_jobs import Wire
from tests.builders import a_job
from tests.live_server import LiveServer

pytestmark = pytest.mark.benchmark

MILLION = 1_000_000
QUEUED = 100_000


async def _fill(path: Path, count: int, owner: str, *, queued: bool) -> None:
    store = SqliteStore.open(path)
    await store.take_over()
    ends = (State.SUCCEEDED, State.SUCCEEDED, State.SUCCEEDED, State.FAILED)
    for first in range(0, count, 10_000):
        jobs = [
            a_job(
                owner=owner,
                name=f"train {first + i}",
                tags=("sweep",) if i % 10 == 0 else (),
                state=State.QUEUED if queued else ends[i % 4],
                ended_at=None if queued else 2000.0,
            )
            for i in range(10_000)
        ]
        await store.add(jobs)
    await store.close()


@pytest.fixture
def owner() -> str:
    import getpass

    return getpass.getuser()


@pytest.fixture
def long_history(owner: str) -> Iterator[LiveServer]:
    server = LiveServer("--TasksExtension.max_running=1", "--ServerApp.log_level=ERROR")
    asyncio.run(_fill(_database(server), MILLION, owner, queued=False))
    with server:
        yield server


def _database(server: LiveServer) -> Path:
    folder = server.home / "data" / "jupyter_tasks"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / "tasks.sqlite"


def test_lists_of_a_million_jobs(long_history: LiveServer, board: Board) -> None:
    with Wire(long_history) as wire:
        _measure_lists(wire, board)


def _measure_lists(wire: Wire, board: Board) -> None:
    assert sum(wire.ask("GET", "/tasks/api/status")["counts"].values()) == MILLION
    filters = (
        "",
        "state=failed",
        "state=failed&state=cancelled",
        "tag=sweep",
        "q=train+99",
        "state=queued",
    )
    for wanted in filters:
        waits = []
        for _ in range(200):
            begin = time.perf_counter()
            wire.ask("GET", f"/tasks/api/jobs?limit=100&{wanted}")
            waits.append((time.perf_counter() - begin) * 1000)
        gets = []
        for _ in range(200):
            begin = time.perf_counter()
            wire.ask("GET", "/api/kernels")
            gets.append((time.perf_counter() - begin) * 1000)
        for percent, goal_ms in ((50, 3), (99, 15)):
            mine = percentile(waits, percent)
            board.add(
                Row(
                    what=f"newest 100 of 1,000,000 jobs over REST, {wanted or 'no filter'}, p{percent}",
                    unit="ms",
                    ours=mine,
                    goal=f"at most {goal_ms} ms",
                    is_met=mine <= goal_ms,
                    beside={"GET /api/kernels": percentile(gets, percent)},
                )
            )


def test_a_start_with_a_long_queue(owner: str, board: Board) -> None:
    def start_s(server: LiveServer) -> float:
        begin = time.perf_counter()
        server.start()
        took = time.perf_counter() - begin
        server.kill()
        return took

    options = ("--TasksExtension.max_running=1", "--ServerApp.log_level=ERROR")
    full, empty = LiveServer(*options), LiveServer(*options)
    try:
        asyncio.run(_fill(_database(full), QUEUED, owner, queued=True))
        pairs = [(start_s(full), start_s(empty)) for _ in range(5)]
    finally:
        full.close()
        empty.close()
    added_ms = percentile([(a - b) * 1000 for a, b in pairs], 50)
    board.add(
        Row(
            what="a start with 100,000 queued jobs, added to a start with none",
            unit="ms",
            ours=added_ms,
            goal="at most 200 ms",
            is_met=added_ms <= 200,
            beside={"the start with none": percentile([b * 1000 for _, b in pairs], 50)},
        )
    )
