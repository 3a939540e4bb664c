"""The manager decides: it feeds events to the life cycle and carries out its effects.

It lives on the server's event loop and never blocks it. What it holds in memory changes only after
the commit. It meets store and executor through their contracts and knows nothing of HTTP.
"""

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from jupyter_tasks import lifecycle as lc
from jupyter_tasks.background import Background
from jupyter_tasks.contracts import Executor, Reader, Store
from jupyter_tasks.errors import (
    CallerError,
    Conflict,
    IllegalTransition,
    NoActiveManager,
    StaleVersion,
    StoreUnavailable,
    Superseded,
    no_such_job,
)
from jupyter_tasks.feed import Feed, ProgressNews
from jupyter_tasks.manager import bulk
from jupyter_tasks.manager.explaining import Explanation, sentence
from jupyter_tasks.manager.outside import Outside
from jupyter_tasks.manager.slots import Slots
from jupyter_tasks.manager.tidying import Tidying
from jupyter_tasks.manager.turns import Patience, Turns
from jupyter_tasks.model import Change, Filter, Job, Progress, Receipt, Report, State

_PAGE = 500
#: How long the news of a start waits for the news of its end, before it is booked by itself.
_CLAIM_SETTLES_S = 0.004
#: What the machine or the server is short of at the moment, and no job's fault.
_SHORTAGES = (
    *(errno.ENOSPC, errno.EDQUOT),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
)


