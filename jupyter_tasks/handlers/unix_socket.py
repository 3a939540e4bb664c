"""The owner-only UNIX socket: the same routes for whoever is the server's own account.

It lies in a folder that only the owner can enter, it is the owner's alone, and each peer's user id
is asked of the system. So it takes no token; servers that follow and local programs use it.
"""

import os
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jupyter_server.auth import AllowAllAuthorizer, IdentityProvider, User
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.log import app_log
from tornado.netutil import bind_unix_socket

from jupyter_tasks import posix
from jupyter_tasks.asleep import BACKLOG
from jupyter_tasks.handlers import routes

#: What of the server's settings also holds here; the rest is about browsers, tokens and pages.
_SHARED: Final = ("serverapp", "log_function", "websocket_ping_interval", "websocket_ping_timeout")


class PeerIdentity(IdentityProvider):
    """Takes everybody for the account: who is somebody else was not let in."""

    def __init__(self, account: str) -> None:
        """Know the account's name."""
        super().__init__(token="")
        self._account = account

    async def get_user(self, handler: web.RequestHandler) -> User:  # noqa: ARG002 - the contract's
        """The account."""
        return User(username=self._account)

    def is_token_authenticated(self, handler: web.RequestHandler) -> bool:  # noqa: ARG002
        """As good as a token: no web page can send a request here, so there is no XSRF."""
        return True

    def should_check_origin(self, handler: web.RequestHandler) -> bool:  # noqa: ARG002
        """Browsers do not get here."""
        return False


class _OwnersServer(HTTPServer):
    """Lets in the server's own user alone."""

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> Any:
        """Ask the system who the peer is before a byte is read."""
        peer = posix.peer_uid(stream.socket)
        if peer != os.getuid():
            app_log.warning("Refused user %s at the owner's socket", peer)
            stream.close()
            return None
        return super().handle_stream(stream, address)


def serve(
    path: Path, settings: Mapping[str, Any], listening: socket.socket | None = None
) -> Callable[[], None]:
    """Serve all routes on a socket at this path, in place of one that is left over; returns the end.

    ``settings``: those of the server's web application. ``listening``: a socket that was bound
    there already; who has come to it meanwhile is served, unless a cleaner has removed its name.
    """
    if listening is None or not path.exists():
        if listening is not None:
            listening.close()
        listening = bind_unix_socket(str(path), mode=0o600, backlog=BACKLOG)
    inode = path.stat().st_ino
    server = _OwnersServer(_application(settings))
    server.add_socket(listening)

    def close() -> None:
        server.stop()
        if _is_socket(path, inode):
            path.unlink()

    return close


def _application(settings: Mapping[str, Any]) -> web.Application:
    account = settings["jupyter_tasks_account"]
    identity = PeerIdentity(account)
    ours = {key: value for key, value in settings.items() if key.startswith("jupyter_tasks_")}
    shared = {key: settings[key] for key in _SHARED if key in settings}
    return web.Application(
        routes.handlers("/"),
        **ours,
        **shared,
        base_url="/",
        jupyter_tasks_private=True,
        identity_provider=identity,
        authorizer=AllowAllAuthorizer(identity_provider=identity),
        allow_remote_access=True,
        xsrf_cookies=False,
    )


def _is_socket(path: Path, inode: int) -> bool:
    """Whether the socket at the path is still the one that was bound there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return stat.S_ISSOCK(found.st_mode) and found.st_ino == inode
