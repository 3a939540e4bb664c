"""Reads one attempt's output for one client until the attempt is over and all has been read.

It joins the files (which know no jobs) with the feed (which knows when a job's state changes). What
the pieces look like on the wire is for the handlers to know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from jupyter_tasks.errors import BadCursor, BadMessage, NoSuchThing
from jupyter_tasks.feed import News, ProgressNews
from jupyter_tasks.follow import Cursor, Gap, OutputFollower, Outputs, Slice
from jupyter_tasks.manager import Manager
from jupyter_tasks.model import Job, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which output somebody wants: from a cursor, a tail, or all; of the newest attempt or another."""

    job_id: str
    cursor: Cursor | Literal["end"] | None = None
    tail_bytes: int | None = None
    attempt: int | None = None
    follow: bool = False

    @classmethod
    def parse(
        cls, job_id: str, cursor: str | None, tail: int | None, attempt: int | None, follow: bool
    ) -> "Wanted":
        """What the wire says; raises BadMessage where that is none or contradicts itself."""
        place = Cursor.parse(cursor) if cursor not in (None, "end") else cursor
        if cursor is not None and tail is not None:
            raise BadMessage("Give a cursor or a tail, not both.", cursor=cursor)
        if isinstance(place, Cursor) and attempt not in (None, place.attempt):
            raise BadMessage(
                f"The cursor {cursor} belongs to attempt {place.attempt}, not to {attempt}.",
                cursor=cursor,
            )
        return cls(
            job_id=job_id,
            cursor=cast("Cursor | Literal['end'] | None", place),
            tail_bytes=tail,
            attempt=place.attempt if isinstance(place, Cursor) else attempt,
            follow=follow,
        )


class Reading:
    """One client's way through the output of one attempt. Close it after use."""

    job: Job

    def __init__(self, manager: Manager, owner: str | None, wanted: Wanted) -> None:
        """Listen from now on, so that no change is missed; ``open`` does the rest."""
        self.attempt = 0
        #: Whether ``next`` also returns the job, each time that it has changed.
        self.tells_job = False
        #: Whether all has been taken and no more will come.
        self.is_finished = False
        self._manager = manager
        self._owner = owner
        self._wanted = wanted
        self._follower: OutputFollower | None = None
        self._has_changed = False
        self._has_waited = False
        self._unsubscribe: Callable[[], None] = manager.feed.subscribe(self._told)

    @classmethod
    async def open(
        cls, settings: Mapping[str, Any], owner: str | None, wanted: Wanted
    ) -> "Reading":
        """Begin to read; raises NoSuchThing for a job or attempt, BadCursor for a place."""
        reading = cls(settings["jupyter_tasks_manager"], owner, wanted)
        try:
            await reading._begin(settings)
        except BaseException:
            reading.close()
            raise
        return reading

    @property
    def cursor(self) -> Cursor:
        """Where the next piece starts."""
        return Cursor(self.attempt, self._follower.offset if self._follower else 0)

    @property
    def is_over(self) -> bool:
        """Whether the attempt will never write again."""
        job = self.job
        return (
            job.has_ended
            or job.attempt > self.attempt
            or (job.attempt == self.attempt and not job.is_live)
        )

    async def next(self, limit: int, *, until: int | None = None) -> Slice | Gap | Job | None:
        """The next piece, once it is there; None at the end of all (or at the offset ``until``)."""
        while until is None or self.cursor.offset < until:
            room = limit if until is None else min(limit, until - self.cursor.offset)
            piece = await self.take(room)
            if piece is not None or self.is_finished:
                return piece
            await self.wait()
        return None

    async def take(self, limit: int) -> Slice | Gap | Job | None:
        """The next piece that is there; None for nothing, or for no more (then ``is_finished``)."""
        assert self._follower is not None
        if self._has_changed and self.tells_job:
            self._has_changed = False
            return self.job
        is_last = self.is_over or not self._wanted.follow
        piece = await self._follower.read(limit)
        self.is_finished = piece is None and is_last
        if piece is not None:
            self._has_waited = False
        return piece

    async def wait(self) -> None:
        """Wait until there may be more to take. Raises NoSuchThing when the job is deleted."""
        assert self._follower is not None
        if self._has_waited:
            # Woken for something else than output, or because nobody can ring for us.
            self._take(await self._manager.get(self.job.id, self._owner))
        self._has_waited = True
        if not (self.is_over or self.is_finished):
            await self._follower.grown()

    async def state(self) -> State:
        """The state of the attempt that was read."""
        if self.job.attempt == self.attempt:
            return self.job.state
        attempts = await self._manager.store.attempts(self.job.id)
        return next((a.state for a in attempts if a.number == self.attempt), self.job.state)

    async def end(self) -> Cursor:
        """Where the output ends at the moment."""
        assert self._follower is not None
        return Cursor(self.attempt, await self._follower.end())

    def gaps(self) -> list[Gap]:
        """What has been thrown away from the cursor on, as far as is known at the moment."""
        assert self._follower is not None
        return self._follower.gaps()

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        self._unsubscribe()
        if self._follower is not None:
            self._follower.close()

    async def _begin(self, settings: Mapping[str, Any]) -> None:
        self._take(await self._manager.get(self._wanted.job_id, self._owner))
        self.attempt = self._choose()
        outputs: Outputs = settings["jupyter_tasks_outputs"]
        directory: str = settings["jupyter_tasks_attempt_dir"](self.job.id, self.attempt)
        place = self._wanted.cursor
        start = place.offset if isinstance(place, Cursor) else place or 0
        self._follower = await outputs.follow(directory, start, tail_bytes=self._wanted.tail_bytes)

    def _choose(self) -> int:
        """The attempt that is wanted: there must be one, or it must be the next to come."""
        job, wanted = self.job, self._wanted.attempt
        is_coming = job.attempt == 0 or not (job.is_live or job.has_ended)
        if wanted is None:
            return max(1, job.attempt)
        if 1 <= wanted <= job.attempt + is_coming:
            return wanted
        words = f"Job {job.id} has no attempt {wanted}; its newest is {job.attempt}."
        error = BadCursor if isinstance(self._wanted.cursor, Cursor) else NoSuchThing
        raise error(words, job=job.id, attempt=job.attempt)

    def _told(self, news: News) -> None:
        if isinstance(news, ProgressNews):
            if self.tells_job and news.job_id == self.job.id:
                self._changed(replace(self.job, progress=news.progress))
        elif news.job.id == self._wanted.job_id:
            self._changed(news.after)

    def _changed(self, job: Job | None) -> None:
        if job is not None:
            self._take(job)
        self._has_changed = True
        if self._follower is not None:
            self._follower.wake()

    def _take(self, job: Job) -> None:
        if not hasattr(self, "job") or job.version >= self.job.version:
            self.job = job
