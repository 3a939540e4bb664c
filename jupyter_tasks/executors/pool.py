"""Supervisors at hand: idle ones that take the next attempt at once, and new ones where there is none.

Those that run kernels are of a sort of their own: they have zmq loaded, the others the standard
library alone. Those of warm kernels have a kernel's beginnings with them, and serve once.
"""

import logging
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Executor as Threads
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jupyter_tasks.executors.channel import Channel, Message
from jupyter_tasks.executors.launcher import Launcher, bare
from jupyter_tasks.executors.warmth import Warmth

#: What a supervisor needs loaded, beside the standard library, to run a kind.
_LOADED = {"code": "zmq", "notebook": "zmq"}


class Pool:
    """Hands out channels to supervisors, and takes them back when their attempt is over."""

    def __init__(
        self,
        *,
        fork: bool,
        warm: bool,
        python: list[str] | None,
        threads: Threads,
        heard: Callable[[Channel, Message], None],
        broke: Callable[[Channel], None],
        log: logging.Logger,
    ) -> None:
        """Start nothing yet."""
        self._fork = fork
        self._python = python or [sys.executable]
        self._threads = threads
        self._heard = heard
        self._broke = broke
        self._log = log
        self._launchers: dict[str, Launcher] = {}
        self._idle: dict[str, list[Channel]] = {}
        self._warmth = Warmth(threads=threads, log=log) if fork and warm else None
        self._serve_once: set[Channel] = set()

    async def take(
        self, kind: str, *, new: bool, kernel: Mapping[str, Any] | None = None
    ) -> Channel:
        """A supervisor for an attempt of that kind; raises OSError where none can be started.

        ``kernel``: how the attempt's kernel is started. ``new``: none that was at hand would do.
        """
        if kernel is not None and not new and (channel := await self._warm(kernel)) is not None:
            return channel
        sort = _LOADED.get(kind, "")
        idle = self._idle.get(sort)
        if idle and not new:
            return idle.pop()
        launcher = self._launchers.get(sort)
        if launcher is None:
            launcher = self._launchers[sort] = Launcher(
                fork=self._fork,
                command=bare(self._python, {sort: _home_of(sort)} if sort else {}),
                threads=self._threads,
                log=self._log,
            )
        return Channel(await launcher.launch(), self._heard, self._broke)

    def give_back(self, kind: str, channel: Channel) -> None:
        """Its attempt is over; it may take another."""
        if channel in self._serve_once:
            self._serve_once.discard(channel)
            channel.close()
        else:
            self._idle.setdefault(_LOADED.get(kind, ""), []).append(channel)

    def forget(self, channel: Channel) -> None:
        """It has gone."""
        self._serve_once.discard(channel)
        for idle in self._idle.values():
            if channel in idle:
                idle.remove(channel)

    async def close(self) -> None:
        """Let idle supervisors and fork servers leave."""
        for idle in self._idle.values():
            for channel in idle:
                channel.close()
        self._idle.clear()
        if self._warmth is not None:
            await self._warmth.close()
        for launcher in self._launchers.values():
            await launcher.close()

    async def _warm(self, kernel: Mapping[str, Any]) -> Channel | None:
        """A supervisor with the beginnings of such a kernel; None where there is none just now."""
        launcher = None if self._warmth is None else await self._warmth.launcher_for(kernel)
        if launcher is None:
            return None
        try:
            channel = Channel(await launcher.launch_at_once(), self._heard, self._broke)
        except OSError as error:
            self._log.debug("The fork server of the kernel has just gone: %s", error)
            return None
        self._serve_once.add(channel)
        return channel


def _home_of(module: str) -> str:
    """The folder that a module is imported from."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    return str(Path(spec.origin).parent.parent)
