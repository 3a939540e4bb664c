"""Server-sent events: what becomes of all jobs, and one job's output and state.

A client that comes back says by Last-Event-ID where it was, and goes on exactly there.
"""

from contextlib import closing
from typing import Final

from tornado import web

from jupyter_tasks import messages
from jupyter_tasks.errors import BadMessage
from jupyter_tasks.follow import Cursor, Gap, Slice
from jupyter_tasks.handlers import records
from jupyter_tasks.handlers.base import authorized
from jupyter_tasks.handlers.reading import Reading, Wanted
from jupyter_tasks.handlers.recent import Forgotten, Gone, Recent, Seen
from jupyter_tasks.handlers.streaming import EventStreamHandler, event
from jupyter_tasks.handlers.watching import JobWatch
from jupyter_tasks.messages.streams import EventsQuery, JobEventsQuery
from jupyter_tasks.model import Job

_LAST_EVENT_ID: Final = "Last-Event-ID"
#: Small enough that a slow browser sees something soon.
_SLICE_BYTES: Final = 64 * 1024
#: Ends the id of a stream's last event: who comes back with it has had everything.
_END_MARK: Final = "-end"


class EventsHandler(EventStreamHandler):
    """``events``."""

    @web.authenticated
    @authorized("read")
    async def get(self) -> None:
        """Every event of the jobs that the filter accepts, from an event number or from now on."""
        query = self.query(EventsQuery)
        after = self._after(query)
        seq = await self.manager.store.last_seq() if after is None else after
        wanted = messages.to_filter(query, self.owner)
        recent: Recent = self.settings["jupyter_tasks_recent"]
        with closing(JobWatch(self.manager, recent, wanted, _news, seq)) as watch:
            await self.events(self._send(watch))

    def _after(self, query: EventsQuery) -> int | None:
        last = self.request.headers.get(_LAST_EVENT_ID)
        if last is None:
            return query.after
        if not (last.isascii() and last.isdigit() and len(last) < 17):
            raise BadMessage(
                f"{_LAST_EVENT_ID} must be the number of an event.", field=_LAST_EVENT_ID
            )
        return int(last)

    async def _send(self, watch: JobWatch) -> None:
        # An id without an event: who loses the stream before the first event goes on from here.
        await self.send(b"id: %d\n\n" % watch.seq)
        while True:
            try:
                events = await watch.missed()
            except Forgotten:
                seq = await watch.skip()
                events = event("reset", {"seq": seq}, seq)
            if events:
                await self.send(events)
            else:
                await watch.wait()


def _news(one: Seen | Gone) -> bytes:
    change, job = one.happening.change, one.happening.job
    if change is None:
        assert job is not None
        assert job.progress is not None
        progress = messages.from_progress(job.progress)
        return event("progress", {"job_id": job.id, "attempt": job.attempt, "progress": progress})
    data = {
        "seq": one.seq,
        "event": change.event,
        "at": change.at,
        "job": one.happening.json(),
        "job_id": change.job.id,
    }
    return event("job", data, one.seq)


class JobEventsHandler(EventStreamHandler):
    """``jobs/{job_id}/events``."""

    @web.authenticated
    @authorized("read")
    async def get(self, job_id: str) -> None:
        """One attempt's output, and the job each time that it changes, up to the attempt's end."""
        query = self.query(JobEventsQuery)
        last = self.request.headers.get(_LAST_EVENT_ID) or query.cursor
        if last is not None and last.endswith(_END_MARK):
            await self.manager.get(job_id, self.owner)
            self.reply(None, 204)
            return
        tail = query.tail if last is None else None
        wanted = Wanted.parse(job_id, last, tail, query.attempt, follow=True)
        with closing(await Reading.open(self.settings, self.owner, wanted)) as reading:
            reading.tells_job = True
            await self.events(self._send(reading))

    async def _send(self, reading: Reading) -> None:
        await self.send(event("job", _job(reading.job)))
        while (piece := await reading.next(_SLICE_BYTES)) is not None:
            await self.send(_piece(reading.attempt, piece))
        cursor, state = str(reading.cursor), await reading.state()
        await self.send(event("end", {"cursor": cursor, "state": state}, cursor + _END_MARK))


def _job(job: Job) -> messages.JobMessage:
    return messages.from_job(job)


def _piece(attempt: int, piece: Slice | Gap | Job) -> bytes:
    if isinstance(piece, Job):
        return event("job", _job(piece))
    start, end = str(Cursor(attempt, piece.start)), str(Cursor(attempt, piece.end))
    if isinstance(piece, Gap):
        return event("gap", {"from": start, "to": end}, end)
    found = [fields for _, fields in records.json_records(piece)]
    return event("output", {"from": start, "cursor": end, "records": found}, end)