class Manager:
    """The one that decides about a state directory's jobs, while it is active.

    A manager that is not active reads only: its server forwards what changes anything.
    """

    def __init__(
        self,
        *,
        store: Store,
        executor: Executor,
        max_running: int,
        max_direct: int = 8,
        keep_events: int = 100_000,
        log: logging.Logger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the parts; nothing starts before ``activate``."""
        self.is_active = False
        self.activated = asyncio.Event()
        self.superseded = asyncio.Event()
        self.feed = Feed(log)
        self._store = store
        self._executor = executor
        self._log = log
        self._clock = clock
        self._is_in_step = False
        self._progress: dict[str, Progress] = {}
        self._settling: dict[tuple[str, int], tuple[asyncio.TimerHandle, lc.Claimed]] = {}
        self._turns = Turns()
        self._patience = Patience(log)
        self._background = Background(log)
        self._slots = Slots(
            max_running,
            max_direct=max_direct,
            head=store.head,
            give=self._give_slot,
            spawn=self._background.spawn,
            patience=self._patience,
        )
        self._outside = Outside(
            store, give=self._give_slot, spawn=self._background.spawn, patience=self._patience
        )
        self._tidying = Tidying(
            store, keep_events=keep_events, spawn=self._background.spawn, clock=clock, log=log
        )
        executor.listen(self)

    # -- reading: on every server ---------------------------------------------------------------

    @property
    def store(self) -> Reader:
        """What is remembered, to read."""
        return self._store

    @property
    def running(self) -> int:
        """How many attempts hold a slot."""
        return self._slots.taken

    @property
    def max_running(self) -> int:
        """How many attempts may hold one."""
        return self._slots.max_running

    async def get(self, job_id: str, owner: str | None) -> Job:
        """The owner's job with its newest progress; raises NoSuchThing."""
        job = self._slots.live.get(job_id) or await self._store.get(job_id)
        if job is None or (owner is not None and job.owner != owner):
            raise no_such_job(job_id)
        return self._with_progress(job)

    def with_progress(self, jobs: Iterable[Job]) -> list[Job]:
        """The jobs, with the newest progress of those that run."""
        return [self._with_progress(job) for job in jobs]

    async def explain(self, job_id: str, owner: str | None) -> Explanation:
        """Why the job is as it is, and what it waits for."""
        job = await self.get(job_id, owner)
        position = await self._store.position(job) if job.state is State.QUEUED else None
        live = self._slots.live.values() if self.is_active else await self._store.live()
        room = self._slots.room_for(job, live)
        return Explanation(
            job=job.id,
            state=job.state,
            reason=room.reason if job.state is State.QUEUED else job.reason,
            message=sentence(job, position, room.taken, room.room, room.reason),
            position=position,
            running=room.taken,
            max_running=room.room,
        )

    # -- changing: on the active server only ------------------------------------------------------

    async def submit(
        self, jobs: Sequence[Job], receipt: Receipt | None = None
    ) -> tuple[list[Job], bool]:
        """Put new jobs on disk, all or none, then see to them; False: the receipt was known.

        Raises DuplicateKey where the receipt's key stands for another request.
        """
        self._must_be_active()
        with self._stepping_down():
            changes = await self._store.add(jobs, receipt)
        is_new = not changes or changes[0].seq > 0
        if is_new:
            for change in changes:
                self._slots.update(change.job)
                self.feed.publish(change)
            self._slots.fill()
            await self._outside.start(change.job for change in changes)
        self._tidying.at_times(self.feed.seq)
        jobs = [change.job for change in changes]
        return [self._slots.live.get(job.id, job) for job in jobs], is_new

    async def ask(self, job_id: str, owner: str | None, event: lc.Event) -> Job:
        """Do to the owner's job what a person asks for; raises NoSuchThing or IllegalTransition."""
        self._must_be_active()
        return await self._feed(job_id, event, owner=owner)

    async def report(self, job_id: str, owner: str | None, report: Report) -> tuple[Job, bool]:
        """Take what a program says that runs elsewhere; the job then, and whether it was new.

        Raises Conflict where nobody may report on that job or attempt (any more).
        """
        self._must_be_active()
        job = await self.get(job_id, owner)
        if report.attempt not in (None, job.attempt):
            raise IllegalTransition(f"Job {job_id} is at attempt {job.attempt}, no other.")
        events, is_new = await self._executor.report(job, report)
        for event in events:
            self._claim_has_settled(job.id, job.attempt, is_over=isinstance(event, lc.Ended))
            await self._take_news(job.id, job.attempt, event)
        return await self.get(job_id, owner), is_new

    async def edit(self, job_id: str, owner: str | None, version: int, event: lc.Edited) -> Job:
        """Change a waiting job; raises StaleVersion where it is no longer at that version."""
        self._must_be_active()
        return await self._feed(job_id, event, owner=owner, version=version)

    async def delete(self, job_id: str, owner: str | None) -> None:
        """Remove an ended job, its history and its files; raises Conflict while it has not ended."""
        self._must_be_active()
        async with self._turns.of(job_id):
            job = await self.get(job_id, owner)
            if not job.has_ended:
                raise Conflict(
                    f"Job {job.id} is {job.state}; only a job that has ended can be deleted. "
                    "Cancel it first.",
                    job=job.id,
                    state=str(job.state),
                )
            gone = Change(event="deleted", at=self._clock(), before=job, after=None)
            await self._commit(gone)
        await self._executor.forget(job)

    async def ask_all(self, wanted: Filter, event: lc.Event) -> dict[str, int]:
        """Ask the same of every job that the filter accepts now and to which it can happen.

        Counts those, who could, and who by then could not any more.
        """
        return await bulk.ask(self._store, wanted, event, self.ask)

    async def delete_all(self, wanted: Filter) -> dict[str, int]:
        """Delete every ended job that the filter accepts now; counts as ``ask_all`` does."""
        return await bulk.delete(self._store, wanted, self.delete)

    # -- its own life ----------------------------------------------------------------------------

    async def activate(self) -> None:
        """Become the one that decides: fence former writers, fill the slots, judge what was live.

        The judging goes on in the background, so that nothing that hangs holds up the rest.
        """
        await self._store.take_over()
        await self.catch_up()
        live = await self._store.live()
        self._slots.open(live)
        self.superseded.clear()
        self.is_active = True
        self.activated.set()
        for job in live:
            self._background.spawn(self._recover(job))
        self._background.spawn(self._tidying.finish_deletions(self.feed.seq, self._executor.forget))
        self._slots.fill()
        self._background.spawn(self._outside.start_all())

    def step_down(self) -> None:
        """Another server decides from now on; what was held in memory is no longer the truth."""
        self.is_active = False
        self.activated.clear()
        self._slots.close()
        self._progress.clear()
        self.superseded.set()

    async def catch_up(self) -> None:
        """Tell this server's watchers what another server did; at first there is nothing to tell."""
        if not self._is_in_step:
            self.feed.seq = await self._store.last_seq()
            self._is_in_step = True
        while changes := await self._store.changes(self.feed.seq, limit=_PAGE):
            for change in changes:
                self.observed(change)
        if changes is None:
            self.feed.seq = await self._store.last_seq()

    def observed(self, change: Change) -> None:
        """Tell this server's watchers what the active server did (only while following)."""
        if not change.job.is_live:
            self._progress.pop(change.job.id, None)
        self.feed.publish(change)

    async def close(self) -> None:
        """Stop deciding and let go; attempts go on."""
        self.is_active = False
        self._slots.close()
        await self._background.close()
        await self._executor.close()

    # -- what the executor tells -------------------------------------------------------------------

    def happened(self, job_id: str, attempt: int, event: lc.Event) -> None:
        """Take news of an attempt (contracts.Listener)."""
        if not self.is_active:
            return
        if isinstance(event, lc.Claimed):
            self._settle_claim(job_id, attempt, event)
            return
        is_over = isinstance(event, lc.Ended | lc.Vanished)
        self._claim_has_settled(job_id, attempt, is_over=is_over)
        self._background.spawn(self._take_news(job_id, attempt, event))

    def _settle_claim(self, job_id: str, attempt: int, event: lc.Claimed) -> None:
        """Book a start a few milliseconds late: where its end comes at once, the end says all.

        A commit for a state that is already past would only keep the next job waiting.
        """
        loop = asyncio.get_running_loop()
        timer = loop.call_later(_CLAIM_SETTLES_S, self._claim_has_settled, job_id, attempt)
        self._settling[job_id, attempt] = (timer, event)

    def _claim_has_settled(self, job_id: str, attempt: int, *, is_over: bool = False) -> None:
        timer, event = self._settling.pop((job_id, attempt), (None, None))
        if timer is None or event is None:
            return
        timer.cancel()
        if self.is_active and not is_over:
            self._background.spawn(self._take_news(job_id, attempt, event))

    def progressed(self, job_id: str, attempt: int, progress: Progress) -> None:
        """Take progress of an attempt (contracts.Listener)."""
        self._progress[job_id] = progress
        self.feed.publish(ProgressNews(job_id=job_id, attempt=attempt, progress=progress))

    async def _take_news(self, job_id: str, attempt: int, event: lc.Event) -> None:
        """Feed the executor's news to the life cycle, in the order in which they came."""
        async with self._turns.of(("news", job_id)):
            await self._book(job_id, attempt, event)

    async def _book(self, job_id: str, attempt: int, event: lc.Event) -> None:
        """News cannot be refused, only be too late; a store that fails is tried until it works."""
        while self.is_active:
            try:
                await self._feed(job_id, event, attempt=attempt)
            except (StaleVersion, StoreUnavailable) as error:
                await self._patience.after(f"book {lc.event_name(event)} of job", error, job_id)
                continue
            except CallerError as error:
                self._log.debug(
                    "Ignored late %s of job %s: %s", lc.event_name(event), job_id, error
                )
            return

    async def _recover(self, job: Job) -> None:
        """Judge a live job by its attempt directory and book the verdict."""
        while self.is_active:
            try:
                verdict = await self._executor.recover(job)
            except OSError as error:
                await self._patience.after("judge the attempt of job", error, job.id)
                continue
            words = "Recovered job %s attempt %d: %s"
            self._log.info(words, job.id, job.attempt, type(verdict).__name__)
            self.happened(job.id, job.attempt, verdict)
            return

    # -- the heart: one event of one job --------------------------------------------------------

    async def _feed(
        self,
        job_id: str,
        event: lc.Event,
        *,
        owner: str | None = None,
        version: int | None = None,
        attempt: int | None = None,
        known: Job | None = None,
    ) -> Job:
        """Step, commit, remember, tell, act: in this order, one event of a job at a time."""
        async with self._turns.of(job_id):
            job = known or await self._current(job_id, owner, version, attempt)
            after, effects = lc.step(job, event, self._clock())
            same = replace(job, version=after.version, updated_at=after.updated_at)
            if isinstance(event, lc.Edited) and after == same:
                return job
            if after.has_ended and after.progress is None:
                after = replace(after, progress=self._progress.get(job_id))
            change = Change(
                event=lc.event_name(event),
                at=after.updated_at,
                before=job,
                after=after,
                attempt=lc.attempt_after(after, job, event),
            )
            if any(isinstance(effect, lc.Start) for effect in effects):
                self._executor.prepare(after)
            with self._slots.left_by(job, after):
                await self._commit(change)
        for effect in effects:
            await self._carry_out(effect, after)
        await self._outside.start([after])
        return after

    async def _current(
        self, job_id: str, owner: str | None, version: int | None, attempt: int | None
    ) -> Job:
        job = self._slots.live.get(job_id) or await self._store.get(job_id)
        if job is None or (owner is not None and job.owner != owner):
            raise no_such_job(job_id)
        if version is not None and version != job.version:
            raise StaleVersion(
                f"Job {job_id} is at version {job.version} by now, not {version}; read it again.",
                job=job_id,
                version=job.version,
            )
        if attempt is not None and attempt != job.attempt:
            raise IllegalTransition(f"Job {job_id} is at attempt {job.attempt}, not {attempt}.")
        return job

    async def _commit(self, change: Change) -> None:
        """Put the change on disk; only then change what is held in memory, and tell the feed."""
        with self._stepping_down():
            try:
                change = await self._store.commit(change)
            except StaleVersion:
                await self._read_anew(change.job.id)
                raise
        if change.after is None:
            self._slots.remove(change.job.id)
        else:
            self._slots.update(change.job)
        if not change.job.is_live:
            self._progress.pop(change.job.id, None)
        self.feed.publish(change)
        self._slots.fill()

    async def _read_anew(self, job_id: str) -> None:
        """Memory is behind the store (a commit whose answer was lost): the store is right."""
        job = await self._store.get(job_id)
        if job is None:
            self._slots.remove(job_id)
        else:
            self._slots.update(job)

    async def _carry_out(self, effect: lc.Effect, job: Job) -> None:
        match effect:
            case lc.Start():
                await self._start(job)
            case lc.Fence():
                self._background.spawn(self._fence(job))
            case lc.Stop():
                self._executor.stop(job, effect.reason, at_once=effect.at_once)
            case lc.Suspend():
                self._executor.suspend(job)
            case lc.Continue():
                self._executor.resume(job)

    async def _start(self, job: Job) -> None:
        try:
            await self._executor.start(job)
        except OSError as error:
            if error.errno in _SHORTAGES:
                self._background.spawn(self._start_again(job, error))
                return
            self._log.exception("Failed to start job %s attempt %d", job.id, job.attempt)
            words = f"The attempt could not be started: {error.strerror or error}."
            self.happened(job.id, job.attempt, lc.StartFailed(message=words))

    async def _start_again(self, job: Job, error: OSError) -> None:
        """A shortage is not the job's fault: it keeps its slot and waits for its end."""
        await self._patience.after("start job", error, job.id)
        if self._is_on_its_way(job) and job.cancel_requested_at is None:
            await self._start(job)

    async def _fence(self, job: Job) -> None:
        """See to it that the attempt does not start; where it has, what it is decides."""
        while self._is_on_its_way(job):
            try:
                is_fenced = await self._executor.fence(job)
                verdict = lc.Fenced() if is_fenced else await self._executor.recover(job)
            except OSError as error:
                await self._patience.after("fence the attempt of job", error, job.id)
                continue
            self.happened(job.id, job.attempt, verdict)
            return

    def _is_on_its_way(self, job: Job) -> bool:
        now = self._slots.live.get(job.id)
        return now is not None and (now.attempt, now.state) == (job.attempt, State.STARTING)

    async def _give_slot(self, job: Job) -> None:
        """Start the job as the line has it; should the store know better, its version says so."""
        try:
            await self._feed(job.id, lc.SlotGiven(), known=job)
        except CallerError as error:
            self._log.debug("Gave no slot to job %s: %s", job.id, error)
            await self._forget_if_gone(job)

    async def _forget_if_gone(self, job: Job) -> None:
        """Its files were being prepared: whoever deleted it meanwhile may have looked before."""
        if await self._store.get(job.id) is None:
            await self._executor.forget(job)

    # -- small parts ----------------------------------------------------------------------------

    def _with_progress(self, job: Job) -> Job:
        newest = self._progress.get(job.id)
        return replace(job, progress=newest) if newest is not None and not job.has_ended else job

    def _must_be_active(self) -> None:
        if not self.is_active:
            raise NoActiveManager

    @contextmanager
    def _stepping_down(self) -> Iterator[None]:
        """Where the store says that another server decides now, follow it."""
        try:
            yield
        except Superseded:
            self.step_down()
            raise
