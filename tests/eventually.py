"""The only way to wait in a test: for a condition, within a bound, with a helpful failure."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_STEP_S = 0.005


def eventually(condition: Callable[[], T], *, within_s: float = 10.0, what: str = "") -> T:
    """Return the first truthy value of ``condition()``; fail when none came in time."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {within_s} s: {what or condition}; last value {value!r}"
            )
        time.sleep(_STEP_S)


async def eventually_async(
    condition: Callable[[], Awaitable[T]], *, within_s: float = 10.0, what: str = ""
) -> T:
    """Return the first truthy value of ``await condition()``; fail when none came in time."""
    deadline = time.monotonic() + within_s
    while True:
        value = await condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {within_s} s: {what or condition}; last value {value!r}"
            )
        await asyncio.sleep(_STEP_S)
