"""What is left to look at after a crash: who still runs, what started how often, what was printed."""

import urllib.error
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jupyter_tasks import attempt
from jupyter_tasks.posix.marks import _number
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.stream_client import ENDED, payloads

MARK = b"JUPYTER_TASKS_JOB="


#: Nobody here tries a job more often.
_MAX_ATTEMPTS = 3


def job_processes(job_ids: Iterable[str]) -> list[int]:
    """Every process that carries the mark of one of the jobs, in its environment or in a limit."""
    names = list(job_ids)
    wanted = {job_id.encode() for job_id in names}
    attempts = range(1, _MAX_ATTEMPTS + 1)
    marks = (attempt.mark(job_id, number) for job_id in names for number in attempts)
    numbers = {str(_number(mark)) for mark in marks}
    numbered = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [int(e.name) for e in numbered if _job_of(e) in wanted or _limits_of(e) & numbers]


def _limits_of(entry: Path) -> set[str]:
    try:
        is_alive = (entry / "stat").read_text().rpartition(") ")[2][:1] not in "ZX"
        return set((entry / "limits").read_text().split()) if is_alive else set()
    except OSError:
        return set()  # it has ended


def _job_of(entry: Path) -> bytes:
    try:
        variables = (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return b""  # it has ended, or is another's
    marks = [variable for variable in variables if variable.startswith(MARK)]
    return marks[0].removeprefix(MARK).partition(b"/")[0] if marks else b""


def starts(path: Path) -> Counter[str]:
    """How often each ``<job>/<attempt>`` has written its mark into the shared file."""
    return Counter(path.read_text().split()) if path.exists() else Counter()


def is_there(server: LiveServer) -> bool:
    """Whether it answers, in whatever role."""
    try:
        return server.ask("GET", "tasks/api/status")[0] == 200
    except urllib.error.URLError:
        return False


def all_jobs(server: LiveServer) -> dict[str, dict[str, Any]]:
    """Every job of the server by its id; fails where the server does not tell."""
    found = _told(server)
    assert found is not None
    return found


def _told(server: LiveServer) -> dict[str, dict[str, Any]] | None:
    """Every job of the server by its id; None where it says that it cannot read them now."""
    found: dict[str, dict[str, Any]] = {}
    after = ""
    while True:
        status, page = server.ask("GET", f"tasks/api/jobs?limit=500{after}")
        if status == 503:
            return None
        assert status == 200, page
        found |= {job["id"]: job for job in page["jobs"]}
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


def all_ended(server: LiveServer, *, within_s: float = 30) -> dict[str, dict[str, Any]]:
    """Wait until every job has ended; the jobs."""

    def ended() -> dict[str, dict[str, Any]] | None:
        jobs = _told(server)
        has_ended = jobs is not None and all(job["state"] in ENDED for job in jobs.values())
        return jobs if has_ended else None

    found = eventually(ended, within_s=within_s, what="every job has ended")
    assert found is not None
    return found


def printed(server: LiveServer, job_id: str, attempt: int = 1) -> bytes:
    """What the attempt's program has printed, read from the file and by none of our own code."""
    path = server.state_dir / "attempts" / job_id[:2] / job_id / str(attempt) / "output"
    return payloads(path.read_bytes())
