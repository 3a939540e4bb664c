"""The two shells: carry out the steps of flows with httpx, waiting or awaiting.

They decide nothing: what to ask, when to try again and what an answer means stands in the flows.
The two differ in nothing but ``await``.
"""

import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_tasks.client.connection import Session
from jupyter_tasks.client.core import (
    Broken,
    Emit,
    Flow,
    Look,
    Open,
    Quiet,
    Read,
    Reply,
    Request,
    Send,
    Server,
    Sleep,
    Step,
    Stream,
)
from jupyter_tasks.client.discovery import find
from jupyter_tasks.client.transport import (
    awaited_pieces_of,
    broken_by,
    client_options,
    pieces_of,
    reply_from,
    request_options,
    transport_options,
)

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    import httpx

T = TypeVar("T")


class _Shared:
    """What both shells know: whom to look for, and what is remembered of who was found."""

    def __init__(self, url: str | None, token: str | None, patience_s: float) -> None:
        self._url, self._token = url, token
        host = socket.gethostname()
        self.session = Session(clock=time.monotonic, host=host, patience_s=patience_s)

    @property
    def named(self) -> tuple[str | None, str | None]:
        """URL and token, where somebody named them."""
        return self._url, self._token

    @property
    def folder(self) -> str | None:
        """The current folder, where it is still there."""
        try:
            return str(Path.cwd())
        except FileNotFoundError:
            return None

    def look(self) -> list[Server]:
        """Look for servers now."""
        return find(os.environ, self._url, self._token)


class Shell(_Shared):
    """Carries out flows while its caller waits."""

    def __init__(self, url: str | None, token: str | None, patience_s: float) -> None:
        """Connect to nobody yet."""
        super().__init__(url, token, patience_s)
        self._links: dict[Server, httpx.Client] = {}

    def run(self, flow: Flow[T]) -> T:
        """The flow's result."""
        hands, result = _Hands(self), None
        try:
            while True:
                result = hands.carry_out(flow.send(result))
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            hands.let_go()

    def iterate(self, flow: Stream) -> Iterator[Any]:
        """What the flow emits; its connection is closed with the iterator."""
        hands, result = _Hands(self), None
        try:
            while (step := flow.send(result)) is not None:
                result = None
                if isinstance(step, Emit):
                    yield step.value
                else:
                    result = hands.carry_out(step)
        except StopIteration:
            return
        finally:
            hands.let_go()

    def close(self) -> None:
        """Close every connection."""
        while self._links:
            self._links.popitem()[1].close()

    def link(self, server: Server) -> "httpx.Client":
        """The connections to this server."""
        import httpx  # noqa: PLC0415 - loaded when the first request goes out

        if server not in self._links:
            transport = httpx.HTTPTransport(**transport_options(server))
            self._links[server] = httpx.Client(**client_options(server), transport=transport)
        return self._links[server]


