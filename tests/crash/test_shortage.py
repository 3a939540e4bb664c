"""A server that runs out of file descriptors: jobs wait for one, and none fails."""

import os
import resource
from pathlib import Path

from tests.crash.wreckage import all_ended, starts
from tests.eventually import eventually
from tests.live_server import LiveServer

JOBS = 20


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
