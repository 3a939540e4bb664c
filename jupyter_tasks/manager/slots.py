"""Who holds a slot, who is on its way in or out, and who is next in line.

It starts nothing itself: it tells the manager which job to start. What it holds is what is committed.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_tasks.errors import StoreUnavailable
from jupyter_tasks.manager.turns import Patience
from jupyter_tasks.model import Job
from jupyter_tasks.schedule import Line


class Slots:
    """The live jobs and the head of the queue, while this server decides."""

    def __init__(
        self,
        max_running: int,
        *,
        head: Callable[[int], Awaitable[list[Job]]],
        give: Callable[[Job], Awaitable[None]],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        patience: Patience,
    ) -> None:
        """Closed: nothing is given away before ``open``. ``give`` may raise StoreUnavailable."""
        self.max_running = max_running
        self.live: dict[str, Job] = {}
        self._head = head
        self._give = give
        self._spawn = spawn
        self._patience = patience
        self._is_open = False
        self._line = Line()
        self._entering: set[str] = set()
        #: Live jobs that take no slot.
        self._outside: set[str] = set()
        self._leaving: set[tuple[str, int]] = set()
        self._refilling: Line | None = None

    @property
    def taken(self) -> int:
        """How many slots live jobs hold."""
        return len(self.live) - len(self._outside)

    def open(self, live: Iterable[Job]) -> None:
        """Begin with the jobs that hold slots; the line is read when it is needed."""
        self.close()
        self.live = {job.id: job for job in live}
        self._outside = {job.id for job in self.live.values() if not job.spec.holds_slot}
        self._is_open = True

    def close(self) -> None:
        """Forget everything: it is another's to decide now."""
        self._is_open = False
        self.live, self._line = {}, Line()
        self._entering, self._leaving, self._outside = set(), set(), set()
        self._refilling = None

    def update(self, job: Job) -> None:
        """Take note of a committed change of the job."""
        if not self._is_open:
            return
        if job.is_live:
            self.live[job.id] = job
        else:
            self.live.pop(job.id, None)
        if job.spec.holds_slot:
            self._line.update(job)
        elif job.is_live:
            self._outside.add(job.id)
        else:
            self._outside.discard(job.id)

    def remove(self, job_id: str) -> None:
        """Take note that the job is no more."""
        self.live.pop(job_id, None)
        self._outside.discard(job_id)
        self._line.remove(job_id)

    @contextmanager
    def left_by(self, before: Job, after: Job) -> Iterator[None]:
        """While this change is committed: where it gives a slot back, the slot is free already.

        The successor's commit then joins the group of this one's end: one fsync for both.
        """
        leaver = (before.id, before.attempt)
        if after.is_live or not before.is_live:
            yield
            return
        self._leaving.add(leaver)
        self.fill()
        try:
            yield
        finally:
            self._leaving.discard(leaver)
            self.fill()

    def fill(self) -> None:
        """Give every free slot to the first in line; reads more of the line where it runs dry."""
        while self._is_open and self._refilling is None and self._free() > 0:
            if self._line.needs_refill:
                self._refilling = line = self._line
                self._spawn(self._refill(line))
                return
            job = self._line.pop()
            if job is None:
                return
            self._entering.add(job.id)
            self._spawn(self._enter(job, self._line, self._entering))

    def _free(self) -> int:
        held = self.live.keys() | self._entering
        if self._outside:
            held -= self._outside
        if not self._leaving:
            return self.max_running - len(held)
        leaving = {
            job_id
            for job_id, attempt in self._leaving
            if (job := self.live.get(job_id)) is not None and job.attempt == attempt
        }
        return self.max_running - len(held - leaving)

    async def _enter(self, job: Job, line: Line, entering: set[str]) -> None:
        """Line and set are those of the time when it was sent: they may be closed meanwhile."""
        try:
            await self._give(job)
        except StoreUnavailable as error:
            await self._patience.after("start job", error, job.id)
            line.update(job)
        finally:
            entering.discard(job.id)
        self.fill()

    async def _refill(self, line: Line) -> None:
        try:
            head = await self._head(line.limit)
            known = self.live.keys() | self._entering
            waiting = [job for job in head if job.id not in known and job.spec.holds_slot]
            line.refill(waiting, is_whole=len(head) < line.limit)
        except StoreUnavailable as error:
            await self._patience.after("read the queue", error)
        finally:
            if self._refilling is line:
                self._refilling = None
        self.fill()
