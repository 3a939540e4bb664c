"""What watchers cost: the same jobs with nobody looking on, and with two hundred who are."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.benchmarks.conftest import Board, Row, cpu_s, interleaved
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.stream_client import Socket, socket

pytestmark = pytest.mark.benchmark

JOBS = 1000
ECHO = {"spec": {"kind": "shell", "command": ["/bin/echo", "x"], "cwd": "/"}}


def _succeeded(server: LiveServer) -> int:
    counts: dict[str, int] = server.ask("GET", "tasks/api/status")[1]["counts"]
    return counts["succeeded"]


def _work(server: LiveServer) -> None:
    wanted = _succeeded(server) + JOBS
    *_, last = server.ask("POST", "tasks/api/jobs", [ECHO] * JOBS)[1]["jobs"]
    # One question that is answered at the last one's end: many would cost more than watchers do.
    server.ask("GET", f"tasks/api/jobs/{last['id']}/output?follow=true")
    eventually(lambda: _succeeded(server) == wanted, within_s=120)


async def _take(ws: Socket) -> None:
    while await ws.connection.read_message() is not None:
        pass


async def _stop(taking: "asyncio.Task[None]") -> None:
    taking.cancel()
    await asyncio.wait([taking])


def _cost_s(watchers: int) -> float:
    """Processor seconds of the server for the jobs, while so many take everything they are told."""

    async def run(server: LiveServer) -> float:
        async with AsyncExitStack() as stack:
            for _ in range(watchers):
                ws = await stack.enter_async_context(socket(server))
                await ws.send(type="watch", id="w", filter={})
                taking = asyncio.ensure_future(_take(ws))
                stack.push_async_callback(_stop, taking)
            assert server.process is not None
            before = cpu_s(server.process.pid)
            await asyncio.to_thread(_work, server)
            return cpu_s(server.process.pid) - before

    options = ("--TasksExtension.max_running=2", "--ServerApp.log_level=ERROR")
    with LiveServer(*options) as server:
        return asyncio.run(run(server))


def test_two_hundred_watchers(board: Board) -> None:
    none, ten, many = interleaved(lambda: _cost_s(0), lambda: _cost_s(10), lambda: _cost_s(200))
    for count, cost in ((10, ten), (200, many)):
        board.add(
            Row(
                f"the server's own processor time for {JOBS} shell no-ops, {count} watchers",
                "s",
                cost,
                "less than 2 x without watchers",
                cost < 2 * none,
                {"no watchers": none},
            )
        )
