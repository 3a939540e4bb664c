"""Reads the segments of one attempt's output by logical offset, whole records only.

It owns the open files and a sparse memory of record boundaries. Reads on the event loop take only
what is in the page cache; what is not is read in a thread. It must not know who reads or why.
"""

import asyncio
import errno
import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jupyter_tasks.errors import BadCursor
from jupyter_tasks.output import segments
from jupyter_tasks.posix import read_cached
from jupyter_tasks.records import last_boundary, record_size

#: How far known boundaries lie apart: what a walk to a cursor looks at, at most, once it is known.
_MARK_EVERY = 256 * 1024
_WALK_CHUNK = 64 * 1024
_MAX_OPEN: Final = 4
_NO_FILE: Final = (errno.ESPIPE, errno.EISDIR)
#: A job may have put a pipe there: whoever opens it must not wait for its other end.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Slice:
    """Whole records, from one logical offset to another."""

    start: int
    end: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """What lay between these offsets has been thrown away."""

    start: int
    end: int


class Segments:
    """The output files of one attempt, shared by all its readers on this server."""

    def __init__(self, directory: str, buffer: bytearray) -> None:
        """Look at nothing yet: the directory may not be there.

        The buffer, which bounds what is read at once, may be shared: nothing is kept in it.
        """
        self._buffer = buffer
        self._directory = directory
        self._paths: dict[int, str] = {}
        self._starts: list[int] = []
        self._fds: dict[int, int] = {}
        self.marks: list[int] = []

    async def read(self, offset: int, limit: int) -> Slice | Gap | None:
        """The next whole records, at most ``limit`` bytes; None where there are none yet.

        A single record that is larger than the limit comes whole.
        """
        if (piece := await self._read(offset, limit)) is not None:
            return piece
        # The writer may have gone on to a next segment; only then is the old one surely complete.
        self._refresh()
        if (piece := await self._read(offset, limit)) is not None:
            return piece
        following = self._next_start(offset)
        return None if following is None else Gap(offset, following)

    async def boundary(self, target: int | None) -> int:
        """The first record boundary at or after the target; the last one where there is none.

        The last boundary is asked for by None. What was thrown away has no boundaries.
        """
        self._refresh()
        target = _END if target is None else target
        start = self._start_of(target)
        if start is None:
            return self._starts[0] if self._starts else 0
        following = self._next_start(target)
        if following is not None and target >= start + self._size(start):
            return following
        found = await self._walk(start, target)
        return following if found < target and following is not None else found

    async def check(self, offset: int) -> None:
        """See that a record starts at the offset, or once did; raises BadCursor."""
        found = await self.boundary(offset)
        start = self._start_of(offset)
        if found == offset or (found > offset and not self._holds(start, offset)):
            return
        where = f"the output goes to {found} so far" if found < offset else f"the next is {found}"
        raise BadCursor(
            f"No record starts at byte {offset}; {where}. Read again from a cursor that was given.",
            offset=offset,
            nearest=found,
        )

    def gaps(self, offset: int) -> list[Gap]:
        """What has been thrown away from this offset on, between the segments that there are."""
        self._refresh()
        ends = [0, *(start + self._size(start) for start in self._starts)]
        between = zip(ends, self._starts, strict=False)
        return [Gap(max(end, offset), start) for end, start in between if max(end, offset) < start]

    def close(self) -> None:
        """Close the files; a later read opens them again."""
        for start in tuple(self._fds):
            os.close(self._fds.pop(start))

    async def _read(self, offset: int, limit: int) -> Slice | None:
        start = self._start_of(offset)
        if start is None:
            return None
        try:
            data = self._read_now(self._fd(start), limit, offset - start)
            if data is None:
                path = self._paths[start]
                data = await asyncio.to_thread(_read, path, limit, offset - start)
        except FileNotFoundError:
            return None
        if not data:
            return None
        end = offset + len(data)
        self._remember(end)
        return Slice(offset, end, data)

    def _read_now(self, fd: int, limit: int, offset: int) -> bytes | None:
        """The whole records that are in the page cache; None where that cannot be said."""
        view = memoryview(self._buffer)
        size = read_cached(fd, view[:limit], offset)
        if not size:
            return None if size is None else b""
        # None: not cached as a whole, larger than a slice, or not yet written as a whole.
        return bytes(view[: _whole(self._buffer, size)]) or None

    async def _walk(self, start: int, target: int) -> int:
        nearest = max(start, self.marks[i - 1] if (i := bisect_right(self.marks, target)) else 0)
        if nearest == target:
            return target
        try:
            found = await asyncio.to_thread(_walk, self._paths[start], start, nearest, target)
        except FileNotFoundError:
            return start
        for mark in found:
            self._remember(mark)
        return found[-1]

    def _remember(self, boundary: int) -> None:
        """Keep a boundary, unless one nearby is known."""
        at = bisect_right(self.marks, boundary)
        if (at == 0 or boundary - self.marks[at - 1] >= _MARK_EVERY) and (
            at == len(self.marks) or self.marks[at] - boundary >= _MARK_EVERY
        ):
            self.marks.insert(at, boundary)

    def _refresh(self) -> None:
        """Look which segments there are; let go of those that have been deleted."""
        self._paths = dict(segments(self._directory))
        self._starts = sorted(self._paths)
        for start in [start for start in self._fds if start not in self._paths]:
            os.close(self._fds.pop(start))

    def _start_of(self, offset: int) -> int | None:
        at = bisect_right(self._starts, offset)
        return self._starts[at - 1] if at else None

    def _next_start(self, offset: int) -> int | None:
        at = bisect_right(self._starts, offset)
        return self._starts[at] if at < len(self._starts) else None

    def _holds(self, start: int | None, offset: int) -> bool:
        return start is not None and offset < start + self._size(start)

    def _size(self, start: int) -> int:
        try:
            return Path(self._paths[start]).stat().st_size
        except FileNotFoundError:
            return 0

    def _fd(self, start: int) -> int:
        fd = self._fds.get(start)
        if fd is None:
            while len(self._fds) >= _MAX_OPEN:
                os.close(self._fds.pop(next(iter(self._fds))))
            fd = self._fds[start] = os.open(self._paths[start], _FLAGS)
        return fd


