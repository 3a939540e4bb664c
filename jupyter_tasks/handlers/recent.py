"""What has happened lately, kept once for all watches of a server; each takes it at its own pace.

What many watches want alike is judged and encoded once. Watches are woken together, in rounds that
come less often the more there are, so that telling leaves room for the work that is told of.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, islice
from operator import attrgetter
from typing import Final, Literal

import msgspec

from jupyter_tasks import messages
from jupyter_tasks.errors import NoSuchThing
from jupyter_tasks.feed import News, ProgressNews
from jupyter_tasks.handlers.rounds import Rounds
from jupyter_tasks.manager import Manager
from jupyter_tasks.model import Change, Filter, Job

#: So much is kept for watches that are a little behind; who is further behind reads the store.
_MAX_KEPT: Final = 1024
_MAX_KEPT_BYTES: Final = 4 * 1024 * 1024
_PAGE: Final = 64
_MAX_PAGES: Final = 2
_MAX_PARCELS: Final = 16
#: A watch takes no more at once, but one thing at least.
_PARCEL_BYTES: Final = 256 * 1024
#: How long watches rest after a round: for each of them some ten times what telling it costs, but
#: no longer than people notice.
_REST_S: Final = 0.001
_MAX_REST_S: Final = 0.1


class Forgotten(Exception):
    """What happened after the watch's event number is no longer known."""


class Happening:
    """A change of a job, or mere progress (then without a change); encoded when first wanted."""

    __slots__ = ("_json", "change", "job", "number")

    def __init__(self, number: int, change: Change | None, job: Job | None) -> None:
        """Number it among its kind; ``job`` is how it is told."""
        self.number = number
        self.change = change
        self.job = job
        self._json: msgspec.Raw | None = None

    def show(self, job: Job) -> None:
        """Tell it by a newer state of the job."""
        self.job = job
        self._json = None

    @property
    def size(self) -> int:
        """How many bytes the job takes as it goes out."""
        return memoryview(self.json()).nbytes

    def json(self) -> msgspec.Raw:
        """The job as it goes out."""
        if self._json is None:
            job = self.job
            self._json = msgspec.Raw(messages.encode(job and messages.from_job(job)))
        return self._json


@dataclass(frozen=True, slots=True)
class Seen:
    """A job that the filter accepts has changed, appeared, or (no change) come further."""

    seq: int
    happening: Happening


@dataclass(frozen=True, slots=True)
class Gone:
    """A job that the filter accepted is no longer among those."""

    seq: int
    happening: Happening
    why: Literal["filter", "deleted"]


#: What news look like on one kind of connection. Equal forms share what they have encoded.
Form = Callable[[Seen | Gone], bytes]


@dataclass(frozen=True, slots=True)
class Place:
    """How far a watch has come: the number of its last event, and that of its last progress."""

    seq: int
    step: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """What a watch takes at once, and where it is then."""

    data: bytes
    place: Place


