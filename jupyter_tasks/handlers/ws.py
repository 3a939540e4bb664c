"""The WebSocket: any number of watches and reads over one connection, each under the client's own id.

One frame is on its way at a time, and the watches and reads take turns; who is not at its turn holds
nothing. So a slow client costs no memory: it is behind in the files and in the store.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.websocket import WebSocketMixin
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from jupyter_tasks import messages
from jupyter_tasks.errors import BadMessage, TasksError
from jupyter_tasks.follow import Cursor, Gap, Slice
from jupyter_tasks.handlers import frames
from jupyter_tasks.handlers.base import TasksMixin, authorized
from jupyter_tasks.handlers.heart import Heart
from jupyter_tasks.handlers.reading import Reading, Wanted
from jupyter_tasks.handlers.recent import Forgotten, Gone, Recent, Seen
from jupyter_tasks.handlers.viewers import Viewers
from jupyter_tasks.handlers.watching import JobWatch
from jupyter_tasks.messages.streams import Ping, Read, SocketRequest, Stop, Watch
from jupyter_tasks.model import Filter, Job

_MAX_MESSAGE_BYTES: Final = 1024 * 1024
_FRAME_BYTES: Final = 256 * 1024
#: Room for the line before the records: an id may have 100 characters, each escaped.
_SLICE_BYTES: Final = _FRAME_BYTES - 1024
_SNAPSHOT_JOBS: Final = 500
_SNAPSHOT_BYTES: Final = 512 * 1024
_MAX_STREAMS: Final = 1000
#: A client that has shown no sign of life during so many beats has gone.
_MAX_SILENT_BEATS: Final = 2

_DECODER: Final[messages.Decoder[Watch | Read | Stop | Ping]] = messages.Decoder(SocketRequest)
StreamId = str | int


class SocketHandler(WebSocketMixin, WebSocketHandler, TasksMixin):
    """``ws``. It stays open on errors; what a bad message breaks is that message alone."""

    @ws_authenticated
    @authorized("read")
    async def get(self) -> None:
        """Open the socket for whoever may read."""
        await super().get()

    def finish(self, chunk: Any = None) -> asyncio.Future[None]:
        """Give what tornado refuses in its own words (no WebSocket, another version) our shape."""
        if self.get_status() >= 400 and not isinstance(chunk, bytes):
            words = str(chunk or "This server speaks version 13 of the WebSocket protocol.")
            self.set_header("Content-Type", "application/json")
            chunk = messages.encode(self.refusal(self.get_status(), words))
        return super().finish(chunk)

    @property
    def ping_interval(self) -> float:
        """Our own beat serves all connections at once."""
        return 0

    @property
    def max_message_size(self) -> int:
        """What a client may say at once."""
        return _MAX_MESSAGE_BYTES

    def get_compression_options(self) -> None:
        """None: we write frames as they are."""

    def open(self) -> None:
        """Wait for the first request."""
        self._streams: dict[StreamId, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._unsent: asyncio.Future[None] | None = None
        self._silent_beats = 0
        self.set_nodelay(True)
        self._heart: Heart = self.settings["jupyter_tasks_heart"]
        self._heart.listen(self, self._beat)

    async def on_message(self, message: str | bytes) -> None:
        """Do what the client asks for; the next message is read after that."""
        self._silent_beats = 0
        body = message.encode() if isinstance(message, str) else message
        try:
            request = _DECODER.decode(body)
            if isinstance(request, Ping):
                await self._send({"type": "pong"})
            else:
                self._take(request)
        except TasksError as error:
            await self._send(self._error(_id_in(body), error))

    def on_pong(self, _data: bytes) -> None:
        """The client lives."""
        self._silent_beats = 0

    def on_close(self) -> None:
        """Let go of everything."""
        self._heart.leave(self)
        for task in self._streams.values():
            task.cancel()
        self._streams.clear()

    # -- requests --------------------------------------------------------------------------------

    def _take(self, request: Watch | Read | Stop) -> None:
        match request:
            case Watch():
                wanted = messages.to_filter(request.filter, self.owner)
                if request.view and not wanted.ids:
                    raise BadMessage("A view names the jobs that it shows: `filter.ids`.")
                self._start(request.id, self._watch(request, wanted))
            case Read():
                cursor, tail = request.cursor, request.tail
                wanted_output = Wanted.parse(
                    request.job, cursor, tail, request.attempt, request.follow
                )
                self._start(request.id, self._read(request.id, wanted_output))
            case Stop():
                self._stop(request.id)

    def _start(self, stream_id: StreamId, work: Coroutine[Any, Any, None]) -> None:
        """Begin a watch or a read; one of the same id ends."""
        self._stop(stream_id)
        if len(self._streams) >= _MAX_STREAMS:
            work.close()
            raise BadMessage(f"One socket takes {_MAX_STREAMS} watches and reads; stop some.")
        task = asyncio.ensure_future(self._run(stream_id, work))
        self._streams[stream_id] = task
        task.add_done_callback(lambda done: self._ended(stream_id, done))

    def _stop(self, stream_id: StreamId) -> None:
        task = self._streams.pop(stream_id, None)
        if task is not None:
            task.cancel()

    def _ended(self, stream_id: StreamId, task: asyncio.Task[None]) -> None:
        if self._streams.get(stream_id) is task:
            del self._streams[stream_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.error("Failed to stream over request %s", self.request_id, exc_info=error)

    async def _run(self, stream_id: StreamId, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except TasksError as error:
            await self._send(self._error(stream_id, error))
        except (WebSocketClosedError, StreamClosedError):
            pass  # on_close sees to the rest

    # -- watches ---------------------------------------------------------------------------------

    async def _watch(self, request: Watch, wanted: Filter) -> None:
        known, after = request.id, request.after
        seq = await self.manager.store.last_seq() if after is None else after
        recent: Recent = self.settings["jupyter_tasks_recent"]
        viewers: Viewers = self.settings["jupyter_tasks_viewers"]
        with (
            viewers.looking(self.owner, wanted.ids if request.view else ()),
            closing(JobWatch(self.manager, recent, wanted, _News(known), seq)) as watch,
        ):
            if after is None:
                await self._snapshot(known, wanted)
            else:
                await self._catch_up(known, watch, wanted)
            await self._send(_live(known, watch))
            while True:
                if await self._catch_up(known, watch, wanted):
                    await self._send(_live(known, watch))
                await watch.wait()

    async def _catch_up(self, stream_id: StreamId, watch: JobWatch, wanted: Filter) -> bool:
        """Tell all that has happened; whether it had to begin anew for that."""
        try:
            is_behind = True
            while is_behind:
                async with self._turn:
                    if is_behind := bool(news := await watch.missed()):
                        await self._write(news)
        except Forgotten:
            await self._begin_anew(stream_id, watch, wanted)
            return True
        return False

    async def _begin_anew(self, stream_id: StreamId, watch: JobWatch, wanted: Filter) -> None:
        """What was missed is no longer known: the client forgets what it has, and gets it all."""
        await watch.skip()
        await self._send({"type": "reset", "id": stream_id})
        await self._snapshot(stream_id, wanted)

    async def _snapshot(self, stream_id: StreamId, wanted: Filter) -> None:
        after: str | None = None
        while True:
            page = await self.manager.store.find(wanted, limit=_SNAPSHOT_JOBS, after=after)
            after = page.after
            parts = _parts(self.manager.with_progress(page.jobs))
            for number, jobs in enumerate(parts, 1):
                more = after is not None or number < len(parts)
                await self._send({"type": "snapshot", "id": stream_id, "jobs": jobs, "more": more})
            if after is None:
                return

    # -- reads -----------------------------------------------------------------------------------

    async def _read(self, stream_id: StreamId, wanted: Wanted) -> None:
        with closing(await Reading.open(self.settings, self.owner, wanted)) as reading:
            while not reading.is_finished:
                async with self._turn:
                    piece = await reading.take(_SLICE_BYTES)
                    if isinstance(piece, Slice):
                        await self._write(_head(stream_id, reading.attempt, piece), piece.data)
                    elif isinstance(piece, Gap):
                        await self._write(_gap(stream_id, reading.attempt, piece))
                if piece is None:
                    await reading.wait()
            state = await reading.state()
            end = {"type": "end", "id": stream_id, "cursor": str(reading.cursor), "state": state}
            await self._send(end)

    # -- frames ----------------------------------------------------------------------------------

    async def _send(self, message: dict[str, Any]) -> None:
        frame = frames.text(messages.encode(message))
        async with self._turn:
            await self._write(frame)

    async def _write(self, head: bytes, data: bytes = b"") -> None:
        """Send frames, the last one's bytes apart, and wait until the client has taken most of them.

        Only at one's turn. A stream that was stopped may have left its frames behind: those go first.
        """
        if self._unsent is not None and not self._unsent.done():
            await asyncio.wait([self._unsent])
        connection = self.ws_connection
        if connection is None or connection.is_closing() or connection.stream is None:
            raise WebSocketClosedError
        self._unsent = frames.put(connection.stream, head, data)
        self._unsent.add_done_callback(_noticed)
        await asyncio.shield(self._unsent)
        self._silent_beats = 0

    def _error(self, stream_id: StreamId | None, error: TasksError) -> dict[str, Any]:
        told = msgspec.structs.asdict(messages.from_error(error, self.request_id))
        return {"type": "error", "id": stream_id, **told}

    def _beat(self) -> None:
        """Show that we live, and see whether the client does: it has answered or taken something."""
        if self._silent_beats >= _MAX_SILENT_BEATS:
            self.log.info("Closed socket %s: its client has gone", self.request_id)
            self.close()
            return
        self._silent_beats += 1
        if not self._turn.locked():
            self.ping()


def _noticed(sent: "asyncio.Future[None]") -> None:
    """A closed socket is no news: whoever waits is told, and on_close sees to the rest."""
    if not sent.cancelled():
        sent.exception()


@dataclass(frozen=True, slots=True)
class _News:
    """What news look like on a socket: frames under the client's own id."""

    stream_id: StreamId

    def __call__(self, one: Seen | Gone) -> bytes:
        news: dict[str, Any] = {"id": self.stream_id, "seq": one.seq}
        if isinstance(one, Seen):
            news |= {"type": "job", "job": one.happening.json()}
        else:
            assert one.happening.change is not None
            news |= {"type": "gone", "job": one.happening.change.job.id, "why": one.why}
        return frames.text(messages.encode(news))


