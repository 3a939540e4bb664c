"""Records: how an attempt's output lies on disk and on the wire. Pure bytes, no file.

A record is a header, one line of ASCII JSON, and, where the header ends with the field ``n``, as many
raw bytes and a newline. Program output is never escaped, copied or decoded on its way.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mmap import mmap

_SIZE_FIELD = b'"n":'
_SVG = "image/svg+xml"
#: The best first.
_PICTURES = ("image/png", "image/jpeg", _SVG)
#: What is shown as it stands is kept in every copy of a notebook.
_MAX_PICTURES = 8
_MAX_PICTURES_BYTES = 2 * 1024 * 1024

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
    told = (
        _joined(output, "traceback", "\n")
        if is_error
        else _joined(output.get("data"), "text/plain")
    )
    if not told:
        return None
    return "err" if is_error else "out", f"{told}\n".encode("utf-8", "replace")


def _joined(bundle: object, name: str, between: str = "") -> str:
    """A text of a bundle, which may be in parts; nothing for what is none: kernels send anything."""
    told = bundle.get(name) if isinstance(bundle, dict) else None
    return between.join(map(str, told)) if isinstance(told, list) else str(told or "")


class Ending(NamedTuple):
    """The end of an output, for where it is shown as it stands: text, and pictures as data URLs."""

    text: str = ""
    pictures: tuple[str, ...] = ()


def ending(records: Iterable[Record], max_text_bytes: int) -> Ending:
    """What people see of those records: the last text, and the last pictures within some bounds."""
    text: list[bytes] = []
    pictures: dict[str | int, str] = {}
    for record in records:
        kind = record.header["k"]
        if kind == "clear":
            pictures.clear()
        elif kind in ("display", "update") and (url := _picture(record.payload)):
            pictures[record.header.get("display_id", record.start)] = url
        elif told := printed(kind, record.payload):
            text.append(told[1])
    last = b"".join(text)[-max_text_bytes:].decode(errors="replace")
    return Ending(last, _bounded(list(pictures.values())))


def _picture(payload: bytes | None) -> str | None:
    """The picture of a rich output, as a URL that holds it; None where it has none."""
    data = json.loads(payload or b"{}").get("data")
    for kind in _PICTURES:
        if told := _joined(data, kind):
            text = told.encode("utf-8", "replace")
            coded = base64.b64encode(text).decode() if kind == _SVG else "".join(told.split())
            return f"data:{kind};base64,{coded}"
    return None


def _bounded(pictures: list[str]) -> tuple[str, ...]:
    kept: list[str] = []
    room = _MAX_PICTURES_BYTES
    for picture in reversed(pictures[-_MAX_PICTURES:]):
        room -= len(picture)
        if room < 0:
            break
        kept.insert(0, picture)
    return tuple(kept)


def record_size(buffer: "bytes | bytearray | mmap", at: int = 0) -> int | None:
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


def last_boundary(buffer: "bytes | bytearray | mmap", at: int = 0) -> int:
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
