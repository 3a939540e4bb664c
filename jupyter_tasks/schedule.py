"""Who goes next. Pure: it knows neither clock nor store.

Later kinds of waiting (delays, cron, back-off, several queues) find their room here.
"""

from bisect import insort
from collections.abc import Iterable

from jupyter_tasks.model import FunctionSpec, Job, State

Key = tuple[int, float, int]


def starting_order(job: Job) -> Key:
    """The job's place among the queued: the higher priority first, then who queued first."""
    return (-job.priority, job.queued_at or job.created_at, job.number)


def limit_of(job: Job) -> tuple[tuple[str, ...], int] | None:
    """Which task the job is counted with, and how many jobs of it may run; None: it has no limit.

    A task of a module is one for all owners; one that was registered, or runs a command, is its
    owner's.
    """
    spec = job.spec
    if not isinstance(spec, FunctionSpec) or spec.task_limit is None:
        return None
    load = spec.load
    owner = job.owner if load.upload or load.name == "run_command" else ""
    return (owner, spec.task, load.module or load.file or "", load.name), spec.task_limit


class Line:
    """The head of the queue, kept in memory; the rest stays in the store until it is needed.

    ``is_whole`` says that nothing is queued beyond what is held here. While it is False, a job
    that would stand behind the last one held is not kept: the next ``refill`` brings it. Such a job
    may have come after the store was read for the refill under way, so that one is not whole.
    """

    def __init__(self, *, limit: int = 256) -> None:
        """Hold at most ``limit`` jobs."""
        self.limit = limit
        self.is_whole = False
        self._has_dropped = False
        self._order: list[tuple[Key, str]] = []
        self._jobs: dict[str, Job] = {}

    def __len__(self) -> int:
        """How many queued jobs are held."""
        return len(self._order)

    @property
    def needs_refill(self) -> bool:
        """Whether the store may hold queued jobs and none is held here."""
        return not self._order and not self.is_whole

    def update(self, job: Job) -> None:
        """Take note of a job's new state: in the line if it is queued, out of it otherwise."""
        self.remove(job.id)
        if job.state is not State.QUEUED:
            return
        entry = (starting_order(job), job.id)
        if not self.is_whole and (not self._order or entry > self._order[-1]):
            self._has_dropped = True
            return
        self._insert(entry, job)

    def remove(self, job_id: str) -> None:
        """Forget the job, if it is held."""
        job = self._jobs.pop(job_id, None)
        if job is not None:
            self._order.remove((starting_order(job), job_id))

    def pop(self) -> Job | None:
        """Take the first job out of the line; None where none is held."""
        if not self._order:
            return None
        _, job_id = self._order.pop(0)
        return self._jobs.pop(job_id)

    def refill(self, jobs: Iterable[Job], *, is_whole: bool) -> None:
        """Hold the head of the queue as the store has it, with what was noted meanwhile."""
        self.is_whole = is_whole and not self._has_dropped
        self._has_dropped = False
        for job in jobs:
            if job.id not in self._jobs and job.state is State.QUEUED:
                self._insert((starting_order(job), job.id), job)

    def _insert(self, entry: tuple[Key, str], job: Job) -> None:
        insort(self._order, entry)
        self._jobs[job.id] = job
        if len(self._order) > self.limit:
            _, last = self._order.pop()
            del self._jobs[last]
            self.is_whole = False