def _parts(jobs: list[Job]) -> list[list[msgspec.Raw]]:
    """The jobs, encoded, in frames of a bounded size; at least one frame."""
    parts: list[list[msgspec.Raw]] = [[]]
    size = 0
    for job in jobs:
        encoded = messages.encode(messages.from_job(job))
        if parts[-1] and size + len(encoded) > _SNAPSHOT_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(msgspec.Raw(encoded))
        size += len(encoded)
    return parts


def _head(stream_id: StreamId, attempt: int, piece: Slice) -> bytes:
    start, end = Cursor(attempt, piece.start), Cursor(attempt, piece.end)
    line = {"type": "output", "id": stream_id, "from": str(start), "cursor": str(end)}
    return frames.binary_head(messages.encode(line), len(piece.data))


def _gap(stream_id: StreamId, attempt: int, gap: Gap) -> bytes:
    start, end = Cursor(attempt, gap.start), Cursor(attempt, gap.end)
    gone = {"type": "gap", "id": stream_id, "from": str(start), "to": str(end)}
    return frames.text(messages.encode(gone))


def _id_in(body: bytes) -> StreamId | None:
    """The client's id in a message that is wrong otherwise, so that it knows which one is meant."""
    try:
        return msgspec.json.decode(body, type=_OnlyId).id
    except (msgspec.MsgspecError, RecursionError):
        return None


class _OnlyId(msgspec.Struct):
    id: StreamId | None = None


def _live(known: StreamId, watch: JobWatch) -> dict[str, Any]:
    """All of before has been told; ``now``: clients' clocks may be wrong, and times are ours."""
    return {"type": "live", "id": known, "seq": watch.seq, "now": time.time()}
