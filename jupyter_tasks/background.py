"""Work on the event loop that nobody waits for: a bug there is logged, never lost."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any


class Background:
    """What one part has begun and not waited for."""

    def __init__(self, log: logging.Logger) -> None:
        """Begin with nothing; ``log`` takes what goes wrong."""
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it, beginning with the next turn of the loop."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Cancel what is under way, and wait until it has left."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("Failed in the background", exc_info=error)
