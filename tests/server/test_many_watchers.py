"""Many watchers of one server: each is told everything, and together they cost little."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.live_server import LiveServer
from tests.stream_client import Socket, events, get, socket

TRUE = {"kind": "shell", "command": ["true"], "cwd": "/"}


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer("--TasksExtension.max_running=2") as server:
        yield server


def submit_many(server: LiveServer, count: int, tag: str, **fields: Any) -> set[str]:
    job = {"spec": TRUE, "tags": [tag], **fields}
    status, answer = server.ask("POST", "tasks/api/jobs", [job] * count)
    assert status == 201, answer
    return {job["id"] for job in answer["jobs"]}


async def news(ws: Socket, ids: set[str]) -> list[tuple[str, int, str]]:
    """What is told until all of the jobs have succeeded."""
    told, left = [], set(ids)
    while left:
        frame = await ws.frame(within_s=30)
        told.append((frame["id"], frame["seq"], frame["job"]["state"]))
        if frame["job"]["state"] == "succeeded":
            left.discard(frame["job"]["id"])
    return told


async def test_each_of_many_watchers_is_told_the_same_under_its_own_name(
    server: LiveServer,
) -> None:
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(socket(server)) for _ in range(12)]
        for number, ws in enumerate(sockets):
            await ws.send(type="watch", id=f"w{number % 3}", filter={"tags": ["same"]})
            await ws.until("live")
        with get(server, "events?tag=same") as stream:
            ids = submit_many(server, 60, "same")
            told = await asyncio.gather(*(news(ws, ids) for ws in sockets))
            sent = events(stream)
            by_sse = [next(sent) for _ in told[0]]

    assert [{name for name, _, _ in one} for one in told] == [{f"w{n % 3}"} for n in range(12)]
    first = [rest for _, *rest in told[0]]
    assert all([rest for _, *rest in one] == first for one in told)
    assert [[e["data"]["seq"], e["data"]["job"]["state"]] for e in by_sse] == first
    seqs = [seq for seq, _ in first]
    assert seqs == sorted(set(seqs))


async def test_who_is_too_far_behind_for_what_is_kept_misses_nothing(server: LiveServer) -> None:
    """A paused queue's worth of news at once is more than a server keeps for its watchers."""
    async with socket(server) as quick, socket(server) as slow:
        for ws in (quick, slow):
            await ws.send(type="watch", id="w", filter={"tags": ["far"], "state": "queued"})
            await ws.until("live")
        server.ask("POST", "tasks/api/jobs", {"spec": {**TRUE, "command": "sleep 60"}, "name": "b"})
        server.ask("POST", "tasks/api/jobs", {"spec": {**TRUE, "command": "sleep 60"}, "name": "b"})
        ids = submit_many(server, 3000, "far", priority=-1)
        for ws in (quick, slow):
            frames = [await ws.frame() for _ in ids]
            assert [frame["type"] for frame in frames] == ["job"] * len(ids)
            assert {frame["job"]["id"] for frame in frames} == ids
            seqs = [frame["seq"] for frame in frames]
            assert seqs == list(range(seqs[0], seqs[0] + len(ids)))
    server.ask("POST", "tasks/api/jobs/cancel", {"filter": {"tags": ["far"]}})
    server.ask("POST", "tasks/api/jobs/cancel", {"filter": {"q": "b"}})


async def test_watchers_that_do_not_read_cost_no_memory() -> None:
    """News of 60 MB for each of twenty watches of a client that stands still."""
    with LiveServer("--TasksExtension.max_running=1") as server:
        server.ask("POST", "tasks/api/jobs", {"spec": {**TRUE, "command": "sleep 600"}})
        large = {**TRUE, "command": ["true", "x" * 60_000]}
        async with socket(server) as ws:
            for number in range(20):
                wanted = {"tags": ["large"], "queue": ["default", str(number)]}
                await ws.send(type="watch", id=number, filter=wanted)
                await ws.until("live")
            server.ask("POST", "tasks/api/jobs", [{"spec": large, "tags": ["large"]}] * 100)
            before = memory_bytes(server)
            for _ in range(9):
                server.ask("POST", "tasks/api/jobs", [{"spec": large, "tags": ["large"]}] * 100)
            assert memory_bytes(server) - before < 90_000_000
            counts = dict.fromkeys(range(20), 0)
            while min(counts.values()) < 1000:
                counts[(await ws.frame())["id"]] += 1
    assert set(counts.values()) == {1000}


def memory_bytes(server: LiveServer) -> int:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


async def test_many_watchers_do_not_multiply_what_work_costs(server: LiveServer) -> None:
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(socket(server)) for _ in range(60)]
        alone = await cpu_of_jobs(server, sockets[:1], "alone")
        watched = await cpu_of_jobs(server, sockets, "watched")
    assert watched < 3 * alone, (alone, watched)


async def cpu_of_jobs(server: LiveServer, sockets: list[Socket], tag: str) -> float:
    """Seconds of the server's own processor time for 200 jobs that all of these watch."""
    for ws in sockets:
        await ws.send(type="watch", id=tag, filter={"tags": [tag]})
        await ws.until("live")
    before = cpu_s(server)
    ids = await asyncio.to_thread(submit_many, server, 200, tag)
    await asyncio.gather(*(news(ws, ids) for ws in sockets))
    return cpu_s(server) - before


def cpu_s(server: LiveServer) -> float:
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
