"""Tasks that were registered while a server ran: files below the state folder, seen by all servers.

Each task is a folder of its owner's, made whole under another name and then renamed: two that
register the same name at once are told apart by the file system. Nothing here looks into a function.
"""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from jupyter_tasks.errors import NameTaken, NoSuchThing, shortened, told_if_full
from jupyter_tasks.tasks import Definition, is_name

_FOLDER: Final = "tasks"
_TASK: Final = "task.json"
_FUNCTION: Final = "function.pkl"
_FULL: Final = "The disk with the tasks is full: there is no room for this one."
#: Begins no task's name.
_HIDDEN: Final = "."


class Registry:
    """The registered tasks of a state folder. All methods block; they may raise OSError."""

    def __init__(self, state_dir: Path) -> None:
        """Make no folder yet."""
        self._folder = state_dir / _FOLDER

    def tasks(self, owner: str) -> dict[str, Definition]:
        """The owner's tasks, by name."""
        try:
            names = sorted(path.name for path in self._of(owner).iterdir())
        except FileNotFoundError:
            return {}
        found = ((name, self._read(owner, name)) for name in names if is_name(name))
        return {name: one for name, one in found if one is not None}

    def get(self, owner: str, name: str) -> Definition | None:
        """The owner's task of that name."""
        return self._read(owner, name) if is_name(name) else None

    def function(self, owner: str, name: str) -> Path:
        """Where the function of a task lies that was sent by value."""
        return self._of(owner) / name / _FUNCTION

    def add(self, owner: str, one: Definition, lay: Callable[[Path], None] | None = None) -> None:
        """Keep a new task; ``lay`` puts the file of its function where it is told.

        It is on disk, whole, when this returns. Raises NameTaken, NoSpace, and what ``lay`` raises.
        """
        home = self._of(owner)
        part = home / f"{_HIDDEN}{secrets.token_hex(8)}"
        with told_if_full(_FULL):
            part.mkdir(mode=0o700, parents=True)
            try:
                if lay is not None:
                    lay(part / _FUNCTION)
                _write(part / _TASK, msgspec.json.encode(one))
                _sync(part)
                _rename_new(part, home / one.name)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
            _sync(home)

    def remove(self, owner: str, name: str) -> None:
        """Forget this one task; raises NoSuchThing."""
        home = self._of(owner)
        gone = home / f"{_HIDDEN}{secrets.token_hex(8)}"
        if not is_name(name):
            raise no_such_task(name)
        try:
            (home / name).rename(gone)
        except FileNotFoundError:
            raise no_such_task(name) from None
        _sync(home)
        shutil.rmtree(gone, ignore_errors=True)

    def _read(self, owner: str, name: str) -> Definition | None:
        try:
            written = (self._of(owner) / name / _TASK).read_bytes()
            return msgspec.json.decode(written, type=Definition)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None  # removed meanwhile, or none of ours

    def _of(self, owner: str) -> Path:
        """An owner's name may hold anything; a digest of it can be a folder's."""
        digest = hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self._folder / f"of-{digest}"


def no_such_task(name: str) -> NoSuchThing:
    """What is said where there is no task of that name."""
    shown = shortened(name)
    return NoSuchThing(f"There is no task {shown!r}; GET tasks/api/tasks lists them.", task=shown)


def taken(name: str, where: str) -> NameTaken:
    """What is said where there is one."""
    return NameTaken(
        f"A task {name!r} exists already ({where}); choose another name, or remove that one first.",
        task=name,
    )


def _rename_new(part: Path, home: Path) -> None:
    try:
        part.rename(home)  # a folder that is not empty is never replaced
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        raise taken(home.name, "registered") from None


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
