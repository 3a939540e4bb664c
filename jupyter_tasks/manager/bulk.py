"""The same for many jobs: all that a filter accepts now, so many at once that they share commits."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from jupyter_tasks import lifecycle as lc
from jupyter_tasks.contracts import Reader
from jupyter_tasks.errors import CallerError
from jupyter_tasks.model import ENDED, Filter, Job, State

#: How many jobs are worked on at once: enough to fill a group commit.
_WIDTH = 64
_PAGE = 500


async def ask(
    store: Reader,
    wanted: Filter,
    event: lc.Event,
    ask_one: Callable[[str, str | None, lc.Event], Awaitable[object]],
) -> dict[str, int]:
    """Ask it of each job that the filter accepts and to which it can happen."""

    def act(job: Job) -> Awaitable[object]:
        return ask_one(job.id, wanted.owner, event)

    found = await _accepted(store, wanted, lc.states_of(event))
    return await _each([job for job in found if lc.is_possible(job, event)], act)


async def delete(
    store: Reader, wanted: Filter, delete_one: Callable[[str, str | None], Awaitable[object]]
) -> dict[str, int]:
    """Delete each ended job that the filter accepts."""

    def act(job: Job) -> Awaitable[object]:
        return delete_one(job.id, wanted.owner)

    return await _each(await _accepted(store, wanted, ENDED), act)


async def _each(jobs: list[Job], act: Callable[[Job], Awaitable[object]]) -> dict[str, int]:
    """Counts who could and who could not any more (which stops nobody else)."""
    width = asyncio.Semaphore(_WIDTH)

    async def one(job: Job) -> bool:
        async with width:
            try:
                await act(job)
            except CallerError:
                return False
            return True

    done = sum(await asyncio.gather(*(one(job) for job in jobs)))
    return {"matched": len(jobs), "done": done, "refused": len(jobs) - done}


async def _accepted(store: Reader, wanted: Filter, states: Collection[State]) -> list[Job]:
    """The jobs that the filter accepts, those in these states alone."""
    narrowed = tuple(state for state in wanted.states or State if state in states)
    if not narrowed:
        return []
    wanted = replace(wanted, states=narrowed)
    jobs: list[Job] = []
    after: str | None = None
    while True:
        page = await store.find(wanted, limit=_PAGE, after=after)
        jobs.extend(page.jobs)
        after = page.after
        if after is None:
            return jobs
