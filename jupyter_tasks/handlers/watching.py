"""Watches the jobs that a filter accepts, by event number: live from the feed, else from the store.

A watcher that cannot keep up is simply behind: what it has missed is read from the store once it
has taken what it was sent. So it costs a bounded number of references, never a queue.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from jupyter_tasks.errors import NoSuchThing
from jupyter_tasks.feed import News, ProgressNews
from jupyter_tasks.manager import Manager
from jupyter_tasks.model import Change, Filter, Job

_MAX_QUEUED: Final = 64
_PAGE: Final = 200


class Forgotten(Exception):
    """What happened after the watcher's event number is no longer known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A job that the filter accepts has changed or appeared; ``event`` is None for mere progress."""

    seq: int
    job: Job
    event: Change | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A job that the filter accepted is no longer among those."""

    seq: int
    event: Change
    why: Literal["filter", "deleted"]


class JobWatch:
    """One client's watch. Close it after use."""

    def __init__(self, manager: Manager, wanted: Filter, seq: int) -> None:
        """Watch everything that happens after event number ``seq``."""
        self.seq = seq
        self._manager = manager
        self._wanted = wanted
        self._queue: list[Change] = []
        self._is_behind = True
        self._progress: dict[str, ProgressNews] = {}
        self._bell = asyncio.Event()
        self._unsubscribe = manager.feed.subscribe(self._told)

    async def next(self) -> list[Seen | Gone]:
        """What happened since the last call, never nothing; raises Forgotten."""
        while not (seen := await self.missed()):
            self._bell.clear()
            await self._bell.wait()
        return seen

    async def missed(self) -> list[Seen | Gone]:
        """Some of what has happened since the last call; nothing where nothing has."""
        while self._is_behind or self._queue or self._progress:
            changes = await self._read_on() if self._is_behind else self._queued()
            if changes:
                self.seq = changes[-1].seq
            if seen := [*self._judged(changes), *await self._progressed()]:
                return seen
        return []

    async def skip(self) -> int:
        """Go on from the newest event, whatever was missed; its number."""
        self._is_behind = True
        self.seq = await self._manager.store.last_seq()
        return self.seq

    def close(self) -> None:
        """Watch no more; may be called twice."""
        self._unsubscribe()

    def _told(self, news: News) -> None:
        if isinstance(news, ProgressNews):
            self._progress[news.job_id] = news
        elif self._is_behind or news.seq > self._newest + 1 or len(self._queue) >= _MAX_QUEUED:
            self._is_behind = True
            self._queue.clear()
        elif news.seq > self._newest:
            self._queue.append(news)
        self._bell.set()

    @property
    def _newest(self) -> int:
        return self._queue[-1].seq if self._queue else self.seq

    def _queued(self) -> list[Change]:
        changes, self._queue = self._queue, []
        return changes

    async def _read_on(self) -> list[Change]:
        self._is_behind = False
        changes = await self._manager.store.changes(self.seq, limit=_PAGE)
        if changes is None or (not changes and self.seq > await self._manager.store.last_seq()):
            raise Forgotten
        if len(changes) >= _PAGE or self._queue:
            self._is_behind = True
            self._queue.clear()
        return changes

    def _judged(self, changes: list[Change]) -> Iterator[Seen | Gone]:
        for change in changes:
            before, after = change.before, change.after
            if after is not None and self._wanted.accepts(after):
                [job] = self._manager.with_progress([after])
                yield Seen(seq=change.seq, job=job, event=change)
            elif before is not None and self._wanted.accepts(before):
                why: Literal["filter", "deleted"] = "deleted" if after is None else "filter"
                yield Gone(seq=change.seq, event=change, why=why)

    async def _progressed(self) -> list[Seen | Gone]:
        news, self._progress = self._progress, {}
        if not news:
            return []
        jobs = []
        for job_id in news:
            with suppress(NoSuchThing):
                jobs.append(await self._manager.get(job_id, None))
        return [
            Seen(seq=self.seq, job=job) for job in jobs if job.is_live and self._wanted.accepts(job)
        ]
