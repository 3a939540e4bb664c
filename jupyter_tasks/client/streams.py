"""Flows that go on by themselves: events, waiting for an end, output. Pure, like `core`.

Owns how a broken stream is taken up again: at the last event's number, at the last whole record's
cursor. So a server may be killed and started again in the middle, and nothing is missed or doubled.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from jupyter_tasks.client.calls import FilterOptions, Wire, get, of_job, query
from jupyter_tasks.client.connection import Session, open_stream
from jupyter_tasks.client.core import (
    Emit,
    Flow,
    Params,
    Read,
    Reply,
    Request,
    Sleep,
    Stream,
    delays,
    error_from,
)
from jupyter_tasks.client.sse import Message, Parser
from jupyter_tasks.errors import ServerError
from jupyter_tasks.model import ENDED, WAITING, State
from jupyter_tasks.records import Record, read_records

#: How often the server says something, whatever happens; and when the connection is surely dead.
_SIGN_OF_LIFE_S: Final = 30.0
_SILENCE_S: Final = 75.0
#: After so many tries that brought nothing, output that should be there is given up.
_MANY: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """Something that happened, as the wire tells it.

    ``event`` is the life cycle's word; or ``progress``; or ``live``: the connection stands (again),
    read anew what you keep; or ``reset``: so much has happened meanwhile that it is not told singly.
    """

    event: str
    job_id: str = ""
    seq: int | None = None
    at: float | None = None
    job: Wire | None = None
    progress: Wire | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A record of a job's output and the cursor behind it."""

    record: Record
    cursor: str


def watch(
    session: Session, wanted: FilterOptions, after: int | None, timeout_s: float | None
) -> Stream:
    """Emit JobEvents until the time is up. A broken connection is taken up again."""
    deadline = None if timeout_s is None else session.clock() + timeout_s
    last = None if after is None else str(after)
    waits = delays()
    while (left := _left(session, deadline)) > 0:
        quiet_s = min(left, _SILENCE_S)
        yield from open_stream(session, _events(wanted, last, quiet_s))
        yield Emit(JobEvent(event="live"))
        parser = Parser()
        while isinstance(chunk := (yield Read()), bytes) and chunk:
            waits = delays()
            for message in parser.feed(chunk):
                yield Emit(_told(message))
            last = parser.last_id or last
            if _is_late(_left(session, deadline), quiet_s):
                break
        if not isinstance(chunk, bytes) or not chunk:
            yield Sleep(next(waits))


def wait(session: Session, job_id: str, timeout_s: float | None) -> Flow[Wire]:
    """The job when it has ended; raises TimeoutError where it has not by then."""
    job = yield from get(session, job_id)
    if job["state"] in ENDED:
        return job
    events = watch(session, {"ids": [job_id]}, None, timeout_s)
    result = None
    while True:
        try:
            step = events.send(result)
        except StopIteration:
            raise TimeoutError(_still(job, timeout_s)) from None
        result = None
        if not isinstance(step, Emit):
            result = yield step
            continue
        job = yield from _newer(session, job, step.value)
        if job["state"] in ENDED:
            return job


def follow(session: Session, job_id: str, at: "Place") -> Stream:
    """Emit a job's output as Pieces: what is there, or all until it ends, over any restarts."""
    waits, stalled = delays(), 0
    while True:
        before = at.cursor
        is_whole = yield from _one_stream(session, job_id, at)
        if is_whole and not at.follow:
            return
        job = yield from get(session, job_id)
        if is_whole and (at.is_complete(job) or (at.cursor == before and job["state"] in ENDED)):
            return
        if is_whole and (following := at.following(job)):
            at.go_to(following)
            continue
        stalled = stalled + 1 if at.cursor == before else 0
        if stalled >= _MANY and not at.follow:
            raise ServerError(f"The output of job {job_id} cannot be read on from {at.cursor}.")
        waits = waits if stalled else delays()
        yield Sleep(next(waits))


