"""What is known of the calls of a group: an index of fixed entries, and files of records beside it.

The index says of each call where it is, and where its record lies; the record is a line of JSON, and
the value's bytes. Each file of records has one writer at a time, so a process that dies in the middle
leaves at most one half record at its end. Whoever reads needs nothing of the writers.
"""

import json
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal, NamedTuple, Self, get_args

from jupyter_tasks.errors import told_if_full

FOLDER = "calls"
_INDEX = "index"
#: state, attempt, slot, offset of the record in the slot's file
_ENTRY = struct.Struct("<BxHHxxQ")
_NEW = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MAX_HEADER = 1024 * 1024
_AT_ONCE = 4096
_FULL = "The disk is full: there is no room for the results of the calls."

State = Literal["waiting", "running", "succeeded", "failed"]
WAITING, RUNNING, SUCCEEDED, FAILED = range(4)
#: Their words, in that order.
STATES: tuple[State, ...] = get_args(State)


class Entry(NamedTuple):
    """Where a call is, and where its record lies."""

    state: int
    attempt: int
    slot: int
    offset: int


class Index:
    """The entries of all calls of an attempt, shared by its processes while they change them."""

    def __init__(self, directory: str, count: int) -> None:
        """Make it, all waiting; nobody sees it yet. Raises NoSpace or OSError."""
        os.makedirs(f"{directory}/{FOLDER}", mode=0o700, exist_ok=True)
        self._path = f"{directory}/{FOLDER}/{_INDEX}"
        fd = os.open(f"{self._path}.part", _NEW, 0o600)
        with told_if_full(_FULL), open(fd, "wb", buffering=0) as file:
            # A page of it without room on the disk would end whoever writes there.
            file.writelines(bytes(_ENTRY.size * _AT_ONCE) for _ in range(0, count, _AT_ONCE))
            file.truncate(_ENTRY.size * count)
            os.fsync(fd)
            self._map = mmap.mmap(fd, _ENTRY.size * count)
        self.count = count

    def publish(self) -> None:
        """Let readers find it."""
        os.rename(f"{self._path}.part", self._path)

    def put(self, call: int, entry: Entry) -> None:
        """Say where the call is."""
        _ENTRY.pack_into(self._map, call * _ENTRY.size, *entry)

    def begin(self, call: int) -> None:
        """Say that it runs."""
        self._map[call * _ENTRY.size] = RUNNING

    def states(self) -> bytes:
        """The state of each call."""
        return self._map[:: _ENTRY.size]

    def sync(self) -> None:
        """See to it that it is on disk."""
        self._map.flush()


class Book:
    """A slot's file of records, to be written by one process at a time."""

    def __init__(self, directory: str, slot: int) -> None:
        """Open it."""
        self._fd = os.open(f"{directory}/{FOLDER}/{slot}", _APPEND, 0o600)
        self._mended = 0

    def add(self, header: dict[str, Any], value: bytes) -> int:
        """Append a record whole, or not at all; returns its offset. Raises NoSpace or OSError."""
        data = _encoded(header, value)
        offset = os.lseek(self._fd, 0, os.SEEK_END)
        try:
            with told_if_full(_FULL):
                written = os.write(self._fd, data)
                while written < len(data):
                    written += os.write(self._fd, memoryview(data)[written:])
        except BaseException:
            os.ftruncate(self._fd, offset)
            raise
        return offset

    def mend(self) -> tuple[dict[str, Any], int] | None:
        """Cut off what somebody who died has written half; header and offset of the last whole record."""
        end, last = 0, None
        with open(self._fd, "rb", closefd=False) as file:
            for header, offset, size in records(file, self._mended):
                end, last, self._mended = offset + size, (header, offset), offset
        os.ftruncate(self._fd, end)
        return last

    def sync(self) -> None:
        """See to it that it is on disk."""
        os.fsync(self._fd)


def _encoded(header: dict[str, Any], value: bytes) -> bytes:
    text = json.dumps(header | {"n": len(value)}, separators=(",", ":"), ensure_ascii=False)
    return b"%b\n%b\n" % (text.encode("utf-8", "replace"), value)


def records(file: Any, start: int = 0) -> Iterator[tuple[dict[str, Any], int, int]]:
    """The whole records from there on: header, offset and size of each."""
    end = os.fstat(file.fileno()).st_size
    while start < end:
        file.seek(start)
        line = file.readline(_MAX_HEADER)
        header = _header(line)
        if header is None:
            return
        size = len(line) + header["n"] + 1
        if start + size > end:
            return
        yield header, start, size
        start += size


def _header(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    with suppress(ValueError):
        header = json.loads(line)
        if isinstance(header, dict) and isinstance(header.get("n"), int) and header["n"] >= 0:
            return header
    return None


# -- for readers ------------------------------------------------------------------------------------


class Found(NamedTuple):
    """A record, and where its value lies; of use as long as its ledger is open."""

    header: dict[str, Any]
    size: int
    file: Any
    at: int

    def chunks(self, longest: int) -> Iterator[bytes]:
        """The value's bytes, piece by piece."""
        self.file.seek(self.at)
        left = self.size
        while left > 0 and (chunk := self.file.read(min(left, longest))):
            left -= len(chunk)
            yield chunk
        if left > 0:
            yield bytes(left)  # the file became shorter: its size has been told


class Ledger:
    """The calls of the newest attempt that has begun, up to one; a snapshot, for one reader."""

    def __init__(self, folder: str, attempt: int) -> None:
        """Read the index; ``folder`` is that of all attempts. Raises FileNotFoundError."""
        self._folder = folder
        self._files: dict[tuple[int, int], Any] = {}
        self.attempt = attempt
        while True:
            try:
                self._index = _read(f"{folder}/{self.attempt}/{FOLDER}/{_INDEX}")
                break
            except FileNotFoundError:
                if self.attempt <= 1:
                    raise
                self.attempt -= 1

    def __enter__(self) -> Self:
        """Use it in a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def __len__(self) -> int:
        """How many calls there are."""
        return len(self._index) // _ENTRY.size

    def states(self) -> bytes:
        """The state of each call."""
        return self._index[: len(self) * _ENTRY.size : _ENTRY.size]

    def entry(self, call: int) -> Entry:
        """Where the call is."""
        return Entry(*_ENTRY.unpack_from(self._index, call * _ENTRY.size))

    def find(self, call: int) -> "Found | None":
        """The record of an ended call; None where there is none (any more)."""
        entry = self.entry(call)
        if entry.state not in (SUCCEEDED, FAILED):
            return None
        file = self._file(entry)
        if file is None:
            return None
        for header, offset, size in records(file, entry.offset):
            at = offset + size - header["n"] - 1
            return Found(header, header["n"], file, at) if header.get("index") == call else None
        return None

    def _file(self, entry: Entry) -> Any:
        place = (entry.attempt, entry.slot)
        if place not in self._files:
            path = f"{self._folder}/{entry.attempt}/{FOLDER}/{entry.slot}"
            try:
                self._files[place] = open(os.open(path, _READ), "rb")  # noqa: SIM115 - for as long as we
            except OSError:
                return None  # removed, or something else has been put in its place
        return self._files[place]


def _read(path: str) -> bytes:
    with open(os.open(path, _READ), "rb") as file:
        return bytes(file.read())
