"""The mark of an attempt (``NAME=value``): what all its processes carry, wherever they have gone.

It stands in their environment, and on Linux also in a limit that every child inherits: a program
can empty its environment, leave its session and lose its parents, and is still known by that.
"""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from jupyter_tasks.posix.files import read_file
from jupyter_tasks.posix.identity import start_time
from jupyter_tasks.posix.tree import Process, is_alive

#: How many microseconds a real-time process may run on end. It is infinite unless somebody made it
#: finite, so that thousands of years instead change nothing. ``resource`` has no name for it.
_HAS_LIMIT = sys.platform == "linux"
_LIMIT = 15
_LIMIT_LINE = b"\nMax realtime timeout"
_FIRST_NUMBER = 2**61


@contextmanager
def worn(mark: str) -> Iterator[None]:
    """Let processes that are spawned now inherit the mark; for its part in the environment, see to it."""
    if not can_be_worn():
        yield
        return
    wear(mark)
    try:
        yield
    finally:
        resource.setrlimit(_LIMIT, (resource.RLIM_INFINITY,) * 2)


def can_be_worn() -> bool:
    """Whether a mark can be inherited here otherwise than in the environment."""
    # Where somebody made it finite it is not ours to use.
    return _HAS_LIMIT and resource.getrlimit(_LIMIT) == (resource.RLIM_INFINITY,) * 2


def wear(mark: str) -> None:
    """Carry the mark from now on, and hand it down; only where it ``can_be_worn``."""
    resource.setrlimit(_LIMIT, (_number(mark), resource.RLIM_INFINITY))


def marked(mark: str) -> list[Process]:
    """Every living process that has the mark; never this one."""
    wanted, number = mark.encode(), b"%d" % _number(mark)
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and (_has_variable(name, wanted) or _has_limit(name, number)):
            process = Process(int(name), start_time(int(name)) or 0)
            # Who has ended and was not waited for keeps its limits.
            if is_alive(process) and process.pid != os.getpid():
                found.append(process)
    return found


def _number(mark: str) -> int:
    return int.from_bytes(mark.encode()) % (_FIRST_NUMBER - 1) + _FIRST_NUMBER


def _has_variable(pid: str, wanted: bytes) -> bool:
    return wanted in _read(f"/proc/{pid}/environ").split(b"\0")


def _has_limit(pid: str, number: bytes) -> bool:
    _, _, line = _read(f"/proc/{pid}/limits").partition(_LIMIT_LINE)
    return line.split(maxsplit=1)[:1] == [number]


def _read(path: str) -> bytes:
    try:
        return read_file(path)
    except OSError:
        return b""  # somebody else's, or gone
