"""Messages of the streams: output over HTTP, server-sent events, and the WebSocket's own.

Cursors are checked by who reads the files. What becomes of a message is for the handlers to know.
"""

from typing import Annotated, Literal

from msgspec import Meta

from jupyter_tasks.messages.incoming import FilterMessage, JobId, ListQuery, Number
from jupyter_tasks.messages.specs import Message

#: A client's own name for one of its watches or reads.
StreamId = Annotated[str, Meta(min_length=1, max_length=100)] | Annotated[int, Meta(ge=0)]
CursorText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=40,
        extra_json_schema={"pattern": r"^([1-9][0-9]{0,8}\.[0-9]{1,18}|end)$"},
    ),
]
Bytes = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Seq = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class OutputQuery(Message):
    """The query string of a job's output. ``losses``: a line in text wherever some of it was lost."""

    format: Literal["text", "records", "json"] = "text"
    stream: Literal["out", "err", "all"] = "all"
    cursor: CursorText | None = None
    tail: Bytes | None = None
    follow: bool = False
    attempt: Number | None = None
    losses: bool = False


class EventsQuery(ListQuery):
    """The query string of the events of all jobs: the filter of a list; ``after`` is an event."""

    after: Seq | None = None  # type: ignore[assignment]


class JobEventsQuery(Message):
    """The query string of one job's events."""

    cursor: CursorText | None = None
    tail: Bytes | None = None
    attempt: Number | None = None


class Watch(Message, tag_field="type", tag="watch"):
    """Show me the jobs that the filter accepts, and what becomes of them.

    ``view``: people look at the jobs that are named; whoever else shows them there may rest.
    """

    id: StreamId
    filter: FilterMessage
    after: Seq | None = None
    view: bool = False


class Read(Message, tag_field="type", tag="read"):
    """Send me a job's output from a cursor ("end": what comes from now on; none: all)."""

    id: StreamId
    job: JobId
    cursor: CursorText | None = None
    tail: Bytes | None = None
    attempt: Number | None = None
    follow: bool = True


class Stop(Message, tag_field="type", tag="stop"):
    """End a watch or a read."""

    id: StreamId


class Ping(Message, tag_field="type", tag="ping"):
    """Answer me, so that I know that the connection is alive."""


SocketRequest = Watch | Read | Stop | Ping
