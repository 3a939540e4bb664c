"""How a worker calls a task: with the function's own types, and a Task object step by step."""

import inspect
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from jupyter_tasks.fields import to_python
from jupyter_tasks.tasks.declaring import Done, Task

#: Between two steps of a ``process`` that is no generator and says that it still waits.
_STEP_S = 0.05


class Stopped(SystemExit):
    """The job was told to end; so the process ends, after what ``abort`` does."""


def prepared(thing: Any) -> Callable[..., Any]:
    """What is to be called with values of the fields, by name: it gets the function's own types."""
    is_driver = isinstance(thing, type) and issubclass(thing, Task)
    typed = thing.initialize if is_driver else thing
    target = _driver_of(thing) if is_driver else thing

    def call(*args: Any, **values: Any) -> Any:
        return target(*args, **to_python(typed, values))

    return call


def _driver_of(cls: type[Task]) -> Callable[..., Any]:
    def drive(**fields: Any) -> Any:
        work = cls()
        try:
            with _raised_on_signals():
                work.initialize(**fields)
                return (yield from _processed(work))
        except (Stopped, KeyboardInterrupt, GeneratorExit):
            # (The signal may have come while the caller dealt with progress: then it closes us.)
            work.abort()
            raise

    return drive


def _processed(work: Task) -> Any:
    """Step by step: yields progress, returns the result."""
    while True:
        outcome = work.process()
        if inspect.isgenerator(outcome):
            return (yield from outcome)
        if isinstance(outcome, Done):
            return outcome.result
        yield outcome
        if outcome is None:
            # Nothing has moved: who drives a program would otherwise ask it without a pause.
            time.sleep(_STEP_S)


@contextmanager
def _raised_on_signals() -> Iterator[None]:
    """Let the wish to end arise where the work stands; where signals come to others, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped(128 + number)
