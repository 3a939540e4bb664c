"""The server extension: its settings, and when it sleeps and wakes up. ``engine`` has the rest."""

import asyncio
import hashlib
import os
import time
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.paths import jupyter_data_dir
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.web import Application
from traitlets import Bool, Int, List, TraitError, Unicode, default, validate

from jupyter_tasks import asleep, events, posix
from jupyter_tasks.errors import StoreUnavailable

if TYPE_CHECKING:  # loaded when the server wakes up, and not before
    from jupyter_tasks.engine import Engine
    from jupyter_tasks.store import SqliteStore

#: Waits between tries to open a database with work in it.
_TROUBLE_S = (1.0, 5.0, 60.0)
#: A socket's path may have 107 bytes; the longest name of ours has 32, with pid and start time.
_MAX_RUNTIME_DIR_BYTES = 74


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
    max_direct = Int(
        default_value=8,
        help="How many runs that somebody waits for (`POST tasks/{name}/run`, the queue `direct`) may go on "
        "at once, beside those that max_running bounds.",
    ).tag(config=True)
    fork = Bool(
        default_value=hasattr(os, "fork"),
        help="Fork supervisors from a warm process (2 ms each) instead of starting plain ones (20 ms).",
    ).tag(config=True)
    warm_kernels = Bool(
        default_value=True,
        help="Keep an interpreter with ipykernel's modules loaded for each Python whose kernels run code, "
        "four at most, and fork kernels from it (some 50 ms each) instead of starting them (500 ms). "
        "Each takes about 50 MB from the first job of its Python on.",
    ).tag(config=True)
    python_command = List(
        Unicode(),
        help="The command that starts the Python of fork server and supervisors. "
        "Default: this server's own interpreter.",
    ).tag(config=True)
    max_body_bytes = Int(
        default_value=16 * 1024 * 1024, help="The largest request body that is taken, in bytes."
    ).tag(config=True)
    max_inputs_bytes = Int(
        default_value=1024 * 1024 * 1024,
        help="The largest upload of values for a job (`%%task --in`) that is taken, in bytes.",
    ).tag(config=True)
    keep_events = Int(
        default_value=100_000,
        help="How many of the newest events are kept for watchers that come back.",
    ).tag(config=True)

    task_modules = List(
        Unicode(),
        help="Where tasks are: names of modules, and paths of files of Python code (….py). They are "
        "imported by a process of their own when somebody first asks for tasks. Installed packages "
        "offer theirs by themselves, as entry points of the group jupyter_tasks.tasks.",
    ).tag(config=True)
    running_jobs_are_activity = Bool(
        default_value=True,
        help="Whether a server with running jobs is in use, also while they say nothing: it is then "
        "neither shut down as idle nor culled by a hub. Otherwise only what happens to jobs counts; "
        "for deployments where running jobs survive the server (see `survives` in the status).",
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

    @validate("max_running", "max_direct", "max_body_bytes", "max_inputs_bytes", "keep_events")
    def _valid_positive(self, proposal: dict[str, Any]) -> int:
        value: int = proposal["value"]
        if value < 1:
            raise TraitError(f"{proposal['trait'].name} must be at least 1, not {value}.")
        return value

    @validate("runtime_dir")
    def _valid_short(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        if len(os.fsencode(value)) > _MAX_RUNTIME_DIR_BYTES:
            raise TraitError(
                f"runtime_dir is too long for the sockets that lie there: {value} has more than "
                f"{_MAX_RUNTIME_DIR_BYTES} bytes. Choose a shorter one."
            )
        return value

    _place: asleep.Place | None = None
    _post: asleep.Post | None = None
    _engine: "Engine | None" = None
    _beginning: asyncio.Task[None] | None = None
    _waking: asyncio.Task[None] | None = None

    def initialize_settings(self) -> None:
        """Make our folders; what lies in them is looked at once the server runs."""
        state = posix.private_dir(Path(self.state_dir).expanduser().absolute())
        runtime = posix.private_dir(Path(self.runtime_dir))
        digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
        self._place = asleep.Place(
            state_dir=state, runtime_dir=runtime, socket=runtime / f"server-{digest}.sock"
        )
        assert self.serverapp is not None
        contents: Any = self.serverapp.contents_manager
        contents.register_pre_save_hook(self._before_save)
        # Kernels, terminals and jobs inherit it: from there curl or any language reaches this server.
        os.environ[posix.SOCKET_VARIABLE] = str(self._place.socket)

    def initialize_handlers(self) -> None:
        """Put a gate where our routes will be."""
        assert self.serverapp is not None
        app = self.serverapp.web_app
        self._gate = asleep.Gate(
            app, url_path_join(app.settings["base_url"], "tasks/"), self._admit
        )

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Once the server's loop runs: sleep until we are needed, which may be at once."""
        self._started_at = time.time()
        # Who listens to all events hears those alone whose schema was known by then.
        events.register(serverapp.event_logger)
        self._beginning = asyncio.ensure_future(self._begin())

    async def stop_extension(self) -> None:
        """Let go of everything; jobs that run go on without us."""
        tasks = [task for task in (self._beginning, self._waking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        os.environ.pop(posix.SOCKET_VARIABLE, None)
        if self._engine is not None:
            await self._engine.close()
        elif self._post is not None:
            self._post.leave()

    def current_activity(self) -> dict[str, Any] | None:
        """What keeps this server from being idle: the jobs that run (None where none does)."""
        if self._engine is None or not self.running_jobs_are_activity:
            return None
        running = self._engine.running
        return {"running_jobs": running} if running else None

    def _before_save(self, model: dict[str, Any], **_: Any) -> None:
        """What a notebook shows of jobs is true when it is saved."""
        if model.get("type") != "notebook":
            return
        from jupyter_tasks import views  # noqa: PLC0415 - see ``asleep``

        views.forget_widgets(model.get("content"))
        if shown := views.shown_jobs(model.get("content")):
            from jupyter_tasks.handlers.saving import keep_true  # noqa: PLC0415 - as above

            assert self._place is not None
            keep_true(shown, state_dir=self._place.state_dir, database=self._place.database)

    # -- asleep and awake ----------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Sleep where there is nothing to do; else wake up, and try until that is possible."""
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(None, self._may_sleep):
            came = asyncio.Event()
            assert self._post is not None
            self._post.watch(came.set)
            await came.wait()
        for wait_s in chain(_TROUBLE_S, repeat(_TROUBLE_S[-1])):
            try:
                await self._awake()
            except (StoreUnavailable, OSError) as error:
                self.log.error("Failed to take up the jobs; trying again: %s", error)  # noqa: TRY400 - words for people
                await asyncio.sleep(wait_s)  # nothing tells when it can be opened
            else:
                return

    def _may_sleep(self) -> bool:
        """Whether there is nothing to do, and this server the one that will do it. Blocks."""
        from jupyter_tasks.store.unfinished import has_unfinished  # noqa: PLC0415 - off the loop

        assert self._place is not None
        try:
            if not has_unfinished(self._place.database):
                self._post = asleep.take_post(self._place)
        except OSError as error:
            self.log.debug("Failed to take the role early: %s", error)
        return self._post is not None

    async def _admit(self, request: HTTPServerRequest) -> HTTPMessageDelegate | None:
        """Wake up for a request; where that fails, return who says so."""
        try:
            await self._awake()
        except (StoreUnavailable, OSError) as error:
            from jupyter_tasks.handlers.base import UnavailableHandler  # noqa: PLC0415

            assert self.serverapp is not None
            app: Application = self.serverapp.web_app
            return app.get_handler_delegate(request, UnavailableHandler, {"error": error})
        return None

    async def _awake(self) -> None:
        """Be awake; raises StoreUnavailable or OSError, and may be tried again then."""
        if self._waking is None or (self._waking.done() and self._engine is None):
            self._waking = asyncio.ensure_future(self._wake())
        await asyncio.shield(self._waking)

    async def _wake(self) -> None:
        """Load and wire all parts, then open the gate."""
        loop = asyncio.get_running_loop()
        store, make = await loop.run_in_executor(None, self._load)
        assert self._place is not None
        engine = self._engine = make(
            store=store,
            place=self._place,
            traits=self.trait_values(),
            serverapp=self.serverapp,
            started_at=self._started_at,
            log=self.log,
        )
        if self._post is not None:
            self._post.ignore()
        await engine.start(self._post)
        engine.add_routes(self._gate.open)

    def _load(self) -> "tuple[SqliteStore, type[Engine]]":
        """What would hold up the server's loop: a hundred modules, and a database."""
        from jupyter_tasks.engine import Engine  # noqa: PLC0415 - see ``asleep``

        assert self._place is not None
        return Engine.open_store(self._place), Engine


main = launch_new_instance = TasksExtension.launch_instance
