"""How the store's threads answer the event loop. They know neither SQL nor jobs."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

#: What is done with a connection, in the thread that owns it.
Work = Callable[[sqlite3.Connection], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Some work and the one who waits for it."""

    work: Work
    future: asyncio.Future[Any]
    takes_over: bool = False
    erases: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a task: a value, or an error to raise where it was asked."""

    task: Task
    value: Any = None
    error: BaseException | None = None


def deliver(answers: Iterable[Answer]) -> None:
    """Wake the callers' event loops: once each, however many answers there are."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for answer in answers:
        by_loop.setdefault(answer.task.future.get_loop(), []).append(answer)
    for loop, group in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, group)


def _resolve(answers: list[Answer]) -> None:
    for answer in answers:
        future = answer.task.future
        if future.done():  # the caller has gone; what was asked has been done all the same
            continue
        if answer.error is not None:
            future.set_exception(answer.error)
        else:
            future.set_result(answer.value)
