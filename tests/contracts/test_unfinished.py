"""Whether a database holds work for a server that has just started, found out without the store."""

from pathlib import Path

import pytest

from jupyter_tasks import lifecycle as lc
from jupyter_tasks.model import Job, State
from jupyter_tasks.store import SqliteStore
from jupyter_tasks.store.unfinished import has_unfinished
from tests.builders import a_change, a_job
from tests.contracts.stores import added, committed

CLAIMED = lc.Claimed(pid=1, host="here", started_at=1500.0)
EVENTS: dict[str, list[lc.Event]] = {
    "starting": [lc.SlotGiven()],
    "running": [lc.SlotGiven(), CLAIMED],
    "stopped": [lc.SlotGiven(), CLAIMED, lc.PauseAsked(), lc.Stopped()],
    "paused": [lc.PauseAsked()],
    "cancelled": [lc.CancelAsked()],
    "lost": [lc.SlotGiven(), CLAIMED, lc.Vanished(reason="supervisor_died")],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


async def with_a_job(path: Path, job: Job, *events: lc.Event) -> None:
    """A database that holds a job to which that has happened, closed again."""
    store = SqliteStore.open(path)
    await store.take_over()
    [job] = await added(store, job)
    for event in events:
        job = await committed(store, a_change(job, event))
    await store.close()


@pytest.mark.parametrize("what", ["starting", "running", "stopped"])
async def test_a_job_that_holds_a_slot_is_unfinished(path: Path, what: str) -> None:
    await with_a_job(path, a_job(), *EVENTS[what])
    assert has_unfinished(path)


async def test_a_job_that_waits_for_a_slot_or_for_its_time_is_unfinished(tmp_path: Path) -> None:
    scheduled = a_job(state=State.SCHEDULED, due_at=9e9, queued_at=None)
    for name, job in {"queued": a_job(), "scheduled": scheduled}.items():
        await with_a_job(tmp_path / name, job)
        assert has_unfinished(tmp_path / name)


@pytest.mark.parametrize("what", ["paused", "cancelled", "lost"])
async def test_what_has_ended_or_waits_for_a_person_needs_no_server(path: Path, what: str) -> None:
    await with_a_job(path, a_job(), *EVENTS[what])
    assert not has_unfinished(path)


async def test_a_database_that_was_not_closed_is_unfinished(path: Path) -> None:
    await with_a_job(path, a_job(), lc.CancelAsked())
    Path(f"{path}-wal").write_bytes(b"left by a server that was killed")
    assert has_unfinished(path)


def test_where_there_is_no_database_there_is_no_work(path: Path) -> None:
    assert not has_unfinished(path)


def test_what_cannot_be_read_is_for_the_store_to_judge(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    assert has_unfinished(path)
