"""The output notebook while it is made: its cells, what they have put out, and the file.

It owns nbformat 4 as far as running a notebook touches it. What is in the file is a whole and valid
notebook at any moment: each version is written beside it and put in its place. Each cell is encoded
once, however often the file is written.
"""

import codecs
import contextlib
import json
import os
import secrets
import time
from typing import Any

Message = dict[str, Any]
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_NAMES = {"out": "stdout", "err": "stderr"}
#: From this minor version on, each cell has an id, and none has one before.
_IDS_FROM = 5
PARAMETERS = "parameters"
INJECTED = "injected-parameters"


class Cell:
    """A code cell and what it has put out so far; text is joined when it is needed."""

    def __init__(self, content: Message, number: int) -> None:
        """Nothing has been put out. ``number``: of the cells that are run, from 1 on."""
        self.content = content
        self.number = number
        self.source = joined(content.get("source", ""))
        self.size = 0
        self.is_clear_due = False
        self._texts: list[str] = []
        self._decoders = {kind: _Decoder(errors="replace") for kind in _NAMES}

    @property
    def first_line(self) -> str:
        """The first line that says something."""
        return next((line.strip() for line in self.source.splitlines() if line.strip()), "")

    @property
    def outputs(self) -> list[Message]:
        """Its outputs, as nbformat has them."""
        outputs: list[Message] = self.content["outputs"]
        if self._texts:
            outputs[-1]["text"] += "".join(self._texts)
            self._texts.clear()
        return outputs

    def print(self, kind: str, data: bytes) -> None:
        """Add printed bytes: text of the same stream goes on in one output."""
        text = self._decoders[kind].decode(data)
        outputs: list[Message] = self.content["outputs"]
        if not text:
            return
        if not outputs or outputs[-1].get("name") != _NAMES[kind]:
            self.add({"output_type": "stream", "name": _NAMES[kind], "text": ""}, 0)
        self.size += len(data)
        self._texts.append(text)

    def add(self, output: Message, size: int) -> None:
        """Add an output."""
        self.outputs.append(output)
        self.size += size

    def clear(self) -> None:
        """Remove its outputs."""
        self._texts.clear()
        self.content["outputs"] = []
        self.size, self.is_clear_due = 0, False


