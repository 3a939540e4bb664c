"""What goes out, and how it is made from the model. Secrets are masked here, in one place."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, Literal

from msgspec import Struct

from jupyter_tasks.errors import TasksError
from jupyter_tasks.model import (
    Attempt,
    CodeSpec,
    ExternalSpec,
    FunctionSpec,
    Job,
    Kind,
    NotebookSpec,
    OnLost,
    Progress,
    ShellSpec,
    Spec,
    State,
)

#: Where a call of a group is; stopped: it ran when its attempt ended.
CallState = Literal["waiting", "running", "succeeded", "failed", "stopped"]
#: Stands for a secret in answers; in an edit it means "as it is".
MASK: Final = "***"


class Answer(Struct, gc=False):
    """What goes out; made by position, which is twice as quick for a long list.

    No answer refers back to itself, so that the collector of circles need not look at them.
    """


class ProgressMessage(Answer):
    """How far a job is: ``value`` of ``total`` (1.0 = whole, where no total is known)."""

    value: float | None
    total: float | None
    message: str
    source: str


class ShellSpecAnswer(Answer, tag_field="kind", tag="shell"):
    """What a shell job runs; environment values and standard input are masked."""

    command: str | tuple[str, ...]
    cwd: str
    env: dict[str, str]
    stdin: str | None
    tty: bool
    merge_stderr: bool


class CodeSpecAnswer(Answer, tag_field="kind", tag="code"):
    """What a code job runs; environment values are masked."""

    source: str
    kernel: str
    python: str | None
    inputs: str | None
    outputs: tuple[str, ...]
    cwd: str
    env: dict[str, str]


class LoadAnswer(Answer):
    """Where a function is: in a module, in a file, or in an upload."""

    module: str | None
    file: str | None
    name: str
    upload: str | None


class FunctionSpecAnswer(Answer, tag_field="kind", tag="function"):
    """What a function job calls, and how often; environment values are masked."""

    load: LoadAnswer
    task: str
    arguments: dict[str, Any]
    inputs: str | None
    calls: int | None
    max_concurrent: int
    isolated: bool
    task_limit: int | None
    python: str | None
    cwd: str
    env: dict[str, str]


class ExternalSpecAnswer(Answer, tag_field="kind", tag="external"):
    """What runs elsewhere, and for how long it may be silent."""

    lease_s: float
    program: str
    host: str


class NotebookSpecAnswer(Answer, tag_field="kind", tag="notebook"):
    """What a notebook job runs; environment values are masked."""

    path: str
    output: str
    parameters: dict[str, Any]
    kernel: str
    allow_errors: bool
    cwd: str
    env: dict[str, str]


SpecAnswer = (
    ShellSpecAnswer | CodeSpecAnswer | NotebookSpecAnswer | FunctionSpecAnswer | ExternalSpecAnswer
)


class JobMessage(Answer):
    """A job as it goes out."""

    id: str
    owner: str
    name: str
    kind: Kind
    number: int
    spec: SpecAnswer
    tags: tuple[str, ...]
    queue: str
    priority: int
    timeout_s: float | None
    memory_bytes: int | None
    grace_s: float
    max_output_bytes: int
    on_lost: OnLost
    state: State
    reason: str
    message: str
    attempt: int
    version: int
    resume_to: State | None
    cancel_requested_at: float | None
    cancel_reason: str | None
    pause_requested_at: float | None
    created_at: float
    updated_at: float
    due_at: float | None
    queued_at: float | None
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    signal: int | None
    peak_rss_bytes: int | None
    cpu_s: float | None
    output_bytes: int
    progress: ProgressMessage | None


class Jobs(Answer):
    """The jobs of a bulk submit, in its order."""

    jobs: list[JobMessage]


class JobsPage(Answer):
    """Some jobs, the newest first; ``next`` is the key to ask on with, null at the end."""

    jobs: list[JobMessage]
    next: str | None


class AttemptMessage(Answer):
    """One try at running a job."""

    job: str
    number: int
    state: State
    reason: str
    message: str
    host: str
    pid: int | None
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    signal: int | None
    peak_rss_bytes: int | None
    cpu_s: float | None
    output_bytes: int


class Attempts(Answer):
    """All attempts of a job, the oldest first."""

    attempts: list[AttemptMessage]


class ExplanationMessage(Answer):
    """Why a job is as it is; ``position`` counts the queued jobs before it."""

    job: str
    state: State
    reason: str
    message: str
    position: int | None
    running: int
    max_running: int


class ViewersMessage(Answer):
    """How many live views of a job this server feeds at the moment."""

    viewers: int


class Counts(Answer):
    """What became of a bulk action."""

    matched: int
    done: int
    refused: int


PreviewKind = Literal["text", "image", "notebook"]


class Artifact(Answer):
    """A file that an attempt left for its readers.

    ``href`` is a reference relative to the list's own URL, exact whatever bytes the name is made of;
    in ``path``, which is for showing, those that are no text are replaced. ``media_type`` and
    ``preview`` (how it could be shown; null: it may be a text) are told by the name alone.
    """

    path: str
    href: str
    size_bytes: int
    modified_at: float
    media_type: str
    preview: PreviewKind | None


class Artifacts(Answer):
    """The files that an attempt left, by path."""

    artifacts: list[Artifact]


class Inputs(Answer):
    """Values that were taken; ``id`` is for the ``inputs`` of a spec, for a day."""

    id: str
    size_bytes: int


class CallError(Answer):
    """What a function has raised, in words; ``traceback`` is empty where there is none."""

    type: str
    message: str
    traceback: str = ""


class ResultMessage(Answer):
    """What became of a function. ``note`` says where ``data`` is no value but words for one."""

    success: bool
    data: Any
    note: str
    summary: str
    tags: list[str]
    logs: list[str]
    error: CallError | None
    started_at: float | None
    elapsed_s: float | None


class Reported(Answer):
    """What a program is told that has reported: whether it should end itself, or stand still.

    ``is_new`` is false where that report had been taken before. The next one is due within ``lease_s``.
    """

    job: str
    attempt: int
    state: State
    cancel: bool
    pause: bool
    lease_s: float
    is_new: bool


class CallMessage(Answer):
    """One call of a group. ``data`` is its value as far as it is short, or the beginning of words for it.

    ``worker`` is the id of the process that made it.
    """

    index: int
    state: CallState
    attempt: int | None = None
    started_at: float | None = None
    elapsed_s: float | None = None
    worker: int | None = None
    data: Any = None
    note: str = ""
    summary: str = ""
    tags: list[str] = []
    logs: list[str] = []
    error: CallError | None = None


class CallsPage(Answer):
    """Some calls in the order of their arguments; ``next`` is to ask on ``after``, null at the end.

    ``counts``: how many of all calls are in each state.
    """

    calls: list[CallMessage]
    next: int | None
    counts: dict[CallState, int]


class Survives(Answer):
    """What running jobs outlive in this deployment; null where it cannot be known."""

    server_crash: bool
    service_restart: bool | None
    container_restart: bool
    reboot: bool
    words: str


class StoreStatus(Answer):
    """How the store is kept."""

    journal_mode: str
    schema: int
    sqlite: str


class Status(Answer):
    """How this server and the one that is in charge of the queue are."""

    version: str
    role: str
    state_dir: str
    socket: str
    host: str
    pid: int
    started_at: float
    max_running: int
    running: int
    counts: dict[State, int]
    survives: Survives
    store: StoreStatus
    read_only: bool


class ErrorMessage(Answer):
    """The one shape of every error: ``code`` for programs, ``message`` for people."""

    code: str
    message: str
    details: dict[str, Any]
    request_id: str


# -- from the model ---------------------------------------------------------------------------

_get_job: Final[Callable[[Job], tuple[Any, ...]]] = attrgetter(*JobMessage.__struct_fields__)
_get_attempt: Final[Callable[[Attempt], tuple[Any, ...]]] = attrgetter(
    *AttemptMessage.__struct_fields__
)


def from_job(job: Job) -> JobMessage:
    """The job as it may go out."""
    message = JobMessage(*_get_job(job))
    message.spec = _from_spec(job.spec)
    if job.progress is not None:
        message.progress = from_progress(job.progress)
    return message


def from_progress(progress: Progress) -> ProgressMessage:
    """The progress as it goes out."""
    return ProgressMessage(
        value=progress.value,
        total=progress.total,
        message=progress.message,
        source=progress.source,
    )


def from_attempt(attempt: Attempt) -> AttemptMessage:
    """The attempt as it goes out."""
    return AttemptMessage(*_get_attempt(attempt))


def from_error(error: TasksError, request_id: str) -> ErrorMessage:
    """The one shape of every error."""
    return ErrorMessage(
        code=error.code, message=error.message, details=error.details, request_id=request_id
    )


def from_report(job: Job, *, is_new: bool) -> Reported:
    """What a program is told that has reported."""
    assert isinstance(job.spec, ExternalSpec)
    return Reported(
        job=job.id,
        attempt=job.attempt,
        state=job.state,
        cancel=job.cancel_requested_at is not None and not job.has_ended,
        pause=job.pause_requested_at is not None or job.state is State.PAUSED,
        lease_s=job.spec.lease_s,
        is_new=is_new,
    )


def _from_spec(spec: Spec) -> SpecAnswer:
    if isinstance(spec, ExternalSpec):
        return ExternalSpecAnswer(lease_s=spec.lease_s, program=spec.program, host=spec.host)
    env = dict.fromkeys(spec.env, MASK) if spec.env else {}
    if isinstance(spec, CodeSpec):
        return CodeSpecAnswer(
            source=spec.source,
            kernel=spec.kernel,
            python=spec.python,
            inputs=spec.inputs,
            outputs=spec.outputs,
            cwd=spec.cwd,
            env=env,
        )
    if isinstance(spec, NotebookSpec):
        return _from_notebook(spec, env)
    if isinstance(spec, FunctionSpec):
        return _from_function(spec, env)
    assert isinstance(spec, ShellSpec)
    return ShellSpecAnswer(
        command=spec.command,
        cwd=spec.cwd,
        env=env,
        stdin=None if spec.stdin is None else MASK,
        tty=spec.tty,
        merge_stderr=spec.merge_stderr,
    )


def _from_notebook(spec: NotebookSpec, env: dict[str, str]) -> NotebookSpecAnswer:
    return NotebookSpecAnswer(
        path=spec.path,
        output=spec.output,
        parameters=dict(spec.parameters),
        kernel=spec.kernel,
        allow_errors=spec.allow_errors,
        cwd=spec.cwd,
        env=env,
    )


def _from_function(spec: FunctionSpec, env: dict[str, str]) -> FunctionSpecAnswer:
    load = spec.load
    return FunctionSpecAnswer(
        load=LoadAnswer(module=load.module, file=load.file, name=load.name, upload=load.upload),
        task=spec.task,
        arguments=dict(spec.arguments),
        inputs=spec.inputs,
        calls=spec.calls,
        max_concurrent=spec.max_concurrent,
        isolated=spec.isolated,
        task_limit=spec.task_limit,
        python=spec.python,
        cwd=spec.cwd,
        env=env,
    )
