"""What slices of output look like in each format. Pure: bytes in, bytes out."""

import base64
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from jupyter_tasks.follow import Cursor, Gap, Slice
from jupyter_tasks.records import printed, read_records

#: A header, and the size of its payload where it has one (which is its last field).
_HEADER: Final = re.compile(rb'\{"k": ?"([a-z_]+)"[^\n]*?(?:"n": ?([0-9]+))?\}\n')
_DISPLAY: Final = b"display"
_LOST: Final = b'"output_lost"'
_STREAMS: Final = {"out": (b"out",), "err": (b"err",), "all": (b"out", b"err")}


def text_of(piece: Slice, stream: str, *, losses: bool = False) -> bytes:
    """The program's own bytes in the slice, of one stream or of both in the order they came.

    A rich output counts as the plain text that came with it, an error as its traceback on ``err``.

    ``losses``: with a line of ours wherever some of them could not be kept.
    """
    data, wanted, at, found = piece.data, _STREAMS[stream], 0, []
    while match := _HEADER.match(data, at):
        at = match.end()
        if match[2] is not None:
            size = int(match[2])
            if match[1] in wanted:
                found.append(data[at : at + size])
            elif match[1] == _DISPLAY:
                found.append(_shown(data[at : at + size], wanted))
            elif losses and _LOST in match[0]:
                found.append(_mark(data[at : at + size].decode()))
            at += size + 1
    return b"".join(found)


def _shown(output: bytes, wanted: tuple[bytes, ...]) -> bytes:
    stream, text = printed("display", output) or ("", b"")
    return text if stream.encode() in wanted else b""


def gap_mark(attempt: int, gap: Gap) -> bytes:
    """A line of text that tells what was thrown away."""
    start, end = Cursor(attempt, gap.start), Cursor(attempt, gap.end)
    words = f"{gap.end - gap.start} bytes of records ({start} to {end}) were thrown away: "
    return _mark(words + "more was printed than max_output_bytes keeps.")


def _mark(words: str) -> bytes:
    return f"\n[jupyter_tasks: {words}]\n".encode()


def gap_record(attempt: int, gap: Gap) -> dict[str, Any]:
    """A record that is in no file: it tells that something was thrown away."""
    return {
        "k": "gap",
        "from": str(Cursor(attempt, gap.start)),
        "to": str(Cursor(attempt, gap.end)),
    }


def json_records(piece: Slice) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each record as JSON, after the offset at which it ends; bytes that are no UTF-8 as ``b64``."""
    for record in read_records(piece.data):
        fields = {name: value for name, value in record.header.items() if name != "n"}
        if record.payload is not None:
            fields |= _payload(record.payload)
        yield piece.start + record.end, fields


def json_lines(attempt: int, piece: Slice, stream: str) -> bytes:
    """The records as JSON lines; each says by ``cursor`` where to go on after it."""
    skipped = {"out": "err", "err": "out"}.get(stream)
    return b"".join(
        msgspec.json.encode(fields | {"cursor": str(Cursor(attempt, end))}) + b"\n"
        for end, fields in json_records(piece)
        if fields["k"] != skipped
    )


def _payload(payload: bytes) -> dict[str, str]:
    try:
        return {"text": payload.decode()}
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(payload).decode()}
