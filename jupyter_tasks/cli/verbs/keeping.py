"""``artifacts``: the files that a job left, listed, shown and fetched."""

import argparse
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from jupyter_tasks import units, words
from jupyter_tasks.cli import exits, tables
from jupyter_tasks.cli.desk import Desk
from jupyter_tasks.client import JobHandle
from jupyter_tasks.client.calls import Wire
from jupyter_tasks.errors import BadMessage, NoSuchThing

_COLUMNS = ("PATH", "SIZE", "SHOWN AS")


def artifacts(arguments: argparse.Namespace, desk: Desk) -> int:
    """List them, or do with them what is asked."""
    handle = desk.client.job(arguments.id)
    if arguments.get is not None:
        _get(handle, arguments.get, arguments.to, desk)
    elif arguments.show is not None:
        desk.printer.raw("out", handle.preview(_named(handle, arguments.show)).data)
    elif arguments.all is not None:
        _get_all(handle, arguments.all, arguments.to, desk)
    else:
        _list(handle.artifacts(), desk)
    return exits.OK


def _list(files: Iterable[Wire], desk: Desk) -> None:
    if desk.printer.as_json:
        for file in files:
            desk.printer.document(file)
        return
    rows = [
        (words.plain(file["path"]), units.size(file["size_bytes"]), file["preview"] or "")
        for file in files
    ]
    desk.printer.line(tables.table(_COLUMNS, rows) if rows else "It left no files.")


def _get(handle: JobHandle, path: str, to: str | None, desk: Desk) -> None:
    file = _named(handle, path)
    if to == "-":
        data = handle.download(file)
        assert isinstance(data, bytes)
        desk.printer.raw("out", data)
        return
    where = to or PurePosixPath(path).name
    _must_be_free(where, is_named=to is not None)
    _tell(handle.download(file, where), desk)


def _get_all(handle: JobHandle, form: str, to: str | None, desk: Desk) -> None:
    if to == "-":
        raise BadMessage(f"An archive goes into a file: --to {handle.id}.{form}")
    where = to or f"{handle.id}.{form}"
    _must_be_free(where, is_named=to is not None)
    _tell(handle.archive(where, "tar" if form == "tar" else "zip"), desk)


def _named(handle: JobHandle, path: str) -> Wire:
    """The artifact that the list shows by that path: its name need not be text."""
    for file in handle.artifacts():
        if file["path"] == path:
            return file
    raise NoSuchThing(f"Job {handle.id} has no artifact {path!r}.", job=handle.id, path=path)


def _must_be_free(where: str, *, is_named: bool) -> None:
    """A job chose that name: it must not overwrite what nobody has named."""
    if not is_named and Path(where).exists():
        raise BadMessage(f"{where} is there already; name a file by --to.")


def _tell(written: bytes | Path, desk: Desk) -> None:
    if desk.printer.as_json:
        desk.printer.document({"written": str(written)})
    else:
        desk.printer.line(words.plain(str(written)))