class Document:
    """A notebook that is run, and the file that it is written to."""

    def __init__(self, notebook: Message, *, injected: str | None, max_bytes: int) -> None:
        """Take the notebook, without its old outputs. ``injected``: the source of its parameters.

        ``max_bytes``: of the outputs that are kept. What has been left out is told where it would be.
        """
        self._notebook = notebook
        self._max_bytes = max_bytes
        self._kept_bytes = 0
        self._is_full = False
        if injected is not None:
            _inject(notebook, injected)
        self._has_ids = int(notebook.get("nbformat_minor", 0)) >= _IDS_FROM
        for content in notebook["cells"]:
            _make_whole(content, has_id=self._has_ids)
        runnable = [content for content in notebook["cells"] if _is_run(content)]
        self.cells = [Cell(content, number) for number, content in enumerate(runnable, 1)]
        self._encoded: dict[int, bytes] = {}
        self._shown: dict[str, list[tuple[Cell, Message]]] = {}

    @property
    def metadata(self) -> Message:
        """The notebook's own."""
        metadata: Message = self._notebook["metadata"]
        return metadata

    # -- what cells put out -------------------------------------------------------------------------

    def print(self, cell: Cell, kind: str, data: bytes) -> None:
        """The cell has printed these bytes, to ``out`` or ``err``."""
        self._make_ready(cell)
        left = self._max_bytes - self._kept_bytes
        if not self._is_full and len(data) > left:
            cell.print(kind, data[:left])
        if self._has_room(cell, len(data)):
            cell.print(kind, data)

    def show(self, cell: Cell, output: Message, size: int, display_id: str | None) -> None:
        """The cell has put out something rich. An error is kept in any case."""
        self._make_ready(cell)
        if output["output_type"] != "error" and not self._has_room(cell, size):
            return
        cell.add(output, size)
        if display_id is not None:
            self._shown.setdefault(display_id, []).append((cell, output))

    def update(self, display_id: str, output: Message) -> None:
        """Put that in the place of all that is shown under the id, in whatever cell."""
        for cell, shown in self._shown.get(display_id, ()):
            shown["data"], shown["metadata"] = output.get("data", {}), output.get("metadata", {})
            self.touch(cell)

    def clear(self, cell: Cell, *, wait: bool) -> None:
        """Remove what the cell has put out: now, or (``wait``) when something comes in its place."""
        if wait:
            cell.is_clear_due = True
            return
        self._remove(cell)

    def touch(self, cell: Cell) -> None:
        """The cell is not what it was when it was last written."""
        self._encoded.pop(id(cell.content), None)

    def _make_ready(self, cell: Cell) -> None:
        self.touch(cell)
        if cell.is_clear_due:
            self._remove(cell)

    def _remove(self, cell: Cell) -> None:
        self._kept_bytes = max(0, self._kept_bytes - cell.size)
        cell.clear()
        self.touch(cell)
        self._is_full = False
        for display_id, shown in self._shown.items():
            self._shown[display_id] = [one for one in shown if one[0] is not cell]

    def _has_room(self, cell: Cell, size: int) -> bool:
        if self._is_full:
            return False
        if self._kept_bytes + size <= self._max_bytes:
            self._kept_bytes += size
            return True
        self._is_full = True
        words = f"\nWhat was put out from here on is not kept here: it is more than {self._max_bytes} bytes.\n"
        cell.print("err", words.encode())
        return False

    # -- the file -----------------------------------------------------------------------------------

    def write(self, path: str, part: str, mode: int, *, is_last: bool = False) -> None:
        """Put the notebook as it is now at the path; raises OSError, and leaves what is there.

        ``part``: the name of the file beside it that is written first. The last version is on disk
        when this returns.
        """
        beside = os.path.join(os.path.dirname(path), part)
        try:
            fd = os.open(beside, _FLAGS, 0o600)
            with open(fd, "wb") as file:
                os.fchmod(fd, mode)
                file.writelines(self._pieces())
                file.flush()
                if is_last:
                    os.fsync(fd)
            os.rename(beside, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise

    def _pieces(self) -> list[bytes]:
        """A line for each cell, so that two versions can be compared."""
        pieces = [b'{"cells": [']
        of_cells = {id(cell.content): cell for cell in self.cells}
        for content in self._notebook["cells"]:
            key = id(content)
            if key not in self._encoded:
                if key in of_cells:
                    content["outputs"] = of_cells[key].outputs
                self._encoded[key] = _encode(content)
            pieces += [b",\n" if len(pieces) > 1 else b"\n", self._encoded[key]]
        rest = {name: value for name, value in self._notebook.items() if name != "cells"}
        return [*pieces, b"\n],\n", _encode(rest)[1:], b"\n"]


def joined(text: Any) -> str:
    """Text, which nbformat may have as a list of lines."""
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def tags_of(content: Message) -> list[str]:
    """The tags of a cell."""
    tags = (content.get("metadata") or {}).get("tags")
    return [str(tag) for tag in tags] if isinstance(tags, list) else []


def stamp() -> str:
    """Now, as JupyterLab writes it into the metadata of cells."""
    now_ns = time.time_ns()
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_ns // 10**9))
    return f"{whole}.{now_ns // 1000 % 10**6:06d}Z"


_Decoder = codecs.getincrementaldecoder("utf-8")


def _is_run(content: Message) -> bool:
    is_code = content.get("cell_type") == "code" and "skip-execution" not in tags_of(content)
    return is_code and bool(joined(content.get("source", "")).strip())


def _make_whole(content: Message, *, has_id: bool) -> None:
    """Take away the old outputs, and add what older programs have left out."""
    content.setdefault("metadata", {})
    content.setdefault("source", "")
    if has_id and not content.get("id"):
        content["id"] = secrets.token_hex(4)
    if not has_id:
        content.pop("id", None)
    if content.get("cell_type") == "code":
        content["outputs"], content["execution_count"] = [], None
        for name in ("execution", "papermill"):
            content["metadata"].pop(name, None)


def _inject(notebook: Message, source: str) -> None:
    """Put a cell behind the one tagged ``parameters``, in the place of one that was injected before."""
    cells: list[Message] = notebook["cells"]
    cell: Message = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": [INJECTED]},
        "outputs": [],
        "source": source,
    }
    tagged = {tag: number for number, one in reversed([*enumerate(cells)]) for tag in tags_of(one)}
    if INJECTED in tagged:
        cells[tagged[INJECTED]] = cell
    else:
        cells.insert(tagged.get(PARAMETERS, -1) + 1, cell)


def _encode(value: Any) -> bytes:
    """As JSON; half a character, which no file could hold, by its number."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
