"""One slow beat for all long connections of a server; it stands still while there are none."""

import asyncio
from collections.abc import Callable
from typing import Final

BEAT_S: Final = 30.0


class Heart:
    """Calls everybody who listens, again and again."""

    def __init__(self, beat_s: float | None = None) -> None:
        """Stand still; ``beat_s`` is the time between two beats."""
        self._beat_s = beat_s or BEAT_S
        self._listeners: dict[object, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def listen(self, who: object, beat: Callable[[], None]) -> None:
        """Call ``beat`` from now on; it must not block."""
        self._listeners[who] = beat
        self._arm()

    def leave(self, who: object) -> None:
        """Call no more; may be called twice."""
        self._listeners.pop(who, None)
        if not self._listeners and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._timer is None and self._listeners:
            self._timer = asyncio.get_running_loop().call_later(self._beat_s, self._beat)

    def _beat(self) -> None:
        self._timer = None
        for beat in tuple(self._listeners.values()):
            beat()
        self._arm()
