"""What a server has that nobody uses yet: the role, the owner's socket and a gate before the routes.

To load and wire all parts takes a tenth of a second and some megabytes, and most servers never run a
job. So nothing is loaded until somebody asks for something, or a job is found that has not ended:
then the server wakes up, once and for good. This module knows how to wait, not what is waited for.
"""

import re
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.ioloop import IOLoop
from tornado.netutil import bind_unix_socket
from tornado.routing import PathMatches, Router, Rule
from tornado.web import Application

from jupyter_tasks import posix

#: How many may come to the owner's socket before they are let in.
BACKLOG: Final = 1024

#: Returns once the routes are there; else, the delegate that says why they are not.
Wake = Callable[[HTTPServerRequest], Awaitable[HTTPMessageDelegate | None]]


class Gate(Router):
    """Stands where our routes will be: it wakes the server up, then makes way for them."""

    def __init__(self, app: Application, prefix: str, wake: Wake) -> None:
        """Take every request below ``prefix`` from now on."""
        self._app = app
        self._wake = wake
        self._rule = Rule(PathMatches(re.escape(prefix) + ".*"), self)
        # Where Application.add_handlers puts what it is given: before the server's own rules.
        app.default_router.rules.insert(-1, self._rule)

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> HTTPMessageDelegate:
        """Keep the request until there is somebody to handle it."""
        return _Waiting(self, request)

    def open(self, routes: list[Any]) -> None:
        """Make way for the routes."""
        self._app.default_router.rules.remove(self._rule)
        self._app.add_handlers(".*$", routes)

    async def pass_through(self, request: HTTPServerRequest) -> HTTPMessageDelegate:
        """Who handles the request, as soon as that is known."""
        refusal = await self._wake(request)
        return refusal or self._app.find_handler(request)


class _Waiting(HTTPMessageDelegate):
    """A request at the gate: its body is not read from the connection before its headers are taken."""

    def __init__(self, gate: Gate, request: HTTPServerRequest) -> None:
        self._gate = gate
        self._request = request
        self._delegate: HTTPMessageDelegate | None = None

    async def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        self._delegate = await self._gate.pass_through(self._request)
        is_taken = self._delegate.headers_received(start_line, headers)
        if is_taken is not None:
            await is_taken

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        assert self._delegate is not None
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        assert self._delegate is not None
        self._delegate.finish()

    def on_connection_close(self) -> None:
        if self._delegate is not None:
            self._delegate.on_connection_close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a server keeps its things: jobs, sockets and pipes, and the owner's own socket."""

    state_dir: Path
    runtime_dir: Path
    socket: Path

    @property
    def database(self) -> Path:
        """The job database."""
        return self.state_dir / "tasks.sqlite"

    @property
    def lock(self) -> Path:
        """The file whose lock is the manager's role."""
        return self.state_dir / "manager.lock"


@dataclass(slots=True, kw_only=True, eq=False)
class Post:
    """The manager's role and the owner's socket: kept by a server that sleeps, used when it is awake.

    So other servers and local programs find it, and whoever comes to the socket waits for it.
    """

    lock: int
    listening: socket.socket
    path: Path

    def watch(self, came: Callable[[], None]) -> None:
        """Call ``came`` once, when somebody connects; nothing is accepted."""

        def ring(*_: object) -> None:
            self.ignore()
            came()

        IOLoop.current().add_handler(self.listening, ring, IOLoop.READ)

    def ignore(self) -> None:
        """Call nobody any more."""
        with suppress(KeyError):
            IOLoop.current().remove_handler(self.listening)

    def leave(self) -> None:
        """Give both back."""
        self.listening.close()
        self.path.unlink(missing_ok=True)
        posix.release_lock(self.lock)


def take_post(place: Place) -> Post | None:
    """Take role and socket; None where another server has either. Raises OSError."""
    lock = posix.take_lock(place.lock)
    if lock is None:
        return None
    try:
        if not _is_answered(place.socket):
            listening = bind_unix_socket(str(place.socket), mode=0o600, backlog=BACKLOG)
            return Post(lock=lock, listening=listening, path=place.socket)
    except BaseException:
        posix.release_lock(lock)
        raise
    posix.release_lock(lock)
    return None


def _is_answered(path: Path) -> bool:
    """Whether somebody listens there whose lock file was removed."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # a queue that is full is somebody's
        except OSError:
            return False
    return True
