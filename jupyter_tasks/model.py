"""What everything is about: jobs, attempts and their specs, as frozen values.

Glossary (one word for one thing, in Python, SQL, JSON and TypeScript alike):
job: one request to run something, with its whole life. attempt: one try at running it. spec: what
to run. kind: which sort of spec. queue: a named line with its own concurrency. owner: whose job it
is. runner: how a kind is run. supervisor: the process that holds an attempt. executor: where
supervisors are started. store: what is remembered. record: a piece of output. cursor: where a reader
goes on, ``<attempt>.<byte>``. event: what happened, in the past tense. effect: what must be done now.
Times are seconds since the epoch, durations end in ``_s``, sizes in ``_bytes``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal


class State(StrEnum):
    """Where a job is in its life: a closed set that drives logic."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


#: A job in one of these has ended; only a restart leads out.
ENDED: Final = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.LOST})
#: A job in one of these may wait without anything of it running.
WAITING: Final = frozenset({State.SCHEDULED, State.QUEUED, State.PAUSED})


def folded(text: str) -> str:
    """The text as searches compare it: without case, and without NUL, which no index can hold."""
    return text.casefold().replace("\0", "\ufffd")


OnLost = Literal["fail", "requeue"]
#: Why nobody can know how an attempt ended.
Loss = Literal[
    "supervisor_died",
    "host_rebooted",
    "container_replaced",
    "worker_lost",
    "files_lost",
    "silent",
]
Kind = Literal["shell", "code", "notebook", "function", "external"]
DEFAULT_QUEUE: Final = "default"
#: Of runs that somebody waits for: outside ``max_running``, with a bound of its own.
DIRECT_QUEUE: Final = "direct"
DEFAULT_GRACE_S: Final = 10.0
DEFAULT_LEASE_S: Final = 300.0
DEFAULT_MAX_OUTPUT_BYTES: Final = 64 * 1024 * 1024


class Spec:
    """What to run: each kind has a spec of its own, and all have these."""

    __slots__ = ()
    kind: Kind
    cwd: str
    env: Mapping[str, str]
    #: Whether its attempts run here, and so take a slot of ``max_running``.
    holds_slot: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellSpec(Spec):
    """A command: a string for ``/bin/sh -c``, or a list of arguments."""

    command: str | tuple[str, ...] = field(repr=False)
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdin: str | None = field(default=None, repr=False)
    tty: bool = False
    merge_stderr: bool = False
    kind: Literal["shell"] = "shell"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSpec(Spec):
    """Source text for a fresh kernel: that of a kernelspec, or ipykernel in a Python interpreter.

    ``inputs``: the id of uploaded values that its variables are set to. ``outputs``: the names of
    those whose values are kept when it has succeeded.
    """

    source: str = field(repr=False)
    kernel: str = ""
    python: str | None = None
    inputs: str | None = None
    outputs: tuple[str, ...] = ()
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    kind: Literal["code"] = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookSpec(Spec):
    """A notebook, run cell by cell in a fresh kernel; the outputs go into another one.

    ``path`` and ``output`` (where that is written) are relative to ``root``, the root folder of the
    server that was asked. ``parameters``: JSON values by name. ``allow_errors``: go on after a cell
    that fails.
    """

    path: str
    root: str = ""
    output: str
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    kernel: str = ""
    allow_errors: bool = False
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    kind: Literal["notebook"] = "notebook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Where a function is: its dotted ``name`` in a module or a file, or its value in an upload."""

    module: str | None = None
    file: str | None = None
    name: str = ""
    upload: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec(Spec):
    """A Python function, called once, or in a group with many sets of arguments.

    ``task``: what people call it. ``arguments``: by name, the same for every call. ``inputs``: the id
    of uploaded arguments by value. ``calls``: how many sets of arguments there are; None: one plain
    call. ``max_concurrent``: calls at a time (0: as many as there are processors, -1: 128).
    ``task_limit``: how many jobs of this task may run at a time; None: as many as have room.
    ``isolated``: each call in a process of its own. ``python``: an interpreter's path; None: the
    server's own.
    """

    task: str
    load: Load
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    inputs: str | None = None
    calls: int | None = None
    max_concurrent: int = 0
    isolated: bool = False
    task_limit: int | None = None
    python: str | None = None
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    kind: Literal["function"] = "function"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalSpec(Spec):
    """A program that runs elsewhere and reports itself; nothing of it is started or signalled here.

    Silence longer than ``lease_s`` loses it. ``program`` and ``host``: what people are told of it.
    """

    lease_s: float = DEFAULT_LEASE_S
    program: str = ""
    host: str = ""
    cwd: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    kind: Literal["external"] = "external"
    holds_slot: ClassVar[bool] = False


