"""The output's files: head and ring, offsets that never change, and a disk that is full for a while."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jupyter_tasks.output import OutputWriter, segments
from jupyter_tasks.records import Record
from tests.supervised import Supervised, a_plain_supervisor, output_size, records


@contextmanager
def a_writer(directory: Path, max_bytes: int = 1 << 30) -> Iterator[OutputWriter]:
    writer = OutputWriter(str(directory), max_bytes)
    try:
        yield writer
    finally:
        writer.close()


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """A disk with room for so much of each file: what is written beyond is refused, or cut."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return path


def payloads(found: list[Record]) -> list[bytes | None]:
    return [record.payload for record in found if record.header["k"] == "out"]


def losses(found: list[Record]) -> list[int]:
    return [r.header["bytes"] for r in found if r.header.get("code") == "output_lost"]


def test_what_is_written_lies_there_whole_and_in_order(tmp_path: Path) -> None:
    with a_writer(tmp_path) as writer:
        for number in range(100):
            assert writer.write("out", number, b"%d" % number)
        assert writer.end == output_size(str(tmp_path))
    assert payloads(records(str(tmp_path))) == [b"%d" % number for number in range(100)]
    assert (tmp_path / "output").stat().st_mode & 0o077 == 0


def test_a_cap_keeps_the_head_and_a_ring_of_tails(tmp_path: Path) -> None:
    cap = 8000
    with a_writer(tmp_path, cap) as writer:
        for number in range(1000):
            writer.write("out", number, b"%0100d" % number)
            on_disk = sum(os.path.getsize(path) for _, path in segments(str(tmp_path)))
            assert on_disk <= cap
        end = writer.end
    kept = [int(payload) for payload in payloads(records(str(tmp_path))) if payload is not None]
    head = next(at for at, number in enumerate(kept) if number != at)
    assert kept == [*range(head), *range(1000 - len(kept) + head, 1000)]
    assert head * 130 > cap / 2 - 150
    assert len(kept) - head > (cap * 3 / 8) / 150
    assert output_size(str(tmp_path)) == end


