"""Fork servers of kernels: which are warm, which are out of date, and which cannot be had.

One for each command that starts an interpreter with ipykernel. None is waited for: while there is no
warm one, whoever asks is told so and does without.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from concurrent.futures import Executor as Threads
from pathlib import Path
from typing import Any

from jupyter_tasks import stamps
from jupyter_tasks.executors.launcher import Launcher

#: The first job of an interpreter has the processors to itself for so long.
_AFTER_S = 1.0
_MAX_WARM = 4
#: Those that cannot be had are remembered, too.
_MAX_KNOWN = 64
#: What each kernel is given besides the server's environment, so that it may be looked at early.
_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "JPY_PARENT_PID": "0"}
_PACKAGE = Path(__file__).resolve().parent.parent
_BEGIN = """\
import sys
if not sys.flags.safe_path:
    del sys.path[0]
if sys.implementation.name != "cpython":
    sys.exit(3)
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location(
    "jupyter_tasks", {init!r}, submodule_search_locations=[{package!r}]
)
sys.modules["jupyter_tasks"] = module = module_from_spec(spec)
spec.loader.exec_module(module)
from jupyter_tasks.kernelserver import main
kernel = main({fd})
if kernel is not None:
    kernel.live()
"""

Key = tuple[str, ...]


class Warmth:
    """Keeps at most a few fork servers of kernels, those that were used last."""

    def __init__(self, *, threads: Threads, log: logging.Logger) -> None:
        """Start nothing yet."""
        self._threads = threads
        self._log = log
        self._hearths: dict[Key, _Hearth] = {}
        self._is_closed = False
        self._leaving: set[asyncio.Task[None]] = set()

    async def launcher_for(self, kernel: Mapping[str, Any]) -> Launcher | None:
        """Who forks supervisors for such a kernel now; None: it has to be started cold."""
        words = kernel.get("interpreter_words")
        if words is None or self._is_closed:
            return None
        key = tuple(kernel["argv"][:words])
        hearth = self._hearths.get(key)
        if hearth is not None and await self._is_out_of_date(hearth):
            self._renew(key, hearth)
        hearth = self._hearths.pop(key, None) or _Hearth(key, self._threads, self._log)
        self._hearths[key] = hearth  # the one that was used last stands last
        self._keep_few()
        return hearth.launcher if hearth.is_warm else None

    async def close(self) -> None:
        """Let all of them leave."""
        self._is_closed = True
        for key in tuple(self._hearths):
            self._put_out(key)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _is_out_of_date(self, hearth: "_Hearth") -> bool:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, stamps.have_changed, hearth.stamps)

    def _renew(self, key: Key, hearth: "_Hearth") -> None:
        if self._hearths.get(key) is hearth:
            self._log.info("The packages of %s have changed: its kernels start anew", key[0])
            self._put_out(key)

    def _keep_few(self) -> None:
        burning = [key for key, hearth in self._hearths.items() if not hearth.is_cold]
        for key in burning[:-_MAX_WARM]:
            self._put_out(key)
        while len(self._hearths) > _MAX_KNOWN:
            self._put_out(next(iter(self._hearths)))

    def _put_out(self, key: Key) -> None:
        """Let it leave, and do not wait for it: it may hang."""
        leaving = asyncio.ensure_future(self._hearths.pop(key).put_out())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)


class _Hearth:
    """One fork server of kernels: on its way, warm, or not to be had.

    ``stamps`` tell when it is out of date, or when it is worth another try.
    """

    def __init__(self, key: Key, threads: Threads, log: logging.Logger) -> None:
        """Start it soon."""
        self.is_warm = self.is_cold = False
        self.stamps = stamps.taken([key[0]])
        self._key = key
        self._log = log
        self._why = "it ended while it loaded what kernels need"
        self._is_out = False
        self.launcher = Launcher(
            fork=True,
            command=self._command,
            threads=threads,
            log=log,
            env={**os.environ, **_ENVIRONMENT},
            heard=self._heard,
        )
        self._begun_at = 0.0
        self._beginning = asyncio.ensure_future(self._begin())

    async def put_out(self) -> None:
        """Let it leave."""
        self._is_out, self.is_warm = True, False
        self._beginning.cancel()
        await asyncio.gather(self._beginning, return_exceptions=True)
        await self.launcher.close()

    async def _begin(self) -> None:
        await asyncio.sleep(_AFTER_S)  # nothing tells when a cold kernel has loaded its modules
        self._begun_at = time.monotonic()
        try:
            await self.launcher.warm_up()
        except OSError as error:
            self._stay_cold(error)

    def _command(self, _module: str, fd: int) -> list[str]:
        places = {"init": str(_PACKAGE / "__init__.py"), "package": str(_PACKAGE)}
        return [*self._key, "-c", _BEGIN.format(**places, fd=fd)]

    def _heard(self, message: dict[str, Any] | None) -> None:
        match message:
            case {"say": "paths", "stamps": taken}:
                self.stamps = taken
            case {"say": "ready", "stamps": taken}:
                self.stamps = {**self.stamps, **taken}
                self.is_warm = True
                took_s = time.monotonic() - self._begun_at
                self._log.info("Kernels of %s start warm (%.1f s)", self._key[0], took_s)
            case {"say": "failed", "why": why}:
                self._why = why
            case None if not self._is_out:
                self._lost()

    def _lost(self) -> None:
        """It has gone by itself. One that was warm is worth another try; the other may never be."""
        if not self.is_warm:
            self._stay_cold(self._why)
            return
        self._log.warning("Lost the fork server of the kernels of %s", self._key[0])
        self.is_warm = False
        self._beginning = asyncio.ensure_future(self._begin())

    def _stay_cold(self, why: object) -> None:
        self.is_cold = True
        self._log.info("Kernels of %s start cold: %s", self._key[0], why)
