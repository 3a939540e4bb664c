"""Trees of processes: who belongs to one, how much it takes, and how it is ended for certain.

A process is known by pid and start time; it is signalled only while both agree.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from jupyter_tasks.posix.identity import start_time

_PR_SET_CHILD_SUBREAPER = 36
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_ROUND_S = 0.02
_MAX_LOOKS = 50

_prctl: Any = None


class Process(NamedTuple):
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    start: int


def become_subreaper() -> None:
    """Let orphans of our tree become our children, so that none escapes (Linux; else nothing)."""
    if prepare_subreaper():
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def prepare_subreaper() -> bool:
    """Find the system call now, so that a process forked later needs to load nothing."""
    global _prctl  # noqa: PLW0603 - what a fork server loads once for all that it forks
    if _prctl is None:
        import ctypes  # noqa: PLC0415 - large; loaded by nobody but fork servers and supervisors

        _prctl = getattr(ctypes.CDLL(None), "prctl", False)
    return bool(_prctl)


def descendants(pid: int) -> list[Process]:
    """Every living process below this one, parents before their children."""
    found: list[Process] = []
    todo = [pid]
    while todo:
        for child in _children(todo.pop()):
            start = start_time(child)
            if start is not None:
                found.append(Process(child, start))
                todo.append(child)
    return found


def is_alive(process: Process) -> bool:
    """Whether that very process still runs (a zombie does not)."""
    try:
        with open(f"/proc/{process.pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    return int(fields[19]) == process.start and fields[0] not in (b"Z", b"X")


def send_signal(process: Process, number: int) -> bool:
    """Signal that very process; False where it is no longer there."""
    if start_time(process.pid) != process.start:
        return False
    try:
        os.kill(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def stop_processes(find: Callable[[], Iterable[Process]]) -> list[Process]:
    """Let all that ``find`` finds stand still, until it finds nobody new; returns them.

    One look is not enough: who forks while it is looked at leaves a child unseen.
    """
    stopped: dict[Process, None] = {}
    for _ in range(_MAX_LOOKS):
        new = [process for process in find() if process not in stopped]
        if not new:
            break
        for process in new:
            send_signal(process, signal.SIGSTOP)
            stopped[process] = None
    return list(stopped)


def end_processes(find: Callable[[], Iterable[Process]], *, within_s: float = 5.0) -> list[Process]:
    """Kill all that ``find`` finds, until it finds none; returns whom it could not end.

    All are stopped before any is killed, so that a fork bomb cannot outrun it.
    """
    deadline = time.monotonic() + within_s

    def living() -> list[Process]:
        return [process for process in find() if is_alive(process)]

    while True:
        found = stop_processes(living)
        if not found or time.monotonic() > deadline:
            return found
        for process in found:
            send_signal(process, signal.SIGKILL)
        time.sleep(_ROUND_S)  # nothing tells when a stranger's child has died


def rss_bytes(processes: Iterable[Process]) -> int:
    """The resident memory of the processes, added up."""
    total = 0
    for process in processes:
        try:
            with open(f"/proc/{process.pid}/statm", "rb") as file:
                total += int(file.read().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError):
            continue  # it has just ended
    return total


def cpu_s(processes: Iterable[Process]) -> float:
    """The processor time of the processes and of their children that were waited for."""
    ticks = 0
    for process in processes:
        try:
            with open(f"/proc/{process.pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it has just ended
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS


def _children(pid: int) -> list[int]:
    """The children of all threads of a process (proc(5), /proc/pid/task/tid/children)."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found.extend(int(child) for child in file.read().split())
        except OSError:
            continue  # the thread has just ended
    return found