_END: Final = 1 << 62


def _read(path: str, limit: int, offset: int) -> bytes:
    """Whole records; in a thread, by a descriptor of its own: the loop may close the shared one."""
    fd = os.open(path, _FLAGS)
    try:
        data = os.pread(fd, limit, offset)
        size = _size_of_record(data)
        if size is not None and size > len(data):
            data = os.pread(fd, size, offset)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        return b""
    finally:
        os.close(fd)
    return data[: last_boundary(data)]


def _whole(buffer: bytearray, size: int) -> int:
    """How many of the buffer's first ``size`` bytes are whole records; behind them lies old data."""
    at = 0
    while (length := _size_of_record(buffer, at)) is not None and at + length <= size:
        at += length
    return at


def _size_of_record(buffer: bytes | bytearray, at: int = 0) -> int | None:
    """None also where the file is damaged, which is where it ends for its readers."""
    try:
        return record_size(buffer, at)
    except ValueError:
        return None


def _walk(path: str, start: int, nearest: int, target: int) -> list[int]:
    """Boundaries on the way from a known one to the first at or after the target, which is last."""
    fd = os.open(path, _FLAGS)
    try:
        return list(_thinned(_boundaries(fd, nearest - start), target - start, start))
    finally:
        os.close(fd)


def _thinned(boundaries: Iterator[int], target: int, start: int) -> Iterator[int]:
    last = last_told = -_MARK_EVERY
    for last in boundaries:
        if last >= target:
            break
        if last - last_told >= _MARK_EVERY:
            yield start + last
            last_told = last
    yield start + last


def _boundaries(fd: int, at: int) -> Iterator[int]:
    """Every boundary from a known one on; payloads are jumped over, not read."""
    size = os.fstat(fd).st_size
    yield at
    while at < size:
        # Reading lets go of the interpreter, so that the event loop is not kept waiting for long.
        chunk = os.pread(fd, _WALK_CHUNK, at)
        done = 0
        while (length := _size_of_record(chunk, done)) is not None and at + done + length <= size:
            done += length
            yield at + done
            if done >= len(chunk):
                break
        if not done:
            return
        at += done
