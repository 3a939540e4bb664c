"""How much memory and processor time the attempt takes, and whether that is too much."""

import os
import time
from collections.abc import Callable
from typing import Any

from jupyter_tasks import posix
from jupyter_tasks.supervisor.loop import Loop, Timer

#: (age of the attempt in seconds, seconds between two samples from then on)
_PACE = ((600.0, 30.0), (60.0, 5.0), (0.0, 1.0))
_FIRST_WITH_LIMIT_S = 0.25
#: The kernel counts pages on each processor and adds them up later.
_BLUR_BYTES = 1024 * 1024


class Meter:
    """Samples the tree below this process: often at first, seldom later; always where a limit is."""

    def __init__(
        self,
        loop: Loop,
        *,
        limit_bytes: int | None,
        record: Callable[..., None],
        exceeded: Callable[[], None],
    ) -> None:
        """Measure nothing before ``start``."""
        self._loop = loop
        self._limit_bytes = limit_bytes
        self._record = record
        self._exceeded = exceeded
        self._timer: Timer | None = None
        self._peak_bytes = 0
        self._ended_cpu_s = 0.0
        self._ended_peak_bytes = 0
        self._own_peak_bytes = 0

    def start(self) -> None:
        """The job has just been spawned. The first sample is after a second: a shorter job costs nothing."""
        self._own_peak_bytes = _peak_of_self()
        self._t0 = time.monotonic()
        first_s = 1.0 if self._limit_bytes is None else _FIRST_WITH_LIMIT_S
        self._timer = self._loop.after(first_s, self._sample)

    def stop(self) -> None:
        """Take no more samples."""
        if self._timer is not None:
            self._timer.cancel()

    def add_usage(self, usage: Any) -> None:
        """Add what a process took that has ended, with all that it had waited for."""
        self._ended_cpu_s += usage.ru_utime + usage.ru_stime
        self._ended_peak_bytes = max(self._ended_peak_bytes, usage.ru_maxrss * 1024)

    def totals(self) -> dict[str, Any]:
        """What is written into the end.

        A child's own peak begins at ours when it was spawned: Linux counts the memory before exec. So
        one that is not above says nothing; then only samples count, and without one it is unknown.
        """
        peak = self._peak_bytes
        if self._ended_peak_bytes > self._own_peak_bytes + _BLUR_BYTES:
            peak = max(peak, self._ended_peak_bytes)
        return {"peak_rss_bytes": peak or None, "cpu_s": round(self._ended_cpu_s, 6)}

    def _sample(self) -> None:
        processes = posix.descendants(os.getpid())
        rss = posix.rss_bytes(processes)
        self._peak_bytes = max(self._peak_bytes, rss)
        cpu_s = self._ended_cpu_s + posix.cpu_s(processes)
        self._record("usage", rss_bytes=rss, cpu_s=round(cpu_s, 2), processes=len(processes))
        self._timer = self._loop.after(self._pace(), self._sample)
        if self._limit_bytes is not None and rss > self._limit_bytes:
            self._exceeded()

    def _pace(self) -> float:
        if self._limit_bytes is not None:
            return 1.0 if time.monotonic() - self._t0 > 5.0 else _FIRST_WITH_LIMIT_S
        age_s = time.monotonic() - self._t0
        return next(every for since, every in _PACE if age_s >= since)


def _peak_of_self() -> int:
    import resource  # noqa: PLC0415 - a small module, loaded once

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
