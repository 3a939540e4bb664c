"""The end of an output is found from behind, whatever was printed."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_tasks.follow.last import last_records
from jupyter_tasks.output import OutputWriter
from jupyter_tasks.records import read_records


def written(directory: Path, pieces: list[bytes], max_bytes: int = 64 * 1024 * 1024) -> None:
    directory.mkdir(exist_ok=True)
    writer = OutputWriter(str(directory), max_bytes)
    for piece in pieces:
        writer.write_output("out", 0.5, piece, len(piece))
    writer.close()


def payloads(directory: Path) -> list[bytes]:
    return [record.payload or b"" for record in read_records(last_records(str(directory)))]


def test_nothing_was_printed(tmp_path: Path) -> None:
    assert last_records(str(tmp_path)) == b""
    assert last_records(str(tmp_path / "nowhere")) == b""


def test_a_short_output_is_there_as_a_whole(tmp_path: Path) -> None:
    written(tmp_path / "a", [b"one\n", b"two\n"])
    assert payloads(tmp_path / "a") == [b"one\n", b"two\n"]


@pytest.mark.parametrize("size", [10, 1000, 65536])
def test_of_a_long_output_the_end_is_there(tmp_path: Path, size: int) -> None:
    pieces = [b"%d " % number + b"x" * size + b"\n" for number in range(3_000_000 // size)]
    written(tmp_path / "a", pieces)
    found = b"".join(payloads(tmp_path / "a"))
    assert b"".join(pieces).endswith(found)
    assert len(found) > 50_000


def test_a_record_larger_than_the_first_look(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    directory.mkdir()
    writer = OutputWriter(str(directory), 64 * 1024 * 1024)
    for _ in range(100):
        writer.write_output("out", 0.5, b"x" * 50_000, 50_000)
    writer.write("display", 0.5, b"y" * 1_000_000)
    writer.write("display", 0.5, b"after")
    writer.close()
    assert payloads(directory)[-2:] == [b"y" * 1_000_000, b"after"]


def test_a_torn_record_at_the_end_is_left_out(tmp_path: Path) -> None:
    written(tmp_path / "a", [b"whole %d\n" % number for number in range(50_000)])
    with (tmp_path / "a" / "output").open("ab") as file:
        file.write(b'{"k":"out","t":1.0,"n":500}\ntorn')
    assert payloads(tmp_path / "a")[-1] == b"whole 49999\n"


def test_a_ring_of_segments_is_read_at_its_end(tmp_path: Path) -> None:
    pieces = [b"%07d\n" % number for number in range(100_000)]
    written(tmp_path / "a", pieces, max_bytes=512 * 1024)
    assert payloads(tmp_path / "a")[-1] == pieces[-1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=20))
def test_whatever_was_printed_is_read_as_it_is(tmp_path: Path, pieces: list[bytes]) -> None:
    for path in tmp_path.glob("a/*"):
        path.unlink()
    filler = [b"a line that is long enough\n" * 1000] * 12
    written(tmp_path / "a", filler + pieces)
    found = payloads(tmp_path / "a")
    assert found == (filler + pieces)[-len(found) :]
    assert len(found) >= min(len(pieces), 5)
