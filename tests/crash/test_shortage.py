"""Descriptors or processes run out for a while: jobs wait for them, and none fails."""

import os
import resource
import sys
from pathlib import Path

import pytest

from jupyter_tasks.lifecycle import CancelAsked
from jupyter_tasks.model import State
from jupyter_tasks.posix import default_runtime_dir
from tests.crash.wreckage import all_ended, starts
from tests.eventually import eventually, eventually_async
from tests.live_server import LiveServer
from tests.office import an_office

JOBS = 20
NO_PROCESS = str(Path(__file__).with_name("no_process.py"))


def short_of_processes(call: str, times: int, tmp_path: Path) -> dict[str, object]:
    """The settings of an office where such calls fail at first."""
    python = [sys.executable, NO_PROCESS, call, str(times), str(tmp_path / "failed")]
    return {"python": python, "fork": True}


def test_jobs_for_which_no_descriptor_is_left_wait_and_run_once(tmp_path: Path) -> None:
    go, log = tmp_path / "go", tmp_path / "starts"
    waits = f'echo "$JUPYTER_TASKS_JOB" >> {log}; until [ -e {go} ]; do sleep 0.05; done'
    with LiveServer(f"--TasksExtension.max_running={JOBS}") as server:
        assert server.process is not None
        pid = server.process.pid
        limit = len(os.listdir(f"/proc/{pid}/fd")) + JOBS // 2
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
        spec = {"kind": "shell", "command": waits}
        assert server.ask("POST", "tasks/api/jobs", [{"spec": spec}] * JOBS)[0] == 201
        eventually(lambda: "Failed to start job" in server.log, what="a start found none")
        go.touch()
        jobs = all_ended(server)
    assert {job["state"] for job in jobs.values()} == {"succeeded"}
    assert starts(log) == {f"{job_id}/1": 1 for job_id in jobs}


@pytest.mark.parametrize("call", ["os.fork", "os.posix_spawn"])
async def test_jobs_for_which_no_process_can_be_made_wait_and_run_once(
    call: str, tmp_path: Path
) -> None:
    log, times = tmp_path / "starts", 5
    settings = short_of_processes(call, times, tmp_path)
    async with an_office(tmp_path, Path(default_runtime_dir()), **settings) as office:
        jobs = [await office.submit(f'echo "$JUPYTER_TASKS_JOB" >> {log}') for _ in range(3)]
        ended = [await office.ended(job, within_s=40) for job in jobs]
    assert (tmp_path / "failed").stat().st_size == times
    told = [(job.state, job.attempt, job.message) for job in ended]
    assert told == [(State.SUCCEEDED, 1, "")] * 3
    assert starts(log) == {f"{job.id}/1": 1 for job in jobs}


async def test_a_job_that_waits_for_a_process_can_be_cancelled(tmp_path: Path) -> None:
    settings = short_of_processes("os.posix_spawn", 1_000_000, tmp_path)
    async with an_office(tmp_path, Path(default_runtime_dir()), **settings) as office:
        job = await office.submit("true")
        failed = tmp_path / "failed"
        await eventually_async(lambda: _is_there(failed), what="it was tried once")
        await office.manager.ask(job.id, None, CancelAsked())
        ended = await office.ended(job)
    assert (ended.state, ended.reason) == (State.CANCELLED, "user")


async def _is_there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
