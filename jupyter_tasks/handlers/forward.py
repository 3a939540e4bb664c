"""How a following server has the active one do what changes anything: one request over its socket.

A request that never reached the active server is tried again while somebody takes over; one that
was under way when the server went is not, because it may have been done.
"""

import asyncio
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.iostream import StreamClosedError
from tornado.netutil import Resolver
from tornado.simple_httpclient import HTTPTimeoutError, SimpleAsyncHTTPClient

from jupyter_tasks import posix
from jupyter_tasks.errors import ManagerStalled, NoActiveManager

#: How long a take-over may take until the caller is told to come back.
_TAKE_OVER_S: Final = 2.0
_FIRST_DELAY_S: Final = 0.02
_ANSWER_WITHIN_S: Final = 60.0
#: Who answers nothing at all for so long is stopped, or as good as that.
_AWAKE_WITHIN_S: Final = 3.0
_MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024
#: What of the answer is passed on.
PASSED_ON: Final = ("Content-Type", "Location")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """A request as it goes to the active server."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class _UnixResolver(Resolver):
    """Answers every name with the one socket."""

    def initialize(self, path: Path) -> None:
        self._path = path

    async def resolve(
        self,
        host: str,  # noqa: ARG002 - tornado's signature
        port: int,  # noqa: ARG002
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002
    ) -> list[tuple[int, Any]]:
        return [(socket.AF_UNIX, str(self._path))]


async def send(path: Path, request: Forwarded) -> HTTPResponse | None:
    """The active server's answer; None where the request has not reached it, or may be repeated.

    Raises NoActiveManager where the server went while the request was under way, and ManagerStalled
    where it answers nothing at all: that is asked first, because a server that has been stopped
    would find the request when it wakes, and do it although its caller was told otherwise.
    """
    client = SimpleAsyncHTTPClient(
        force_instance=True, resolver=_UnixResolver(path=path), max_body_size=_MAX_ANSWER_BYTES
    )
    try:
        if not await _is_there(client, path):
            return None
        return await _answer(client, path, request)
    except (ConnectionRefusedError, FileNotFoundError):
        return None
    except (OSError, StreamClosedError, HTTPClientError) as error:
        if "Idempotency-Key" in request.headers:
            return None
        raise NoActiveManager(
            "The active server went while it worked on this request, which may have been done. "
            "Look before you ask again, or send an Idempotency-Key.",
            maybe_done=True,
        ) from error
    finally:
        client.close()


async def _is_there(client: SimpleAsyncHTTPClient, path: Path) -> bool:
    """Whether there is a server at all that would take the request; raises ManagerStalled."""
    try:
        is_awake = await _is_awake(client)
    except (OSError, StreamClosedError, HTTPClientError):
        return False
    if not is_awake:
        raise _stalled(path, maybe_done=False)
    return True


async def _answer(client: SimpleAsyncHTTPClient, path: Path, request: Forwarded) -> HTTPResponse:
    """Wait for it as long as the server is awake."""
    asked = asyncio.ensure_future(client.fetch(_as_http(request), raise_error=False))
    try:
        while not (await asyncio.wait([asked], timeout=_AWAKE_WITHIN_S))[0]:
            if not await _is_awake(client) and not asked.done():
                raise _stalled(path, maybe_done=True)
        return asked.result()
    finally:
        asked.cancel()


async def _is_awake(client: SimpleAsyncHTTPClient) -> bool:
    """Whether the server answers anything; raises as ``fetch`` does where it has gone."""
    request = HTTPRequest("http://localhost/tasks/api/status", request_timeout=_AWAKE_WITHIN_S)
    try:
        await client.fetch(request, raise_error=False)
    except HTTPTimeoutError:
        return False
    return True


def _stalled(path: Path, *, maybe_done: bool) -> ManagerStalled:
    """Says what the active server is doing, and what can be done about it."""
    pid = _pid_at(path)
    who = "The server in charge of the queue" + (f", process {pid}," if pid else "")
    if pid is not None and posix.is_stopped(pid):
        words = f"{who} is stopped. Wake it (kill -CONT {pid}) or end it (kill -KILL {pid})"
    else:
        words = f"{who} does not answer. End it" + (f" (kill -KILL {pid})" if pid else "")
    what = (
        "it may still do this request when it wakes"
        if maybe_done
        else "this request has not reached it"
    )
    return ManagerStalled(
        f"{words}: when it has gone, this server takes over. Jobs that run go on; {what}.",
        pid=pid,
        maybe_done=maybe_done,
    )


def _pid_at(path: Path) -> int | None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except OSError:
            return None
        return posix.peer_pid(sock)


def _as_http(request: Forwarded) -> HTTPRequest:
    return HTTPRequest(
        f"http://localhost{request.path}",
        method=request.method,
        headers=dict(request.headers),
        body=request.body,
        allow_nonstandard_methods=True,
        follow_redirects=False,
        decompress_response=False,
        request_timeout=_ANSWER_WITHIN_S,
    )


def delays() -> Iterator[float]:
    """How long to wait before each further try, until a take-over must be over."""
    delay, left = _FIRST_DELAY_S, _TAKE_OVER_S
    while left > 0:
        yield min(delay, left)
        left -= delay
        delay *= 2


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether it happens in time; returns as soon as it does."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
