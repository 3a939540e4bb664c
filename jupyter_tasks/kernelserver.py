"""Forks supervisors that have a kernel's beginnings with them; one for each interpreter of kernels.

Runs in the kernel's own interpreter, which has ipykernel and nothing of ours: what we need is loaded
from beside this file, with the standard library alone. As the fork server, it is asked over one
socket and leaves with it.
"""

import importlib
import json
import os
import site
import socket
import sys
from collections.abc import Iterable, Iterator
from glob import escape, glob
from typing import Any

from jupyter_tasks import stamps

#: What a kernel has loaded when its code begins, by names that bring the rest. What is not there is
#: left out: a kernel without it has it neither.
_LOADED = (
    *("ipykernel.kernelapp", "ipykernel.debugger", "ipykernel.zmqshell"),
    *("IPython.core.completerlib", "IPython.core.debugger", "IPython.core.logger"),
    *("IPython.core.oinspect", "IPython.extensions.storemagic", "IPython.utils.wildcard"),
    *("tornado.platform.asyncio", "tornado.queues", "sqlite3", "pdb", "runpy"),
    *("encodings.ascii", "encodings.idna", "encodings.latin_1", "faulthandler", "mimetypes"),
)
_CANNOT = 3
#: Run at each start, wherever on the path they are.
_CUSTOMS = ("sitecustomize", "usercustomize")


def main(fd: int) -> Any:
    """Serve until the socket ends: None. In a child that is to be a kernel: its Newborn."""
    os.set_inheritable(fd, False)
    control = socket.socket(fileno=fd)
    _say(control, say="paths", stamps=stamps.taken(_start_paths()))
    try:
        looked_at = _load_kernel()
    except ImportError as error:
        _say(control, say="failed", why=str(error))
        sys.exit(_CANNOT)
    kernels_own = set(sys.modules)
    from jupyter_tasks import forkserver, posix  # noqa: PLC0415 - after the kernel's own

    for runner in ("code", "notebook"):
        importlib.import_module(f"jupyter_tasks.runners.{runner}")
    if not posix.can_be_worn() or len(os.listdir("/proc/self/task")) > 1:
        sys.exit(_CANNOT)  # a child would be known by nobody, or lack a thread that others wait for
    foreign = {name for name in sys.modules if name not in kernels_own}
    foreign |= {name for name in sys.modules if name.partition(".")[0] == "jupyter_tasks"}
    forkserver.warm_up()
    _say(control, say="ready", stamps=stamps.taken(_loaded_paths()))
    forkserver.ignore_signals()
    for channel in forkserver.forked(control):
        newborn = _bear(control, channel, foreign, looked_at)
        if newborn is not None:
            return newborn
        forkserver.become_supervisor(control, channel)
    return None


def _bear(
    control: socket.socket, channel: int, foreign: Iterable[str], looked_at: Iterable[str]
) -> Any:
    """In what is to be a supervisor: fork its kernel. The Newborn in that, None in the supervisor."""
    from jupyter_tasks import posix  # noqa: PLC0415 - see above
    from jupyter_tasks.runners import newborn, warm  # noqa: PLC0415

    control.detach()
    posix.close_all_but(channel)
    _be_silent()
    ours, its = socket.socketpair()
    try:
        pid = os.fork()
    except OSError:
        return None  # no more processes now; perhaps there are when it is needed
    if pid == 0:
        ours.close()
        return newborn.Newborn(its, foreign)
    its.close()
    warm.keep(warm.Waiting(pid, ours, looked_at))
    return None


def _be_silent() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


def _load_kernel() -> set[str]:
    """Load what kernels load; the variables of the environment that were looked at meanwhile."""
    looked_at: set[str] = set()
    ours = type(os.environ)

    class Watched(ours):  # type: ignore[valid-type,misc]
        def __getitem__(self, name: str) -> str:
            looked_at.add(name)
            value: str = super().__getitem__(name)
            return value

        def __iter__(self) -> Iterator[str]:
            looked_at.update(list(super().__iter__()))
            return iter(list(super().__iter__()))

    os.environ.__class__ = Watched
    try:
        importlib.import_module(_LOADED[0])
        for name in _LOADED[1:]:
            try:
                importlib.import_module(name)
            except ImportError:
                continue  # another release
    finally:
        os.environ.__class__ = ours
    return looked_at


# -- what would make all this out of date ------------------------------------------------------------


def _start_paths() -> set[str]:
    """What an interpreter looks at before it runs anything, also what is not there yet."""
    prefixes = {sys.prefix, sys.exec_prefix}
    users = {site.USER_SITE} if site.ENABLE_USER_SITE and site.USER_SITE else set()
    folders = {*site.getsitepackages(), *users}
    links = {file for folder in folders for file in glob(f"{escape(folder)}/*.pth")}
    customs = {f"{folder}/{name}.py" for folder in sys.path for name in _CUSTOMS}
    configurations = {f"{prefix}/pyvenv.cfg" for prefix in prefixes}
    return {sys.executable, *folders, *links, *customs, *configurations}


def _loaded_paths() -> set[str]:
    """The files of the loaded modules, any of which may be edited in place, and packages' folders.

    Not all folders of the path: in one of them people may work.
    """
    found = set()
    for name, module in tuple(sys.modules.items()):
        if file := getattr(module, "__file__", None):
            found.add(file)
            if "." in name or hasattr(module, "__path__"):
                found.add(os.path.dirname(file))
    return found


def _say(control: socket.socket, **message: Any) -> None:
    control.send(json.dumps(message).encode())
