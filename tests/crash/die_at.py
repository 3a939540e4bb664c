"""Stands in for Python and is killed at its Nth durable step: die_at.py WHO N FILE [options] -c CODE.

WHO is supervisor or forkserver. A step is counted just before it happens; FILE takes one line for
each, so that a run without a kill tells how many there are. Only the first process that comes to the
step dies, so that whoever is started in its place lives on. The product knows nothing of it.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

NEVER = 1_000_000
#: Of a supervisor: what touches the attempt directory or the runtime folder, or starts the job.
SUPERVISOR = {
    "open",
    "os.link",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.posix_spawn",
    "os.truncate",
    "socket.bind",
}
#: Of a fork server: its warming up, each fork, and what lies between two of them.
FORK_SERVER = {"open", "ctypes.dlopen", "os.fork"}


class Steps:
    """Counts the steps of this very process, not of those that it forks."""

    def __init__(self, die_at: int, path: str, places: tuple[str, ...]) -> None:
        self._die_at = die_at
        self._path = path
        self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._places = places
        self._pid = os.getpid()
        self._count = 0

    def take(self, name: str) -> None:
        """Here is one."""
        if os.getpid() != self._pid:
            return
        number, self._count = self._count, self._count + 1
        if number == self._die_at and self._is_first():
            os.write(self._log, f"{number} {name} dies\n".encode())
            os.kill(self._pid, signal.SIGKILL)
        if self._die_at == NEVER:
            os.write(self._log, f"{number} {name}\n".encode())

    def _is_first(self) -> bool:
        """Two may come to the step at once; whoever makes the folder is the first."""
        try:
            os.mkdir(f"{self._path}.dead")
        except FileExistsError:
            return False
        return True

    def watch(self, events: set[str]) -> None:
        """Count audited calls from now on."""

        def audit(event: str, args: tuple[object, ...]) -> None:
            if event in events and (event == "os.posix_spawn" or self._is_ours(args)):
                self.take(f"{event} {args[:1]!r}")

        sys.addaudithook(audit)

    def _is_ours(self, args: tuple[object, ...]) -> bool:
        told = repr(args)
        is_own = self._path in told
        return not is_own and (not self._places or any(place in told for place in self._places))


def before(steps: Steps, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The call, as a step of its own."""

    def counted(*args: Any) -> Any:
        steps.take(name)
        return call(*args)

    return counted


def main() -> None:
    """Install the counting, then do what Python was asked to."""
    who, number, path = sys.argv[1:4]
    code = sys.argv[sys.argv.index("-c") + 1]
    if who == "supervisor":
        steps = Steps(int(number), path, ("/attempts/", os.environ["JUPYTER_TASKS_RUNTIME_DIR"]))
        steps.watch(SUPERVISOR)
        os.fdatasync = before(steps, "fdatasync", os.fdatasync)
        os.writev = before(steps, "writev", os.writev)
    else:
        steps = Steps(int(number), path, ())
        steps.watch(FORK_SERVER)
        os.close = before(steps, "close", os.close)
        socket.recv_fds = before(steps, "recv_fds", socket.recv_fds)
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as -c does


if __name__ == "__main__":
    main()
