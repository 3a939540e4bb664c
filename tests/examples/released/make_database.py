"""Makes ``schema-<n>.db`` and what it holds as ``schema-<n>.json``, once, when a schema is released.

A file that was released is kept for ever and must load: it is never made anew. Run from the checkout:
``python -m tests.examples.released.make_database``.
"""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from jupyter_tasks import lifecycle as lc
from jupyter_tasks.model import End, Filter, Job, Progress, State
from jupyter_tasks.store import SqliteStore
from tests.builders import a_change, a_job, a_receipt

HERE = Path(__file__).parent
CLAIMED = lc.Claimed(pid=4242, host="here", started_at=2001.0)
#: One job for each way that a life may go so far.
LIVES: dict[str, tuple[lc.Event, ...]] = {
    "queued": (),
    "starting": (lc.SlotGiven(),),
    "running": (lc.SlotGiven(), CLAIMED),
    "paused before its start": (lc.PauseAsked(),),
    "paused while it ran": (lc.SlotGiven(), CLAIMED, lc.PauseAsked(), lc.Stopped()),
    "succeeded": (
        *(lc.SlotGiven(), CLAIMED),
        lc.Ended(
            end=End(
                outcome="exited",
                exit_code=0,
                started_at=2001.0,
                ended_at=2009.0,
                peak_rss_bytes=2**30,
                cpu_s=7.5,
                output_bytes=123,
                progress=Progress(value=3, total=3, message="Fertig: größer"),
            )
        ),
    ),
    "failed": (
        *(lc.SlotGiven(), CLAIMED),
        lc.Ended(end=End(outcome="signalled", signal=9, ended_at=2009.0)),
    ),
    "cancelled": (lc.CancelAsked(),),
    "lost": (lc.SlotGiven(), CLAIMED, lc.Vanished(reason="host_rebooted")),
    "restarted": (lc.SlotGiven(), lc.StartFailed(message="no"), lc.RestartAsked(), lc.SlotGiven()),
    "edited": (lc.Edited(name="edited, größer", tags=("new",), queue="gpu", priority=5),),
}


def the_jobs() -> list[Job]:
    jobs = [
        a_job(id=f"{n:016x}", name=name, tags=("every", f"tag {n % 3}"), stdin="in", timeout_s=60.0)
        for n, name in enumerate(LIVES, 1)
    ]
    scheduled = a_job(
        id="f" * 16, owner="bob", name="scheduled", state=State.SCHEDULED, due_at=5000.0
    )
    return [*jobs, scheduled]


async def everything(store: SqliteStore) -> dict[str, Any]:
    """What a person would miss: jobs, attempts, counts and events, as text."""
    jobs = (await store.find(Filter(), limit=500)).jobs
    changes = await store.changes(0, limit=500) or []
    return {
        "jobs": [repr_of(job) for job in jobs],
        "attempts": [repr_of(row) for job in jobs for row in await store.attempts(job.id)],
        "counts": {state.value: n for state, n in (await store.counts(None)).items()},
        "events": [[change.seq, change.event, change.at, change.job.id] for change in changes],
    }


def repr_of(value: Any) -> dict[str, Any]:
    """The fields that were set when this schema was released; later ones have their defaults."""
    from dataclasses import asdict

    return json.loads(json.dumps(asdict(value)))  # type: ignore[no-any-return]


async def make(path: Path) -> dict[str, Any]:
    store = SqliteStore.open(path, clock=lambda: 1500.0)
    await store.take_over()
    jobs = the_jobs()
    for change in await store.add(jobs, a_receipt(*jobs)):
        job = change.job
        for event in LIVES.get(job.name, ()):
            job = (await store.commit(a_change(job, event))).job
    held = await everything(store)
    await store.close()
    return held


def main() -> None:
    path = HERE / "schema.db"
    held = asyncio.run(make(path))
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        # One file that can be read wherever it lies.
        connection.execute("PRAGMA journal_mode = delete")
        connection.execute("VACUUM")
    path.rename(HERE / f"schema-{version}.db")
    text = json.dumps(held, indent=1, ensure_ascii=False)
    (HERE / f"schema-{version}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
