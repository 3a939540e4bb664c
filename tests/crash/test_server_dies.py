"""kill -9 of the server, again and again, while jobs run: nothing is lost, nothing is doubled."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.wreckage import all_ended, job_processes, printed, starts
from tests.eventually import eventually
from tests.live_server import LiveServer

JOBS = 300
KILLS = 20
LINES = 20
#: Appends its mark with O_APPEND, prints numbered lines before and after a pause, and ends as told.
COMMAND = (
    'echo "$JUPYTER_TASKS_JOB" >> {starts}; i=0; '
    "while [ $i -lt {lines} ]; do echo {number} $i; i=$((i+1)); [ $i = 9 ] && sleep 0.1; done; "
    "exit {code}"
)


@pytest.fixture
def server() -> Iterator[LiveServer]:
    with LiveServer("--TasksExtension.max_running=6") as server:
        yield server


@pytest.mark.timeout(600)
def test_every_job_runs_exactly_once_however_often_the_server_is_killed(
    server: LiveServer, tmp_path: Path
) -> None:
    shared = tmp_path / "starts"
    ids = submit(server, shared)
    kills = 0
    while kills < KILLS or server.process is None:
        kills += 1
        kill = (server.kill, server.kill_group)[kills % 2]
        kill_after(server, shared, random.randint(0, JOBS * 2 // KILLS), kill)
        server.launch()
    eventually(server._answers, within_s=30)
    jobs = all_ended(server, within_s=60)

    assert set(jobs) == set(ids)
    assert starts(shared) == {f"{job_id}/1": 1 for job_id in ids}
    for number, job_id in enumerate(ids):
        job = jobs[job_id]
        assert (job["exit_code"], job["attempt"]) == (number % 4, 1), job
        assert job["state"] == ("failed" if number % 4 else "succeeded"), job
        assert printed(server, job_id) == lines_of(number)
    assert not job_processes(ids)


def submit(server: LiveServer, shared: Path) -> list[str]:
    bodies = [
        {"spec": {"kind": "shell", "command": command_of(number, shared)}, "name": f"job {number}"}
        for number in range(JOBS)
    ]
    status, answer = server.ask("POST", "tasks/api/jobs", bodies)
    assert status == 201
    return [job["id"] for job in answer["jobs"]]


def command_of(number: int, shared: Path) -> str:
    return COMMAND.format(starts=shared, number=number, lines=LINES, code=number % 4)


def lines_of(number: int) -> bytes:
    return b"".join(b"%d %d\n" % (number, line) for line in range(LINES))


def kill_after(server: LiveServer, shared: Path, more: int, kill: Callable[[], None]) -> None:
    """Kill the server when that many more jobs have started, or none is left to start."""
    wanted = min(starts(shared).total() + more, JOBS)
    eventually(lambda: starts(shared).total() >= wanted, within_s=30, what="jobs start")
    kill()
