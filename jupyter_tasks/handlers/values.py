"""Values of jobs: uploads for jobs to come, and what the code of a job has left. Nothing is unpickled."""

import asyncio
import os
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Final, cast

import msgspec
from jupyter_server.auth import Authorizer
from jupyter_server.utils import ensure_async
from tornado import web
from tornado.http1connection import HTTP1Connection
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError

from jupyter_tasks import attempt, messages
from jupyter_tasks.errors import BadMessage, NoResult, TooLarge
from jupyter_tasks.handlers.artifacts import FilesHandler, open_below
from jupyter_tasks.handlers.base import TasksHandler, authorized
from jupyter_tasks.handlers.calls import is_group, value_pieces
from jupyter_tasks.inputs import Inputs, Upload
from jupyter_tasks.messages import AttemptQuery
from jupyter_tasks.model import ENDED, Attempt, CodeSpec, ExternalSpec, FunctionSpec, Job, State

#: Written together: each piece takes the way to a thread and back.
_PIECE_BYTES: Final = 1024 * 1024
_RESULT: Final = msgspec.json.Decoder(messages.ResultMessage)


class InputsHandler(TasksHandler):
    """``inputs``: the body goes to the disk as it comes, on whichever server is asked."""

    _upload: Upload | None = None

    @property
    def max_body_bytes(self) -> int:
        """The largest upload that is taken."""
        return int(self.settings["jupyter_tasks_max_inputs_bytes"])

    async def before_body(self) -> None:
        """Take from those alone who may.

        Others, and what is too large, are refused at the body's end: who is answered in the middle
        of sending finds a broken connection, and no words.
        """
        user = self.current_user
        if user is None:
            raise web.HTTPError(403)
        cast("HTTP1Connection", self.request.connection).set_max_body_size(sys.maxsize)
        authorizer: Authorizer = self.authorizer
        if await ensure_async(authorizer.is_authorized(self, user, "execute", "tasks")):
            inputs: Inputs = self.settings["jupyter_tasks_inputs"]
            self._upload = await inputs.begin(self.one_owner)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Take a piece; the next one is not read before this one is on its way to the disk."""
        self._body_size += len(chunk)
        if self._upload is None:
            return None
        if self._body_size > self.max_body_bytes:
            upload, self._upload = self._upload, None
            return asyncio.to_thread(upload.drop)
        self._body += chunk
        return self._write(self._upload) if len(self._body) >= _PIECE_BYTES else None

    @web.authenticated
    @authorized("execute")
    async def post(self) -> None:
        """Keep the values for a job to come; on disk before the answer is sent."""
        upload = self._upload
        if upload is None:
            raise self._too_large()
        if not self._body_size:
            raise BadMessage("The body is empty; it should be the values.")
        await self._write(upload)
        taken = await asyncio.to_thread(upload.finish)
        if taken is not None:  # else nobody listens any more
            self.reply(messages.Inputs(taken.id, taken.size_bytes), 201)

    def on_connection_close(self) -> None:
        """Half an upload is none."""
        super().on_connection_close()
        self._drop()

    def on_finish(self) -> None:
        """What has been refused leaves nothing."""
        super().on_finish()
        self._drop()

    async def _write(self, upload: Upload) -> None:
        piece, self._body = self._body, bytearray()
        await asyncio.to_thread(upload.write, piece)

    def _drop(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            IOLoop.current().run_in_executor(None, upload.drop)

    def _too_large(self) -> TooLarge:
        limit = self.max_body_bytes
        return TooLarge(
            f"These values take more than the {limit} bytes that this server keeps for a job; let the "
            "code read them from a file, or set TasksExtension.max_inputs_bytes.",
            max_inputs_bytes=limit,
        )


class ResultHandler(FilesHandler):
    """``jobs/{job_id}/result``."""

    @web.authenticated
    @authorized("read")
    async def get(self, job_id: str) -> None:
        """What an attempt left: the file of its values, or what became of its function as JSON."""
        number = self.query(AttemptQuery).attempt
        job = await self.manager.get(job_id, self.owner)
        folder = self.directory(job, number)
        is_told = isinstance(job.spec, FunctionSpec | ExternalSpec)
        if not (is_told or (isinstance(job.spec, CodeSpec) and job.spec.outputs)):
            raise NoResult(
                f"Job {job.id} has no result: it was not asked for any values (`outputs`).",
                job=job.id,
            )
        tried = await self._attempt(job, number)
        if self._wants_values() and is_group(job):
            await self._send_calls(job, number)
            return
        if is_told and not self._wants_values():
            if tried.state not in ENDED:
                raise _not_there(job, tried)
            self.reply(await asyncio.to_thread(told, folder, tried))
            return
        if tried.state is not State.SUCCEEDED:
            raise _not_there(job, tried)
        descriptor = await asyncio.to_thread(open_below, folder, attempt.RESULT_FILE)
        if descriptor is None:
            raise NoResult(f"The result of job {job.id} has been removed.", job=job.id)
        await self.send(descriptor, f"{job.id}.pkl")

    async def _send_calls(self, job: Job, number: int | None) -> None:
        """The values of all calls, as far as they are there, in the order of their arguments."""
        folder = self.directory(job, number).parent
        assert isinstance(job.spec, FunctionSpec)
        pieces = value_pieces(folder, number or job.attempt, job.spec.calls or 0)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_attachment_header(f"{job.id}.calls")
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            self.write(piece)
            try:
                await self.flush()
            except StreamClosedError:
                return
        await self.finish(set_content_type="application/octet-stream")

    def _wants_values(self) -> bool:
        """Whether the answer shall be the values themselves: JSON is what most can read."""
        wanted = self.request.headers.get("Accept", "")
        return "application/octet-stream" in wanted and not self.get_query_arguments("format")

    async def _attempt(self, job: Job, number: int | None) -> Job | Attempt:
        """What is known of the attempt that was asked for: of the newest it is the job's own."""
        if number in (None, job.attempt):
            return job
        attempts = await self.manager.store.attempts(job.id)
        return next((one for one in attempts if one.number == number), job)


def told(folder: Path, tried: Job | Attempt) -> messages.ResultMessage:
    """What is written of a function that has ended, or what is known where it could write nothing."""
    descriptor = open_below(folder, attempt.RESULT_JSON_FILE)
    if descriptor is not None:
        with os.fdopen(descriptor, "rb") as file:
            told = _RESULT.decode(file.read())
        if not told.success or tried.state is State.SUCCEEDED:
            return told
    words = (tried.reason, tried.message) if tried.message else (str(tried.state), tried.reason)
    error = messages.CallError(*words)
    elapsed_s = None
    if tried.started_at is not None and tried.ended_at is not None:
        elapsed_s = tried.ended_at - tried.started_at
    return messages.ResultMessage(
        success=False,
        data=None,
        note="",
        summary="",
        tags=[],
        logs=[],
        error=error,
        started_at=tried.started_at,
        elapsed_s=elapsed_s,
    )


def _not_there(job: Job, tried: Job | Attempt) -> NoResult:
    is_over = tried.state in (State.FAILED, State.CANCELLED, State.LOST)
    why = f" ({tried.message or tried.reason})" if tried.message or tried.reason else ""
    words = (
        f"Job {job.id} has no result: it {_ENDS[tried.state]}{why}."
        if is_over
        else f"Job {job.id} has no result yet: it is {tried.state}."
    )
    return NoResult(words, job=job.id, state=str(tried.state), reason=tried.reason)


_ENDS: Final = {
    State.FAILED: "failed",
    State.CANCELLED: "was cancelled",
    State.LOST: "was lost",
}