def test_a_flood_stays_within_the_smallest_cap(tmp_path: Path) -> None:
    """A job that writes much is read by so much at once as is no longer than the whole cap."""
    cap, read_at_once = 64 * 1024, 260_000
    flood = b"".join(b"%07d\n" % number for number in range(4 * read_at_once // 8))
    with a_writer(tmp_path, cap) as writer:
        for start in range(0, len(flood), read_at_once):
            piece = bytearray(flood[start : start + read_at_once])
            assert writer.write_output("out", 0, piece, len(piece))
            on_disk = sum(os.path.getsize(path) for _, path in segments(str(tmp_path)))
            assert on_disk <= cap
    kept = b"".join(payload or b"" for payload in payloads(records(str(tmp_path))))
    assert len(kept) > cap * 0.8
    assert flood.startswith(kept[: cap * 2 // 5])
    assert flood.endswith(kept[-cap // 3 :])


def test_offsets_are_those_of_an_output_without_cap(tmp_path: Path) -> None:
    (tmp_path / "capped").mkdir()
    (tmp_path / "whole").mkdir()
    with a_writer(tmp_path / "capped", 4000) as capped, a_writer(tmp_path / "whole") as whole:
        for number in range(300):
            for writer in (capped, whole):
                writer.write("out", number, b"x" * (number * 7 % 301))
    all_of_it = {record.start: record for record in records(str(tmp_path / "whole"))}
    kept = records(str(tmp_path / "capped"))
    assert len(kept) < len(all_of_it)
    assert [all_of_it[record.start] for record in kept] == kept


def test_a_record_larger_than_the_whole_cap_is_kept(tmp_path: Path) -> None:
    with a_writer(tmp_path, 100) as writer:
        for letter in (b"a", b"b"):
            assert writer.write("out", 0, letter * 5000)
    assert payloads(records(str(tmp_path))) == [b"a" * 5000, b"b" * 5000]


def test_a_record_that_was_cut_short_is_taken_back(tmp_path: Path) -> None:
    with a_writer(tmp_path) as writer:
        assert writer.write("out", 0, b"before")
        whole = writer.end
        with no_file_longer_than(whole + 20):
            assert not writer.write("out", 1, b"x" * 1000)
        assert output_size(str(tmp_path)) == writer.end == whole


def test_what_was_lost_is_told_as_soon_as_there_is_room(tmp_path: Path) -> None:
    with a_writer(tmp_path) as writer:
        with no_file_longer_than(0):
            assert not writer.write("out", 0, b"x" * 1000)
            assert not writer.write("out", 0, b"y" * 234)
        assert writer.write("out", 1, b"after")
        assert writer.write("out", 2, b"more")
    found = records(str(tmp_path))
    assert losses(found) == [1234]
    assert payloads(found) == [b"after", b"more"]


def test_what_was_lost_at_the_very_end_is_told_too(tmp_path: Path) -> None:
    with a_writer(tmp_path) as writer:
        with no_file_longer_than(0):
            writer.write("out", 0, b"x" * 1000)
        writer.finish(1.0)
    assert losses(records(str(tmp_path))) == [1000]


def test_a_folder_that_vanishes_costs_output_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with a_writer(folder, 1000) as writer:
        writer.write("out", 0, b"x" * 400)
        (folder / "output").unlink()
        folder.rmdir()
        assert not writer.write("out", 1, b"y" * 400)
        writer.finish(2.0)


@pytest.mark.parametrize("then", ["exit 0", "echo after"])
def test_a_job_goes_on_while_its_disk_is_full(small_disk: Path, then: str) -> None:
    # It starts with a full disk's worth of output, waits for room by reading a pipe, and goes on.
    gate = small_disk.parent / "gate"
    os.mkfifo(gate)
    with a_plain_supervisor(small_disk) as supervised:
        flood = f"head -c 4000000 /dev/zero; echo done > {gate}; cat {gate} > /dev/null; {then}"
        supervised.run(flood)
        assert gate.read_text() == "done\n"
        filler = fill(small_disk)
        filler.unlink()
        _make_room(supervised)
        gate.write_text("go\n")
        assert supervised.end()["exit_code"] == 0
        found = records(supervised.dir)
        told, kept = losses(found), payloads(found)
        if then != "exit 0":
            assert kept.pop() == b"after\n"
        assert sum(told) + sum(len(payload or b"") for payload in kept) == 4_000_000
        # All but what the disk had room for, and what was still in the pipe when it had more.
        assert sum(told) > 1_800_000


def _make_room(supervised: Supervised) -> None:
    """Let the disk be two megabytes large from now on."""
    disk = supervised.state
    subprocess.run(["mount", "-o", "remount,size=2m", str(disk)], check=True)


def test_an_end_waits_for_room(small_disk: Path) -> None:
    with a_plain_supervisor(small_disk) as supervised:
        # So long a word that the claim's first block cannot hold the end.
        supervised.run("cat > /dev/null < $GATE", env={"GATE": str(_gate(small_disk))})
        supervised.tell(do="hello")
        supervised.hear("state")
        filler = fill(small_disk)
        supervised.tell(do="cancel", reason="r" * 6000, grace_s=5)
        with pytest.raises(TimeoutError):
            supervised.hear("ended", within_s=0.5)
        filler.unlink()
        end = supervised.end()
    assert (end["stopped_by"], end["stop_reason"]) == ("cancel", "r" * 6000)


def _gate(disk: Path) -> Path:
    gate = disk.parent / "gate"
    os.mkfifo(gate)
    return gate


def test_without_room_for_a_claim_nothing_starts(small_disk: Path) -> None:
    with a_plain_supervisor(small_disk) as supervised:
        supervised.prepare(["touch", f"{small_disk.parent}/started"])
        fill(small_disk)
        supervised.tell(do="run", dir=supervised.dir)
        assert "No space left" in supervised.hear("error")["message"]
        with pytest.raises((EOFError, ConnectionResetError)):
            supervised.hear("anything")
    assert not (small_disk.parent / "started").exists()
    assert "claim" not in os.listdir(supervised.dir)
