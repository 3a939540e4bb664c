"""Socket and pipe of a living job stay within reach, whatever a cleaner takes; those of a dead one go."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_tasks import attempt
from tests.crash.wreckage import job_processes
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.stream_client import get, job_of, submit, until

TICKS = "i=0; while [ $i -lt 200 ]; do echo $i; i=$((i+1)); sleep 0.01; done"
NUMBERS = b"".join(b"%d\n" % number for number in range(200))


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer() as server:
        yield server


def sockets_of(server: LiveServer, job_id: str) -> list[Path]:
    directory = server.state_dir / "attempts" / job_id[:2] / job_id / "1"
    claim = attempt.probe(str(directory)).claim
    assert claim is not None
    return [Path(claim.control), Path(claim.report)]


def test_after_a_cleaner_and_a_restart_a_job_is_paused_resumed_and_cancelled(
    server: LiveServer,
) -> None:
    job_id = submit(server, "exec sleep 600")
    until(server, job_id, "running")
    for path in sockets_of(server, job_id):
        path.unlink()
    server.restart()

    for verb, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        assert server.ask("POST", f"tasks/api/jobs/{job_id}/{verb}")[0] == 202
        until(server, job_id, state)
    assert not job_processes([job_id])


def test_after_a_cleaner_and_a_restart_a_job_is_followed_to_its_last_byte(
    server: LiveServer,
) -> None:
    job_id = submit(server, TICKS)
    until(server, job_id, "running")
    for path in sockets_of(server, job_id):
        path.unlink()
    server.restart()

    with get(server, f"jobs/{job_id}/output?follow=true") as answer:
        assert answer.read() == NUMBERS
    assert until(server, job_id)["state"] == "succeeded"


def test_after_the_whole_folder_is_gone_jobs_start_and_progress_is_reported(
    server: LiveServer,
) -> None:
    shutil.rmtree(server.runtime_dir)
    report = 'echo 3/4 > "$JUPYTER_TASKS_REPORT"; exec sleep 600'

    job_id = submit(server, report)

    eventually(lambda: (job_of(server, job_id)["progress"] or {}).get("value") == 3)
    server.restart()
    eventually(lambda: (job_of(server, job_id)["progress"] or {}).get("value") == 3)
    server.ask("POST", f"tasks/api/jobs/{job_id}/cancel")
    until(server, job_id, "cancelled")


def kill_supervisor(server: LiveServer, job_id: str) -> list[Path]:
    """End it by SIGKILL; what it leaves in the folder of sockets and pipes."""
    paths = sockets_of(server, job_id)
    os.kill(int(paths[0].name.partition("-")[0]), signal.SIGKILL)
    return paths


def test_what_a_killed_supervisor_left_goes_and_what_a_living_one_needs_stays(
    server: LiveServer,
) -> None:
    killed, living = submit(server, "exec sleep 600"), submit(server, "exec sleep 600")
    for job_id in (killed, living):
        until(server, job_id, "running")

    left = kill_supervisor(server, killed)

    eventually(lambda: not any(path.exists() for path in left), what="all are removed")
    assert all(path.exists() for path in sockets_of(server, living))
    server.ask("POST", f"tasks/api/jobs/{living}/cancel")
    until(server, living, "cancelled")


def test_what_was_left_before_a_server_came_goes_with_its_first_job(server: LiveServer) -> None:
    server.kill()
    # Process 1 lives, but it is not the one that started then.
    names = ("1-1.control", "1-1.report", "1-1.kernel-1")
    left = [server.runtime_dir / name for name in names]
    strange = server.runtime_dir / "1-1.else"
    for path in (*left, strange):
        path.touch()
    server.start()

    until(server, submit(server, "true"))

    eventually(lambda: not any(path.exists() for path in left), what="all are removed")
    assert strange.exists()
