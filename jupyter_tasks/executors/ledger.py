"""What the program of one external attempt has said, on disk: the same files as a supervisor writes.

Everything here blocks. A report is written as a whole or not at all, and known again by its key.
"""

import json
import mmap
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from jupyter_tasks import attempt
from jupyter_tasks.model import Progress, Report
from jupyter_tasks.output import RECORD_BYTES, OutputWriter, segments
from jupyter_tasks.records import Piece, encode_record, last_boundary, record_size

#: What a program learns by a report, it repeats at once or never: so many keys are plenty.
_KEYS_KEPT: Final = 256


class Ledger:
    """Appends reports to the attempt's output; it can be made anew at any time from its files."""

    def __init__(self, directory: str, max_output_bytes: int) -> None:
        """Go on where the output ends; raises OSError where it cannot be read or cut."""
        self.progress: Progress | None = None
        self._directory = directory
        self._keys: deque[str] = deque(maxlen=_KEYS_KEPT)
        size = 0
        for _, path in segments(directory):
            size = self._remember(path)
        self._writer = OutputWriter.resumed(directory, max_output_bytes, size)

    @property
    def size(self) -> int:
        """Where the output ends."""
        return self._writer.end

    def knows(self, report: Report) -> bool:
        """Whether that very report was taken before."""
        return report.key is not None and report.key in self._keys

    def take(self, report: Report, t: float) -> bool:
        """Keep the report, ``t`` seconds after the attempt's start; False where there is no room.

        It is on disk when this returns. Raises OSError where that cannot be said.
        """
        pieces = list(_pieces(report, t))
        try:
            if pieces and not self._writer.write_together(pieces):
                return False
            self._writer.finish(t)
        finally:
            self._writer.close()
        self.progress = report.progress or self.progress
        if report.key is not None:
            self._keys.append(report.key)
        return True

    def write_result(self, result: dict[str, Any]) -> None:
        """Put the result beside the output, whole; on disk when this returns. Raises OSError."""
        path = Path(self._directory, attempt.RESULT_JSON_FILE)
        temporary = path.with_suffix(".new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(result))
            file.flush()
            os.fdatasync(fd)
        temporary.replace(path)

    def _remember(self, path: str) -> int:
        """Take progress and keys from a segment; returns how much of it is whole records."""
        with Path(path).open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return 0
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
                whole = last_boundary(buffer)
                for header in _headers(buffer, whole):
                    self._take_header(header)
        return whole

    def _take_header(self, header: dict[str, Any]) -> None:
        if header["k"] == "progress":
            self.progress = Progress(
                value=header.get("value"),
                total=header.get("total"),
                message=header.get("message") or "",
            )
        elif header["k"] == "report":
            self._keys.append(header["key"])


def _headers(buffer: mmap.mmap, end: int) -> Iterator[dict[str, Any]]:
    """The headers of the records that say how far it is, and which reports there were."""
    at = 0
    while at < end:
        if buffer[at : at + 10] in (b'{"k":"prog', b'{"k":"repo'):
            yield json.loads(buffer[at : buffer.find(b"\n", at)])
        at += record_size(buffer, at) or end


def _pieces(report: Report, t: float) -> Iterator[Piece]:
    for stream, data in report.output:
        for start in range(0, len(data), RECORD_BYTES):
            yield from encode_record(stream, t, data[start : start + RECORD_BYTES])
    if report.progress is not None:
        yield from encode_record("progress", t, **msgspec.to_builtins(report.progress))
    if report.key is not None:
        yield from encode_record("report", t, key=report.key)
