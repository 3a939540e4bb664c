"""Notebooks that are to be run: where they are, what they say, where their outputs go.

Nothing of nbformat's is loaded: what is wrong with a notebook is found by what is needed of it.
Everything here blocks.
"""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from jupyter_core.paths import is_hidden

from jupyter_tasks.errors import BadMessage, shortened

MAX_NOTEBOOK_BYTES: Final = 512 * 1024 * 1024
_FORMAT: Final = 4
_SUFFIX: Final = ".ipynb"
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0)


class _KernelName(msgspec.Struct):
    name: str = ""


class _Metadata(msgspec.Struct):
    kernelspec: _KernelName | None = None


class _CellMetadata(msgspec.Struct):
    tags: list[str] = []


class _Cell(msgspec.Struct):
    cell_type: str
    source: str | list[str] = ""
    metadata: _CellMetadata = msgspec.field(default_factory=_CellMetadata)


class _Notebook(msgspec.Struct):
    nbformat: int
    cells: list[_Cell]
    nbformat_minor: int = 0
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Format(msgspec.Struct):
    nbformat: int


_NOTEBOOK: Final = msgspec.json.Decoder(_Notebook)
_FORMAT_ALONE: Final = msgspec.json.Decoder(_Format)


@dataclass(frozen=True, slots=True)
class Found:
    """A notebook that can be run: its path below the root folder, and the kernel that it names."""

    path: str
    kernel: str


class Shelf:
    """The notebooks below one root folder, as Jupyter's file browser offers them."""

    def __init__(self, root: str, *, hidden: bool) -> None:
        """Look at nothing yet. ``hidden``: whether hidden files may be used."""
        self._root = os.path.realpath(root)
        self._hidden = hidden

    def look_at(self, path: str) -> Found:
        """The notebook at the path (below the root folder, or a full path); raises BadMessage."""
        notebook = _understood(self.read(path), path)
        kernel = notebook.metadata.kernelspec
        return Found(self._relative(path), kernel.name if kernel else "")

    def read(self, path: str) -> bytes:
        """What is in the file; raises BadMessage."""
        return _read(self._place(path, "path"), path)

    def must_be_writable(self, output: str, path: str) -> str:
        """Where the output notebook goes, below the root folder; raises BadMessage.

        It is another file than the notebook at ``path``, in a folder that is there.
        """
        if not output.endswith(_SUFFIX):
            raise _refusal(f"`output` must end in {_SUFFIX}; {output!r} does not.", "output")
        folder = self._place(os.path.dirname(output) or ".", "output")
        place = os.path.join(folder, os.path.basename(output))
        if _is_same(place, self._place(path, "path")):
            raise _refusal(
                f"`output` is the notebook {path!r} itself, which stays as it is; name another.",
                "output",
            )
        if os.path.isdir(place):
            raise _refusal(f"{output!r} is a folder; name a file as `output`.", "output")
        self._must_be_folder(folder)
        return self._relative(output)

    def must_be_writable_beside(self, path: str) -> None:
        """Whether outputs can be written beside the notebook at the path; raises BadMessage."""
        self._must_be_folder(os.path.dirname(os.path.join(self._root, path)))

    def _must_be_folder(self, folder: str) -> None:
        if not os.path.isdir(folder):
            words = f"The folder {folder!r} of the output notebook is not there"
            raise _refusal(f"{words}; make it, or name another `output`.", "output")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _refusal(
                f"Nothing can be written to the folder {folder!r}, so no output notebook either; "
                "name one elsewhere as `output`.",
                "output",
            )

    def _place(self, path: str, field: str) -> str:
        """The real file or folder, which lies below the root, links or not; raises BadMessage."""
        real = os.path.realpath(os.path.join(self._root, path))
        if real != self._root and not real.startswith(self._root.rstrip(os.sep) + os.sep):
            raise _refusal(
                f"{path!r} is outside of the root folder of this server, or leads there by a link; "
                f"`{field}` must be below it.",
                field,
            )
        if not self._hidden and (is_hidden(real, self._root) or self._is_path_hidden(path)):
            raise _refusal(f"{path!r} is hidden; this server does not offer hidden files.", field)
        return real

    def _is_path_hidden(self, path: str) -> bool:
        return any(
            part.startswith(".") and part not in (".", "..")
            for part in self._relative(path).split("/")
        )

    def _relative(self, path: str) -> str:
        """The path below the root, as Jupyter's own API has it."""
        whole = os.path.normpath(os.path.join(self._root, path))
        if os.path.isabs(path) and not whole.startswith(self._root.rstrip(os.sep) + os.sep):
            whole = os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))
        return os.path.relpath(whole, self._root).replace(os.sep, "/")


def snapshot(root: str, path: str, output: str, to: str) -> None:
    """Copy the notebook to that file, whole or not at all; raises OSError with a sentence.

    What was looked at before may have become another file, or a link: it is looked at again.
    """
    shelf = Shelf(root, hidden=True)
    try:
        data = shelf.read(path)
        _understood(data, path)
        shelf.must_be_writable(output, path)
    except BadMessage as error:
        raise OSError(errno.EINVAL, error.message.rstrip(".")) from None
    part = Path(f"{to}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
    part.rename(to)


def _read(real: str, path: str) -> bytes:
    try:
        descriptor = os.open(real, _OPEN_FLAGS)
    except OSError as error:
        words = (
            "is not there"
            if isinstance(error, FileNotFoundError)
            else f"cannot be read: {error.strerror}"
        )
        raise _refusal(f"The notebook {path!r} {words}.", "path") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _refusal(f"{path!r} is no file; `path` must name a notebook.", "path")
    with open(descriptor, "rb") as file:
        if status.st_size > MAX_NOTEBOOK_BYTES:
            raise _refusal(
                f"The notebook {path!r} has {status.st_size} bytes, more than {MAX_NOTEBOOK_BYTES}; "
                "clear its outputs.",
                "path",
            )
        return file.read()


def _understood(data: bytes, path: str) -> _Notebook:
    try:
        found = _FORMAT_ALONE.decode(data).nbformat
        if found != _FORMAT:
            raise _refusal(
                f"The notebook {path!r} has format {found}, and format {_FORMAT} can be run; open it "
                "in JupyterLab and save it.",
                "path",
            )
        return _NOTEBOOK.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(
            f"{path!r} is no notebook: {shortened(str(error))}. A file of nbformat 4 is needed.",
            "path",
        ) from None


def _is_same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False  # there is nothing yet


def _refusal(words: str, field: str) -> BadMessage:
    return BadMessage(words, field=f"spec.{field}")
