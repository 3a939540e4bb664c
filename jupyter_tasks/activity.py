"""Tells Jupyter that this server is in use: by what happens to jobs, and by those that run.

Jupyter's own idle shutdown and a hub's culler ask for the time of the last activity. No timer is set while no job runs.
"""

import asyncio
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Final

#: As fine as cullers look: their shortest sensible timeout is some minutes.
BEAT_S: Final = 60.0
_KEY: Final = "jupyter_tasks"


class Activity:
    """Stamps the time of the last activity, again and again while ``running`` is not 0."""

    def __init__(
        self,
        times: MutableMapping[str, datetime],
        *,
        running: Callable[[], int],
        clock: Callable[[], float],
        beat_s: float | None = BEAT_S,
    ) -> None:
        """Stamp ``times``; where ``beat_s`` is None, running jobs alone are no activity."""
        self._times = times
        self._running = running
        self._clock = clock
        self._beat_s = beat_s
        self._timer: asyncio.TimerHandle | None = None

    def happened(self) -> None:
        """Something has happened to a job."""
        self._times[_KEY] = datetime.fromtimestamp(self._clock(), UTC)
        if self._timer is None and self._beat_s is not None and self._running():
            self._timer = asyncio.get_running_loop().call_later(self._beat_s, self._beat)

    def close(self) -> None:
        """Stamp no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        self._timer = None
        if self._running():
            self.happened()
