"""Who holds a slot, who is on its way in or out, and who is next in line.

It starts nothing itself: it tells the manager which job to start. What it holds is what is committed.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from jupyter_tasks.errors import StoreUnavailable
from jupyter_tasks.manager.turns import Patience
from jupyter_tasks.model import DIRECT_QUEUE, Job, State
from jupyter_tasks.schedule import Line, limit_of, starting_order


class Room(NamedTuple):
    """What a queued job waits for: ``reason``, how many have it, and how many may."""

    reason: str
    taken: int
    room: int


class Head(Protocol):
    """Reads the first in line."""

    async def __call__(self, *, limit: int, direct: bool) -> list[Job]:
        """At most ``limit`` of the queue ``direct``, or of all others; may raise StoreUnavailable."""
        ...


class _Lane:
    """A line with room for so many at a time: the queue ``direct`` has one, all others share one."""

    def __init__(self, room: int, *, is_direct: bool) -> None:
        self.room = room
        self.is_direct = is_direct
        self.clear()

    def clear(self) -> None:
        self.line = Line()
        self.held: set[str] = set()
        self.entering: dict[str, Job] = {}
        #: Queued jobs whose tasks run as often as they may.
        self.held_back: dict[str, Job] = {}
        self.refilling: Line | None = None


class Slots:
    """The live jobs and the head of each line, while this server decides."""

    def __init__(
        self,
        max_running: int,
        *,
        max_direct: int,
        head: Head,
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
        self._shared = _Lane(max_running, is_direct=False)
        self._direct = _Lane(max_direct, is_direct=True)
        self._leaving: set[tuple[str, int]] = set()

    @property
    def taken(self) -> int:
        """How many of ``max_running`` slots live jobs hold."""
        return len(self._shared.held)

    def room_for(self, job: Job, live: Iterable[Job]) -> Room:
        """What the job waits for, of these live jobs."""
        jobs = list(live)
        if (limit := limit_of(job)) is not None and (count := _count(limit[0], jobs)) >= limit[1]:
            return Room("task_limit", count, limit[1])
        lane = self._lane_of(job) or self._shared
        return Room(job.reason, sum(self._lane_of(one) is lane for one in jobs), lane.room)

    def open(self, live: Iterable[Job]) -> None:
        """Begin with the jobs that hold slots; the lines are read when they are needed."""
        self.close()
        self._is_open = True
        for job in live:
            self.update(job)

    def close(self) -> None:
        """Forget everything: it is another's to decide now."""
        self._is_open = False
        self.live, self._leaving = {}, set()
        self._shared.clear()
        self._direct.clear()

    def update(self, job: Job) -> None:
        """Take note of a committed change of the job."""
        if not self._is_open:
            return
        if job.is_live:
            self.live[job.id] = job
        else:
            self.live.pop(job.id, None)
        own = self._lane_of(job)
        for lane in (self._shared, self._direct):
            lane.held_back.pop(job.id, None)
            if lane is not own:
                lane.line.remove(job.id)  # a waiting job may have been put into another queue
            elif job.is_live:
                lane.held.add(job.id)
            else:
                lane.held.discard(job.id)
        if own is not None:
            own.line.update(job)
        if not job.is_live and job.state is not State.QUEUED:
            self._let_one_on(job)

    def remove(self, job_id: str) -> None:
        """Take note that the job is no more."""
        self.live.pop(job_id, None)
        for lane in (self._shared, self._direct):
            lane.held.discard(job_id)
            lane.held_back.pop(job_id, None)
            lane.line.remove(job_id)

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
        for lane in (self._shared, self._direct):
            self._fill(lane)

    def _fill(self, lane: _Lane) -> None:
        while self._is_open and lane.refilling is None and self._free(lane) > 0:
            if lane.line.needs_refill:
                lane.refilling = lane.line
                self._spawn(self._refill(lane, lane.line))
                return
            job = lane.line.pop()
            if job is None:
                return
            if self._is_at_its_limit(job):
                lane.held_back[job.id] = job
                continue
            lane.entering[job.id] = job
            self._spawn(self._enter(job, lane.line, lane.entering))

    def _is_at_its_limit(self, job: Job) -> bool:
        limit = limit_of(job)
        if limit is None:
            return False
        entering = {**self._shared.entering, **self._direct.entering}
        return _count(limit[0], {**entering, **self.live}.values()) >= limit[1]

    def _let_one_on(self, job: Job) -> None:
        """One of a limited task has gone: the first that was held back for it stands in line again."""
        limit = limit_of(job)
        if limit is None:
            return
        for lane in (self._shared, self._direct):
            waiting = [one for one in lane.held_back.values() if _is_of(one, limit[0])]
            if waiting:
                first = min(waiting, key=starting_order)
                del lane.held_back[first.id]
                lane.line.update(first)

    def _free(self, lane: _Lane) -> int:
        held = lane.held | lane.entering.keys() if lane.entering else lane.held
        if not self._leaving:
            return lane.room - len(held)
        leaving = {
            job_id
            for job_id, attempt in self._leaving
            if (job := self.live.get(job_id)) is not None and job.attempt == attempt
        }
        return lane.room - len(held - leaving)

    def _lane_of(self, job: Job) -> _Lane | None:
        if not job.spec.holds_slot:
            return None
        return self._direct if job.queue == DIRECT_QUEUE else self._shared

    async def _enter(self, job: Job, line: Line, entering: dict[str, Job]) -> None:
        """Line and dict are those of the time when it was sent: they may be closed meanwhile."""
        try:
            await self._give(job)
        except StoreUnavailable as error:
            await self._patience.after("start job", error, job.id)
            line.update(job)
        finally:
            entering.pop(job.id, None)
        if job.id not in self.live:
            self._let_one_on(job)
        self.fill()

    async def _refill(self, lane: _Lane, line: Line) -> None:
        try:
            limit = line.limit + len(lane.held_back)
            head = await self._head(limit=limit, direct=lane.is_direct)
            known = self.live.keys() | lane.entering.keys() | lane.held_back.keys()
            waiting = [job for job in head if job.id not in known and job.spec.holds_slot]
            line.refill(waiting, is_whole=len(head) < limit)
        except StoreUnavailable as error:
            await self._patience.after("read the queue", error)
        finally:
            if lane.refilling is line:
                lane.refilling = None
        self.fill()


def _count(task: tuple[str, ...], jobs: Iterable[Job]) -> int:
    return sum(_is_of(job, task) for job in jobs)


def _is_of(job: Job, task: tuple[str, ...]) -> bool:
    limit = limit_of(job)
    return limit is not None and limit[0] == task
