"""A server that nobody uses loads nothing; whatever needs it wakes it, and nobody is turned away."""

import json
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from traitlets import TraitError

from jupyter_tasks.extension import TasksExtension
from tests.eventually import eventually
from tests.live_server import LiveServer


@pytest.fixture
def asleep() -> Iterator[LiveServer]:
    server = LiveServer()
    try:
        server.start(used=False)
        eventually(lambda: socket_of(server) is not None, what="it has settled down")
        yield server
    finally:
        server.close()


def socket_of(server: LiveServer) -> Path | None:
    return next(server.runtime_dir.glob("server-*.sock"), None)


def is_awake(server: LiveServer) -> bool:
    """Whether the process has loaded what reads and writes our messages."""
    assert server.process is not None
    return "msgspec" in Path(f"/proc/{server.process.pid}/maps").read_text()


def ask_socket(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(20)
        asking.connect(str(path))
        asking.sendall(b"GET /tasks/api/status HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return b"".join(iter(lambda: asking.recv(4096), b""))


def submit(server: LiveServer, command: str, **fields: Any) -> str:
    status, job = server.ask("POST", "tasks/api/jobs", {"spec": {"command": command}, **fields})
    assert status == 201
    job_id: str = job["id"]
    return job_id


def test_a_server_that_nobody_uses_loads_nothing_and_makes_no_database(asleep: LiveServer) -> None:
    assert asleep.ask("GET", "api")[0] == 200
    assert not is_awake(asleep)
    assert not (asleep.state_dir / "tasks.sqlite").exists()


def test_the_first_requests_are_answered_as_all_others(asleep: LiveServer) -> None:
    def ask(n: int) -> tuple[int, Any]:
        if n % 2:
            return asleep.ask("GET", "tasks/api/status")
        body = {"spec": {"command": "true"}, "name": "x" * 100}
        return asleep.ask("POST", "tasks/api/jobs", [body] * 20)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(8)))

    assert [status for status, _ in answers] == [201, 200] * 4
    assert {told["role"] for status, told in answers if status == 200} == {"active"}


def test_who_is_not_logged_in_is_refused_before_and_after(asleep: LiveServer) -> None:
    for _ in range(2):
        status, told = asleep.ask("GET", "tasks/api/jobs", Authorization="")
        assert (status, told["code"]) == (403, "not_allowed")


def test_whoever_comes_to_the_owners_socket_wakes_it(asleep: LiveServer) -> None:
    path = socket_of(asleep)
    assert path is not None
    answer = ask_socket(path)
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["role"] == "active"


def test_a_socket_that_a_cleaner_removed_is_made_anew_on_waking(asleep: LiveServer) -> None:
    path = socket_of(asleep)
    assert path is not None
    path.unlink()
    assert asleep.ask("GET", "tasks/api/status")[0] == 200
    assert ask_socket(path).startswith(b"HTTP/1.1 200")


def test_a_second_server_finds_the_one_that_sleeps(asleep: LiveServer) -> None:
    other = LiveServer(home=asleep.home)
    try:
        other.start()
        assert other.ask("GET", "tasks/api/status")[1]["role"] == "following"
        assert asleep.ask("GET", "tasks/api/status")[1]["role"] == "active"
        job = submit(other, "true")
        eventually(lambda: asleep.ask("GET", f"tasks/api/jobs/{job}")[1]["state"] == "succeeded")
    finally:
        other.kill()


def test_a_server_that_slept_to_its_end_leaves_no_socket(asleep: LiveServer) -> None:
    path = socket_of(asleep)
    assert path is not None
    asleep.stop()
    assert not path.exists()


def test_work_that_waits_is_taken_up_without_a_request() -> None:
    server = LiveServer("--TasksExtension.max_running=1")
    try:
        server.start()
        submit(server, "until test -e go; do sleep 0.05; done")
        submit(server, "touch done")
        server.kill()
        server.start(used=False)

        (server.root_dir / "go").touch()

        eventually((server.root_dir / "done").exists, within_s=20)
    finally:
        server.close()


def test_a_server_with_nothing_but_history_sleeps(asleep: LiveServer) -> None:
    job = submit(asleep, "true")
    eventually(lambda: asleep.ask("GET", f"tasks/api/jobs/{job}")[1]["state"] == "succeeded")
    asleep.stop()
    asleep.start(used=False)
    eventually(lambda: socket_of(asleep) is not None)
    assert not is_awake(asleep)
    assert asleep.ask("GET", f"tasks/api/jobs/{job}")[1]["state"] == "succeeded"


def test_a_database_that_cannot_be_opened_is_told_until_it_can(asleep: LiveServer) -> None:
    job = submit(asleep, "true")
    eventually(lambda: asleep.ask("GET", f"tasks/api/jobs/{job}")[1]["state"] == "succeeded")
    asleep.stop()
    database = asleep.state_dir / "tasks.sqlite"
    good = database.read_bytes()
    database.write_bytes(b"no database" * 1000)

    asleep.start(used=False)

    status, told = asleep.ask("GET", "tasks/api/jobs")
    assert (status, told["code"]) == (503, "store_unavailable")
    assert "is damaged" in told["message"]
    assert asleep.ask("GET", "tasks/api/jobs", Authorization="")[0] == 403
    eventually(lambda: "Failed to take up the jobs" in asleep.log)
    database.write_bytes(good)
    assert asleep.ask("GET", f"tasks/api/jobs/{job}")[0] == 200


def test_an_unclean_end_is_looked_after_at_the_next_start(asleep: LiveServer) -> None:
    job = submit(asleep, "true")
    eventually(lambda: asleep.ask("GET", f"tasks/api/jobs/{job}")[1]["state"] == "succeeded")
    asleep.kill()
    asleep.start(used=False)
    eventually(lambda: is_awake(asleep))
    with sqlite3.connect(asleep.state_dir / "tasks.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM job").fetchone() == (1,)
    connection.close()


def test_a_folder_too_deep_for_sockets_is_refused_in_words_that_help() -> None:
    with pytest.raises(TraitError, match=r"runtime_dir is too long .* Choose a shorter one"):
        TasksExtension(runtime_dir="/" + "x" * 74)
    assert TasksExtension(runtime_dir="/" + "x" * 73).runtime_dir.startswith("/x")
