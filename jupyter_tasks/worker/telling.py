"""Progress of a function, from what its generator yields, at a bearable rate."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from jupyter_tasks import report

#: Several steps at once are all told; in the long run it is so many a second.
_AT_ONCE = 50
_A_SECOND = 10.0
_MAX_MESSAGE = 500
_MAX_LINES = 1000


class Teller:
    """Tells the job's supervisor how far a function is.

    A number is a fraction; ``(3, 12)`` is a part of a whole, with an optional text; a dict or any
    object has ``value``, ``total``, ``message``; a text is a message, and a line of the result.
    """

    def __init__(self) -> None:
        """Nothing has been told yet."""
        self.lines: list[str] = []
        self._left = float(_AT_ONCE)
        self._looked_at = time.monotonic()
        self._pending: tuple[Any, Any, str | None] | None = None
        self._has_complained = False

    def hear(self, yielded: Any) -> None:
        """Take it for progress, and tell it unless much has been told just now."""
        if yielded is None:
            return
        told = self._understood(yielded)
        if told is None:
            self._complain(yielded)
            return
        self._pending = told
        now = time.monotonic()
        self._left = min(_AT_ONCE, self._left + (now - self._looked_at) * _A_SECOND)
        self._looked_at = now
        if self._left >= 1:
            self._left -= 1
            self.flush()

    def flush(self) -> None:
        """Tell the newest, where it has not been told."""
        if self._pending is not None:
            value, total, message = self._pending
            self._pending = None
            report.progress(value, total, message)

    def _understood(self, yielded: Any) -> tuple[Any, Any, str | None] | None:
        match yielded:
            case str():
                if len(self.lines) < _MAX_LINES:
                    self.lines.append(yielded)
                return None, None, _short(yielded)
            case (value, total):
                parts = (value, total, None)
            case (value, total, message):
                parts = (value, total, message)
            case Mapping():
                parts = tuple(yielded.get(name) for name in ("value", "total", "message"))  # type: ignore[assignment]
            case _ if hasattr(yielded, "value") and hasattr(yielded, "total"):
                parts = (yielded.value, yielded.total, getattr(yielded, "message", None))
            case _:
                parts = (yielded, None, None)
        return _numbers(*parts)

    def _complain(self, yielded: Any) -> None:
        if not self._has_complained:
            self._has_complained = True
            words = f"What was yielded is no progress: {type(yielded).__name__}."
            print(words, file=sys.stderr)  # noqa: T201 - the job's own output


def _numbers(value: Any, total: Any, message: Any) -> tuple[Any, Any, str | None] | None:
    try:
        value = None if value is None else float(value)
        total = None if total is None else float(total)
    except (TypeError, ValueError):
        return None
    return value, total, None if message is None else _short(str(message))


def _short(text: str) -> str:
    """A line of a report is bounded, in bytes."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_MESSAGE else f"{line[:_MAX_MESSAGE]}…"
