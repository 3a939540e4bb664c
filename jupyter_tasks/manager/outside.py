"""Jobs whose programs run elsewhere: they take no slot, so nothing keeps them from starting at once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from jupyter_tasks.contracts import Reader
from jupyter_tasks.errors import StoreUnavailable
from jupyter_tasks.manager.turns import Patience
from jupyter_tasks.model import SPECS, Filter, Job, State

_PAGE = 500
_KINDS = tuple(kind for kind, spec in SPECS.items() if not spec.holds_slot)


class Outside:
    """Starts those jobs; what the store cannot take now is tried again."""

    def __init__(
        self,
        store: Reader,
        *,
        give: Callable[[Job], Awaitable[None]],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        patience: Patience,
    ) -> None:
        """``give`` starts a queued job; it may raise StoreUnavailable."""
        self._store = store
        self._give = give
        self._spawn = spawn
        self._patience = patience

    async def start(self, jobs: Iterable[Job]) -> None:
        """Start those of the jobs that wait for nothing; they are on their way when this returns."""
        waiting = [job for job in jobs if job.state is State.QUEUED and not job.spec.holds_slot]
        if waiting:
            await asyncio.gather(*map(self._start, waiting))

    async def start_all(self) -> None:
        """Start what another server has accepted and not come to."""
        after = None
        while True:
            try:
                wanted = Filter(kinds=_KINDS, states=(State.QUEUED,))
                page = await self._store.find(wanted, limit=_PAGE, after=after)
            except StoreUnavailable as error:
                await self._patience.after("read the queue", error)
                continue
            await self.start(page.jobs)
            after = page.after
            if after is None:
                return

    async def _start(self, job: Job) -> None:
        try:
            await self._give(job)
        except StoreUnavailable as error:
            self._spawn(self._start_again(job, error))

    async def _start_again(self, job: Job, error: StoreUnavailable) -> None:
        await self._patience.after("start job", error, job.id)
        await self._start(job)
