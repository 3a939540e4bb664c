"""The last records of an output, read at once: for whoever cannot wait for a follower.

The file is not walked from its start; a record's place is recognised from behind. Blocks for a read of
a few hundred kilobytes, mostly from the page cache.
"""

import os
from typing import Final

from jupyter_tasks.output import segments
from jupyter_tasks.records import last_boundary, record_size

_WINDOWS_BYTES: Final = (256 * 1024, 8 * 1024 * 1024)
_ENOUGH_BYTES: Final = 32 * 1024
_START: Final = b'\n{"k":'


def last_records(directory: str) -> bytes:
    """Whole records up to the output's end; nothing where there are none, or none could be found.

    They take some hundred kilobytes, where there are so many.
    """
    for _, path in reversed(segments(directory)):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # thrown away meanwhile
        try:
            if found := _last_of(fd):
                return found
        finally:
            os.close(fd)
    return b""


def _last_of(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    found = b""
    for window in _WINDOWS_BYTES:
        begin = max(0, size - window)
        data = os.pread(fd, size - begin, begin)
        found = data[: last_boundary(data)] if begin == 0 else _last_run(data)
        if begin == 0 or len(found) >= _ENOUGH_BYTES:
            break
    return found


def _last_run(data: bytes) -> bytes:
    """The records from the first on from which others follow without a break, up to the end."""
    at = data.find(_START)
    while at >= 0:
        if (end := _end(data, at + 1)) is not None:
            return data[at + 1 : end]
        at = data.find(_START, at + 1)
    return b""


def _end(data: bytes, start: int) -> int | None:
    """Where the last whole record ends of those that follow one another; None where one is none."""
    at = start
    try:
        while (size := record_size(data, at)) is not None and at + size <= len(data):
            at += size
    except ValueError:
        return None
    # What remains may be a record that is being written, of which no other begins.
    return None if at == start else at