#: Every kind's spec; further kinds join here.
SPECS: Final[Mapping[str, type[Spec]]] = {
    "shell": ShellSpec,
    "code": CodeSpec,
    "notebook": NotebookSpec,
    "function": FunctionSpec,
    "external": ExternalSpec,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is: ``value`` of ``total`` (1.0 = whole, where no total is known)."""

    value: float | None = None
    total: float | None = None
    message: str = ""
    source: str = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an attempt ended, as its supervisor wrote it into the claim.

    ``peak_rss_bytes``: of the whole tree where it was sampled (once a second, four times where memory
    is limited), or of its largest process where that is more. None: too short to be sampled, and no
    larger than what it was spawned from (some 10 MB; where supervisors are not forked, the server),
    so that nobody knows.
    """

    outcome: Literal["exited", "signalled", "not_started", "raised", "kernel_died"]
    ended_at: float
    started_at: float | None = None
    host: str = ""
    pid: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    stopped_by: Literal["cancel", "timeout", "memory"] | None = None
    stop_reason: str | None = None
    message: str = ""
    peak_rss_bytes: int | None = None
    cpu_s: float | None = None
    output_bytes: int = 0
    leftover_pids: tuple[int, ...] = ()
    progress: Progress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a program that runs elsewhere says of itself; nothing at all says that it lives.

    ``key``: the same report again is known by it. ``is_paused``: it stands still, as it was asked to.
    ``result``: JSON. ``end``: it has ended like this, the rest is its last word.
    """

    attempt: int | None = None
    key: str | None = None
    progress: Progress | None = None
    output: tuple[tuple[Literal["out", "err"], bytes], ...] = ()
    is_paused: bool = False
    result: bytes | None = None
    end: Literal["succeeded", "failed", "cancelled"] | None = None
    exit_code: int | None = None
    message: str = ""


#: Why a job failed that nobody stopped, by the outcome; where it exited, the exit code decides.
FAILURES: Final = {
    "not_started": "start",
    "signalled": "signal",
    "raised": "error",
    "kernel_died": "kernel_died",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at running a job; its output lies in its attempt directory.

    ``host`` and ``pid``: of its supervisor, as soon as it has said so.
    """

    job: str
    number: int
    state: State
    reason: str = ""
    message: str = ""
    host: str = ""
    pid: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    peak_rss_bytes: int | None = None
    cpu_s: float | None = None
    output_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One request to run something, with its whole life. ``number`` is given by the store.

    ``resume_to`` is set while paused: the state that a resume leads back to; RUNNING there means that
    the job's processes are stopped and its slot is kept. ``cancel_requested_at`` and
    ``pause_requested_at`` are wishes that somebody made and the supervisor has not yet confirmed.
    """

    id: str
    owner: str
    spec: Spec
    name: str
    created_at: float
    updated_at: float
    number: int = 0
    tags: tuple[str, ...] = ()
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    timeout_s: float | None = None
    memory_bytes: int | None = None
    grace_s: float = DEFAULT_GRACE_S
    max_output_bytes: int = DEFAULT_MAX_OUTPUT_BYTES
    on_lost: OnLost = "fail"
    state: State = State.QUEUED
    reason: str = ""
    message: str = ""
    attempt: int = 0
    version: int = 1
    resume_to: State | None = None
    cancel_requested_at: float | None = None
    cancel_reason: str | None = None
    pause_requested_at: float | None = None
    due_at: float | None = None
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    peak_rss_bytes: int | None = None
    cpu_s: float | None = None
    output_bytes: int = 0
    progress: Progress | None = None

    @property
    def kind(self) -> Kind:
        """What sort of thing the job runs."""
        return self.spec.kind

    @property
    def has_ended(self) -> bool:
        """Whether only a restart leads on from here."""
        return self.state in ENDED

    @property
    def is_live(self) -> bool:
        """Whether an attempt of it is starting, running or stopped in the middle (and so keeps its slot)."""
        return self.state in (State.STARTING, State.RUNNING) or (
            self.state is State.PAUSED and self.resume_to is State.RUNNING
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs: several values of one field mean "or" (tags mean "and"); empty means any.

    ``owner`` is not offered on the wire: it is who asks. ``ids`` narrows bulk actions.
    """

    owner: str | None = None
    ids: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    kinds: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    text: str = ""

    def accepts(self, job: Job) -> bool:
        """Whether the job is one of those (the store answers the same from its indexes)."""
        return (
            (self.owner is None or job.owner == self.owner)
            and (not self.ids or job.id in self.ids)
            and (not self.states or job.state in self.states)
            and (not self.kinds or job.kind in self.kinds)
            and (not self.queues or job.queue in self.queues)
            and all(tag in job.tags for tag in self.tags)
            and (not self.text or folded(self.text) in folded(job.name))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event of one job, before and after it; ``seq`` is given by the store at the commit.

    ``before`` is None for a new job, ``after`` is None for a deleted one. ``attempt`` is a row to
    add or replace in the same transaction.
    """

    event: str
    at: float
    before: Job | None
    after: Job | None
    attempt: Attempt | None = None
    seq: int = 0

    @property
    def job(self) -> Job:
        """The job that it is about, as new as it is known."""
        job = self.after or self.before
        assert job is not None
        return job


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Remembers that an owner's idempotency key stands for these jobs; kept for 24 hours."""

    owner: str
    key: str
    body_hash: str
    job_ids: tuple[str, ...]
    created_at: float
