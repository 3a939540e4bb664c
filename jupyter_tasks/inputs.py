"""Uploaded values on their way to jobs: files of the state folder, shared by all of its servers.

An upload lies in a folder of its owner's. A submit first makes a second link to it, named after the
new job (the mark), then commits, then moves the mark into the job's folder; a function has a mark of
its own. So whatever stops a
server in between, a mark tells what was meant, and the store whether it has come true. Nothing here
looks into the values.
"""

import asyncio
import errno
import hashlib
import logging
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from jupyter_tasks import attempt
from jupyter_tasks.errors import BadMessage, StoreUnavailable, shortened, told_if_full
from jupyter_tasks.model import CodeSpec, FunctionSpec, Job, Spec

#: What no job took is removed after a day.
_KEPT_S: Final = 24 * 3600.0
_FULL: Final = "The disk with the jobs is full: there is no room for these values. Free some space, and try again."
_FOLDER: Final = "inputs"
_MARKS: Final = "taken"
_PART: Final = ".part"
_ID_BYTES: Final = 16
#: How a mark goes on after the job's id, and what it becomes in the job's folder.
_VALUES: Final = ""
_FUNCTION: Final = ".function"
_BECOMES: Final = {_VALUES: attempt.inputs_path, _FUNCTION: attempt.function_path}


class Taken(NamedTuple):
    """An upload that is on disk."""

    id: str
    size_bytes: int


class Upload:
    """One upload, piece by piece. Its methods block; they may be called from any thread.

    What goes wrong with a piece is told at the end, when somebody listens.
    """

    def __init__(self, folder: Path) -> None:
        """Make no file yet."""
        self._id = secrets.token_hex(_ID_BYTES)
        self._path = folder / self._id
        self._part = folder / f"{self._id}{_PART}"
        self._size_bytes = 0
        self._descriptor: int | None = None
        self._failure: OSError | None = None
        self._is_over = False
        self._lock = threading.Lock()

    def write(self, data: bytes | bytearray) -> None:
        """Take a piece."""
        with self._lock:
            if self._is_over:
                return
            try:
                self._write(memoryview(data))
            except OSError as error:
                self._failure = error
                self._remove()

    def finish(self) -> Taken | None:
        """Put it in its place, on disk; None where it was dropped. Raises NoSpace or OSError."""
        with self._lock, told_if_full(_FULL):
            if self._failure is not None:
                raise self._failure
            if self._is_over:
                return None
            try:
                os.fsync(self._open())
                self._close()
                self._part.rename(self._path)
                _sync(self._path.parent)
            except OSError:
                self._remove()
                raise
            return Taken(self._id, self._size_bytes)

    def drop(self) -> None:
        """Leave nothing of what has not been finished."""
        with self._lock:
            self._remove()

    def _open(self) -> int:
        if self._descriptor is None:
            _make(self._part.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._part, flags, 0o600)
        return self._descriptor

    def _write(self, data: memoryview) -> None:
        descriptor = self._open()
        while data:
            written = os.write(descriptor, data)
            self._size_bytes += written
            data = data[written:]

    def _close(self) -> None:
        self._is_over = True
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _remove(self) -> None:
        self._close()
        self._part.unlink(missing_ok=True)


