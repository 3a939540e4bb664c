"""Every implementation of the contract `Store`, to run the same tests against."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from jupyter_tasks.contracts import Store
from jupyter_tasks.model import Change, Job
from jupyter_tasks.store import SqliteStore

#: Opens the same database each time it is called with the same folder.
Opens = Callable[[Path], Store]

IMPLEMENTATIONS: dict[str, Opens] = {
    "sqlite": lambda folder: SqliteStore.open(folder / "jobs.db", clock=lambda: 1500.0),
}


@asynccontextmanager
async def a_store(opens: Opens, folder: Path, *, writes: bool = True) -> AsyncIterator[Store]:
    """An open store, in charge where it ``writes``; closed afterwards."""
    store = opens(folder)
    try:
        if writes:
            await store.take_over()
        yield store
    finally:
        await store.close()


async def added(store: Store, *jobs: Job) -> list[Job]:
    """The jobs as they are after they were added."""
    return [change.job for change in await store.add(jobs)]


async def committed(store: Store, change: Change) -> Job:
    """The job after the commit."""
    return (await store.commit(change)).job
