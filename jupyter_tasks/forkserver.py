"""Forks supervisors from a warm, single-threaded process; knows nothing of what they hold.

It is asked over one socket, whose end is its own end. Supervisors outlive it.
"""

import gc
import os
import signal
import socket
from collections.abc import Iterator

from jupyter_tasks import supervisor

_MAX_REQUEST_BYTES = 4096
_ANSWER = b'{"say": "here"}'
_NO_PROCESS = b'{"say": "no_process"}'


def main(fd: int) -> None:
    """Fork a supervisor for each descriptor that comes, until the socket ends; answer the rest."""
    os.set_inheritable(fd, False)
    warm_up()
    ignore_signals()
    control = socket.socket(fileno=fd)
    for channel in forked(control):
        become_supervisor(control, channel)


def warm_up() -> None:
    """Load now what each supervisor would load, and keep the collector off shared pages."""
    import resource  # noqa: PLC0415

    from jupyter_tasks import posix  # noqa: PLC0415

    posix.prepare_subreaper()
    resource.getrusage(resource.RUSAGE_SELF)
    posix.boot_id(), posix.machine_id(), posix.pid_namespace(), posix.host()
    gc.collect()
    gc.freeze()


def ignore_signals() -> None:
    """An interrupt is not meant for us, and who we fork is not waited for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The kernel reaps our children: nobody else has to know how a supervisor ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def forked(control: socket.socket) -> Iterator[int]:
    """Serve the socket until it ends. Yields in each child, once: the channel that it is to serve."""
    while True:
        request, fds, _, _ = socket.recv_fds(control, _MAX_REQUEST_BYTES, 1)
        if not request:
            return
        if not fds:
            control.send(_ANSWER)  # who asks waits for the answer, so there is room for it
        for channel in fds:
            try:
                pid = os.fork()
            except OSError:
                pid = -1  # no more processes now: who asked is told, and asks again later
                os.write(channel, _NO_PROCESS)
            if pid == 0:
                os.setsid()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                yield channel
            os.close(channel)


def become_supervisor(control: socket.socket, channel: int) -> None:
    """In the child: leave what is the fork server's, and never come back."""
    code = 1
    try:
        control.close()
        supervisor.main(channel)
        code = 0
    finally:
        os._exit(code)
