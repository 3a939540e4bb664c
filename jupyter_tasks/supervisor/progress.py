"""Progress of the attempt: from reports and from its output, recorded and told at a bearable rate."""

import time
from collections.abc import Callable
from typing import Any

from jupyter_tasks import recognise
from jupyter_tasks.report import MAX_LINE_BYTES
from jupyter_tasks.supervisor.loop import Loop, Timer

Message = dict[str, Any]
_RECORD_EVERY_S = 0.1
_TELL_EVERY_S = 0.25
_MAX_BAD_REPORTS = 10


class Throttle:
    """Passes the newest value on: the first at once, then at most every so often, the last always."""

    def __init__(self, loop: Loop, every_s: float, emit: Callable[[Message], None]) -> None:
        """Nothing has been offered yet."""
        self._loop = loop
        self._every_s = every_s
        self._emit = emit
        self._pending: Message | None = None
        self._timer: Timer | None = None
        self._emitted_at = float("-inf")

    def offer(self, value: Message) -> None:
        """Pass it on now, or keep it as the newest until it is time."""
        wait_s = self._emitted_at + self._every_s - time.monotonic()
        if wait_s <= 0 and self._timer is None:
            self._pass_on(value)
            return
        self._pending = value
        if self._timer is None:
            self._timer = self._loop.after(wait_s, self._time_has_come)

    def flush(self) -> None:
        """Pass on what is still kept."""
        if self._timer is not None:
            self._timer.cancel()
            self._time_has_come()

    def _time_has_come(self) -> None:
        self._timer = None
        if self._pending is not None:
            self._pass_on(self._pending)

    def _pass_on(self, value: Message) -> None:
        self._pending = None
        self._emitted_at = time.monotonic()
        self._emit(value)


class ProgressBook:
    """What the job said last about how far it is."""

    def __init__(
        self, loop: Loop, record: Callable[..., None], tell: Callable[[Message], None]
    ) -> None:
        """Nothing has been said yet."""
        self.last: Message | None = None
        self._record = record
        self._records = Throttle(loop, _RECORD_EVERY_S, lambda p: record("progress", **p))
        self._news = Throttle(loop, _TELL_EVERY_S, tell)
        self._line = b""
        self._bad = 0
        self._has_reported = False

    def report(self, data: bytes) -> None:
        """Take bytes from the report pipe: whole lines count, the rest waits for its end."""
        *lines, rest = (self._line + data).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            self._complain(f"a line longer than {MAX_LINE_BYTES} bytes")
            rest = b""
        self._line = rest
        for line in lines:
            if line.strip():
                self._take_line(line)

    def tell(self, told: Message) -> None:
        """Take what the runner knows: better than what can be recognised in the output."""
        self._has_reported = True
        self._take(told, "cells")

    def look_at(self, data: bytes | bytearray, size: int) -> None:
        """Recognise progress in a piece of output, the beginning of the buffer.

        Not of a job that reports: the bars of its single steps are not how far it is.
        """
        if self._has_reported:
            return
        found = recognise.output(data, size)
        if found is not None:
            source, told = found
            self._take(told, source)

    def close(self) -> None:
        """Record and tell what is still kept."""
        if self._line.strip():
            self._take_line(self._line)
        self._records.flush()
        self._news.flush()

    def _take_line(self, line: bytes) -> None:
        try:
            told = recognise.report(line)
        except ValueError as error:
            self._complain(str(error))
        else:
            self._has_reported = True
            self._take(told, "report")

    def _take(self, told: Message, source: str) -> None:
        self.last = {**told, "source": source}
        self._records.offer(self.last)
        self._news.offer(self.last)

    def _complain(self, why: str) -> None:
        self._bad += 1
        if self._bad <= _MAX_BAD_REPORTS:
            words = f"A line in $JUPYTER_TASKS_REPORT was not understood: {why}."
            self._record("note", words.encode(), code="bad_report")