class Inputs:
    """The uploads of a state folder. Nothing is remembered here: the files are all there is."""

    def __init__(
        self, state_dir: Path, *, is_known: Callable[[str], Awaitable[bool]], log: logging.Logger
    ) -> None:
        """Make no folder yet. ``is_known`` tells whether the store has a job of that id."""
        self._state_dir = state_dir
        self._is_known = is_known
        self._log = log

    async def begin(self, owner: str) -> Upload:
        """A new upload of the owner's. What is too old goes first."""
        await self.sweep()
        return Upload(_folder_of(self._state_dir, owner))

    @asynccontextmanager
    async def given_to(self, jobs: Sequence[Job]) -> AsyncIterator[None]:
        """Give new jobs their values; they have them once the block has put them into the store.

        Raises BadMessage where an upload is not there, or not the owner's.
        """
        wanting = [job for job in jobs if wanted(job.spec)]
        if not wanting:
            yield
            return
        try:
            await asyncio.to_thread(self._mark, wanting)
            yield
        finally:
            await self._see_to([job.id for job in wanting], is_over=True)

    def lay(self, owner: str, upload: str, path: Path) -> None:
        """Put the owner's upload at the path, too; blocks. Raises BadMessage where there is none."""
        try:
            path.hardlink_to(_upload_of(self._state_dir, owner, upload))
        except FileNotFoundError:
            raise _unknown(_FUNCTION, upload) from None

    def lay_back(self, owner: str, upload: str, path: Path) -> None:
        """See to it that the upload is there, where ``lay`` has put it at the path; blocks.

        Raises FileNotFoundError where it is there no more.
        """
        folder = _folder_of(self._state_dir, owner)
        _make(folder)
        os.utime(path)  # (of both: they are one file)
        with suppress(FileExistsError):
            (folder / upload).hardlink_to(path)

    async def sweep(self) -> None:
        """Finish what a crash has cut short, and remove what nobody has taken for a day."""
        try:
            marks = await asyncio.to_thread(self._remove_old)
            job_ids = {mark.name.partition(".")[0] for mark in marks}
            await self._see_to(sorted(job_ids), is_over=False)
        except OSError as error:
            self._log.warning("Failed to remove old uploads; trying again later: %s", error)

    def _mark(self, jobs: Sequence[Job]) -> None:
        marks = _marks(self._state_dir)
        with told_if_full(_FULL):
            _make(marks)
            for job in jobs:
                for kind, upload in wanted(job.spec).items():
                    try:
                        path = _upload_of(self._state_dir, job.owner, upload)
                        os.utime(path)  # who submits again has a day from now on, as its key has
                        (marks / f"{job.id}{kind}").hardlink_to(path)
                    except FileNotFoundError:
                        raise _unknown(kind, upload) from None
            _sync(marks)

    async def _see_to(self, job_ids: Sequence[str], *, is_over: bool) -> None:
        """Let the store say what becomes of the marks of these jobs.

        ``is_over``: whether their submit is; else those that are young may yet come true.
        """
        for job_id in job_ids:
            try:
                is_known = await self._is_known(job_id)
            except StoreUnavailable as error:
                self._log.warning("Failed to look after the values of job %s: %s", job_id, error)
                return  # the next upload, or the next start, looks again
            if is_known:
                await asyncio.to_thread(_settle, self._state_dir, job_id)
            else:
                await asyncio.to_thread(self._unmark, job_id, 0.0 if is_over else _KEPT_S)

    def _unmark(self, job_id: str, older_than_s: float) -> None:
        for kind in _BECOMES:
            mark = _marks(self._state_dir) / f"{job_id}{kind}"
            with suppress(FileNotFoundError):
                # (A link has no time of its own: that of the last one to the same file is later.)
                if time.time() - mark.stat().st_ctime >= older_than_s:
                    mark.unlink()

    def _remove_old(self) -> list[Path]:
        """Remove what is too old; returns the marks, which are for the store to judge."""
        oldest = time.time() - _KEPT_S
        for path in (self._state_dir / _FOLDER).glob("of-*/*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
        return list(_marks(self._state_dir).glob("*"))


def settle(state_dir: Path, job: Job) -> bool:
    """Bring what a job in the store was given to its folder; whether all of it is there.

    Blocks; may be done again, and by several at once. Raises OSError.
    """
    kinds = wanted(job.spec)
    if kinds:
        _settle(state_dir, job.id)
    return all(Path(_BECOMES[kind](state_dir, job.id)).exists() for kind in kinds)


def release(state_dir: Path, job: Job) -> None:
    """Forget what a job was given whose files have been removed; blocks.

    An upload that no other job has goes with it.
    """
    for kind, name in wanted(job.spec).items():
        (_marks(state_dir) / f"{job.id}{kind}").unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            upload = _upload_of(state_dir, job.owner, name)
            if upload.stat().st_nlink == 1:
                upload.unlink()


def wanted(spec: Spec) -> dict[str, str]:
    """The ids of the uploads that the spec names, by what they are for."""
    named = {}
    if isinstance(spec, CodeSpec | FunctionSpec):
        named[_VALUES] = spec.inputs
    if isinstance(spec, FunctionSpec):
        named[_FUNCTION] = spec.load.upload
    return {kind: upload for kind, upload in named.items() if upload is not None}


def _settle(state_dir: Path, job_id: str) -> None:
    for kind, becomes in _BECOMES.items():
        mark = _marks(state_dir) / f"{job_id}{kind}"
        if mark.exists():
            attempt.create_job(state_dir, job_id)
            with suppress(FileNotFoundError):  # somebody else was faster
                mark.rename(becomes(state_dir, job_id))


def _folder_of(state_dir: Path, owner: str) -> Path:
    """An owner's name may hold anything; a digest of it can be a folder's."""
    digest = hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return state_dir / _FOLDER / f"of-{digest}"


def _marks(state_dir: Path) -> Path:
    return state_dir / _FOLDER / _MARKS


def _upload_of(state_dir: Path, owner: str, name: str) -> Path:
    """Where the upload lies; raises FileNotFoundError for what is no upload's id."""
    if len(name) != 2 * _ID_BYTES or not all(digit in "0123456789abcdef" for digit in name):
        raise FileNotFoundError(errno.ENOENT, "This is no upload's id", name)
    return _folder_of(state_dir, owner) / name


def _unknown(kind: str, name: str) -> BadMessage:
    what, field = _NAMES[kind]
    return BadMessage(
        f"There {what} {shortened(name)!r} of yours here; upload anew "
        "(POST tasks/api/inputs): what no job takes is kept for a day.",
        field=field,
        inputs=shortened(name),
    )


_NAMES: Final = {
    _VALUES: ("are no uploaded values", "spec.inputs"),
    _FUNCTION: ("is no uploaded function", "spec.load.upload"),
}


def _make(folder: Path) -> None:
    for one in (folder.parent, folder):
        one.mkdir(mode=0o700, exist_ok=True)


def _sync(folder: Path) -> None:
    """See to it that the names in the folder are on disk, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
