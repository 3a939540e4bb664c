"""A job's output over HTTP: from a cursor or a tail, up to what is there or to the attempt's end."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Final

import msgspec
from tornado import web

from jupyter_tasks.follow import Gap, Slice
from jupyter_tasks.handlers import records
from jupyter_tasks.handlers.base import authorized
from jupyter_tasks.handlers.reading import Reading, Wanted
from jupyter_tasks.handlers.streaming import SLICE_BYTES, StreamHandler
from jupyter_tasks.messages.streams import OutputQuery

_MEDIA: Final = {
    "text": "text/plain; charset=utf-8",
    "records": "application/octet-stream",
    "json": "application/x-ndjson",
}


class OutputHandler(StreamHandler):
    """``jobs/{job_id}/output``."""

    @web.authenticated
    @authorized("read")
    async def get(self, job_id: str) -> None:
        """The output in the wanted format; text alone tells no loss, unless it is asked to."""
        query = self.query(OutputQuery)
        wanted = Wanted.parse(job_id, query.cursor, query.tail, query.attempt, query.follow)
        with closing(await Reading.open(self.settings, self.owner, wanted)) as reading:
            await self.stream(self._send(reading, query))
        await self.end(_MEDIA[query.format])

    async def _send(self, reading: Reading, query: OutputQuery) -> None:
        self.set_header("Content-Type", _MEDIA[query.format])
        self.set_header("X-Tasks-Cursor", str(reading.cursor))
        end = None
        if query.follow:
            self.be_live()
        else:
            end = (await reading.end()).offset
            self.set_header("X-Tasks-Next", f"{reading.attempt}.{end}")
            self._tell_gaps(reading)
        await self.flush()
        encode = _encoder(reading.attempt, query)
        while (piece := await reading.next(SLICE_BYTES, until=end)) is not None:
            assert isinstance(piece, Slice | Gap)
            if encoded := encode(piece):
                await self.send(encoded)

    def _tell_gaps(self, reading: Reading) -> None:
        """What has been thrown away: plain text has no other place for it."""
        gaps = [records.gap_record(reading.attempt, gap) for gap in reading.gaps()]
        if gaps:
            told = ", ".join(f"{gap['from']}-{gap['to']}" for gap in gaps)
            self.set_header("X-Tasks-Gaps", told)


def _encoder(attempt: int, query: OutputQuery) -> Callable[[Slice | Gap], bytes]:
    if query.format == "text" and query.losses:
        return partial(_as_marked_text, attempt, query.stream)
    return partial(_ENCODERS[query.format], attempt, query.stream)


def _as_text(_attempt: int, stream: str, piece: Slice | Gap) -> bytes:
    return records.text_of(piece, stream) if isinstance(piece, Slice) else b""


def _as_marked_text(attempt: int, stream: str, piece: Slice | Gap) -> bytes:
    if isinstance(piece, Slice):
        return records.text_of(piece, stream, losses=True)
    return records.gap_mark(attempt, piece)


def _as_records(attempt: int, _stream: str, piece: Slice | Gap) -> bytes:
    return piece.data if isinstance(piece, Slice) else _gap_line(attempt, piece)


def _as_json(attempt: int, stream: str, piece: Slice | Gap) -> bytes:
    if isinstance(piece, Slice):
        return records.json_lines(attempt, piece, stream)
    return _gap_line(attempt, piece)


def _gap_line(attempt: int, gap: Gap) -> bytes:
    return msgspec.json.encode(records.gap_record(attempt, gap)) + b"\n"


_ENCODERS: Final = {"text": _as_text, "records": _as_records, "json": _as_json}
