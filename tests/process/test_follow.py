"""Output is followed from real supervisors: replay is live, and who waits costs nothing."""

import asyncio
import itertools
import json
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jupyter_tasks import attempt
from jupyter_tasks.errors import BadCursor, BadMessage
from jupyter_tasks.follow import Cursor, Gap, OutputFollower, Outputs, Slice
from jupyter_tasks.model import Change, Job, State
from jupyter_tasks.records import read_records
from tests.eventually import eventually, eventually_async
from tests.office import Office, an_office
from tests.stream_client import Pipe, payloads

LOG = logging.getLogger("tests.follow")
LIMIT = 256 * 1024


@pytest.fixture
def office(
    jp_asyncio_loop: asyncio.AbstractEventLoop, tmp_path: Path, _own_runtime_dir: Path
) -> Iterator[Office]:
    context = an_office(tmp_path, _own_runtime_dir)
    yield jp_asyncio_loop.run_until_complete(context.__aenter__())
    jp_asyncio_loop.run_until_complete(context.__aexit__(None, None, None))


@pytest.fixture
def outputs() -> Outputs:
    return Outputs(LOG)


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    return Pipe(tmp_path / "pipe")


def directory(office: Office, job: Job) -> str:
    return office.executor.attempt_dir(job.id, 1)


async def running(office: Office, command: str | tuple[str, ...], **fields: object) -> Job:
    return await office.until(await office.submit(command, **fields), State.RUNNING)


async def rest(follower: OutputFollower) -> list[Slice | Gap]:
    """All that is there now."""
    pieces = []
    while piece := await follower.read(LIMIT):
        pieces.append(piece)
    return pieces


async def live(office: Office, outputs: Outputs, job: Job) -> bytes:
    """Everything up to the end of the job, as a reader gets it who is there from the start."""
    follower = await outputs.follow(directory(office, job))
    is_over = False

    def note(news: object) -> None:
        nonlocal is_over
        if isinstance(news, Change) and news.job.id == job.id and news.job.has_ended:
            is_over = True
            follower.wake()

    unsubscribe = office.manager.feed.subscribe(note)
    is_over = (await office.now(job)).has_ended
    data = b""
    while True:
        was_over = is_over
        pieces = await rest(follower)
        assert not [piece for piece in pieces if isinstance(piece, Gap)]
        data += b"".join(piece.data for piece in pieces if isinstance(piece, Slice))
        if was_over:
            break
        await follower.grown()
    unsubscribe()
    follower.close()
    return data


def within(work: Awaitable[object], seconds: float = 10) -> Awaitable[object]:
    return asyncio.wait_for(asyncio.ensure_future(work), seconds)


def open_files() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            continue
    return found


async def test_what_is_read_live_is_what_is_replayed(office: Office, outputs: Outputs) -> None:
    lines = "i=0; while [ $i -lt 300 ]; do echo line $i; echo oops >&2; i=$((i+1)); done"
    job = await office.submit(f"{lines}; sleep 0.2; head -c 3000000 /dev/urandom; {lines}")

    seen = await live(office, outputs, job)

    await office.ended(job)
    assert seen == office.output(job)
    replayed = await live(office, outputs, job)
    assert replayed == seen


async def test_ten_readers_of_one_attempt_read_the_same_over_one_connection(
    office: Office, outputs: Outputs, pipe: Pipe
) -> None:
    job = await running(office, tuple(pipe.command))
    readers = [await outputs.follow(directory(office, job)) for _ in range(10)]
    waits = [asyncio.ensure_future(reader.grown()) for reader in readers]
    await asyncio.wait(waits, timeout=0.05)
    claim = attempt.probe(directory(office, job)).claim
    assert claim is not None

    pipe.write(b"hello\n")
    await within(asyncio.gather(*waits))

    async def has_arrived() -> bool:
        return bool(await readers[0].read(LIMIT))

    await eventually_async(has_arrived)
    seen = [await rest(reader) for reader in readers[1:]]
    assert all(payloads(piece.data) == b"hello\n" for [piece] in seen)
    assert connections_to(claim.control) == 1
    for reader in readers:
        reader.close()
    pipe.close()
    await office.ended(job)


