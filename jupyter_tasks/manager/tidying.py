"""Forgets what nobody asks for any more: old events and idempotency keys must not grow for ever."""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from jupyter_tasks.contracts import Store
from jupyter_tasks.errors import StoreUnavailable
from jupyter_tasks.model import Job

#: How often, in events, and how far back the store is tidied.
_EVERY = 5_000
_RECEIPTS_KEPT_S = 24 * 3600.0
#: How many of the newest events are looked at for deletions that a crash may have cut short.
_DELETIONS_WITHIN = 1000


class Tidying:
    """Tidies the store now and then."""

    def __init__(
        self,
        store: Store,
        *,
        keep_events: int,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        clock: Callable[[], float],
        log: logging.Logger,
    ) -> None:
        """Nothing has been tidied yet."""
        self._store = store
        self._keep_events = keep_events
        self._spawn = spawn
        self._clock = clock
        self._log = log
        self._tidied_at_seq = 0

    def at_times(self, seq: int) -> None:
        """Tidy in the background where there have been many events since the last time."""
        if seq - self._tidied_at_seq >= _EVERY:
            self._tidied_at_seq = seq
            self._spawn(self._tidy())

    async def finish_deletions(self, seq: int, forget: Callable[[Job], Awaitable[None]]) -> None:
        """Remove the files of jobs whose deletion was committed just before a crash."""
        first = max(seq - min(_DELETIONS_WITHIN, self._keep_events), 0)
        changes = await self._store.changes(first, limit=_DELETIONS_WITHIN)
        for change in changes or ():
            if change.after is None:
                await forget(change.job)

    async def _tidy(self) -> None:
        try:
            await self._store.forget_events(keep=self._keep_events)
            await self._store.forget_receipts(before=self._clock() - _RECEIPTS_KEPT_S)
        except StoreUnavailable:
            self._log.exception("Failed to forget old events; trying again later")
