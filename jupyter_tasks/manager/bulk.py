"""The same for many jobs: all that a filter accepts now, so many at once that they share commits."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from jupyter_tasks.contracts import Reader
from jupyter_tasks.errors import CallerError
from jupyter_tasks.model import Filter, Job, State

#: How many jobs are worked on at once: enough to fill a group commit.
_WIDTH = 64
_PAGE = 500


def within(wanted: Filter, states: Collection[State]) -> Filter | None:
    """The filter for those in these states; None where it accepts none of them."""
    narrowed = tuple(state for state in wanted.states or State if state in states)
    return replace(wanted, states=narrowed) if narrowed else None


async def each(
    store: Reader,
    wanted: Filter | None,
    act: Callable[[Job], Awaitable[object]],
    *,
    is_meant: Callable[[Job], bool],
) -> dict[str, int]:
    """Do it to each that is meant; counts them, who could and who not (which stops nobody else)."""
    accepted = [] if wanted is None else await _accepted(store, wanted)
    jobs = [job for job in accepted if is_meant(job)]
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


async def _accepted(store: Reader, wanted: Filter) -> list[Job]:
    jobs: list[Job] = []
    after: str | None = None
    while True:
        page = await store.find(wanted, limit=_PAGE, after=after)
        jobs.extend(page.jobs)
        after = page.after
        if after is None:
            return jobs
