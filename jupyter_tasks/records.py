"""Records: how an attempt's output lies on disk and on the wire. Pure bytes, no file.

A record is a header, one line of ASCII JSON, and, where the header ends with the field ``n``, as many
raw bytes and a newline. Program output is never escaped, copied or decoded on its way.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

_SIZE_FIELD = b'"n":'

#: What can be written as it is.
Piece = bytes | bytearray | memoryview


class Record(NamedTuple):
    """One piece of output: its header, its bytes, and where it lies (logical offsets)."""

    header: dict[str, Any]
    payload: bytes | None
    start: int
    end: int


def encode_record(kind: str, t: float, payload: Piece | None = None, **fields: Any) -> list[Piece]:
    """The pieces of one record, to be written together. ``n`` is always the header's last field."""
    more = json.dumps(fields)[1:-1] if fields else ""
    head = f'{{"k":"{kind}","t":{t:.4f}{"," if more else ""}{more}'
    if payload is None:
        return [f"{head}}}\n".encode()]
    return [f'{head},"n":{len(payload)}}}\n'.encode(), payload, b"\n"]


def printed(kind: str, payload: bytes | None) -> tuple[str, bytes] | None:
    """What a record prints on a terminal, and to which stream; None for what prints nothing.

    A rich output is printed as the plain text that came with it, an error as its traceback.
    """
    if kind in ("out", "err"):
        return kind, payload or b""
    if kind != "display":
        return None
    output = json.loads(payload or b"{}")
    is_error = output.get("output_type") == "error"
    text = output.get("traceback") if is_error else output.get("data", {}).get("text/plain")
    if not text:
        return None
    joined = text if isinstance(text, str) else ("\n" if is_error else "").join(text)
    return "err" if is_error else "out", f"{joined}\n".encode("utf-8", "replace")


def record_size(buffer: bytes | bytearray, at: int = 0) -> int | None:
    """How long the record is that starts there; None where its header is not whole.

    Raises ValueError where no record can start there.
    """
    if at >= len(buffer):
        return None
    if buffer[at] != 0x7B:
        raise ValueError(f"No record starts at byte {at}.")
    newline = buffer.find(b"\n", at)
    if newline < 0:
        return None
    field = buffer.rfind(_SIZE_FIELD, at, newline)
    payload = 0 if field < 0 else int(buffer[field + len(_SIZE_FIELD) : newline - 1]) + 1
    return newline + 1 - at + payload


def last_boundary(buffer: bytes, at: int = 0) -> int:
    """Where the last whole record of the buffer ends; ``at`` where there is none.

    Looks at headers only. What is no record (a torn write) ends the walk.
    """
    size = len(buffer)
    while True:
        try:
            length = record_size(buffer, at)
        except ValueError:
            return at
        if length is None or at + length > size:
            return at
        at += length


def read_records(buffer: bytes, base: int = 0) -> Iterator[Record]:
    """The whole records of a buffer that starts at a boundary; ``base`` is its logical offset."""
    at = 0
    while True:
        length = record_size(buffer, at)
        if length is None or at + length > len(buffer):
            return
        newline = buffer.index(b"\n", at)
        header = json.loads(buffer[at:newline])
        payload = buffer[newline + 1 : at + length - 1] if "n" in header else None
        yield Record(header, payload, base + at, base + at + length)
        at += length
