"""The server extension: its settings, and the only place that chooses and wires the parts."""

import asyncio
import getpass
import hashlib
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_data_dir
from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, Int, List, TraitError, Unicode, default, validate

from jupyter_tasks import events, posix
from jupyter_tasks._version import __version__
from jupyter_tasks.feed import News
from jupyter_tasks.model import Change


class TasksExtension(ExtensionApp):
    """Long jobs for notebooks: durable, live, cancellable, and still there after a crash."""

    name = "jupyter_tasks"
    description = __doc__

    state_dir = Unicode(
        help="Where jobs, their history and their output are kept. Servers of one user with the same "
        "folder work as one: one of them decides, the others follow and take over when it goes. "
        "Default: the folder jupyter_tasks in Jupyter's data directory."
    ).tag(config=True)
    runtime_dir = Unicode(
        help="Where sockets and pipes lie: a short local path of the user's own. "
        "Default: /tmp/jupyter-tasks-<uid>."
    ).tag(config=True)
    max_running = Int(
        help="How many attempts may run at once. Default: the number of CPUs of this process."
    ).tag(config=True)
    fork = Bool(
        default_value=hasattr(os, "fork"),
        help="Fork supervisors from a warm process (2 ms each) instead of starting plain ones (20 ms).",
    ).tag(config=True)
    python_command = List(
        Unicode(),
        help="The command that starts the Python of fork server and supervisors. "
        "Default: this server's own interpreter.",
    ).tag(config=True)
    max_body_bytes = Int(
        default_value=16 * 1024 * 1024, help="The largest request body that is taken, in bytes."
    ).tag(config=True)
    keep_events = Int(
        default_value=100_000,
        help="How many of the newest events are kept for watchers that come back.",
    ).tag(config=True)

    @default("state_dir")
    def _default_state_dir(self) -> str:
        return str(Path(jupyter_data_dir()) / "jupyter_tasks")

    @default("runtime_dir")
    def _default_runtime_dir(self) -> str:
        return posix.default_runtime_dir()

    @default("max_running")
    def _default_max_running(self) -> int:
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )

    @validate("max_running", "max_body_bytes", "keep_events")
    def _valid_positive(self, proposal: dict[str, Any]) -> int:
        value: int = proposal["value"]
        if value < 1:
            raise TraitError(f"{proposal['trait'].name} must be at least 1, not {value}.")
        return value

    #: Whether the parts were made: Jupyter stops also an extension that failed to load.
    _is_ready = False
    _standby_task: asyncio.Task[None] | None = None

    # -- wiring ----------------------------------------------------------------------------------

    def initialize_settings(self) -> None:
        """Make the parts; nothing runs yet."""
        from jupyter_tasks.executors.local import LocalExecutor  # noqa: PLC0415 - only a server needs it
        from jupyter_tasks.follow import Outputs  # noqa: PLC0415
        from jupyter_tasks.handlers.heart import Heart  # noqa: PLC0415
        from jupyter_tasks.handlers.recent import Recent  # noqa: PLC0415
        from jupyter_tasks.manager import Manager  # noqa: PLC0415
        from jupyter_tasks.store import SqliteStore  # noqa: PLC0415

        self._state = posix.private_dir(Path(self.state_dir).expanduser().absolute())
        self._runtime = posix.private_dir(Path(self.runtime_dir))
        self._store = SqliteStore.open(self._state / "tasks.sqlite")
        self._executor = LocalExecutor(
            state_dir=self._state,
            runtime_dir=self._runtime,
            log=self.log,
            fork=self.fork,
            python=list(self.python_command) or None,
        )
        self._manager = Manager(
            store=self._store,
            executor=self._executor,
            max_running=self.max_running,
            keep_events=self.keep_events,
            log=self.log,
        )
        self._outputs = Outputs(self.log)
        self._closers: list[Callable[[], None]] = []
        self._is_ready = True
        self.settings.update(
            {
                "jupyter_tasks_manager": self._manager,
                "jupyter_tasks_account": getpass.getuser(),
                "jupyter_tasks_facts": self._facts,
                "jupyter_tasks_max_body_bytes": self.max_body_bytes,
                "jupyter_tasks_state_dir": self._state,
                "jupyter_tasks_socket": self._socket_path(),
                "jupyter_tasks_attempt_dir": self._executor.attempt_dir,
                "jupyter_tasks_outputs": self._outputs,
                "jupyter_tasks_recent": Recent(self._manager),
                "jupyter_tasks_heart": Heart(self.settings.get("websocket_ping_interval") or None),
            }
        )

    def initialize_handlers(self) -> None:
        """Add our routes."""
        from jupyter_tasks.handlers import routes  # noqa: PLC0415 - only a server needs it

        self.handlers.extend(routes.handlers())

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Once the server's loop runs: take the manager's role, or follow who has it."""
        from jupyter_tasks.standby import Standby  # noqa: PLC0415 - only a server needs it

        self._started_at = time.time()
        self._event_logger = serverapp.event_logger
        events.register(self._event_logger)
        self._manager.feed.subscribe(self._tell_jupyter)
        self._standby = Standby(
            manager=self._manager,
            lock_path=self._state / "manager.lock",
            socket_path=self._socket_path(),
            on_active=self._serve_socket,
            on_superseded=self._stop_socket,
            may_lead=not self._store.info.read_only,
            log=self.log,
        )
        if self._store.info.message:
            self.log.warning(self._store.info.message)
        self._standby_task = asyncio.ensure_future(self._standby.run())

    async def stop_extension(self) -> None:
        """Let go of everything; jobs that run go on without us."""
        if not self._is_ready:
            return
        if self._standby_task is not None:
            self._standby_task.cancel()
            await asyncio.gather(self._standby_task, return_exceptions=True)
        await self._stop_socket()
        self._outputs.close()
        await self._manager.close()
        await self._store.close()
        if self._standby_task is not None:
            self._standby.close()

    def current_activity(self) -> dict[str, Any] | None:
        """What keeps this server from being idle: the jobs that run (None where none does)."""
        running = self._manager.running
        return {"running_jobs": running} if running else None

    def _tell_jupyter(self, news: News) -> None:
        """What happens to jobs is activity of the server, and an event of Jupyter's."""
        assert self.serverapp is not None
        now = datetime.fromtimestamp(time.time(), UTC)
        self.serverapp.web_app.settings["last_activity_times"]["jupyter_tasks"] = now
        if isinstance(news, Change):
            events.emit(self._event_logger, news)

    # -- the owner-only UNIX socket ------------------------------------------------------------------

    async def _serve_socket(self) -> None:
        from jupyter_tasks.handlers import unix_socket  # noqa: PLC0415 - only the active server needs it

        assert self.serverapp is not None
        posix.private_dir(self._runtime)  # a cleaner may have removed it
        closer = unix_socket.serve(self._socket_path(), self.serverapp.web_app.settings)
        self._closers.append(closer)

    async def _stop_socket(self) -> None:
        while self._closers:
            self._closers.pop()()

    def _socket_path(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self._state)).hexdigest()[:12]
        return self._runtime / f"server-{digest}.sock"

    def _facts(self) -> dict[str, Any]:
        """What ``GET status`` tells about this server, beside the counts."""
        from jupyter_tasks.survival import survives  # noqa: PLC0415 - only a status request needs it

        store = self._store.info
        return {
            "version": __version__,
            "role": "active" if self._manager.is_active else "following",
            "state_dir": str(self._state),
            "socket": str(self._socket_path()),
            "host": posix.host(),
            "pid": os.getpid(),
            "started_at": self._started_at,
            "max_running": self.max_running,
            "running": self._manager.running,
            "survives": survives(),
            "store": {
                "journal_mode": store.journal_mode,
                "schema": store.schema,
                "sqlite": store.sqlite,
            },
            "read_only": store.read_only,
        }


main = launch_new_instance = TasksExtension.launch_instance
