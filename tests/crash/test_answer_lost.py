"""The server dies between the commit and the answer: who asks again with the same key has one job."""

import contextlib
import http.client
import os
import signal
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.wreckage import all_ended, starts
from tests.eventually import eventually
from tests.live_server import REPOSITORY, LiveServer
from tests.values_client import code, files_below, result, uploaded


class Mortal(LiveServer):
    """Dies at the Nth durable step after ``arm``, once."""

    number: int | None = None

    @property
    def steps(self) -> Path:
        return self.home / "steps"

    def _command(self) -> list[str]:
        python, _, _, *arguments = super()._command()
        if self.number is None:
            return super()._command()
        launcher = str(REPOSITORY / "tests/crash/die_in_server.py")
        where = [str(self.steps), str(REPOSITORY), str(self.state_dir)]
        return [python, launcher, str(self.number), *where, *arguments]

    def arm(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGUSR2)
        eventually(self._has_begun)

    def _has_begun(self) -> bool:
        # Another thread may have taken the signal; the main one hears of it when it has something to do.
        with contextlib.suppress(OSError, http.client.HTTPException):  # its step may come at once
            self.ask("GET", "api")
        return "begun" in self.steps.read_text()


@pytest.fixture
def server() -> Iterator[Mortal]:
    with_home = Mortal("--TasksExtension.warm_kernels=False")
    try:
        yield with_home
    finally:
        with_home.close()


@pytest.mark.parametrize("step", ["before a commit", "after a commit"])
def test_a_submit_whose_answer_is_lost_is_one_job_when_it_is_asked_again(
    server: Mortal, tmp_path: Path, step: str
) -> None:
    server.number = ["before a commit", "after a commit"].index(step)
    server.start().arm()
    shared = tmp_path / "starts"
    body = {"spec": {"kind": "shell", "command": f'echo "$JUPYTER_TASKS_JOB" >> {shared}'}}
    key = {"Idempotency-Key": "one and the same"}
    with pytest.raises((urllib.error.URLError, ConnectionError, http.client.HTTPException)):
        server.ask("POST", "tasks/api/jobs", body, **key)
    assert server.process is not None
    assert server.process.wait(10) == -signal.SIGKILL
    assert server.steps.read_text().splitlines()[-1].partition(" ")[2] == step

    server.number = None
    server.start()
    status, job = server.ask("POST", "tasks/api/jobs", body, **key)

    assert status == (200 if step == "after a commit" else 201)
    assert list(all_ended(server)) == [job["id"]]
    assert starts(shared) == {f"{job['id']}/1": 1}


def died_at(server: Mortal) -> str:
    assert server.process is not None
    assert server.process.wait(20) == -signal.SIGKILL
    return server.steps.read_text().splitlines()[-1].partition(" ")[2]


@pytest.mark.timeout(600)
def test_whatever_step_of_a_submit_it_dies_at_its_values_are_there_once(server: Mortal) -> None:
    """Up to the answer: what comes later is any job's."""
    seen: list[str] = []
    while True:
        server.number = len(seen)
        server.steps.unlink(missing_ok=True)
        server.start()
        body = code("z = x", inputs=uploaded(server, x=len(seen)), outputs=["z"])
        server.arm()
        key = {"Idempotency-Key": f"dies at {len(seen)}"}
        with contextlib.suppress(urllib.error.URLError, ConnectionError, http.client.HTTPException):
            server.ask("POST", "tasks/api/jobs", body, **key)
            break  # this step comes behind the answer
        seen.append(died_at(server))

        server.number = None
        server.start()
        _, job = server.ask("POST", "tasks/api/jobs", body, **key)
        jobs = all_ended(server, within_s=60)
        assert jobs[job["id"]]["state"] == "succeeded", (seen, jobs[job["id"]])
        assert result(server, job["id"]) == {"z": len(seen) - 1}
        server.stop()
    assert len(jobs) == len(seen)
    assert {"before a commit", "after a commit"} <= set(seen)
    left = [name for name in files_below(server.state_dir / "inputs") if "taken/" in name]
    assert len(left) <= seen.index("before a commit") + 1, (left, seen)
