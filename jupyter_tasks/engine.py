"""All that a server needs once somebody uses it: the only place that chooses and wires the parts.

It is loaded when the server wakes up; see ``asleep``.
"""

import asyncio
import getpass
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_tasks import events, posix
from jupyter_tasks._version import __version__
from jupyter_tasks.activity import BEAT_S, Activity
from jupyter_tasks.asleep import Place, Post
from jupyter_tasks.discovery import Discovery
from jupyter_tasks.executors.by_kind import ByKind
from jupyter_tasks.executors.local import LocalExecutor
from jupyter_tasks.executors.reported import ReportedExecutor
from jupyter_tasks.feed import News
from jupyter_tasks.follow import Outputs
from jupyter_tasks.handlers import routes, unix_socket
from jupyter_tasks.handlers.heart import Heart
from jupyter_tasks.handlers.recent import Recent
from jupyter_tasks.handlers.viewers import Viewers
from jupyter_tasks.inputs import Inputs
from jupyter_tasks.kernelspecs import KernelSpecs
from jupyter_tasks.manager import Manager
from jupyter_tasks.model import Change
from jupyter_tasks.registry import Registry
from jupyter_tasks.standby import Standby
from jupyter_tasks.store import SqliteStore
from jupyter_tasks.survival import survives


class Engine:
    """The parts of one server, from its first use to its end."""

    def __init__(
        self,
        *,
        store: SqliteStore,
        place: Place,
        traits: Mapping[str, Any],
        serverapp: Any,
        started_at: float,
        log: logging.Logger,
    ) -> None:
        """Make the parts; nothing runs yet. ``traits``: those of the extension, by name."""
        self._store = store
        self._place = place
        self._serverapp = serverapp
        self._started_at = started_at
        self._log = log
        self._listening: socket.socket | None = None
        self._closers: list[Callable[[], None]] = []
        self._kernels = KernelSpecs(
            serverapp.kernel_spec_manager,
            default=serverapp.kernel_manager.default_kernel_name,
            are_remote=serverapp.gateway_config.gateway_enabled,
            environment=os.environ,
        )
        self._outputs = Outputs(log)
        self._executor = LocalExecutor(
            state_dir=place.state_dir,
            runtime_dir=place.runtime_dir,
            log=log,
            fork=traits["fork"],
            warm=traits["warm_kernels"],
            python=list(traits["python_command"]) or None,
            kernels=self._kernels.command_of,
        )
        reported = ReportedExecutor(state_dir=place.state_dir, log=log, ring=self._outputs.ring)
        self._manager = Manager(
            store=store,
            executor=ByKind(self._executor, reported),
            max_running=traits["max_running"],
            max_direct=traits["max_direct"],
            keep_events=traits["keep_events"],
            log=log,
        )
        self._activity = Activity(
            serverapp.web_app.settings["last_activity_times"],
            running=lambda: self._manager.running,
            clock=time.time,
            beat_s=BEAT_S if traits["running_jobs_are_activity"] else None,
        )
        self._manager.feed.subscribe(self._tell_jupyter)
        self._inputs = Inputs(place.state_dir, is_known=self._is_known, log=log)
        self._discovery = Discovery(traits["task_modules"], log=log)
        self._registry = Registry(place.state_dir)
        self._standby: Standby | None = None
        self._standing_by: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._settings = self._of_handlers(traits["max_body_bytes"], traits["max_inputs_bytes"])

    @classmethod
    def open_store(cls, place: Place) -> SqliteStore:
        """Open or make the database. Blocks; raises StoreUnavailable."""
        return SqliteStore.open(place.database)

    @property
    def running(self) -> int:
        """How many attempts hold a slot."""
        return self._manager.running

    async def start(self, post: Post | None) -> None:
        """Take charge of the jobs, or follow the server that has; returns once it is known which.

        ``post``: role and socket, where this server has kept them.
        """
        self._serverapp.web_app.settings.update(self._settings)
        if self._store.info.message:
            self._log.warning(self._store.info.message)
        if post is not None and self._store.info.read_only:
            post.leave()  # a server that may write can have it
            post = None
        self._listening = post.listening if post else None
        self._standby = Standby(
            manager=self._manager,
            lock_path=self._place.lock,
            lock=post.lock if post else None,
            socket_path=self._place.socket,
            on_active=self._serve_socket,
            on_superseded=self._stop_socket,
            may_lead=not self._store.info.read_only,
            log=self._log,
        )
        self._standing_by = asyncio.ensure_future(self._standby.run())
        await self._standby.settled.wait()
        self._sweeping = asyncio.ensure_future(self._inputs.sweep())

    def add_routes(self, add: Callable[[list[Any]], None]) -> None:
        """Hand over our routes, with the server's prefix."""
        add(routes.handlers(self._serverapp.web_app.settings["base_url"]))

    async def close(self) -> None:
        """Let go of everything; jobs that run go on without us."""
        tasks = [task for task in (self._standing_by, self._sweeping) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stop_socket()
        self._activity.close()
        self._outputs.close()
        await self._manager.close()
        await self._store.close()
        if self._standby is not None:
            self._standby.close()

    def _of_handlers(self, max_body_bytes: int, max_inputs_bytes: int) -> dict[str, Any]:
        settings = self._serverapp.web_app.settings
        return {
            "jupyter_tasks_manager": self._manager,
            "jupyter_tasks_account": getpass.getuser(),
            "jupyter_tasks_facts": self._facts,
            "jupyter_tasks_max_body_bytes": max_body_bytes,
            "jupyter_tasks_max_inputs_bytes": max_inputs_bytes,
            "jupyter_tasks_inputs": self._inputs,
            "jupyter_tasks_state_dir": self._place.state_dir,
            "jupyter_tasks_socket": self._place.socket,
            "jupyter_tasks_attempt_dir": self._executor.attempt_dir,
            "jupyter_tasks_outputs": self._outputs,
            "jupyter_tasks_kernels": self._kernels,
            "jupyter_tasks_discovery": self._discovery,
            "jupyter_tasks_registry": self._registry,
            "jupyter_tasks_recent": Recent(self._manager),
            "jupyter_tasks_viewers": Viewers(),
            "jupyter_tasks_heart": Heart(settings.get("websocket_ping_interval") or None),
        }

    async def _is_known(self, job_id: str) -> bool:
        return await self._store.get(job_id) is not None

    def _tell_jupyter(self, news: News) -> None:
        """What happens to jobs is activity of the server, and an event of Jupyter's."""
        self._activity.happened()
        if isinstance(news, Change):
            events.emit(self._serverapp.event_logger, news)

    # -- the owner-only UNIX socket ------------------------------------------------------------------

    async def _serve_socket(self) -> None:
        posix.private_dir(self._place.runtime_dir)  # a cleaner may have removed it
        settings = self._serverapp.web_app.settings
        listening, self._listening = self._listening, None
        self._closers.append(unix_socket.serve(self._place.socket, settings, listening))

    async def _stop_socket(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        while self._closers:
            self._closers.pop()()

    def _facts(self) -> dict[str, Any]:
        """What ``GET status`` tells about this server, beside the counts."""
        store = self._store.info
        return {
            "version": __version__,
            "role": "active" if self._manager.is_active else "following",
            "state_dir": str(self._place.state_dir),
            "socket": str(self._place.socket),
            "host": posix.host(),
            "pid": os.getpid(),
            "started_at": self._started_at,
            "max_running": self._manager.max_running,
            "running": self._manager.running,
            "survives": survives(),
            "store": {
                "journal_mode": store.journal_mode,
                "schema": store.schema,
                "sqlite": store.sqlite,
            },
            "read_only": store.read_only,
        }
