"""Writes an attempt's output: append-only segments of whole records, bounded, never blocking the job.

The supervisor is the only writer. Logical offsets never change: a segment's name says where it starts.
"""

import contextlib
import os
from typing import Any

from jupyter_tasks.records import Piece, encode_record

_NAME = "output"
_TAIL_SEGMENTS = 4
#: With their headers, four such records fit into the largest frame that a reader is sent.
RECORD_BYTES = 65_000
#: No header and newline of a piece of output are longer.
_HEADER_BYTES = 64


def segments(directory: str) -> list[tuple[int, str]]:
    """The output's segments that are there, as (logical start, path), in order."""
    found = []
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    for name in names:
        if name == _NAME:
            found.append((0, f"{directory}/{name}"))
        elif name.startswith(f"{_NAME}.") and name[len(_NAME) + 1 :].isdigit():
            found.append((int(name[len(_NAME) + 1 :]), f"{directory}/{name}"))
    return sorted(found)


class OutputWriter:
    """Keeps the head (half of ``max_bytes``) and a ring of tail segments (an eighth each)."""

    def __init__(self, directory: str, max_bytes: int) -> None:
        """Write nothing yet: a job that says nothing leaves no file."""
        self.end = 0
        self.lost_bytes = 0
        self._directory = directory
        self._tail_bytes = max(max_bytes // 8, 1)
        self._record_bytes = max(min(RECORD_BYTES, self._tail_bytes - _HEADER_BYTES), 1)
        self._tail: list[str] = []
        self._used = 0
        self._limit = max(max_bytes // 2, 1)
        self._path = f"{directory}/{_NAME}"
        self._fd: int | None = None

    @classmethod
    def resumed(cls, directory: str, max_bytes: int, size: int) -> "OutputWriter":
        """A writer that goes on where the output ends: ``size`` bytes of its last segment are whole.

        What follows those is cut off. Raises OSError.
        """
        writer = cls(directory, max_bytes)
        if found := segments(directory):
            start, writer._path = found[-1]
            os.truncate(writer._path, size)
            writer.end, writer._used = start + size, size
            writer._tail = [path for at, path in found if at]
            writer._limit = writer._tail_bytes if start else writer._limit
        return writer

    def write(self, kind: str, t: float, payload: bytes | None = None, **fields: Any) -> bool:
        """Append one record; False where there was no room (the loss is counted and told later)."""
        return self._keep(t, encode_record(kind, t, payload, **fields), len(payload or b""))

    def write_output(self, kind: str, t: float, data: bytes | bytearray, size: int) -> bool:
        """Append a buffer's first bytes as records of a bearable size; by one write if that fits.

        False where some of it found no room.
        """
        if size <= self._record_bytes and size == len(data):
            return self._keep(t, encode_record(kind, t, data), size)
        whole = memoryview(data)[:size]
        records = max(self._tail_bytes // (self._record_bytes + _HEADER_BYTES), 1)
        at_once = records * self._record_bytes  # more would make a segment too long
        kept = [
            self._write_records(kind, t, whole[start : start + at_once])
            for start in range(0, size, at_once)
        ]
        return all(kept)

    def write_together(self, pieces: list[Piece]) -> bool:
        """Append records by one write, all or none; False where there was no room: none is kept."""
        return self._append(pieces)

    def finish(self, t: float) -> None:
        """Tell a loss that has not been told, and bring everything to the disk; raises OSError."""
        if self.lost_bytes and self._append(self._loss(t)):
            self.lost_bytes = 0
        if self._fd is not None:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Close what is open; a later write opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _write_records(self, kind: str, t: float, data: memoryview) -> bool:
        pieces: list[Piece] = []
        for start in range(0, len(data), self._record_bytes):
            pieces += encode_record(kind, t, data[start : start + self._record_bytes])
        return self._keep(t, pieces, len(data))

    def _keep(self, t: float, pieces: list[Piece], payload_bytes: int) -> bool:
        if self._append([*self._loss(t), *pieces] if self.lost_bytes else pieces):
            self.lost_bytes = 0
            return True
        self.lost_bytes += payload_bytes
        return False

    def _loss(self, t: float) -> list[Piece]:
        words = f"{self.lost_bytes} bytes of output could not be kept: the disk was full."
        return encode_record("note", t, words.encode(), code="output_lost", bytes=self.lost_bytes)

    def _append(self, pieces: list[Piece]) -> bool:
        size = sum(map(len, pieces))
        try:
            fd = self._segment_for(size)
            written = os.writev(fd, pieces)
        except OSError:
            return False  # disk full, or the folder is gone: the job must not suffer
        if written == size:
            self.end += size
            self._used += size
            return True
        os.ftruncate(fd, self._used)
        return False

    def _segment_for(self, size: int) -> int:
        if self._fd is None:
            self._fd = self._open(self._path)
        if self._used and self._used + size > self._limit:
            self._next_segment()
        return self._fd

    def _next_segment(self) -> None:
        path = f"{self._directory}/{_NAME}.{self.end}"
        fd = self._open(path)
        self.close()
        self._fd, self._path = fd, path
        self._used, self._limit = 0, self._tail_bytes
        self._tail.append(path)
        if len(self._tail) > _TAIL_SEGMENTS:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._tail.pop(0))

    def _open(self, path: str) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
