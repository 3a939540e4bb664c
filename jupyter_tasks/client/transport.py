"""How a request looks to httpx, and what its troubles mean; the same for both shells.

Reaches a server over TCP, TLS or a UNIX socket. httpx is imported by whoever calls, when the first request goes out.
"""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from jupyter_tasks._version import __version__
from jupyter_tasks.client.core import Broken, Reply, Request, Server

_API: Final = "tasks/api/"
_CONNECT_S: Final = 5.0
_PIECE_BYTES: Final = 256 * 1024
#: A silent job's stream must notice a network that has gone away: ask after 20 s, give up after 50.
_KEEP_ALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", socket.SO_KEEPALIVE), 20),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", socket.SO_KEEPALIVE), 10),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPCNT", socket.SO_KEEPALIVE), 3),
)


def transport_options(server: Server) -> dict[str, Any]:
    """The arguments of httpx's transport for this server."""
    if server.socket:
        return {"uds": server.socket, "verify": False}
    # Without TLS no certificate is looked at; loading them would cost 20 ms.
    is_plain = urlsplit(server.url).scheme == "http"
    options: dict[str, Any] = {"socket_options": _KEEP_ALIVE, "proxy": _proxy(server)}
    return options | ({"verify": False} if is_plain else {})


def _proxy(server: Server) -> str | None:
    """The environment's proxy for what is not on this machine."""
    parts = urlsplit(server.url)
    host = parts.hostname or ""
    if host in ("localhost", "127.0.0.1", "::1") or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)


def client_options(server: Server) -> dict[str, Any]:
    """The arguments of httpx's client for this server; the token goes nowhere but there."""
    headers = {"Accept-Encoding": "identity", "User-Agent": f"jupyter_tasks/{__version__}"}
    if server.token:
        headers["Authorization"] = f"token {server.token}"
    return {"headers": headers, "follow_redirects": False}


def request_options(
    server: Server, request: Request, pieces: Callable[[str], Any]
) -> dict[str, Any]:
    """The arguments of httpx's ``build_request``; ``pieces``: of a file, as the shell takes them."""
    import httpx  # noqa: PLC0415 - loaded when the first request goes out

    return {
        "method": request.method,
        "url": f"{server.url}{_API}{request.path}",
        "params": request.params or None,
        "content": request.body if request.file is None else pieces(request.file),
        "headers": dict(request.headers),
        "timeout": httpx.Timeout(request.quiet_s, connect=_CONNECT_S, write=60.0, pool=None),
    }


def pieces_of(file: str) -> Iterator[bytes]:
    """The file's bytes, piece by piece."""
    with Path(file).open("rb") as opened:
        while piece := opened.read(_PIECE_BYTES):
            yield piece


async def awaited_pieces_of(file: str) -> AsyncIterator[bytes]:
    """The same for who awaits them: a local file, a piece at a time."""
    for piece in pieces_of(file):
        yield piece


def reply_from(response: Any, body: bytes = b"") -> Reply:
    """The answer, without httpx."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(status=response.status_code, headers=headers, body=body)


def broken_by(error: Exception) -> Broken:
    """What a transport's error means for the request."""
    import httpx  # noqa: PLC0415 - has been loaded

    never_went = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
    wrong_url = (httpx.InvalidURL, httpx.UnsupportedProtocol)
    if isinstance(error, wrong_url):
        return Broken(why=f"this is no URL of a server ({error})", sent=False)
    if isinstance(error, httpx.ConnectTimeout):
        return Broken(why=f"no connection within {_CONNECT_S:g} s", sent=False)
    if isinstance(error, httpx.TimeoutException):
        return Broken(why="it accepts connections but says nothing", sent=True)
    words = str(error) or type(error).__name__
    return Broken(why=words, sent=not isinstance(error, never_went))
