"""The files that an attempt left for its readers: list them, and download one.

A job may leave links to anywhere; nothing outside its own folder is listed or sent.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tornado import web
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError

from jupyter_tasks import messages
from jupyter_tasks.errors import NoSuchThing, shortened
from jupyter_tasks.handlers import previews
from jupyter_tasks.handlers.base import TasksHandler, authorized
from jupyter_tasks.messages import Artifact, ArtifactQuery, AttemptQuery
from jupyter_tasks.model import Job

_FOLDER: Final = "artifacts"
_MAX_LISTED: Final = 10_000
_CHUNK_BYTES: Final = 256 * 1024
#: No script, no form, nothing from elsewhere, and an origin of its own.
_SANDBOX: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
#: Neither follow a link in the last step nor wait at a pipe; where a system lacks them, do without.
_OPEN_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class FilesHandler(TasksHandler):
    """Knows where an attempt's files lie, and sends them."""

    def directory(self, job: Job, number: int | None) -> Path:
        """The directory of the attempt that was asked for (the newest by default)."""
        if number is not None and number > job.attempt:
            newest = f"its newest is {job.attempt}" if job.attempt else "it has none yet"
            raise NoSuchThing(f"Job {job.id} has no attempt {number}; {newest}.", job=job.id)
        return Path(self.settings["jupyter_tasks_attempt_dir"](job.id, number or job.attempt))

    async def send(self, descriptor: int, name: str) -> None:
        """Send the file, to be saved under that name, and close it."""
        with os.fdopen(descriptor, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.set_header("Content-Type", "application/octet-stream")
            self.set_header("Content-Length", str(size))
            self.set_attachment_header(name)
            while size > 0 and (chunk := file.read(min(_CHUNK_BYTES, size))):
                size -= len(chunk)
                self.write(chunk)
                try:
                    await self.flush()
                except StreamClosedError:
                    return
        if size > 0:
            self.log.info("Broke off request %s: the file became shorter", self.request_id)
            # Its size has been told: that the rest is missing can only be seen from the end.
            self.detach().close()
            return
        await self.finish(set_content_type="application/octet-stream")


class ArtifactFolderHandler(FilesHandler):
    """Knows where an attempt's artifacts lie."""

    async def folder(self, job_id: str, number: int | None) -> Path:
        """The folder of the attempt that was asked for (the newest by default)."""
        job = await self.manager.get(job_id, self.owner)
        return self.directory(job, number) / _FOLDER


class ArtifactsHandler(ArtifactFolderHandler):
    """``jobs/{job_id}/artifacts``."""

    @web.authenticated
    @authorized("read")
    async def get(self, job_id: str) -> None:
        """The files, by path."""
        number = self.query(AttemptQuery).attempt
        folder = await self.folder(job_id, number)
        query = "" if number is None else f"?attempt={number}"
        found = await IOLoop.current().run_in_executor(None, _list, folder, query)
        self.reply(messages.Artifacts(found))


class ArtifactHandler(ArtifactFolderHandler):
    """``jobs/{job_id}/artifacts/{path}``."""

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """A file's name need not be text."""
        return os.fsdecode(value) if name == "path" else super().decode_argument(value, name)

    @web.authenticated
    @authorized("read")
    async def get(self, job_id: str, path: str) -> None:
        """The file, to be saved: a page that a job made must not act in the server's name."""
        query = self.query(ArtifactQuery)
        folder = await self.folder(job_id, query.attempt)
        descriptor = await IOLoop.current().run_in_executor(None, open_below, folder, path)
        if descriptor is None:
            words = shortened(shown(path))
            raise NoSuchThing(f"Job {job_id} has no artifact {words!r}.", job=job_id, path=words)
        if query.preview:
            await self._show(descriptor, shown(path))
        else:
            await self.send(descriptor, shown(Path(path).name))

    async def _show(self, descriptor: int, name: str) -> None:
        """Send what can be shown of it, in a sandbox: what a job made is not the server's own."""
        found = await IOLoop.current().run_in_executor(None, previews.preview, descriptor, name)
        self.set_header("Content-Security-Policy", _SANDBOX)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Tasks-Preview", found.kind)
        self.set_header("X-Tasks-Size", str(found.size_bytes))
        await self.finish(found.data, set_content_type=found.media_type)


def _list(folder: Path, query: str) -> list[Artifact]:
    found = []
    for path, status in islice(files_below(folder), _MAX_LISTED):
        name = path.relative_to(folder).as_posix()
        href = f"{_FOLDER}/{quote(os.fsencode(name))}{query}"
        name = shown(name)
        kinds = (previews.media_type_of(name), previews.kind_of(name))
        found.append(Artifact(name, href, status.st_size, status.st_mtime, *kinds))
    return sorted(found, key=lambda artifact: (artifact.path, artifact.href))


def shown(name: str) -> str:
    """The name as well as it can be shown: it need not be text."""
    return os.fsencode(name).decode("utf-8", "replace")


def files_below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Regular files, at any depth, through no link."""
    waiting = [folder]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue  # nothing was left there, the job has just removed it, or closed it to us
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path), entry.stat(follow_symlinks=False)


def open_below(folder: Path, path: str) -> int | None:
    """A descriptor of the regular file below the folder; None where there is none."""
    if "\0" in path:
        return None
    root = os.path.realpath(folder)
    real = os.path.realpath(Path(root) / path)
    if not real.startswith(root + os.sep):
        return None
    try:
        descriptor = os.open(real, _OPEN_FLAGS)
    except OSError:
        return None  # not there, a link put in its place, a socket: no file to send
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None
