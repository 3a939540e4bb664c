"""Output: how much a second reaches the disk and who watches, and how soon."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.benchmarks.conftest import Board, Row, interleaved, percentile
from tests.live_server import LiveServer

pytestmark = pytest.mark.benchmark

FLOOD_BYTES = 512 * 1024 * 1024
ROOM = {"max_output_bytes": 4 * FLOOD_BYTES}
#: Writes the time of each write, one line every 5 ms.
CLOCK = (
    "import sys, time\n"
    "for _ in range(400):\n"
    "    sys.stdout.write(f'{time.time():.6f}\\n'); sys.stdout.flush(); time.sleep(0.005)\n"
)


async def _connect(server: LiveServer) -> WebSocketClientConnection:
    request = HTTPRequest(
        f"ws://127.0.0.1:{server.port}/tasks/api/ws",
        headers={"Authorization": f"token {server.token}"},
    )
    return await websocket_connect(request, max_message_size=2**24)


def _submit(server: LiveServer, command: Any, **more: Any) -> str:
    spec = {"kind": "shell", "command": command, "cwd": "/"}
    status, job = server.ask("POST", "tasks/api/jobs", {"spec": spec, **more})
    assert status == 201, job
    job_id: str = job["id"]
    return job_id


async def _read_all(connection: WebSocketClientConnection, job: str) -> int:
    """Read a job's output from its beginning to its end; returns how many bytes came."""
    message = {"type": "read", "id": job, "job": job, "cursor": "1.0", "follow": True}
    await connection.write_message(json.dumps(message))
    received = 0
    while True:
        frame = await connection.read_message()
        assert frame is not None
        if isinstance(frame, bytes):
            received += len(frame)
        elif json.loads(frame)["type"] == "end":
            return received


def _flood(server: LiveServer, readers: int) -> float:
    """MB/s of payload from the child's first byte to the last reader's end, all readers together."""

    async def run() -> float:
        connections = [await _connect(server) for _ in range(readers)]
        begin = time.perf_counter()
        job = _submit(server, ["head", "-c", str(FLOOD_BYTES), "/dev/zero"], **ROOM)
        received = await asyncio.gather(*(_read_all(c, job) for c in connections))
        took = time.perf_counter() - begin
        assert min(received) >= FLOOD_BYTES
        for connection in connections:
            connection.close()
        server.ask("DELETE", f"tasks/api/jobs/{job}")
        return readers * FLOOD_BYTES / took / 1e6

    return asyncio.run(run())


def _cat(folder: Path) -> float:
    begin = time.perf_counter()
    command = f"head -c {FLOOD_BYTES} /dev/zero | cat > {folder}/cat"
    subprocess.run(command, shell=True, check=True)
    return FLOOD_BYTES / (time.perf_counter() - begin) / 1e6


def test_a_flood(server: LiveServer, board: Board, tmp_path: Path) -> None:
    one, ten, cat = interleaved(
        lambda: _flood(server, 1), lambda: _flood(server, 10), lambda: _cat(tmp_path)
    )
    beside = {"| cat > file": cat}
    board.add(
        Row(
            "output, child to disk to one WebSocket client",
            "MB/s",
            one,
            "0.7 x cat",
            one >= 0.7 * cat,
            beside,
        )
    )
    board.add(
        Row("the same to ten clients, together", "MB/s", ten, "1,000 MB/s", ten >= 1000, beside)
    )


def _latencies_ms(server: LiveServer) -> list[float]:
    """From each write in the child to its arrival at a WebSocket client."""

    async def run() -> list[float]:
        connection = await _connect(server)
        job = _submit(server, [sys.executable, "-c", CLOCK])
        server.ask("POST", f"tasks/api/jobs/{job}/run")
        message = {"type": "read", "id": "r", "job": job, "cursor": "1.0", "follow": True}
        await connection.write_message(json.dumps(message))
        waits: list[float] = []
        while True:
            frame = await connection.read_message()
            now = time.time()
            assert frame is not None
            if isinstance(frame, bytes):
                waits += [(now - float(line)) * 1000 for line in frame.split() if line[:2] == b"17"]
            elif json.loads(frame)["type"] == "end":
                connection.close()
                return waits

    return asyncio.run(run())


def test_from_write_to_receive(board: Board) -> None:
    with LiveServer("--TasksExtension.max_running=6", "--ServerApp.log_level=ERROR") as server:
        quiet = _latencies_ms(server)
        floods = [_submit(server, "exec yes", max_output_bytes=2**20) for _ in range(4)]
        loud = _latencies_ms(server)
        for job in floods:
            server.ask("POST", f"tasks/api/jobs/{job}/cancel")
    rows = (
        ("quiet, p50", percentile(quiet, 50), 3),
        ("quiet, p99", percentile(quiet, 99), 15),
        ("beside 4 flooding jobs, p99", percentile(loud, 99), 50),
    )
    for what, mine, goal in rows:
        board.add(
            Row(
                f"write in the child to WebSocket client, {what}",
                "ms",
                mine,
                f"at most {goal} ms",
                mine <= goal,
            )
        )
