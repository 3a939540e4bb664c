"""What a server leaves behind when it goes, and what one costs that never ran a job."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.stream_client import submit, until


@pytest.fixture
def server() -> Iterator[LiveServer]:
    with LiveServer() as server:
        yield server


def children(pid: int) -> list[str]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += (task / "children").read_text().split()
    return found


def test_a_server_that_never_ran_a_job_has_no_child_and_made_no_directory(
    server: LiveServer,
) -> None:
    assert server.process is not None
    assert server.ask("GET", "tasks/api/jobs")[0] == 200
    assert children(server.process.pid) == []
    assert not (server.state_dir / "attempts").exists()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_that_goes_leaves_no_idle_supervisor_and_no_fork_server(
    server: LiveServer, end: str
) -> None:
    for job_id in [submit(server, "true") for _ in range(5)]:
        until(server, job_id)

    getattr(server, end)()

    eventually(lambda: not server.processes(), within_s=3, what="all of its processes have gone")
    assert not list(server.runtime_dir.glob("*.control"))
    assert not list(server.runtime_dir.glob("*.report"))


def test_a_server_that_is_stopped_leaves_what_runs_and_its_supervisor_and_nothing_else(
    server: LiveServer,
) -> None:
    job_id = submit(server, "exec sleep 600")
    until(server, job_id, "running")

    server.stop()

    eventually(lambda: len(server.processes()) == 2, what="only supervisor and job are left")
    server.start()
    assert until(server, job_id, "running")["attempt"] == 1
    server.ask("POST", f"tasks/api/jobs/{job_id}/cancel")
    until(server, job_id, "cancelled")


def test_a_server_is_busy_while_a_job_runs_and_only_then(server: LiveServer) -> None:
    """Jupyter's own status counts what extensions call activity; cullers read its times."""
    job_id = submit(server, "exec sleep 600")
    until(server, job_id, "running")
    busy_since = server.ask("GET", "api/status")[1]["last_activity"]
    server.ask("POST", f"tasks/api/jobs/{job_id}/cancel")
    until(server, job_id, "cancelled")
    assert server.ask("GET", "api/status")[1]["last_activity"] > busy_since