class _Hands:
    """What carries out one flow: holds at most one open stream."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._stream: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def carry_out(self, step: Step) -> Any:
        match step:
            case Send(server, request):
                return self._send(server, request, stream=False)
            case Open(server, request):
                return self._send(server, request, stream=True)
            case Read():
                return self._read()
            case Sleep(seconds):
                # A server that has gone sends no sign when it is back: flows wait before they try again.
                return time.sleep(seconds)
            case Look():
                return self._shell.look()
        raise AssertionError(step)

    def let_go(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _send(self, server: Server, request: Request, *, stream: bool) -> Reply | Broken:
        import httpx  # noqa: PLC0415 - loaded when the first request goes out

        try:
            link = self._shell.link(server)
            response = link.send(
                link.build_request(**request_options(server, request, pieces_of)), stream=stream
            )
            if not stream or response.status_code >= 400:
                return reply_from(response, response.read())
        except (httpx.TransportError, httpx.InvalidURL) as error:
            return broken_by(error)
        self.let_go()
        self._stream, self._chunks = response, response.iter_raw()
        return reply_from(response)

    def _read(self) -> bytes | Broken | Quiet:
        import httpx  # noqa: PLC0415 - has been loaded

        result: bytes | Broken | Quiet
        try:
            result = chunk = next(self._chunks, b"")
        except httpx.ReadTimeout:
            chunk, result = b"", Quiet()
        except httpx.TransportError as error:
            chunk, result = b"", broken_by(error)
        if not chunk:
            self.let_go()
        return result


class AsyncShell(_Shared):
    """Carries out flows while its caller awaits."""

    def __init__(self, url: str | None, token: str | None, patience_s: float) -> None:
        """Connect to nobody yet."""
        super().__init__(url, token, patience_s)
        # A connection lives and dies with the event loop that it was made in.
        self._links: dict[tuple[AbstractEventLoop, Server], httpx.AsyncClient] = {}

    async def run(self, flow: Flow[T]) -> T:
        """The flow's result."""
        hands, result = _AsyncHands(self), None
        try:
            while True:
                result = await hands.carry_out(flow.send(result))
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            await hands.let_go()

    async def iterate(self, flow: Stream) -> AsyncIterator[Any]:
        """What the flow emits; its connection is closed with the iterator."""
        hands, result = _AsyncHands(self), None
        try:
            while (step := flow.send(result)) is not None:
                result = None
                if isinstance(step, Emit):
                    yield step.value
                else:
                    result = await hands.carry_out(step)
        except StopIteration:
            return
        finally:
            await hands.let_go()

    async def close(self) -> None:
        """Close every connection of this event loop."""
        import asyncio  # noqa: PLC0415 - the command line should not wait for it

        loop = asyncio.get_running_loop()
        for key in [key for key in self._links if key[0] is loop]:
            await self._links.pop(key).aclose()

    def link(self, server: Server) -> "httpx.AsyncClient":
        """The connections to this server."""
        import asyncio  # noqa: PLC0415 - as above

        import httpx  # noqa: PLC0415 - loaded when the first request goes out

        key = (asyncio.get_running_loop(), server)
        if key not in self._links:
            self._links = {old: link for old, link in self._links.items() if not old[0].is_closed()}
            transport = httpx.AsyncHTTPTransport(**transport_options(server))
            self._links[key] = httpx.AsyncClient(**client_options(server), transport=transport)
        return self._links[key]


class _AsyncHands:
    """What carries out one flow: holds at most one open stream."""

    def __init__(self, shell: AsyncShell) -> None:
        self._shell = shell
        self._stream: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def carry_out(self, step: Step) -> Any:
        match step:
            case Send(server, request):
                return await self._send(server, request, stream=False)
            case Open(server, request):
                return await self._send(server, request, stream=True)
            case Read():
                return await self._read()
            case Sleep(seconds):
                import asyncio  # noqa: PLC0415 - the command line should not wait for it

                # As above: nothing tells when a server is back.
                return await asyncio.sleep(seconds)
            case Look():
                return self._shell.look()
        raise AssertionError(step)

    async def let_go(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()
            self._stream = None

    async def _send(self, server: Server, request: Request, *, stream: bool) -> Reply | Broken:
        import httpx  # noqa: PLC0415 - loaded when the first request goes out

        try:
            link = self._shell.link(server)
            response = await link.send(
                link.build_request(**request_options(server, request, awaited_pieces_of)),
                stream=stream,
            )
            if not stream or response.status_code >= 400:
                return reply_from(response, await response.aread())
        except (httpx.TransportError, httpx.InvalidURL) as error:
            return broken_by(error)
        await self.let_go()
        self._stream, self._chunks = response, response.aiter_raw()
        return reply_from(response)

    async def _read(self) -> bytes | Broken | Quiet:
        import httpx  # noqa: PLC0415 - has been loaded

        assert self._chunks is not None
        result: bytes | Broken | Quiet
        try:
            result = chunk = await anext(self._chunks, b"")
        except httpx.ReadTimeout:
            chunk, result = b"", Quiet()
        except httpx.TransportError as error:
            chunk, result = b"", broken_by(error)
        if not chunk:
            await self.let_go()
        return result
