"""Groups of calls: one job, real worker processes below a real server."""

import ctypes
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks.client import Client, GroupHandle
from jupyter_tasks.errors import BadMessage, BadValue, CallFailed
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.values_client import by_value

pytestmark = pytest.mark.timeout(180)
WITHIN_S = 90


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer("--TasksExtension.max_running=4") as server:
        yield server


class Gate:
    """A named pipe that whoever comes waits at until it is opened; then it is gone."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gate"
        os.mkfifo(self.path)

    def open(self) -> None:
        writer = os.open(self.path, os.O_RDWR)
        self.path.unlink()
        os.close(writer)


def noted(folder: Path, *, waits_from: int) -> Any:
    """A function that leaves a line for each time that it is called, and may wait at the gate."""

    @by_value
    def note(number: int) -> int:
        with open(folder / "called", "a") as file:
            file.write(f"{number}\n")
        if number >= waits_from:
            with suppress(FileNotFoundError):
                (folder / "gate").read_text()
        return number

    return note


def called(folder: Path) -> Counter[int]:
    lines = (folder / "called").read_text().split() if (folder / "called").exists() else []
    return Counter(map(int, lines))


@pytest.mark.parametrize("isolated", [False, True])
def test_results_come_in_the_order_of_the_arguments(client: Client, isolated: bool) -> None:
    @by_value
    def f(x: int, y: int = 0) -> tuple[int, int]:
        return x * 10 + y, os.getpid()

    group = client.map(f, [1, (2,), (3, 4), {"x": 5, "y": 6}], isolated=isolated, max_concurrent=2)
    results = group.results(WITHIN_S)
    assert [value for value, _ in results] == [10, 20, 34, 56]
    assert len(group) == 4
    assert (group.state, group.progress.value, group.progress.total) == ("succeeded", 4, 4)
    workers = {pid for _, pid in results}
    assert len(workers) == 4 if isolated else 1 <= len(workers) <= 2
    assert group.result() == results


@pytest.mark.parametrize("isolated", [False, True])
def test_what_a_call_does_to_itself_is_its_own_failure(client: Client, isolated: bool) -> None:
    class Unlucky(Exception):
        def __init__(self) -> None:
            super().__init__("no luck")
            self.lock = threading.Lock()

    @by_value
    def f(x: int) -> Any:
        print("call", x, flush=True)
        match x:
            case 1:
                raise Unlucky
            case 2:
                os._exit(3)
            case 3:
                ctypes.string_at(0)
            case 4:
                sys.exit("by itself")
            case 5:
                return threading.Lock()
            case 6:
                os.kill(os.getpid(), signal.SIGKILL)
        return x

    group = client.map(f, range(8), isolated=isolated, max_concurrent=2)
    results = group.results(WITHIN_S, return_errors=True)
    words = [result.message if isinstance(result, CallFailed) else result for result in results]
    assert (words[0], words[7]) == (0, 7)
    for number, told in enumerate(
        [
            "Unlucky: no luck",
            "ended with exit code 3 while it ran call 2",
            "killed by signal 11 while it ran call 3",
            "SystemExit: by itself",
            "`result` cannot be carried out of the job",
            "killed by signal 9 while it ran call 6",
        ],
        start=1,
    ):
        assert told in words[number]
        assert words[number].startswith(f"call {number}: ")
    assert "raise Unlucky" in results[1].__notes__[0]
    with pytest.raises(CallFailed, match=r"6 of 8 calls .* call 1: .* call 2: .*; and 3 more"):
        group.results()
    assert group.state == "failed"
    assert "6 of 8 calls failed; the first is call 1" in group.message
    assert sorted(group.output("out").splitlines()) == [b"call %d" % n for n in range(8)]


def test_calls_are_listed_page_by_page_and_by_state(client: Client, server: LiveServer) -> None:
    @by_value
    def f(x: int) -> Any:
        if x % 5 == 2:
            raise ValueError(x)
        return {"x": x}

    group = client.map(f, range(20))
    group.wait(WITHIN_S)
    assert [call["index"] for call in group.calls("failed")] == [2, 7, 12, 17]
    first, *_ = group.calls()
    assert (first["data"], first["state"], first["attempt"], first["error"]) == (
        {"x": 0},
        "succeeded",
        1,
        None,
    )
    seen, after = [], ""
    for _ in range(7):
        query = f"?limit=3&state=succeeded{after}"
        status, page = server.ask("GET", f"tasks/api/jobs/{group.id}/calls{query}")
        assert status == 200
        seen += [call["index"] for call in page["calls"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == [n for n in range(20) if n % 5 != 2]
    others = dict.fromkeys(["waiting", "running", "stopped"], 0)
    assert page["counts"] == {**others, "succeeded": 16, "failed": 4}
    status, told = server.ask("GET", f"tasks/api/jobs/{group.id}/result")
    assert (status, told["summary"]) == (200, "16 of 20 calls succeeded.")


def test_a_retry_makes_the_calls_that_have_not_succeeded(client: Client, tmp_path: Path) -> None:
    @by_value
    def f(x: int, folder: Path = tmp_path) -> int:
        with open(folder / "called", "a") as file:
            file.write(f"{x}\n")
        if x in (1, 4) and not (folder / "mended").exists():
            raise ValueError(x)
        return x + 100

    group = client.map(f, range(6), max_concurrent=2)
    assert (
        sum(isinstance(one, CallFailed) for one in group.results(WITHIN_S, return_errors=True)) == 2
    )
    (tmp_path / "mended").touch()
    assert group.retry().results(WITHIN_S) == [100, 101, 102, 103, 104, 105]
    assert called(tmp_path) == {0: 1, 1: 2, 2: 1, 3: 1, 4: 2, 5: 1}
    assert [call["attempt"] for call in group.calls()] == [1, 2, 1, 1, 2, 1]
    assert (group.progress.value, group.attempt) == (6, 2)
    group.restart().wait(WITHIN_S)  # all has succeeded: so all is done anew
    assert set(called(tmp_path).values()) == {2, 3}


def test_a_cancelled_group_keeps_what_is_done(client: Client, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    group = client.map(noted(tmp_path, waits_from=3), range(10), max_concurrent=2)
    eventually(lambda: {3, 4} <= called(tmp_path).keys())
    group.cancel().wait(WITHIN_S)
    assert group.state == "cancelled"
    states = [call["state"] for call in group.calls()]
    assert states == [*["succeeded"] * 3, *["stopped"] * 2, *["waiting"] * 5]
    results = group.results(return_errors=True)
    assert results[:3] == [0, 1, 2]
    assert all(isinstance(one, CallFailed) for one in results[3:])
    gate.open()
    assert group.retry().results(WITHIN_S) == list(range(10))
    assert called(tmp_path) == {0: 1, 1: 1, 2: 1, 3: 2, 4: 2, **dict.fromkeys(range(5, 10), 1)}


def test_a_call_that_ends_in_its_own_time_is_the_last_of_a_cancelled_group(
    client: Client, tmp_path: Path
) -> None:
    @by_value
    def stubborn(number: int, folder: Path = tmp_path) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        group = os.getppid()
        with open(folder / "called", "a") as file:
            file.write(f"{number}\n")
        while os.getppid() == group:
            os.sched_yield()  # nothing tells of a parent's end

    job = client.map(stubborn, range(20), max_concurrent=1)
    eventually(lambda: called(tmp_path))
    assert job.cancel().wait(WITHIN_S).state == "cancelled"
    assert called(tmp_path) == {0: 1}


def test_a_worker_that_is_killed_fails_the_one_call_that_it_made(
    client: Client, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)

    @by_value
    def f(number: int, folder: Path = tmp_path) -> int:
        (folder / f"{number}.part").write_text(str(os.getpid()))
        (folder / f"{number}.part").rename(folder / f"{number}.pid")
        with suppress(FileNotFoundError):
            (folder / "gate").read_text()
        return number

    group = client.map(f, range(6), max_concurrent=2)
    eventually(lambda: all((tmp_path / f"{n}.pid").exists() for n in (0, 1)))
    os.kill(int((tmp_path / "0.pid").read_text()), signal.SIGKILL)
    eventually((tmp_path / "2.pid").exists)
    gate.open()
    first, *others = group.results(WITHIN_S, return_errors=True)
    assert "killed by signal 9 while it ran call 0" in first.message
    assert others == [1, 2, 3, 4, 5]


def test_ten_thousand_calls_are_one_request(client: Client, server: LiveServer) -> None:
    before = len(list(client.jobs()))
    group = client.map(by_value(lambda x: x * x), range(10_000), max_concurrent=2)
    assert client.job(group.id).state in ("queued", "starting", "running", "succeeded")
    assert group.results(WITHIN_S) == [x * x for x in range(10_000)]
    assert len(list(client.jobs())) == before + 1
    assert sum(1 for _ in group.calls("succeeded")) == 10_000


def test_lines_of_several_workers_are_not_torn(client: Client) -> None:
    @by_value
    def f(x: int) -> None:
        for part in range(50):
            print("line", x, part, "of", "many", "words")

    group = client.map(f, range(20), max_concurrent=4)
    group.results(WITHIN_S)
    lines = group.output().decode().splitlines()
    assert sorted(lines) == sorted(
        f"line {x} {part} of many words" for x in range(20) for part in range(50)
    )


def test_what_cannot_be_carried_is_named_before_anything_is_queued(client: Client) -> None:
    with pytest.raises(BadValue, match="`argument set 1` cannot be carried"):
        client.map(print, [1, threading.Lock()])
    with pytest.raises(BadMessage, match="no sets of arguments"):
        client.map(print, [])


def test_sets_of_arguments_may_be_json(client: Client, server: LiveServer) -> None:
    body = b'[[2, 3], {"x": 5}, 7]'
    status, answer = server.ask_bytes("POST", "tasks/api/inputs", body)
    assert status == 201
    (Path(server.root_dir) / "power.py").write_text("def power(x, y=1): return x ** y\n")
    spec = {"load": {"module": "power", "name": "power"}, "inputs": answer["id"]}
    spec |= {"calls": 3, "arguments": {"y": 2}, "cwd": str(server.root_dir)}
    _, job = server.ask("POST", "tasks/api/jobs", {"spec": spec})
    group = client.job(job["id"])
    assert isinstance(group, GroupHandle)
    errors = group.results(WITHIN_S, return_errors=True)
    assert errors[1:] == [25, 49]
    assert "multiple values" in errors[0].message


def test_a_job_of_one_call_has_no_list_of_calls(client: Client, server: LiveServer) -> None:
    status, answer = server.ask("GET", f"tasks/api/jobs/{client.submit(print).id}/calls")
    assert (status, answer["code"]) == (404, "not_found")


def test_a_group_goes_on_while_its_server_is_killed_and_comes_back(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with LiveServer() as server, Client(server.url, server.token) as client:
        group = client.map(noted(tmp_path, waits_from=3), range(40), max_concurrent=2)
        eventually(lambda: {3, 4} <= called(tmp_path).keys())
        server.kill()
        gate.open()
        eventually(lambda: len(called(tmp_path)) == 40)
        server.start()
        assert group.results(WITHIN_S) == list(range(40))
    assert set(called(tmp_path).values()) == {1}


def test_a_group_whose_supervisor_is_killed_makes_only_what_was_not_done(
    client: Client, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    function = noted(tmp_path, waits_from=3)
    group = client.map(function, range(8), max_concurrent=2, on_lost="requeue")
    eventually(lambda: {3, 4} <= called(tmp_path).keys())
    pid = eventually(lambda: group.attempts()[0].pid)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: group.refresh().attempt == 2)
    gate.open()
    assert group.results(WITHIN_S) == list(range(8))
    assert called(tmp_path) == {**dict.fromkeys(range(8), 1), 3: 2, 4: 2}
