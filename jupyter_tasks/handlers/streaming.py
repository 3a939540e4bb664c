"""Answers that go on for long: let go at once when the client has gone, wait while it is slow."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

import msgspec
from tornado.iostream import StreamClosedError

from jupyter_tasks import messages
from jupyter_tasks.errors import TasksError
from jupyter_tasks.handlers.base import TasksHandler
from jupyter_tasks.handlers.heart import Heart

#: How much is read, sent and waited for at a time.
SLICE_BYTES: Final = 256 * 1024


class StreamHandler(TasksHandler):
    """A handler whose answer is sent piece by piece."""

    _work: asyncio.Task[None] | None = None

    async def stream(self, work: Coroutine[Any, Any, None]) -> None:
        """Send the answer by this work, for as long as the client is there."""
        # Compressing would hold back what is small, and takes longer than sending what is large.
        self._transforms = []
        self._work = asyncio.ensure_future(work)
        await asyncio.wait([self._work])
        if self._work.cancelled():
            return
        with suppress(StreamClosedError):
            try:
                self._work.result()
            except TasksError as error:
                if not self._headers_written:
                    raise
                await self.break_off(error)

    def be_live(self) -> None:
        """Ask proxies on the way to pass on at once what comes, and to keep none of it."""
        self.set_header("X-Accel-Buffering", "no")
        self.set_header("Cache-Control", "no-cache, no-store")

    async def send(self, piece: bytes) -> None:
        """Send it and wait until the client has taken most of it."""
        self.write(piece)
        await self.flush()

    async def end(self, media: str) -> None:
        """Finish the answer; a client that has gone is no failure."""
        with suppress(StreamClosedError):
            await self.finish(set_content_type=media)

    async def break_off(self, error: TasksError) -> None:
        """End an answer that has begun: the job was deleted, or can no longer be read."""
        self.log.info("Broke off request %s: %s", self.request_id, error.message)

    def on_connection_close(self) -> None:
        """The client has gone."""
        super().on_connection_close()
        if self._work is not None:
            self._work.cancel()


class EventStreamHandler(StreamHandler):
    """A handler that sends server-sent events, and a sign of life while there are none."""

    _is_sending = False

    async def events(self, work: Coroutine[Any, Any, None]) -> None:
        """Send events by this work."""
        self.set_header("Content-Type", "text/event-stream")
        self.be_live()
        heart: Heart = self.settings["jupyter_tasks_heart"]
        heart.listen(self, self._beat)
        try:
            await self.stream(work)
        finally:
            heart.leave(self)
        await self.end("text/event-stream")

    async def send(self, piece: bytes) -> None:
        """Send it and wait until the client has taken most of it."""
        self._is_sending = True
        await super().send(piece)
        self._is_sending = False

    async def break_off(self, error: TasksError) -> None:
        """Tell why there will be no more."""
        await super().break_off(error)
        await self.send(event("error", messages.from_error(error, self.request_id)))

    def _beat(self) -> None:
        if not self._is_sending:
            self.write(SIGN_OF_LIFE)
            self.flush()


#: A comment: opens the stream, and shows that both sides still live.
SIGN_OF_LIFE: Final = b": \n\n"


def event(name: str, data: Any, event_id: object = None) -> bytes:
    """One server-sent event."""
    label = b"" if event_id is None else f"id: {event_id}\n".encode()
    return b"event: %b\n%bdata: %b\n\n" % (name.encode(), label, msgspec.json.encode(data))
