"""The WebSocket of a real server: watches and reads, side by side, also for slow and rude clients."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from tests.eventually import eventually, eventually_async
from tests.live_server import LiveServer
from tests.stream_client import ENDED, Pipe, Socket, connected, payloads, socket, submit, until


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer() as server:
        yield server


@pytest.fixture
def ws(server: LiveServer, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Socket]:
    context = socket(server)
    yield jp_asyncio_loop.run_until_complete(context.__aenter__())
    jp_asyncio_loop.run_until_complete(context.__aexit__(None, None, None))


async def live(ws: Socket, stream_id: str | int = "w", **filter_: Any) -> list[dict[str, Any]]:
    """Begin a watch; all frames up to and with "live"."""
    await ws.send(type="watch", id=stream_id, filter=filter_)
    return await ws.until("live")


async def up_to_the_end(ws: Socket, job: str) -> list[dict[str, Any]]:
    """Frames of watches, up to the one after which the job has ended."""
    frames = []
    while True:
        frames.append(await ws.frame())
        told = frames[-1].get("job")
        if isinstance(told, dict) and told["id"] == job and told["state"] in ENDED:
            return frames


def threads_and_switches(server: LiveServer) -> int:
    """How often the server has gone to sleep and was woken, all its threads together."""
    assert server.process is not None
    total = 0
    for status in Path(f"/proc/{server.process.pid}/task").glob("*/status"):
        text = status.read_text()
        total += int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


# -- watches -------------------------------------------------------------------------------------


async def test_a_watch_begins_with_what_is_there_and_goes_on_live(
    server: LiveServer, ws: Socket
) -> None:
    before = submit(server, "true", tags=["begin"])
    until(server, before)
    snapshot, now = await live(ws, tags=["begin"])

    assert [job["id"] for job in snapshot["jobs"]] == [before]
    assert (snapshot["type"], snapshot["id"], snapshot["more"]) == ("snapshot", "w", False)
    assert snapshot["jobs"][0]["ended_at"] <= now["now"] <= time.time()
    job = submit(server, "true", tags=["begin"])
    frames = await up_to_the_end(ws, job)
    assert {frame["type"] for frame in frames} == {"job"}
    assert [frame["job"]["state"] for frame in frames][-1] == "succeeded"
    seqs = [frame["seq"] for frame in frames]
    assert seqs == sorted(seqs)
    assert now["seq"] < seqs[0]


async def test_a_watch_of_nothing_says_so(ws: Socket) -> None:
    snapshot, now = await live(ws, tags=["nobody has this"])
    assert (snapshot["jobs"], snapshot["more"], now["id"]) == ([], False, "w")


async def test_a_long_snapshot_comes_in_parts_and_holds_each_job_once(
    server: LiveServer, ws: Socket
) -> None:
    spec = {"kind": "shell", "command": "true"}
    blocker = submit(server, "sleep 600", priority=1000)
    status, answer = server.ask(
        "POST", "tasks/api/jobs", [{"spec": spec, "tags": ["many"], "priority": -9}] * 1200
    )
    assert status == 201
    frames = await live(ws, tags=["many"])
    snapshots = frames[:-1]

    assert [frame["more"] for frame in snapshots] == [True] * (len(snapshots) - 1) + [False]
    assert all(len(frame["jobs"]) <= 500 for frame in snapshots)
    seen = [job["id"] for frame in snapshots for job in frame["jobs"]]
    assert sorted(seen) == sorted(job["id"] for job in answer["jobs"])
    server.ask("POST", "tasks/api/jobs/cancel", {"filter": {"tags": ["many"]}})
    server.ask("POST", f"tasks/api/jobs/{blocker}/cancel")


async def test_two_watchers_see_each_their_own_and_what_leaves_their_filter(
    server: LiveServer,
) -> None:
    async with socket(server) as one, socket(server) as other:
        await live(one, tags=["two"], state="running")
        await live(other, tags=["two"], state=["succeeded", "failed"])
        job = submit(server, "sleep 0.1", tags=["two"])
        submit(server, "true", tags=["three"])
        running = await one.frame()
        gone = await one.frame()
        ended = await other.frame()

    assert (running["type"], running["job"]["state"]) == ("job", "running")
    assert {**gone, "seq": 0} == {"type": "gone", "id": "w", "seq": 0, "job": job, "why": "filter"}
    assert (ended["type"], ended["job"]["id"]) == ("job", job)
    assert ended["seq"] == gone["seq"]


async def test_a_deleted_job_is_gone(server: LiveServer, ws: Socket) -> None:
    job = submit(server, "true", tags=["deleted"])
    until(server, job)
    await live(ws, tags=["deleted"])
    server.ask("DELETE", f"tasks/api/jobs/{job}")
    gone = await ws.frame()
    assert (gone["type"], gone["job"], gone["why"]) == ("gone", job, "deleted")


async def test_a_watch_is_taken_up_again_exactly_where_it_was(server: LiveServer) -> None:
    async with socket(server) as first:
        await live(first, tags=["again"])
        job = submit(server, "true", tags=["again"])
        whole = await up_to_the_end(first, job)
    for at, last in enumerate(whole[:-1]):
        async with socket(server) as later:
            await later.send(type="watch", id="w", filter={"tags": ["again"]}, after=last["seq"])
            missed = await later.until("live")
        assert [frame["seq"] for frame in missed[:-1]] == [f["seq"] for f in whole[at + 1 :]]
        assert missed[-1]["seq"] >= whole[-1]["seq"]


async def test_what_can_no_longer_be_told_begins_anew(server: LiveServer, ws: Socket) -> None:
    job = submit(server, "true", tags=["anew"])
    until(server, job)
    await ws.send(type="watch", id=7, filter={"tags": ["anew"]}, after=10**12)
    frames = await ws.until("live")
    assert [frame["type"] for frame in frames] == ["reset", "snapshot", "live"]
    assert [one["id"] for one in frames[1]["jobs"]] == [job]
    assert {frame["id"] for frame in frames} == {7}


async def test_progress_is_shown_while_it_is_made(
    server: LiveServer, ws: Socket, pipe: Pipe
) -> None:
    await live(ws, tags=["progress"])
    report = 'echo 40% half way > "$JUPYTER_TASKS_REPORT"; '
    job = submit(server, report + " ".join(pipe.command), tags=["progress"])
    while not (frame := await ws.frame())["job"]["progress"]:
        pass
    assert frame["job"]["id"] == job
    assert frame["job"]["progress"]["message"] == "half way"
    pipe.write(b"")
    pipe.close()
    until(server, job)


async def test_a_stopped_watch_tells_nothing_more(server: LiveServer, ws: Socket) -> None:
    await live(ws, "first", tags=["stopped"])
    await ws.send(type="stop", id="first")
    await live(ws, "second", tags=["stopped"])
    job = submit(server, "true", tags=["stopped"])
    assert {frame["id"] for frame in await up_to_the_end(ws, job)} == {"second"}


# -- reads ---------------------------------------------------------------------------------------


async def read(ws: Socket, job: str, **options: Any) -> list[dict[str, Any]]:
    """Read to the end; all frames."""
    await ws.send(type="read", id="r", job=job, **options)
    return await ws.until("end")


async def test_a_read_gives_all_records_then_the_end(server: LiveServer, ws: Socket) -> None:
    job = submit(server, "seq 100000", max_output_bytes=10**8)
    *frames, end = await read(ws, job)

    data = b"".join(frame["data"] for frame in frames)
    assert payloads(data) == b"".join(b"%d\n" % i for i in range(1, 100001))
    assert [frame["from"] for frame in frames] == [
        "1.0",
        *(frame["cursor"] for frame in frames[:-1]),
    ]
    assert end == {"type": "end", "id": "r", "cursor": f"1.{len(data)}", "state": "succeeded"}


async def test_a_read_goes_on_from_every_cursor_that_was_given(
    server: LiveServer, ws: Socket
) -> None:
    job = submit(server, "for i in 1 2 3 4 5; do echo $i; sleep 0.03; done")
    *frames, _ = await read(ws, job)
    whole = b"".join(frame["data"] for frame in frames)
    for frame in frames:
        *rest, _ = await read(ws, job, cursor=frame["cursor"])
        offset = int(frame["cursor"].partition(".")[2])
        assert b"".join(one["data"] for one in rest) == whole[offset:]


async def test_a_read_from_the_end_gives_only_what_is_new(
    server: LiveServer, ws: Socket, pipe: Pipe
) -> None:
    job = submit(server, pipe.command)
    until(server, job, "running")
    pipe.write(b"old")
    await ws.send(type="read", id="old", job=job)
    assert payloads((await ws.printed())["data"]) == b"old"
    await ws.send(type="stop", id="old")
    await ws.send(type="ping")
    await ws.until("pong")
    await ws.send(type="read", id="new", job=job, cursor="end")
    coming = asyncio.ensure_future(ws.printed())

    async def has_come() -> bool:
        pipe.write(b"new ")  # what is written before the read has begun is not for it
        return coming.done()

    await eventually_async(has_come)
    assert not payloads((await coming)["data"]).replace(b"new ", b"")
    assert (await coming)["id"] == "new"
    pipe.close()
    assert (await ws.until("end"))[-1]["state"] == "succeeded"


async def test_a_read_that_does_not_follow_ends_with_what_is_there(
    server: LiveServer, ws: Socket, pipe: Pipe
) -> None:
    job = submit(server, pipe.command)
    pipe.write(b"so far")
    until(server, job, "running")
    eventually(lambda: server.ask("GET", f"tasks/api/jobs/{job}/output")[1])
    *frames, end = await read(ws, job, follow=False)
    assert payloads(b"".join(frame["data"] for frame in frames)) == b"so far"
    assert end["state"] == "running"
    pipe.close()


async def test_a_read_tells_of_what_was_thrown_away(server: LiveServer, ws: Socket) -> None:
    job = submit(server, "seq 200000", max_output_bytes=256 * 1024)
    until(server, job)
    frames = await read(ws, job)
    [gap] = [frame for frame in frames if frame["type"] == "gap"]

    at = frames.index(gap)
    assert gap["from"] == frames[at - 1]["cursor"]
    assert gap["to"] == frames[at + 1]["from"]


async def test_reads_take_turns(server: LiveServer, ws: Socket) -> None:
    flood = submit(server, "head -c 100000000 /dev/zero", max_output_bytes=10**9)
    small = submit(server, "echo here I am")
    until(server, flood)
    until(server, small)
    await ws.send(type="read", id="flood", job=flood)
    await ws.send(type="read", id="small", job=small)
    frames = [await ws.frame()]
    while sum(frame["type"] == "end" for frame in frames) < 2:
        frames.append(await ws.frame())

    first = next(i for i, frame in enumerate(frames) if frame["id"] == "small")
    behind = [frame for frame in frames[first:] if frame["id"] == "flood"]
    # What may be before it lies in the buffers of the connection.
    assert len(behind) > 20


async def test_fifty_megabytes_go_to_two_clients_at_once(server: LiveServer) -> None:
    job = submit(server, "head -c 52428800 /dev/zero", max_output_bytes=10**9)

    async def size() -> int:
        async with socket(server) as ws:
            await ws.send(type="read", id=1, job=job)
            total = 0
            while (frame := await ws.frame())["type"] != "end":
                total += len(payloads(frame["data"]))
            return total

    assert await asyncio.gather(size(), size()) == [52428800] * 2


# -- clients that are slow, rude or gone ---------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("not json", "bad_message", "not JSON"),
        ("[" * 100_000, "bad_message", ""),
        ('{"type": "dance", "id": "x"}', "bad_message", "dance"),
        ('{"type": "read", "id": "x"}', "bad_message", "job"),
        ('{"type": "read", "id": "x", "job": "0123456789abcdef"}', "not_found", "no job"),
        ('{"type": "read", "id": "x", "job": "J", "cursor": "1.1"}', "bad_cursor", "byte 1"),
        ('{"type": "read", "id": "x", "job": "J", "cursor": "hm"}', "bad_message", "no cursor"),
        ('{"type": "watch", "id": "x"}', "bad_message", "filter"),
        ('{"type": "watch", "id": "x", "filter": {"colour": 1}}', "bad_message", "colour"),
        ('{"type": "watch", "id": {}, "filter": {}}', "bad_message", "id"),
    ],
)
async def test_a_bad_message_is_answered_and_the_socket_stays_open(
    server: LiveServer, ws: Socket, message: str, code: str, words: str
) -> None:
    job = submit(server, "echo hello")
    until(server, job)
    await ws.connection.write_message(message.replace('"J"', json.dumps(job)))
    error = await ws.frame()

    assert (error["type"], error["code"]) == ("error", code)
    assert words in error["message"]
    assert set(error) == {"type", "id", "code", "message", "details", "request_id"}
    assert error["id"] == ("x" if '"id": "x"' in message else None)
    *frames, _ = await read(ws, job)
    assert payloads(b"".join(frame["data"] for frame in frames)) == b"hello\n"


async def test_a_page_of_another_origin_is_refused(server: LiveServer) -> None:
    cookieless = {"Authorization": "", "Origin": "http://elsewhere.example"}
    with pytest.raises(HTTPClientError) as refused:
        async with socket(server, **cookieless):
            pass
    assert refused.value.code == 403


async def test_without_a_token_there_is_no_socket(server: LiveServer) -> None:
    with pytest.raises(HTTPClientError) as refused:
        async with socket(server, Authorization=""):
            pass
    assert refused.value.code == 403


async def test_a_slow_client_costs_no_memory_and_misses_nothing(server: LiveServer) -> None:
    def memory() -> int:
        assert server.process is not None
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    jobs = [submit(server, "head -c 60000000 /dev/zero", max_output_bytes=10**9) for _ in range(3)]
    async with socket(server) as ws:
        for job in jobs:
            await ws.send(type="read", id=job, job=job)
        frame = await ws.frame()
        before = memory()
        for job in jobs:
            until(server, job)
        assert memory() - before < 20_000_000
        sizes = dict.fromkeys(jobs, 0)
        ends = 0
        while True:
            ends += frame["type"] == "end"
            sizes[frame["id"]] += len(payloads(frame.get("data", b"")))
            if ends == len(jobs):
                break
            frame = await ws.frame()
    assert set(sizes.values()) == {60000000}


async def test_a_client_that_goes_while_it_reads_leaves_nothing_behind(
    server: LiveServer, pipe: Pipe
) -> None:
    job = submit(server, pipe.command)
    until(server, job, "running")
    assert server.process is not None
    fds = Path(f"/proc/{server.process.pid}/fd")
    flood = submit(server, "head -c 100000000 /dev/zero", max_output_bytes=10**9)
    until(server, flood)
    before = len(list(fds.iterdir()))
    for _ in range(5):
        async with socket(server) as ws:
            await ws.send(type="read", id=1, job=job)
            await ws.send(type="read", id=2, job=flood)
            await ws.send(type="watch", id=3, filter={})
            await ws.frame()
            ws.connection.stream.close()  # type: ignore[union-attr]

    async def all_gone() -> bool:
        return len(list(fds.iterdir())) <= before

    await eventually_async(all_gone, within_s=10)
    pipe.close()
    assert "Traceback" not in server.log
    assert "never retrieved" not in server.log


# -- servers that go, follow, or listen for a heartbeat --------------------------------------------


async def test_a_read_goes_on_after_the_server_was_killed(pipe: Pipe) -> None:
    with LiveServer() as server:
        job = submit(server, pipe.command)
        until(server, job, "running")
        async with socket(server) as ws:
            await ws.send(type="watch", id="w", filter={})
            seq = (await ws.until("live"))[-1]["seq"]
            await ws.send(type="read", id="r", job=job)
            pipe.write(b"before")
            first = await ws.printed()
            server.kill()
        pipe.write(b"meanwhile")
        server.start()
        async with socket(server) as ws:
            await ws.send(type="read", id="r", job=job, cursor=first["cursor"])
            second = await ws.printed()
            pipe.write(b"after")
            third = await ws.printed()
            pipe.close()
            end = (await ws.until("end"))[-1]
            await ws.send(type="watch", id="w", filter={}, after=seq)
            events = await ws.until("live")

    words = [payloads(frame["data"]) for frame in (first, second, third)]
    assert words == [b"before", b"meanwhile", b"after"]
    assert (end["type"], end["state"]) == ("end", "succeeded")
    assert [frame["seq"] for frame in events[:-1]] == [*range(seq + 1, events[-1]["seq"] + 1)]


async def test_a_following_server_streams_like_the_active_one(pipe: Pipe) -> None:
    with LiveServer() as active, LiveServer(home=active.home) as following:
        assert following.ask("GET", "tasks/api/status")[1]["role"] == "following"
        async with socket(following) as ws:
            await ws.send(type="watch", id="w", filter={"tags": ["both"]})
            await ws.until("live")
            job = submit(active, pipe.command, tags=["both"])
            while (await ws.frame())["job"]["state"] != "running":
                pass
            await ws.send(type="read", id="r", job=job)
            pipe.write(b"seen from afar")
            frame = await ws.printed()
            pipe.close()
            ended = await ws.until("end")

    assert payloads(frame["data"]) == b"seen from afar"
    assert ended[-1]["state"] == "succeeded"


async def test_who_answers_no_ping_is_let_go_and_who_does_is_not() -> None:
    with LiveServer("--ServerApp.websocket_ping_interval=1") as server:
        dead = await connected(server)
        protocol = dead.connection.protocol
        assert protocol is not None
        protocol._send_pong = lambda _: None  # type: ignore[method-assign]
        async with socket(server) as alive:
            closed = await asyncio.wait_for(dead.connection.read_message(), 10)
            dead.connection.close()
            await alive.send(type="ping")
            answer = await alive.frame()

    assert closed is None
    assert answer == {"type": "pong"}


async def test_ten_idle_watchers_wake_the_server_for_nothing() -> None:
    """Against the same server without watchers; both are counted over the same number of seconds."""
    with LiveServer() as server:
        until(server, submit(server, "true"))
        await switches_in(server, 2)
        alone = await switches_in(server, 3)
        async with AsyncExitStack() as stack:
            for _ in range(10):
                await live(await stack.enter_async_context(socket(server)))
            await switches_in(server, 1)
            watched = await switches_in(server, 3)
    assert watched <= alone + 3, (alone, watched)


async def switches_in(server: LiveServer, seconds: float) -> int:
    """How often the server was woken during some seconds in which nobody asked it anything."""
    before = threads_and_switches(server)
    waiting = asyncio.ensure_future(asyncio.Event().wait())
    await asyncio.wait({waiting}, timeout=seconds)
    waiting.cancel()
    return threads_and_switches(server) - before


async def test_who_views_a_job_is_counted_until_the_view_ends(
    server: LiveServer, ws: Socket, pipe: Pipe
) -> None:
    job = submit(server, pipe.command)

    def viewers() -> int:
        status, answer = server.ask("GET", f"tasks/api/jobs/{job}/viewers")
        assert status == 200
        return int(answer["viewers"])

    async def is_viewed(times: int) -> None:
        await eventually_async(lambda: asyncio.to_thread(lambda: viewers() == times))

    await live(ws, "not a view", ids=[job])
    assert viewers() == 0
    for name in ("a", "b"):
        await ws.send(type="watch", id=name, filter={"ids": [job]}, view=True)
        await ws.until("live")
    assert viewers() == 2
    await ws.send(type="stop", id="a")
    await is_viewed(1)
    async with socket(server) as another:
        await another.send(type="watch", id=1, filter={"ids": [job]}, view=True)
        await another.until("live")
        assert viewers() == 2
    await is_viewed(1)
    pipe.write(b"")


async def test_a_view_names_its_jobs(ws: Socket) -> None:
    await ws.send(type="watch", id="v", filter={"state": "running"}, view=True)
    [error] = await ws.until("error")
    assert "ids" in error["message"]
