"""The same for many jobs: all that a filter accepts now, so many at once that they share commits."""

import asyncio
from collections.abc import Awaitable, Callable

from jupyter_tasks.contracts import Reader
from jupyter_tasks.errors import CallerError
from jupyter_tasks.model import Filter, Job

#: How many jobs are worked on at once: enough to fill a group commit.
_WIDTH = 64
_PAGE = 500


async def each(
    store: Reader, wanted: Filter, act: Callable[[Job], Awaitable[object]]
) -> dict[str, int]:
    """Do it to each; counts who could and who not (the life cycle's refusal stops nobody else)."""
    jobs = await _accepted(store, wanted)
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
