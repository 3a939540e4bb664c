"""The promises at the seams: what the manager may rely on, whoever implements it.

Only seams with two or more implementations (now or planned) stand here. Behaviour is in the
docstrings; every implementation of a contract runs the same tests in ``tests/contracts``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jupyter_tasks.lifecycle import (
    Claimed,
    Ended,
    Event,
    Fenced,
    NeverStarted,
    Unreachable,
    Vanished,
)
from jupyter_tasks.model import Attempt, Change, Filter, Job, Progress, Receipt, Report, State

#: What an executor may find when it is asked about an attempt that was starting or running.
Verdict = Claimed | Ended | Fenced | NeverStarted | Unreachable | Vanished


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some jobs, newest first; ``after`` is the key to ask on with, None at the end.

    A page may hold fewer than asked for, even none, and still have an ``after``: a store looks at a
    bounded number of jobs for each page. Only ``after`` says whether there are more.
    """

    jobs: tuple[Job, ...]
    after: str | None


class Reader(Protocol):
    """Reads what the store holds; any number of servers may do so at once.

    Every method reads one consistent, committed state, never blocks the event loop, and raises
    StoreUnavailable where the database cannot be read.
    """

    async def get(self, job_id: str) -> Job | None:
        """The job, or None where there is none."""
        ...

    async def get_many(self, job_ids: Sequence[str]) -> list[Job]:
        """Those of the jobs that exist, in the order asked for."""
        ...

    async def find(self, wanted: Filter, *, limit: int, after: str | None = None) -> Page:
        """The newest jobs that the filter accepts, from an index, at any number of jobs.

        Raises BadMessage where ``after`` is no key of ours.
        """
        ...

    async def head(self, *, limit: int, direct: bool = False) -> list[Job]:
        """The first queued jobs in starting order: priority downwards, then as they queued.

        ``direct``: those of the queue of that name, which stands apart, and no others.
        """
        ...

    async def due(self, *, limit: int) -> list[Job]:
        """The first scheduled jobs, by the time they are due."""
        ...

    async def position(self, job: Job) -> int:
        """How many queued jobs would start before this queued one."""
        ...

    async def live(self) -> list[Job]:
        """All jobs whose attempt is starting, running, or stopped in the middle."""
        ...

    async def attempts(self, job_id: str) -> list[Attempt]:
        """The job's attempts, the oldest first."""
        ...

    async def counts(self, owner: str | None) -> dict[State, int]:
        """How many jobs there are in each state, without looking at each."""
        ...

    async def changes(self, after: int, *, limit: int) -> list[Change] | None:
        """What happened after event number ``after``, in order; None where that is forgotten.

        ``Change.before`` holds the former values of what a filter looks at, so that a watcher can
        tell that a job has left its filter; ``Change.after`` is the job as it is now, or None where
        it is deleted.
        """
        ...

    async def last_seq(self) -> int:
        """The number of the newest event, 0 where there is none."""
        ...


class Store(Reader, Protocol):
    """Remembers jobs, attempts and events. One writer at a time, fenced by its epoch.

    A change is durable when its call returns; a call that raises has changed nothing. Calls made
    while a commit runs share the next one (group commit); each is answered after its own commit.
    """

    async def take_over(self) -> int:
        """Become the one writer: from now on every earlier writer's commits raise Superseded."""
        ...

    async def add(self, jobs: Sequence[Job], receipt: Receipt | None = None) -> list[Change]:
        """Add new jobs, all or none, with their ``submitted`` events.

        The store takes them over: it puts their numbers into these very jobs.

        Where the receipt's key is known with the same hash, nothing is added and the jobs of that
        time come back with ``seq`` 0; with another hash DuplicateKey is raised.
        """
        ...

    async def commit(self, change: Change) -> Change:
        """Replace the job where its stored version is still ``change.before.version``.

        Raises StaleVersion where it is not, or where the job is gone. The event row and the attempt
        row are in the same transaction. Where ``change.after`` is None the job, its attempts' rows
        and its receipts go, and an event of that name stays.
        """
        ...

    async def forget_events(self, *, keep: int) -> int:
        """Forget all but the newest ``keep`` events; return how many went."""
        ...

    async def forget_receipts(self, *, before: float) -> int:
        """Forget idempotency keys older than that time; return how many went."""
        ...

    async def close(self) -> None:
        """Finish what was asked, then close. May be called twice."""
        ...


class Listener(Protocol):
    """Whom an executor tells what became of attempts; called on the event loop, must not block."""

    def happened(self, job_id: str, attempt: int, event: Event) -> None:
        """The attempt was claimed, ended, vanished, stopped, continued or could not be started."""
        ...

    def progressed(self, job_id: str, attempt: int, progress: Progress) -> None:
        """The attempt has come further; told at most a few times a second."""
        ...


class Executor(Protocol):
    """Where attempts run. News reach the listener as events: Claimed always before Ended."""

    def listen(self, listener: Listener) -> None:
        """Name the one who is told; once, before anything else."""
        ...

    def prepare(self, job: Job) -> None:
        """Begin to put on disk what ``start`` will need, while the start itself is being committed.

        What is there before a start that never comes harms nobody.
        """
        ...

    async def start(self, job: Job) -> None:
        """Put the attempt's directory on disk and see to it that a supervisor claims it.

        Returns when the start is on its way; what becomes of it is told to the listener. May be
        called again for the same attempt: its claim lets it start at most once. Raises OSError where
        it cannot be started now.
        """
        ...

    async def recover(self, job: Job) -> Verdict:
        """Judge a live job's attempt by its directory; where it runs, follow it again.

        May be called twice. Answers in bounded time, also where the supervisor hangs. Raises OSError
        where the directory cannot be read now.
        """
        ...

    async def fence(self, job: Job) -> bool:
        """Make the attempt's claim ourselves. True: it will never start. False: it has started.

        Raises OSError where the claim cannot be written now.
        """
        ...

    async def report(self, job: Job, report: Report) -> tuple[list[Event], bool]:
        """Take what the program of a job says that runs elsewhere; on disk when it returns.

        Returns what happened by it, for the caller to book, and whether it was new. Raises Conflict
        where no program of the job may report (any more), TooLarge, and NoSpace.
        """
        ...

    def stop(self, job: Job, reason: str, *, at_once: bool) -> None:
        """End the attempt's whole tree: by the ladder, or at once.

        May be called again: the ladder goes on where it is. At once means also that a supervisor
        that hangs is ended, and that an attempt on another host counts as vanished.
        """
        ...

    def suspend(self, job: Job) -> None:
        """Let the attempt's tree stand still; told back as Stopped."""
        ...

    def resume(self, job: Job) -> None:
        """Let the attempt's tree go on; told back as Continued."""
        ...

    async def forget(self, job: Job) -> None:
        """Remove all files of an ended job's attempts."""
        ...

    async def close(self) -> None:
        """Let go of everything; what runs goes on running."""
        ...