@dataclass(slots=True)
class Place:
    """Where a reader of a job's output is. ``newest``: it goes on to later attempts."""

    follow: bool = True
    tail: int | None = None
    attempt: int | None = None
    offset: int | None = None
    newest: bool = True

    @classmethod
    def at(
        cls, *, follow: bool, tail: int | None, attempt: int | None, cursor: str | None
    ) -> "Place":
        """The place that a caller means; raises ValueError for what is no cursor."""
        place = cls(follow=follow, tail=tail, attempt=attempt, newest=attempt is None)
        if cursor is not None:
            place.set(cursor)
        return place

    @property
    def cursor(self) -> str | None:
        """The cursor of the next record; None before anything is known."""
        return None if self.offset is None else f"{self.attempt}.{self.offset}"

    def set(self, cursor: str) -> None:
        """Go to a cursor that the server has given."""
        attempt, _, offset = cursor.partition(".")
        self.attempt, self.offset = int(attempt), int(offset)

    def pass_over(self, record: Record) -> None:
        """Go behind a record; one that tells of a gap is in no file and says where that ends."""
        if record.header["k"] == "gap":
            self.set(record.header["to"])
        else:
            self.offset = (self.offset or 0) + record.end - record.start

    def go_to(self, attempt: int) -> None:
        """Go to the beginning of another attempt."""
        self.attempt, self.offset, self.tail = attempt, 0, None

    def is_complete(self, job: Wire) -> bool:
        """Whether nothing more can come of what is read here."""
        if not self.newest and job["attempt"] != self.attempt:
            return True
        is_last = job["attempt"] <= (self.attempt or 0)
        return is_last and job["state"] in ENDED and (self.offset or 0) >= job["output_bytes"]

    def following(self, job: Wire) -> int | None:
        """The attempt to read after this one, which has ended; it may still be to come."""
        if not self.newest or self.attempt is None:
            return None
        if job["attempt"] > self.attempt:
            number: int = job["attempt"]
            return number
        is_waiting = job["state"] in WAITING and job["resume_to"] != State.RUNNING
        return self.attempt + 1 if is_waiting and job["attempt"] == self.attempt else None

    def params(self) -> Params:
        """The query string that asks for what comes next."""
        pairs = [("format", "records")]
        if self.follow:
            pairs.append(("follow", "true"))
        if self.cursor is not None:
            return (*pairs, ("cursor", self.cursor))
        if self.attempt is not None:
            pairs.append(("attempt", str(self.attempt)))
        if self.tail is not None:
            pairs.append(("tail", str(self.tail)))
        return tuple(pairs)


def _one_stream(session: Session, job_id: str, at: Place) -> Flow[bool]:
    """Emit what one connection gives, moving the place on; whether it came to its proper end."""
    path = of_job(job_id, "output")
    request = Request(method="GET", path=path, params=at.params(), quiet_s=None)
    reply = yield from open_stream(session, request)
    if cursor := reply.headers.get("x-tasks-cursor"):
        at.set(cursor)
    buffer = b""
    while True:
        chunk = yield Read()
        if not isinstance(chunk, bytes) or not chunk:
            # An answer that was broken off by the server ends properly, but before its end.
            return chunk == b"" and reply.headers.get("x-tasks-next") in (None, at.cursor)
        buffer += chunk
        done = 0
        for record in read_records(buffer):
            done = record.end
            at.pass_over(record)
            assert at.cursor is not None
            yield Emit(Piece(record=record, cursor=at.cursor))
        buffer = buffer[done:]


def _events(wanted: FilterOptions, last: str | None, quiet_s: float) -> Request:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
    return Request(
        method="GET", path="events", params=query(wanted), headers=headers, quiet_s=quiet_s
    )


def _told(message: Message) -> JobEvent:
    if message.event == "error":
        raise error_from(Reply(status=500, body=message.data.encode()))
    data: dict[str, Any] = json.loads(message.data)
    return JobEvent(
        event=data["event"] if message.event == "job" else message.event,
        job_id=data.get("job_id", ""),
        seq=data.get("seq"),
        at=data.get("at"),
        job=data.get("job"),
        progress=data.get("progress"),
    )


def _newer(session: Session, job: Wire, told: JobEvent) -> Flow[Wire]:
    """The job as it is after the event; asked for where the event does not tell."""
    if told.job is not None:
        return told.job if told.job_id == job["id"] else job
    if told.event == "progress":
        return job
    return (yield from get(session, job["id"]))


def _left(session: Session, deadline: float | None) -> float:
    return float("inf") if deadline is None else deadline - session.clock()


def _is_late(left: float, quiet_s: float) -> bool:
    """Whether the stream must be opened anew, for it would wait past the deadline by a second.

    While there is more time than between two signs of life, the next one will wake us.
    """
    return left <= 0 or (left < _SIGN_OF_LIFE_S and quiet_s - left > 1)


def _still(job: Wire, timeout_s: float | None) -> str:
    return f"Job {job['id']} is still {job['state']} after {timeout_s:g} s; it goes on."
