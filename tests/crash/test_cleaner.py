"""A cleaner of /tmp takes socket and pipe away under a living job: the job stays within reach."""

import shutil
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
