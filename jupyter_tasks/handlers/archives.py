"""All artifacts of an attempt in one file, made while it is sent: nothing of it lies on the disk.

Everything here blocks, a piece at a time; only a piece is held in memory.
"""

import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from tarfile import PAX_FORMAT, TarInfo
from typing import BinaryIO, Final, cast
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from jupyter_tasks.handlers.artifacts import files_below, open_below, shown
from jupyter_tasks.messages import ArchiveFormat

_CHUNK_BYTES: Final = 256 * 1024
_TAR_BLOCK: Final = 512
#: No zip file can say an earlier year.
_FIRST_YEAR: Final = 1980
_LAST_YEAR: Final = 2107


class ShorterError(Exception):
    """A file became shorter than it was said to be."""


def archived(folder: Path, form: ArchiveFormat, root: str) -> Generator[bytes, None, None]:
    """The archive's bytes, in pieces of a bearable size; its files lie below ``root``.

    Links and special files are left out. A file that grows is packed as long as it was. Raises
    ShorterError where that cannot be kept any more.
    """
    waiting: list[bytes] = []
    size = 0
    for piece in _FORMS[form](folder, root):
        waiting.append(piece)
        size += len(piece)
        if size >= _CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


def _tar(folder: Path, root: str) -> Iterator[bytes]:
    for name, file in _opened(folder):
        with file:
            status = os.fstat(file.fileno())
            info = TarInfo(f"{root}/{name}")
            info.size, info.mtime = status.st_size, status.st_mtime
            info.mode = status.st_mode & 0o777
            yield info.tobuf(PAX_FORMAT, "utf-8", "surrogateescape")
            packed = 0
            for chunk in _chunks(file, status.st_size):
                packed += len(chunk)
                yield chunk
            if packed < status.st_size:
                raise ShorterError(name)
            yield bytes(-status.st_size % _TAR_BLOCK)
    yield bytes(2 * _TAR_BLOCK)


def _zip(folder: Path, root: str) -> Iterator[bytes]:
    sink = _Sink()
    taken: set[str] = set()
    with ZipFile(cast("BinaryIO", sink), "w") as archive:
        for name, file in _opened(folder):
            with file:
                status = os.fstat(file.fileno())
                info = ZipInfo(_unique(f"{root}/{_zip_name(name)}", taken), _zip_date(status))
                info.compress_type, info.external_attr = ZIP_DEFLATED, status.st_mode << 16
                with archive.open(info, "w", force_zip64=True) as target:
                    for chunk in _chunks(file, status.st_size):
                        target.write(chunk)
                        yield from sink.take()
            yield from sink.take()
    yield from sink.take()


_FORMS: Final[dict[ArchiveFormat, Callable[[Path, str], Iterator[bytes]]]] = {
    "tar": _tar,
    "zip": _zip,
}


class _Sink:
    """What is written to it waits to be taken; it cannot be sought in, as a connection cannot."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """There is nothing behind it."""

    def take(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces


def _opened(folder: Path) -> Iterator[tuple[str, BinaryIO]]:
    """The files by their names, as far as they are still there when it is their turn."""
    for path, _ in files_below(folder):
        name = path.relative_to(folder).as_posix()
        descriptor = open_below(folder, name)
        if descriptor is not None:
            yield name, os.fdopen(descriptor, "rb")


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := file.read(min(_CHUNK_BYTES, size))):
        size -= len(chunk)
        yield chunk


def _zip_name(name: str) -> str:
    """A name that every program unpacks below its folder: some take a backslash for a slash."""
    return shown(name).replace("\\", "_")


def _unique(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where another file came to have it, too."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}~{number}"
    taken.add(found)
    return found


def _zip_date(status: os.stat_result) -> tuple[int, int, int, int, int, int]:
    year, month, day, hour, minute, second, *_ = time.localtime(status.st_mtime)
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return (_FIRST_YEAR, 1, 1, 0, 0, 0)
    return (year, month, day, hour, minute, second)
