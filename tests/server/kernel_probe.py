"""Run inside a kernel: all that could tell one kernel from another, as a line of JSON."""

import asyncio
import faulthandler
import fcntl
import gc
import json
import linecache
import locale
import logging
import multiprocessing
import os
import resource
import signal
import site
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

#: glibc's own, which it leaves ignored in every process that it has spawned.
_OF_GLIBC = 1 << 31
#: Carries the mark of the attempt.
_MARK = "RLIMIT_RTTIME"


def probe(modules: list[str]) -> str:
    """``modules`` were there before this probe was loaded."""
    parts = (_interpreter, _process, _signals, _standard_library, _kernel)
    found: dict[str, Any] = {"modules": modules}
    for part in parts:
        found |= part()
    return json.dumps(found, default=repr)


def _interpreter() -> dict[str, Any]:
    hooks = (sys.excepthook, sys.displayhook, sys.unraisablehook, sys.breakpointhook)
    return {
        "argv": (sys.argv, sys.orig_argv),
        "path": sys.path,
        "meta_path": [getattr(one, "__name__", type(one).__name__) for one in sys.meta_path],
        "not_yet_looked_into": [p for p in sys.path if p and p not in sys.path_importer_cache],
        "flags": repr(sys.flags),
        "options": (sys._xoptions, sys.warnoptions),
        "prefixes": (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.executable),
        "limits": (sys.getrecursionlimit(), sys.getswitchinterval(), sys.getdlopenflags()),
        "traced": (type(sys.gettrace()).__name__, type(sys.getprofile()).__name__),
        "hooks": [repr(one).partition(" at ")[0].partition(" of ")[0] for one in hooks],
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), len(gc.callbacks)),
        "streams": [_stream(name) for name in ("stdin", "stdout", "stderr")],
        "raw_streams": [_stream(name) for name in ("__stdin__", "__stdout__", "__stderr__")],
    }


def _stream(name: str) -> dict[str, Any]:
    stream = getattr(sys, name)
    names = ("encoding", "errors", "line_buffering", "write_through", "newlines", "name", "mode")
    return {one: repr(getattr(stream, one, None)) for one in names} | {
        "class": type(stream).__name__,
        "buffer": type(getattr(stream, "buffer", None)).__name__,
        "is": (stream.seekable(), stream.isatty(), name[:2] != "__" or stream.fileno()),
    }


def _process() -> dict[str, Any]:
    limits = {name for name in dir(resource) if name.startswith("RLIMIT_")} - {_MARK}
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "scheduling": (os.nice(0), os.sched_getscheduler(0), sorted(os.sched_getaffinity(0))),
        "oom_score": Path("/proc/self/oom_score_adj").read_text(),
        "resources": {name: resource.getrlimit(getattr(resource, name)) for name in limits},
        "leads": (os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()),
        "descriptors": _descriptors(),
        "modes": [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in range(3)],
        "children": Path(f"/proc/self/task/{os.getpid()}/children").read_text(),
        "young": time.process_time() < 10,
    }


def _descriptors() -> dict[str, int]:
    """How many of each kind; zmq makes some of its own as it needs them."""
    kinds: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        try:
            kinds[os.readlink(f"/proc/self/fd/{name}").partition(":")[0]] += 1
        except OSError:
            continue  # that of the list itself
    return {kind: n for kind, n in kinds.items() if kind != "anon_inode" and "ipython" not in kind}


def _signals() -> dict[str, Any]:
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    found = {n: repr(signal.getsignal(n)) for n in signal.valid_signals()}
    handlers = {n: one.partition(" of ")[0].partition(" at ")[0] for n, one in found.items()}
    return {
        "umask": status["Umask"],
        "threads": status["Threads"],
        "signals": (status["SigBlk"], int(status["SigIgn"], 16) & ~_OF_GLIBC, status["SigCgt"]),
        "handlers": handlers,
        "faulthandler": faulthandler.is_enabled(),
    }


def _standard_library() -> dict[str, Any]:
    main, thread = threading.main_thread(), threading.current_thread()
    threads = [(type(one).__name__, one.daemon) for one in threading.enumerate()]
    loggers = logging.Logger.manager.loggerDict
    return {
        "time_zone": (time.tzname, time.timezone, time.localtime(0).tm_hour),
        "locale": (locale.setlocale(locale.LC_ALL), locale.getlocale()),
        "encoding": (sys.getfilesystemencoding(), sys.getdefaultencoding()),
        "warnings": [repr(one) for one in warnings.filters],
        "root_logger": (logging.getLogger().level, repr(logging.getLogger().handlers)),
        "loggers": sorted(name for name, one in loggers.items() if getattr(one, "handlers", None)),
        "main_thread": (main.native_id == os.getpid(), thread is main, main.name),
        "python_threads": (sorted(threads), threading.Thread().name),
        "site": (site.ENABLE_USER_SITE, site.USER_SITE, site.USER_BASE),
        "temporary": tempfile.gettempdir(),
        "loop": type(asyncio.get_event_loop()).__name__,
        "start_method": multiprocessing.get_start_method(),
        "counts_from_now": time.time() - logging.LogRecord("", 0, "", 0, "", (), None).created < 10,
        "cached_lines": len(linecache.cache) < 10,
    }


def _kernel() -> dict[str, Any]:
    shell = get_ipython()  # type: ignore[name-defined]  # noqa: F821
    main, app = sys.modules["__main__"], shell.kernel.parent
    magics = shell.magics_manager.magics
    return {
        "main": (sorted(vars(main)), repr(main.__spec__), getattr(main, "__file__", None)),
        "names": (sorted(shell.user_ns), sorted(shell.user_ns_hidden), shell.execution_count),
        "magics": (sorted(magics["line"]), sorted(magics["cell"])),
        "application": (app.parent_handle, app.extra_args, app.session.username),
        "profile": app.profile_dir.location,
        "configuration": {name: dict(value) for name, value in app.config.items()},
        "extensions": sorted(shell.extension_manager.loaded),
        "backend": os.environ.get("MPLBACKEND"),
    }
