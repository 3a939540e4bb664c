"""The process that becomes a kernel: forked from a warm one, it waits for its orders and follows them.

What runs in it later must find nothing that a kernel started from its command line would not have.
"""

import contextlib
import gc
import importlib
import importlib.util
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

from jupyter_tasks import posix

#: Said by the newborn: it listens; its kernel's sockets are bound.
BORN = b"b"
READY = b"r"
#: Before the orders: how many bytes they have.
SIZE_BYTES = 8
_FDS = 2
#: What Python itself does with signals at its start; all others have the system's default.
_PYTHONS: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGPIPE: signal.SIG_IGN,
    signal.SIGXFSZ: signal.SIG_IGN,
}
_NO_FOLDER = 1
#: Of multiprocessing's own key.
_KEY_BYTES = 32
_OOM_SCORE = "/proc/self/oom_score_adj"


class Newborn:
    """Owns this process from its fork on."""

    def __init__(self, orders: socket.socket, foreign_modules: Iterable[str]) -> None:
        """Leave all that was the parent's; ``foreign_modules`` are those that no kernel loads."""
        os.setsid()
        posix.close_all_but(orders.fileno())
        _reset_signals()
        for name in foreign_modules:
            sys.modules.pop(name, None)
        gc.unfreeze()
        self._orders = orders
        orders.sendall(BORN)

    def live(self) -> None:
        """Become the kernel that is ordered; returns at its end, or leaves where none is."""
        size = int.from_bytes(self._received(SIZE_BYTES))
        order, fds = self._order(size)
        self._follow(order, fds)
        app: Any = importlib.import_module("ipykernel.kernelapp").IPKernelApp.instance()
        app.initialize()
        with contextlib.suppress(OSError):  # the supervisor has died: others will see to us
            self._orders.sendall(READY)
        self._orders.close()
        app.start()

    def _order(self, size: int) -> tuple[dict[str, Any], list[int]]:
        data, fds, _, _ = socket.recv_fds(self._orders, min(size, 65536), _FDS)
        order: dict[str, Any] = json.loads(data + self._received(size - len(data)))
        return order, fds

    def _received(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._orders.recv(size - len(data))
            if not piece:
                os._exit(0)  # nobody needs us
            data += piece
        return data

    def _follow(self, order: dict[str, Any], fds: list[int]) -> None:
        for number, fd in enumerate([os.open(os.devnull, os.O_RDONLY), *fds]):
            os.dup2(fd, number)
            os.close(fd)
        posix.wear(order["mark"])
        _raise_oom_score(order["oom_score"])
        os.umask(order["umask"])
        _enter(order["cwd"])
        os.environ.clear()
        os.environ.update(order["env"])
        posix.show_as(order["argv"], order["env"])
        time.tzset()
        sys.orig_argv = list(order["argv"])
        sys.argv = [_launcher(), *order["argv"][order["words"] + 2 :]]
        _renew_what_was_drawn_at_import()


def _reset_signals() -> None:
    """Ignore no more than Python does; handlers that a package has set at its start stay."""
    for number in signal.valid_signals():
        wanted = _PYTHONS.get(number, signal.SIG_DFL)
        if signal.getsignal(number) == signal.SIG_IGN != wanted:
            signal.signal(number, wanted)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _raise_oom_score(score: int) -> None:
    """As its supervisor would have raised it for a process that it starts."""
    # No such thing on this system, or not allowed in this container.
    with contextlib.suppress(OSError), open(_OOM_SCORE, "r+", encoding="ascii") as file:
        if int(file.read()) < score:
            file.write(str(score))


def _enter(cwd: str) -> None:
    try:
        os.chdir(cwd)
    except OSError as error:  # it could be entered a moment ago
        os.write(2, f"The folder {cwd!r} cannot be entered: {error.strerror}.\n".encode())
        os._exit(_NO_FOLDER)


def _launcher() -> str:
    """Where ``python -m`` finds what it runs."""
    spec = importlib.util.find_spec("ipykernel_launcher")
    return str(spec.origin) if spec else ""


def _renew_what_was_drawn_at_import() -> None:
    """Random numbers, times and folders that a module takes when it is loaded are this process's own.

    ``random`` sees to itself after a fork.
    """
    processes: Any = sys.modules.get("multiprocessing.process")
    if processes is not None:  # something in this environment loads it with every Python
        processes.ORIGINAL_DIR = os.getcwd()
        processes.current_process().authkey = os.urandom(_KEY_BYTES)
    main = threading.main_thread()
    main._set_native_id()  # type: ignore[attr-defined]  # noqa: SLF001
    is_exact = isinstance(getattr(logging, "_startTime", 0.0), int)
    logging._startTime = time.time_ns() if is_exact else time.time()  # type: ignore[attr-defined]  # noqa: SLF001
