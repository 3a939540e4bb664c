"""The account of a group's calls: what is written whole is found, whatever stopped its writer."""

import os
from pathlib import Path

import pytest

from jupyter_tasks.worker import ledger
from jupyter_tasks.worker.ledger import Book, Entry, Index, Ledger


@pytest.fixture
def directory(tmp_path: Path) -> str:
    """That of the first attempt."""
    path = tmp_path / "1"
    path.mkdir()
    return str(path)


def booked(directory: str, count: int) -> tuple[Index, Book]:
    index, book = Index(directory, count), Book(directory, 0)
    index.publish()
    return index, book


def add(index: Index, book: Book, call: int, value: bytes) -> None:
    offset = book.add({"index": call, "success": True}, value)
    index.put(call, Entry(ledger.SUCCEEDED, 1, 0, offset))


def values_of(directory: str) -> list[bytes | None]:
    with Ledger(os.path.dirname(directory), 1) as known:
        found = [known.find(call) for call in range(len(known))]
        return [None if one is None else b"".join(one.chunks(3)) for one in found]


def test_what_has_been_put_is_found(directory: str) -> None:
    index, book = booked(directory, 4)
    add(index, book, 2, b"two\nlines")
    add(index, book, 0, b"")
    index.begin(3)
    assert values_of(directory) == [b"", None, b"two\nlines", None]
    with Ledger(os.path.dirname(directory), 1) as known:
        assert [ledger.STATES[state] for state in known.states()] == [
            *("succeeded", "waiting", "succeeded", "running"),
        ]


def test_nobody_sees_an_index_before_it_is_published(directory: str) -> None:
    Index(directory, 3)
    with pytest.raises(FileNotFoundError):
        Ledger(os.path.dirname(directory), 1)


@pytest.mark.parametrize("left", range(1, 39))
def test_half_a_record_is_cut_off_and_no_more(directory: str, left: int) -> None:
    index, book = booked(directory, 3)
    add(index, book, 0, b"whole")
    path = Path(directory) / ledger.FOLDER / "0"
    whole = path.read_bytes()
    half = whole.replace(b'"index":0', b'"index":1')
    assert left < len(half)
    path.write_bytes(whole + half[:left])
    last = book.mend()
    assert last is not None
    assert (path.read_bytes(), last[0]["index"]) == (whole, 0)
    add(index, book, 2, b"after")
    assert values_of(directory) == [b"whole", None, b"after"]


def test_a_whole_record_that_was_not_put_is_told_when_mended(directory: str) -> None:
    _, book = booked(directory, 2)
    offset = book.add({"index": 1, "success": True}, b"done")
    assert book.mend() == ({"index": 1, "success": True, "n": 4}, offset)


def test_an_entry_that_leads_to_another_record_is_none(directory: str) -> None:
    index, book = booked(directory, 2)
    add(index, book, 0, b"mine")
    index.put(1, Entry(ledger.SUCCEEDED, 1, 0, 0))
    index.put(0, Entry(ledger.SUCCEEDED, 1, 7, 0))
    assert values_of(directory) == [None, None]


def test_a_reader_of_an_attempt_that_has_not_begun_sees_the_one_before(directory: str) -> None:
    index, book = booked(directory, 1)
    add(index, book, 0, b"first")
    with Ledger(os.path.dirname(directory), 3) as known:
        assert (known.attempt, known.entry(0).attempt) == (1, 1)