class Recent:
    """Listens to the feed for as long as there is a watch; keeps a bounded part of what it told."""

    def __init__(self, manager: Manager) -> None:
        """Keep nothing yet."""
        self._manager = manager
        self._unsubscribe: Callable[[], None] | None = None
        self._watches = 0
        self._newest = 0
        self._changes: deque[Happening] = deque()
        self._bytes = 0
        self._step = 0
        self._steps: dict[str, Happening] = {}
        self._pages: dict[int, asyncio.Task[list[Happening] | None]] = {}
        self._parcels: dict[tuple[Place, Filter, Form], Parcel] = {}
        self._rounds = Rounds()

    def enter(self, seq: int) -> Place:
        """One more watch, of all that happens after an event."""
        self._watches += 1
        if self._unsubscribe is None:
            self._newest = self._manager.feed.seq
            self._unsubscribe = self._manager.feed.subscribe(self._told)
        return Place(seq, self._step)

    def leave(self) -> None:
        """One watch less; after the last one nothing is kept."""
        self._watches -= 1
        if self._watches == 0 and self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
            self._forget()
            self._steps.clear()
            self._pages.clear()
            self._rounds.close()

    def holds(self, seq: int) -> bool:
        """Whether all that was told after that event is kept here."""
        return seq >= self._newest - len(self._changes)

    async def wait(self, place: Place) -> None:
        """Wait for a round in which something may have been told after that."""
        if self._newest > place.seq or self._step > place.step:
            self._rounds.call(min(self._watches * _REST_S, _MAX_REST_S))
        await self._rounds.next()

    async def kept(self, place: Place, wanted: Filter, form: Form) -> Parcel:
        """What of the kept comes after that place; only for a place that is held."""
        for job_id, step in tuple(self._steps.items()):
            if step.number > place.step and step.job is None:
                await self._meet(job_id, step)
        key = (place, wanted, form)
        parcel = self._parcels.get(key)
        if parcel is None:
            if len(self._parcels) >= _MAX_PARCELS:
                self._parcels.clear()
            parcel = self._parcels[key] = self._parcel(place, wanted, form)
        return parcel

    async def stored(self, place: Place, wanted: Filter, form: Form) -> Parcel | None:
        """What the store has after that place, or None for nothing; raises Forgotten."""
        found = await self._read(place.seq)
        if found:
            end = Place(found[-1].number, place.step)
            return _packed(found, place, end, wanted, form)
        if place.seq > await self._manager.store.last_seq():
            raise Forgotten
        return None

    # -- what is told ----------------------------------------------------------------------------

    def _told(self, news: News) -> None:
        self._parcels.clear()
        if isinstance(news, ProgressNews):
            self._step += 1
            self._steps.pop(news.job_id, None)  # so that they stand in the order of their numbers
            self._steps[news.job_id] = Happening(self._step, None, None)
        elif news.seq > self._newest:
            self._keep(news)
        self._rounds.call(min(self._watches * _REST_S, _MAX_REST_S))

    def _keep(self, change: Change) -> None:
        if change.seq > self._newest + 1:
            self._forget()  # the feed has left something out: the store knows it
        self._newest = change.seq
        happening = self._happening(change)
        self._changes.append(happening)
        self._bytes += happening.size
        while len(self._changes) > _MAX_KEPT or self._bytes > _MAX_KEPT_BYTES:
            self._bytes -= self._changes.popleft().size
        step = self._steps.get(change.job.id)
        if step is not None and happening.job is not None and happening.job.is_live:
            step.show(happening.job)
        else:
            self._steps.pop(change.job.id, None)

    def _happening(self, change: Change) -> Happening:
        job = change.after
        if job is not None:
            [job] = self._manager.with_progress([job])
        return Happening(change.seq, change, job)

    async def _meet(self, job_id: str, step: Happening) -> None:
        """See which job has come further: it may be known to the store alone, or to nobody."""
        try:
            job = await self._manager.get(job_id, None)
        except NoSuchThing:
            self._steps.pop(job_id, None)
            return
        if step.job is None:
            step.show(job)

    def _forget(self) -> None:
        self._changes.clear()
        self._parcels.clear()
        self._bytes = 0

    # -- what is taken ---------------------------------------------------------------------------

    def _parcel(self, place: Place, wanted: Filter, form: Form) -> Parcel:
        end = Place(max(place.seq, self._newest), self._step)
        first = len(self._changes) - (end.seq - place.seq)
        changes = islice(self._changes, first, None)
        steps = (step for step in self._steps.values() if step.number > place.step)
        return _packed(chain(changes, steps), place, end, wanted, form)

    async def _read(self, seq: int) -> list[Happening]:
        """Some of what the store has after that event; pages are shared, so they start alike."""
        page = await self._page(seq - seq % _PAGE)
        if page is None:
            page = await self._page(seq)  # the page's beginning is forgotten
        if page is None:
            raise Forgotten
        return page[bisect_right(page, seq, key=attrgetter("number")) :]

    async def _page(self, start: int) -> list[Happening] | None:
        task = self._pages.get(start)
        if task is None:
            while len(self._pages) >= _MAX_PAGES:
                del self._pages[next(iter(self._pages))]
            task = self._pages[start] = asyncio.ensure_future(self._load(start))
            task.add_done_callback(lambda done: self._loaded(start, done))
        return await asyncio.shield(task)

    async def _load(self, start: int) -> list[Happening] | None:
        changes = await self._manager.store.changes(start, limit=_PAGE)
        return None if changes is None else [self._happening(change) for change in changes]

    def _loaded(self, start: int, task: asyncio.Task[list[Happening] | None]) -> None:
        """Keep a full page, to which nothing will come, for those who are as far behind."""
        is_full = (
            not task.cancelled() and not task.exception() and len(task.result() or ()) == _PAGE
        )
        if self._pages.get(start) is task and not is_full:
            del self._pages[start]


def _packed(
    happenings: Iterable[Happening], place: Place, end: Place, wanted: Filter, form: Form
) -> Parcel:
    """As much as may go at once; ``end`` is the place after all of them."""
    pieces: list[bytes] = []
    size, seq, step = 0, place.seq, place.step
    for happening in happenings:
        if size >= _PARCEL_BYTES:
            return Parcel(b"".join(pieces), Place(seq, step))
        if happening.change is None:
            step = happening.number
        else:
            seq = happening.number
        news = _judged(happening, seq, wanted)
        if news is not None:
            pieces.append(form(news))
            size += len(pieces[-1])
    return Parcel(b"".join(pieces), end)


def _judged(happening: Happening, seq: int, wanted: Filter) -> Seen | Gone | None:
    """What it is to somebody who wants such jobs; None: nothing."""
    change, job = happening.change, happening.job
    if change is None:
        has_come_further = job is not None and job.is_live and job.progress is not None
        is_wanted = has_come_further and job is not None and wanted.accepts(job)
        return Seen(seq, happening) if is_wanted else None
    if job is not None and wanted.accepts(job):
        return Seen(seq, happening)
    if change.before is not None and wanted.accepts(change.before):
        return Gone(seq, happening, "deleted" if job is None else "filter")
    return None
