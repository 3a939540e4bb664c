"""What tests need to talk to the streams of a real server without any of our own client code."""

import asyncio
import json
import os
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.eventually import eventually
from tests.live_server import LiveServer

ENDED = {"succeeded", "failed", "cancelled", "lost"}


class Pipe:
    """A job that prints what the test writes into a pipe, byte for byte, and ends at its end."""

    def __init__(self, path: Path) -> None:
        """Make the pipe; the test's own end opens when the job is there."""
        os.mkfifo(path)
        self._path = path
        self._fd: int | None = None

    @property
    def command(self) -> list[str]:
        """What the job runs."""
        return ["cat", str(self._path)]

    def write(self, data: bytes) -> None:
        """Let the job print this."""
        if self._fd is None:
            self._fd = os.open(self._path, os.O_WRONLY)
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Let the job end."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def submit(server: LiveServer, command: str | list[str], **fields: Any) -> str:
    """Submit a shell job; its id."""
    body = {"spec": {"kind": "shell", "command": command}, **fields}
    status, job = server.ask("POST", "tasks/api/jobs", body)
    assert status == 201, job
    job_id: str = job["id"]
    return job_id


def job_of(server: LiveServer, job_id: str) -> dict[str, Any]:
    """The job as the server tells it now."""
    status, job = server.ask("GET", f"tasks/api/jobs/{job_id}")
    assert status == 200, job
    result: dict[str, Any] = job
    return result


def until(server: LiveServer, job_id: str, *states: str, within_s: float = 20) -> dict[str, Any]:
    """Wait until the job is in one of the states (by default: has ended)."""

    def reached() -> dict[str, Any] | None:
        job = job_of(server, job_id)
        return job if job["state"] in (states or ENDED) else None

    try:
        job = eventually(reached, within_s=within_s, what=f"job {job_id} reaches {states or ENDED}")
    except AssertionError as error:
        with get(server, f"jobs/{job_id}/output?format=json&tail=2000") as answer:
            error.add_note(f"{job_of(server, job_id)}\n{answer.read().decode()}")
        raise
    assert job is not None
    return job


class Socket:
    """A WebSocket to ``api/ws``, frame by frame."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        """Wrap a connection that is open."""
        self.connection = connection

    async def send(self, **message: Any) -> None:
        """Send one message."""
        await self.connection.write_message(json.dumps(message))

    async def frame(self, *, within_s: float = 10) -> dict[str, Any]:
        """The next frame; a binary one as its first line, with the records under ``data``."""
        message = await asyncio.wait_for(self.connection.read_message(), within_s)
        assert message is not None, "the server closed the socket"
        if isinstance(message, str):
            result: dict[str, Any] = json.loads(message)
            return result
        assert len(message) <= 256 * 1024
        line, _, data = message.partition(b"\n")
        return {**json.loads(line), "data": data}

    async def printed(self, *, within_s: float = 10) -> dict[str, Any]:
        """The next frame that holds something that the program printed."""
        while not payloads((frame := await self.frame(within_s=within_s))["data"]):
            pass
        return frame

    async def until(self, kind: str, *, within_s: float = 20) -> list[dict[str, Any]]:
        """All frames up to the first of that type, which is the last of them."""
        frames = [await self.frame(within_s=within_s)]
        while frames[-1]["type"] != kind:
            frames.append(await self.frame(within_s=within_s))
        return frames


async def connected(server: LiveServer, **headers: str) -> Socket:
    """An open WebSocket with the server's token, which nobody closes."""
    request = HTTPRequest(
        server.url.replace("http:", "ws:") + "tasks/api/ws",
        headers={"Authorization": f"token {server.token}", **headers},
    )
    return Socket(await websocket_connect(request, max_message_size=1024 * 1024))


@asynccontextmanager
async def socket(server: LiveServer, **headers: str) -> AsyncIterator[Socket]:
    """An open WebSocket with the server's token, closed at the end."""
    ws = await connected(server, **headers)
    try:
        yield ws
    finally:
        await closed(ws.connection)


async def closed(connection: WebSocketClientConnection) -> None:
    """Close it, and wait until the server has closed its side; else it would outlive the test."""
    connection.close()
    while await asyncio.wait_for(connection.read_message(), 10) is not None:
        pass


@contextmanager
def get(server: LiveServer, path: str, **headers: str) -> Iterator[Any]:
    """An answer that is read while it comes."""
    request = urllib.request.Request(  # noqa: S310 - our own URL
        f"{server.url}tasks/api/{path}",
        headers={"Authorization": f"token {server.token}", **headers},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own URL
        yield answer


def events(answer: Any) -> Iterator[dict[str, Any]]:
    """Server-sent events: ``event``, ``id`` (None where there is none) and ``data``, decoded."""
    fields: dict[str, str] = {}
    for line in answer:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        else:
            if "data" in fields:
                yield {
                    "event": fields["event"],
                    "id": fields.get("id"),
                    "data": json.loads(fields["data"]),
                }
            fields = {}


def payloads(data: bytes) -> bytes:
    """The program's bytes in raw records, taken apart without any of our own code."""
    found, at = [], 0
    while at < len(data):
        line, _, _ = (
            data[at:].partition(b"\n")
            if len(data) - at < 4096
            else (data[at : at + 4096].partition(b"\n"))
        )
        header = json.loads(line)
        at += len(line) + 1
        if "n" in header:
            if header["k"] in ("out", "err"):
                found.append(data[at : at + header["n"]])
            at += header["n"] + 1
    assert at == len(data), "the data ends inside a record"
    return b"".join(found)
