"""Rounds in which many are woken together, however often there is reason to."""

import asyncio


class Rounds:
    """The first call brings a round at once; one that follows soon waits for the rest to be over."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._waiters: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0

    def call(self, rest_s: float) -> None:
        """Have a round at the end of this turn of the loop, but ``rest_s`` after the last at least."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._last + rest_s), self._begin)

    async def next(self) -> None:
        """Wait for the next round."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def close(self) -> None:
        """Have no more rounds until the next call."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        self._last = asyncio.get_running_loop().time()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