def connections_to(path: str) -> int:
    """How many accepted connections the socket has (the listening one has flag 00010000)."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return len([line for line in lines if line.endswith(path) and line.split()[3] != "00010000"])


async def test_a_waiting_reader_is_woken_by_output_and_by_nothing_else(
    office: Office, outputs: Outputs, pipe: Pipe
) -> None:
    job = await running(office, tuple(pipe.command))
    follower = await outputs.follow(directory(office, job))
    waiting = asyncio.ensure_future(follower.grown())

    done, _ = await asyncio.wait([waiting], timeout=0.5)
    assert not done
    pipe.write(b"x")
    await within(waiting)
    [piece] = await rest(follower)
    assert isinstance(piece, Slice)
    assert payloads(piece.data) == b"x"
    follower.close()
    pipe.close()
    await office.ended(job)


async def test_a_silent_job_with_ten_readers_wakes_us_for_its_rare_records_alone(
    office: Office, outputs: Outputs, pipe: Pipe
) -> None:
    job = await running(office, tuple(pipe.command))
    readers = [await outputs.follow(directory(office, job)) for _ in range(10)]

    async def read_on(reader: OutputFollower) -> None:
        while True:
            await rest(reader)
            await reader.grown()

    reading = [asyncio.ensure_future(read_on(reader)) for reader in readers]
    await asyncio.wait(reading, timeout=0.3)
    before = len(list(read_records(office.output(job))))
    with counted_wakes() as wakes:
        await asyncio.wait(reading, timeout=2.5)
    records = len(list(read_records(office.output(job)))) - before

    # Its supervisor tells once a second what it uses: a ring, then the time to ask for the next.
    assert len(wakes) <= 5 * (records + 1)
    for task, reader in zip(reading, readers, strict=True):
        task.cancel()
        await asyncio.wait([task])
        reader.close()
    pipe.write(b"")
    pipe.close()
    await office.ended(job)


@contextmanager
def counted_wakes() -> Iterator[list[float]]:
    """When the event loop came back from waiting."""
    loop = asyncio.get_running_loop()
    selector = loop._selector  # type: ignore[attr-defined]
    select, wakes = selector.select, []

    def counted(timeout: float | None) -> object:
        wakes.append(loop.time())
        return select(timeout)

    selector.select = counted
    try:
        yield wakes
    finally:
        selector.select = select


async def test_a_flood_of_small_writes_wakes_a_reader_a_bounded_number_of_times(
    office: Office, outputs: Outputs
) -> None:
    loop = asyncio.get_running_loop()
    job = await running(office, "i=0; while [ $i -lt 100000 ]; do echo $i; i=$((i+1)); done")
    follower = await outputs.follow(directory(office, job))
    began, wakes = loop.time(), 0

    async def has_all() -> bool:
        nonlocal wakes
        await within(follower.grown())
        wakes += 1
        pieces = await rest(follower)
        return any(b"99999\n" in piece.data for piece in pieces if isinstance(piece, Slice))

    await eventually_async(has_all, within_s=30)
    assert wakes <= 20 + (loop.time() - began) / 0.004
    follower.close()
    await office.ended(job)


async def test_a_reader_sees_no_torn_record(
    office: Office, outputs: Outputs, tmp_path: Path
) -> None:
    record = b'{"k":"out","t":0.1,"n":5}\nhello\n'
    for cut in range(1, len(record)):
        folder = tmp_path / f"torn-{cut}"
        folder.mkdir()
        (folder / "output").write_bytes(record + record[:cut])
        follower = await outputs.follow(str(folder))

        [piece] = await rest(follower)
        assert isinstance(piece, Slice)
        assert piece.data == record
        with (folder / "output").open("ab") as file:
            file.write(record[cut:])
        [piece] = await rest(follower)
        assert isinstance(piece, Slice)
        assert (piece.start, piece.data) == (len(record), record)
        follower.close()


async def test_a_killed_supervisor_wakes_its_readers_who_have_read_all_whole_records(
    office: Office, outputs: Outputs
) -> None:
    job = await running(office, "yes | head -c 5000000; exec sleep 600", max_output_bytes=10**8)
    follower = await outputs.follow(directory(office, job))
    claim = attempt.probe(directory(office, job)).claim
    assert claim is not None
    read: list[Slice | Gap] = []

    async def has_read_all() -> bool:
        read.extend(await rest(follower))
        return len(payloads(b"".join(p.data for p in read if isinstance(p, Slice)))) == 5000000

    await eventually_async(has_read_all)
    waiting = asyncio.ensure_future(follower.grown())
    os.kill(claim.pid, signal.SIGKILL)
    await within(waiting)
    assert await rest(follower) == []
    follower.close()
    assert (await office.ended(job)).state is State.LOST


async def test_a_socket_that_a_cleaner_removed_is_made_anew_for_a_reader(
    office: Office, outputs: Outputs, pipe: Pipe
) -> None:
    job = await running(office, tuple(pipe.command))
    claim = attempt.probe(directory(office, job)).claim
    assert claim is not None
    os.unlink(claim.control)
    follower = await outputs.follow(directory(office, job))
    waiting = asyncio.ensure_future(follower.grown())

    done, _ = await asyncio.wait([waiting], timeout=0.5)
    assert not done
    assert os.path.exists(claim.control)
    pipe.write(b"still here")
    await within(waiting, 1)
    [piece] = await rest(follower)
    assert isinstance(piece, Slice)
    assert payloads(piece.data) == b"still here"
    follower.close()
    pipe.close()
    await office.ended(job)


async def test_what_the_ring_threw_away_is_a_gap_between_whole_records(
    office: Office, outputs: Outputs
) -> None:
    job = await office.ended(await office.submit("seq 200000", max_output_bytes=256 * 1024))
    follower = await outputs.follow(directory(office, job))
    pieces = await rest(follower)
    gaps = [piece for piece in pieces if isinstance(piece, Gap)]

    assert len(gaps) == 1
    assert all(a.end == b.start for a, b in itertools.pairwise(pieces))
    assert pieces[-1].end == job.output_bytes
    at = pieces.index(gaps[0])
    head, tail = (
        payloads(b"".join(p.data for p in part if isinstance(p, Slice)))
        for part in (pieces[:at], pieces[at:])
    )
    whole = "".join(f"{i}\n" for i in range(1, 200001)).encode()
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert head
    assert tail
    follower.close()

    inside = await outputs.follow(directory(office, job), gaps[0].start + 1)
    assert await inside.read(LIMIT) == Gap(gaps[0].start + 1, gaps[0].end)
    inside.close()


async def test_a_reader_goes_on_at_every_boundary_and_nowhere_else(
    office: Office, outputs: Outputs
) -> None:
    job = await office.ended(
        await office.submit('echo one; echo two >&2; sleep 0.1; printf \'{"k":"out"}\\n\'')
    )
    data = office.output(job)
    boundaries = {0} | {record.end for record in read_records(data)}
    assert len(boundaries) >= 4

    for offset in range(len(data) + 2):
        if offset in boundaries:
            follower = await outputs.follow(directory(office, job), offset)
            assert b"".join(p.data for p in await rest(follower)) == data[offset:]  # type: ignore[union-attr]
            follower.close()
        else:
            with pytest.raises(BadCursor, match=f"No record starts at byte {offset}"):
                await outputs.follow(directory(office, job), offset)


@pytest.mark.parametrize("tail", [0, 1, 1000, 70_000, 10**9])
async def test_a_tail_is_the_longest_one_that_is_no_longer(
    office: Office, outputs: Outputs, tail: int
) -> None:
    job = await office.ended(await office.submit("seq 5000; sleep 0.1; seq 50000"))
    data = office.output(job)
    boundaries = [0, *(record.end for record in read_records(data))]
    expected = min(b for b in boundaries if len(data) - b <= tail)

    follower = await outputs.follow(directory(office, job), tail_bytes=tail)
    assert follower.offset == expected
    follower.close()


async def test_what_is_not_in_the_page_cache_is_read_all_the_same(
    office: Office, outputs: Outputs
) -> None:
    job = await office.ended(await office.submit("head -c 3000000 /dev/urandom"))
    path = os.path.join(directory(office, job), "output")
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    assert await live(office, outputs, job) == office.output(job)


async def test_a_record_larger_than_a_slice_comes_whole(outputs: Outputs, tmp_path: Path) -> None:
    payload = os.urandom(700_000)
    header = json.dumps({"k": "display", "t": 1, "n": len(payload)}).encode()
    (tmp_path / "output").write_bytes(header + b"\n" + payload + b"\n")
    follower = await outputs.follow(str(tmp_path))
    [piece] = await rest(follower)
    assert isinstance(piece, Slice)
    assert payload in piece.data
    follower.close()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
async def test_what_is_no_file_in_the_place_of_an_output_is_empty_and_nobody_waits_for_it(
    outputs: Outputs, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "output")
    follower = await outputs.follow(str(tmp_path))
    reading = asyncio.ensure_future(follower.read(LIMIT))
    await within(reading)
    assert reading.result() is None
    follower.close()


async def test_the_last_reader_leaves_nothing_open(
    office: Office, outputs: Outputs, pipe: Pipe
) -> None:
    job = await running(office, tuple(pipe.command))
    before = open_files()
    readers = [await outputs.follow(directory(office, job)) for _ in range(3)]
    for reader in readers:
        waiting = asyncio.ensure_future(reader.grown())
        await asyncio.wait([waiting], timeout=0.05)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert open_files() > before
    for reader in readers:
        reader.close()
        reader.close()
    eventually(lambda: open_files() == before)
    pipe.write(b"")
    pipe.close()
    await office.ended(job)


async def test_an_attempt_that_has_not_started_is_empty_and_its_reader_can_be_woken(
    outputs: Outputs, tmp_path: Path
) -> None:
    follower = await outputs.follow(str(tmp_path / "not yet"))
    assert await follower.read(LIMIT) is None
    waiting = asyncio.ensure_future(follower.grown())
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    follower.wake()
    await within(waiting)
    follower.close()


@pytest.mark.parametrize(
    "text", ["", "1", "1.", ".1", "0.0", "1.-1", "a.b", "1.1.1", "1.٣", "01.0"]
)
def test_a_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadMessage, match="is no cursor"):
        Cursor.parse(text)


def test_a_cursor_is_read_as_it_was_written() -> None:
    assert str(Cursor.parse("12.3456")) == "12.3456"
