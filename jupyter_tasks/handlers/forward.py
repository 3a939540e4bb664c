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
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from jupyter_tasks.errors import NoActiveManager

#: How long a take-over may take until the caller is told to come back.
_TAKE_OVER_S: Final = 2.0
_FIRST_DELAY_S: Final = 0.02
_ANSWER_WITHIN_S: Final = 60.0
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

    Raises NoActiveManager where the server went while the request was under way.
    """
    client = SimpleAsyncHTTPClient(
        force_instance=True, resolver=_UnixResolver(path=path), max_body_size=_MAX_ANSWER_BYTES
    )
    try:
        return await client.fetch(_as_http(request), raise_error=False)
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
