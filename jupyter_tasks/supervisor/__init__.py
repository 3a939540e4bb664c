"""Holds one attempt at a time, outlives the server, and writes all that is true about the attempt.

Standard library alone: no server, no store, no event loop of others. Started by fork from the fork
server, or as a plain process; either way ``main`` is all there is.
"""

import os
import signal
import sys

from jupyter_tasks.supervisor.supervisor import Supervisor

#: What is sent to a group or a terminal is not meant for the one who must outlive it.
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP)


def main(channel_fd: int) -> None:
    """Serve the channel until there is nothing more to do. Never returns to a caller's stack."""
    os.set_inheritable(channel_fd, False)  # a job that held it would hide our end
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # who waits for a blocked signal waits for ever
    os.umask(0o077)
    os.chdir("/")
    supervisor = Supervisor(channel_fd)
    try:
        supervisor.serve()
    except BaseException:
        _tell_why(supervisor.directory)
        raise
    finally:
        supervisor.close()


def _tell_why(directory: str | None) -> None:
    """A supervisor that fails says why beside the attempt that it held."""
    import traceback  # noqa: PLC0415 - hopefully never needed

    if directory is not None:
        try:
            with open(f"{directory}/supervisor.log", "a", encoding="utf-8") as file:
                traceback.print_exc(file=file)
        except OSError:
            pass  # the folder is gone or the disk full; it is said below as well
    traceback.print_exc(file=sys.stderr)
