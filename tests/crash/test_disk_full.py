"""The disk is full, and then there is room again: nobody is harmed, and nobody has to be restarted."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.wreckage import all_ended, printed, starts
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.stream_client import job_of, submit, until
from tests.values_client import code, files_below, packed, result, upload, uploaded

OPTIONS = "size=4m,nr_inodes=400,mode=700"


class SmallDisk:
    """A file system of a few megabytes that can be filled to its last byte."""

    def __init__(self, path: Path) -> None:
        """Mount it; skips the test where that is not allowed."""
        self.path = path
        self._ballast = path / "ballast"
        path.mkdir(parents=True, mode=0o700)
        command = ["mount", "-t", "tmpfs", "-o", OPTIONS, "tmpfs", str(path)]
        if shutil.which("mount") is None:
            pytest.skip("there is no mount command to make a small disk with")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")

    def fill(self) -> None:
        """Leave no room for one more byte."""
        fd = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for size in (65536, 4096, 1):
                self._fill_with(fd, size)
        finally:
            os.close(fd)

    def _fill_with(self, fd: int, size: int) -> None:
        try:
            while os.write(fd, b"x" * size):
                pass
        except OSError:
            return

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink()

    @property
    def names_left(self) -> int:
        """How many more files there may be."""
        return os.statvfs(self.path).f_favail

    def fill_names(self, *, but: int) -> None:
        """Leave room for bytes, but not for more than that many further files."""
        self._names = [self.path / f"name-{n}" for n in range(self.names_left - but)]
        for name in self._names:
            name.touch()

    def free_names(self) -> None:
        """Make room again."""
        for name in self._names:
            name.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture
def server() -> Iterator[LiveServer]:
    server = LiveServer("--TasksExtension.max_running=4")
    disk = SmallDisk(server.state_dir)
    server.disk = disk  # type: ignore[attr-defined]
    try:
        yield server.start()
    finally:
        server.kill()
        eventually(server._none_is_left)
        disk.close()
        server.close()


def is_refused(server: LiveServer) -> dict[str, object] | None:
    """The refusal of a new job, once there is no room for it."""
    body = {"spec": {"kind": "shell", "command": "true"}, "name": "x" * 200}
    status, answer = server.ask("POST", "tasks/api/jobs", [body] * 50)
    return answer if status == 503 else None


@pytest.mark.timeout(120)
def test_a_full_disk_refuses_new_jobs_harms_no_running_one_and_is_forgotten_with_room(
    server: LiveServer, tmp_path: Path
) -> None:
    disk: SmallDisk = server.disk  # type: ignore[attr-defined]
    go, shared = tmp_path / "go", tmp_path / "starts"
    wait = f'echo "$JUPYTER_TASKS_JOB" >> {shared}; while [ ! -e {go} ]; do sleep 0.05; done'
    running = [submit(server, f"{wait}; echo done; exit 5") for _ in range(4)]
    for job_id in running:
        until(server, job_id, "running")
    queued = [submit(server, f'echo "$JUPYTER_TASKS_JOB" >> {shared}') for _ in range(8)]
    disk.fill()

    refusal = eventually(lambda: is_refused(server), what="a submit is refused")
    assert refusal["code"] == "store_unavailable"
    assert "Free some space" in str(refusal["message"])
    assert refusal["request_id"]
    assert server.ask("GET", "tasks/api/jobs")[0] == 200
    go.touch()
    eventually(lambda: "Failed to book ended of job" in server.log)
    assert {job_of(server, job_id)["state"] for job_id in running} == {"running"}
    disk.free()

    jobs = all_ended(server, within_s=40)
    for job_id in running:
        assert (jobs[job_id]["state"], jobs[job_id]["exit_code"]) == ("failed", 5)
    assert {jobs[job_id]["state"] for job_id in queued} == {"succeeded"}
    assert starts(shared) == {f"{job_id}/1": 1 for job_id in running + queued}
    again = submit(server, "echo hello")
    assert until(server, again)["state"] == "succeeded"
    assert printed(server, again) == b"hello\n"


def _has_begun(server: LiveServer, job_id: str) -> bool:
    return bool(job_of(server, job_id)["state"] != "queued")


@pytest.mark.timeout(120)
def test_a_job_that_finds_no_room_for_one_of_its_files_waits_for_it(server: LiveServer) -> None:
    disk: SmallDisk = server.disk  # type: ignore[attr-defined]
    for left in range(8):
        disk.fill_names(but=left)
        job_id = submit(server, f"echo {left}")
        # A start that finds no room takes back what it has made: one name may be free again.
        eventually(
            lambda job_id=job_id: (
                job_of(server, job_id)["ended_at"]
                or (_has_begun(server, job_id) and disk.names_left <= 1)
            ),
            what="the job has ended or has met the full disk",
        )
        disk.free_names()

        job = until(server, job_id)
        assert (job["state"], job["attempt"]) == ("succeeded", 1), (left, job)
        assert printed(server, job_id) == b"%d\n" % left


@pytest.mark.timeout(120)
def test_values_that_find_no_room_are_refused_or_fail_their_job_and_leave_nothing(
    server: LiveServer,
) -> None:
    disk: SmallDisk = server.disk  # type: ignore[attr-defined]
    inputs = uploaded(server, size=8_000_000)
    uploads = files_below(server.state_dir / "inputs")
    status, answer = upload(server, packed(x=os.urandom(8_000_000)))
    assert (status, answer["code"]) == (507, "no_space")
    assert "Free some space" in answer["message"]
    assert files_below(server.state_dir / "inputs") == uploads

    body = code("import os; z = os.urandom(size)", inputs=inputs, outputs=["z"])
    _, job = server.ask("POST", "tasks/api/jobs", body)
    job = until(server, job["id"], within_s=60)
    assert (job["state"], job["reason"]) == ("failed", "error")
    assert "The disk is full" in job["message"]
    folder = server.state_dir / "attempts" / job["id"][:2] / job["id"]
    assert not [name for name in files_below(folder) if "result" in name]

    disk.fill_names(but=0)
    status, answer = server.ask("POST", "tasks/api/jobs", body)
    assert (status, answer["code"]) == (507, "no_space")
    disk.free_names()
    _, job = server.ask("POST", "tasks/api/jobs", code("z = size", inputs=inputs, outputs=["z"]))
    assert until(server, job["id"], within_s=60)["state"] == "succeeded"
    assert result(server, job["id"]) == {"z": 8_000_000}
