"""What of an artifact can be shown as it is, and safely: text, pictures, notebooks as JSON.

Whatever a job made is sent with a type of ours, never one that it chose, and in a sandbox without
scripts: a page of its own must not act in the server's name.
"""

import codecs
import os
from dataclasses import dataclass
from mimetypes import MimeTypes
from pathlib import PurePosixPath
from typing import Final

import msgspec

from jupyter_tasks.errors import NoPreview
from jupyter_tasks.messages import PreviewKind

#: How much of a text is shown.
TEXT_BYTES: Final = 256 * 1024
#: Larger pictures and notebooks are for downloading.
_MAX_BYTES: Final = 16 * 1024 * 1024
#: Of this machine's own tables nothing: an answer must not depend on them.
_TYPES: Final = MimeTypes()
_PICTURES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".svg": "image/svg+xml",
}
_TEXTS: Final = frozenset(
    [
        ".log",
        ".out",
        ".err",
        ".md",
        ".rst",
        ".tex",
        ".toml",
        ".ini",
        ".cfg",
        ".yaml",
        ".yml",
        ".json",
        ".jsonl",
        ".ndjson",
        ".xml",
        ".r",
        ".jl",
        ".sql",
        ".sh",
    ]
)
_NOTEBOOK: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What is shown: ``data`` is all of it, or the beginning of ``size_bytes``."""

    kind: PreviewKind
    media_type: str
    data: bytes
    size_bytes: int


def media_type_of(name: str) -> str:
    """What a file of that name is by common agreement; nobody has looked into it."""
    return _TYPES.guess_type(PurePosixPath(name).name)[0] or "application/octet-stream"


def kind_of(name: str) -> PreviewKind | None:
    """How a file of that name would be shown; None where only a look into it can tell."""
    end = PurePosixPath(name).suffix.lower()
    if end == ".ipynb":
        return "notebook"
    if end in _PICTURES:
        return "image"
    return "text" if end in _TEXTS or media_type_of(name).startswith("text/") else None


def preview(descriptor: int, name: str) -> Preview:
    """What to show of the file, which is closed then; blocks. Raises NoPreview."""
    kind = kind_of(name) or "text"
    limit = TEXT_BYTES if kind == "text" else _MAX_BYTES
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(limit + 1)
        size_bytes = max(os.fstat(file.fileno()).st_size, len(data))
    if kind != "text" and len(data) > limit:
        raise NoPreview(f"{name!r} is larger than {limit} bytes; download it.", path=name)
    match kind:
        case "text":
            media_type = "text/plain; charset=utf-8"
            data = _text(data[:limit], name, is_whole=len(data) <= limit)
        case "notebook":
            _must_be_notebook(data, name)
            media_type = "application/json"
        case "image":
            media_type = _PICTURES[PurePosixPath(name).suffix.lower()]
    return Preview(kind=kind, media_type=media_type, data=data, size_bytes=size_bytes)


def _text(data: bytes, name: str, *, is_whole: bool) -> bytes:
    """The data; of a longer text, up to the last whole character."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(data, final=is_whole)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise NoPreview(f"{name!r} is no text, picture or notebook; download it.", path=name)
    return text.encode()


def _must_be_notebook(data: bytes, name: str) -> None:
    try:
        is_notebook = "cells" in _NOTEBOOK.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        is_notebook = False
    if not is_notebook:
        raise NoPreview(f"{name!r} is not a whole notebook; download it.", path=name)
