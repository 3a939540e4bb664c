"""The supervisor's side of a warm start: a child that waits to become a kernel, and whether it may.

It is forked before the supervisor does anything of its own. Whatever of the environment was looked at
while modules were loaded must be the same for the kernel: else it is started from its command line.
"""

import json
import os
import signal
import socket
from collections.abc import Iterable
from typing import Any

from jupyter_tasks import attempt
from jupyter_tasks.runners import newborn, shell
from jupyter_tasks.runners.base import Started

#: What interpreter, loader and C libraries read at their start, where nobody sees it.
_PREFIXES = (
    *("PYTHON", "LD_", "LC_", "MALLOC_", "PYDEVD_", "DEBUGPY_", "OPENSSL_", "SSL_"),
    *("OMP_", "KMP_", "OPENBLAS_", "MKL_", "NUMEXPR_", "VECLIB_", "BLIS_", "GOTO_"),
)
_NAMES = frozenset({"LANG", "LANGUAGE", "LOCPATH", "HOME", "GLIBC_TUNABLES"})
#: Only to find a program that says what machine this is.
_HARMLESS = frozenset({"PATH"})
#: What a command line can hold of one variable (Linux, MAX_ARG_STRLEN).
_MAX_VARIABLE_BYTES = 128 * 1024
_ANSWER_WITHIN_S = 5.0


class Waiting:
    """A child that waits for its orders."""

    def __init__(self, pid: int, orders: socket.socket, looked_at: Iterable[str]) -> None:
        """``looked_at``: the variables that were read while its modules were loaded."""
        self._pid = pid
        self._orders = orders
        self._looked_at = frozenset(looked_at) - _HARMLESS

    def fits(self, wanted: dict[str, str]) -> bool:
        """Whether a kernel with these variables, besides our own, would have loaded the same."""
        return _is_path_absolute() and not any(
            self._matters(name) or _is_odd(name, value)
            for name, value in wanted.items()
            if os.environ.get(name) != value
        )

    def hand_over(self, argv: list[str], env: dict[bytes, bytes], more: dict[str, Any]) -> "Birth":
        """Let it become the kernel. Raises OSError."""
        ours: list[int] = []
        its: list[int] = []
        try:
            outputs = {shell.reading_pipe(ours, its): kind for kind in ("out", "err")}
            told = {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()}
            self._send({"argv": argv, "env": told, **more}, its)
        except BaseException:
            shell.close(ours)
            raise
        finally:
            shell.close(its)
        self._orders.setblocking(False)
        return Birth(Started(self._pid, outputs, None, b""), self._orders)

    def dismiss(self) -> None:
        """It is not needed."""
        self._orders.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def is_born(self) -> bool:
        """Whether it listens. Waits for that."""
        self._orders.settimeout(_ANSWER_WITHIN_S)
        try:
            return self._orders.recv(1) == newborn.BORN
        except OSError:
            return False

    def _send(self, order: dict[str, Any], fds: list[int]) -> None:
        data = json.dumps(order).encode()
        self._orders.sendall(len(data).to_bytes(newborn.SIZE_BYTES))
        sent = socket.send_fds(self._orders, [data], fds)
        self._orders.sendall(data[sent:])

    def _matters(self, name: str) -> bool:
        return name in _NAMES or name in self._looked_at or name.startswith(_PREFIXES)


class Birth:
    """A kernel on its way."""

    def __init__(self, started: Started, orders: socket.socket) -> None:
        """It says on the socket when it is there."""
        self.started = started
        self._orders = orders

    def fileno(self) -> int:
        """What rings when there is something to be told, once."""
        return self._orders.fileno()

    def is_ready(self) -> bool:
        """After that: whether its sockets are bound, and not that it has ended."""
        with self._orders as orders:
            try:
                return orders.recv(1) == newborn.READY
            except OSError:
                return False

    def close(self) -> None:
        """Wait for it no longer."""
        self._orders.close()


#: The one that this process has, and gives away.
_waiting: Waiting | None = None


def keep(waiting: Waiting) -> None:
    """Remember the child until somebody takes it."""
    global _waiting  # noqa: PLW0603 - a process has one, from its fork on
    _waiting = waiting


def start(
    command: dict[str, Any], words: int | None, told: dict[str, str], umask: int
) -> Birth | None:
    """Start the command of a kernel by the child that waits; None where that cannot be.

    ``words``: how many of the command's start its interpreter. Raises as ``shell.start`` does.
    """
    waiting = _take()
    if waiting is None:
        return None
    if not (waiting.fits(command["env"]) and waiting.is_born() and words):
        waiting.dismiss()
        return None
    order = {
        "words": words,
        "cwd": command["cwd"],
        "umask": umask,
        "oom_score": shell.OOM_SCORE,
        "mark": f"{attempt.MARK}={told[attempt.MARK]}",
    }
    births: list[Birth] = []

    def start_on(_path: str, argv: list[str], env: dict[bytes, bytes], _spec: object) -> Started:
        births.append(waiting.hand_over(argv, env, order))
        return births[0].started

    try:
        shell.start(command, told, umask, start_on)
    finally:
        if not births:
            waiting.dismiss()
    return births[0]


def _take() -> Waiting | None:
    global _waiting
    waiting, _waiting = _waiting, None
    return waiting


def _is_path_absolute() -> bool:
    """A relative entry means another folder in each job."""
    path = os.environ.get("PYTHONPATH")
    return not path or all(map(os.path.isabs, path.split(os.pathsep)))


def _is_odd(name: str, value: str) -> bool:
    """Whether no process could be started with it."""
    size = len(os.fsencode(name)) + len(os.fsencode(value))
    return not name or "=" in name or "\0" in name + value or size + 2 > _MAX_VARIABLE_BYTES
