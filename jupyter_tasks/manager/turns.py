"""One at a time for each key; and patience with what does not work at the moment."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

_RETRY_S = 1.0
_SAY_EVERY_S = 60.0


class Turns:
    """A lock for each key, first come, first served; it goes with its last waiter."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, key: Hashable) -> AsyncIterator[None]:
        """Wait for one's turn; it ends with the block."""
        lock, waiters = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, waiters + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiters = self._locks.pop(key)
            if waiters > 1:
                self._locks[key] = (lock, waiters - 1)


class Patience:
    """Waits before something is tried again, and says so now and then: a full disk needs no long log."""

    def __init__(self, log: logging.Logger) -> None:
        """Nothing has failed yet."""
        self._log = log
        self._said_at: dict[str, float] = {}

    async def after(self, failed: str, error: Exception, job_id: str = "") -> None:
        """Return when it is time to try again. ``failed`` says what could not be done."""
        now = time.monotonic()
        if now - self._said_at.get(failed, -_SAY_EVERY_S) >= _SAY_EVERY_S:
            self._said_at[failed] = now
            self._log.warning("Failed to %s %s; trying again: %s", failed, job_id, error)
        await asyncio.sleep(_RETRY_S)  # nothing tells when a disk has room again
