"""Calls a function once, and keeps what became of it: its value, or the error that it raised."""

import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from types import CoroutineType, GeneratorType, TracebackType
from typing import Any, Protocol

_MAX_WORDS = 2000
_MAX_TRACEBACK = 20_000
_HERE = os.path.dirname(__file__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a function may return in place of plain data, with words and labels for people.

    ``data`` is what a caller gets; ``logs`` are lines, ``tags`` short words to find it by.
    """

    data: Any = None
    summary: str = ""
    tags: Sequence[str] = ()
    logs: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a call. ``exit``: how it wanted to leave, where it did so by SystemExit."""

    success: bool
    started_at: float
    elapsed_s: float = 0.0
    data: Any = field(default=None, repr=False)
    summary: str = ""
    tags: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    error_type: str = ""
    error_message: str = ""
    traceback: str = ""
    exit: SystemExit | None = None

    @classmethod
    def of_error(cls, error: BaseException, *, type_name: str = "") -> "Outcome":
        """The outcome of a call that has raised."""
        return cls(
            success=False,
            started_at=time.time(),
            error_type=type_name or type(error).__qualname__,
            error_message=words_of(error),
            traceback=_traceback(error),
            exit=error if isinstance(error, SystemExit) else None,
        )

    @property
    def error_words(self) -> str:
        """The error in a line."""
        return f"{self.error_type}: {self.error_message}".rstrip(": ")


class Ear(Protocol):
    """Hears what a generator yields."""

    def hear(self, yielded: Any) -> None:
        """Take it for progress."""

    @property
    def lines(self) -> Sequence[str]:
        """The words among what was yielded."""


def call(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], ear: Ear
) -> Outcome:
    """Call it to its end; whatever it raises is an outcome, too."""
    started_at, began = time.time(), time.perf_counter()
    try:
        outcome = _succeeded(_driven(function(*args, **kwargs), ear))
    except SystemExit as error:
        code = error.code
        outcome = replace(Outcome.of_error(error), success=code is None or code == 0)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the function's own
        outcome = Outcome.of_error(error)
    return replace(
        outcome,
        started_at=started_at,
        elapsed_s=time.perf_counter() - began,
        logs=(*ear.lines, *outcome.logs),
    )


def words_of(error: BaseException) -> str:
    """What the error says, whatever its own code does when it is asked."""
    try:
        words = str(error)
    except Exception as other:  # noqa: BLE001 - as above
        words = f"(its words cannot be had: {type(other).__name__})"
    return words if len(words) <= _MAX_WORDS else f"{words[:_MAX_WORDS]}…"


def _driven(returned: Any, ear: Ear) -> Any:
    """The value in the end: what a generator yields is progress, what it returns its value."""
    if isinstance(returned, CoroutineType):
        import asyncio  # noqa: PLC0415 - few functions are coroutines

        return asyncio.run(returned)
    if not isinstance(returned, GeneratorType):
        return returned
    with closing(returned):  # whatever ends us in between, its own `finally` runs now
        while True:
            try:
                ear.hear(next(returned))
            except StopIteration as end:
                return end.value


def _succeeded(returned: Any) -> Outcome:
    if not isinstance(returned, Result):
        return Outcome(success=True, started_at=0.0, data=returned)
    return Outcome(
        success=True,
        started_at=0.0,
        data=returned.data,
        summary=str(returned.summary),
        tags=tuple(map(str, returned.tags)),
        logs=tuple(map(str, returned.logs)),
    )


def _traceback(error: BaseException) -> str:
    """As Python prints it, from the function on: our own frames say nothing to anybody."""
    try:
        told = traceback.TracebackException(type(error), error, _own_left_out(error.__traceback__))
        text = "".join(told.format()).rstrip()
    except Exception:  # noqa: BLE001 - an error's own code may raise, too
        return ""
    half = _MAX_TRACEBACK // 2
    return text if len(text) <= _MAX_TRACEBACK else f"{text[:half]}\n…\n{text[-half:]}"


def _own_left_out(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_HERE):
        frames = frames.tb_next
    return frames
