"""What comes in: its fields, bounds and defaults, and what becomes of it in the model.

Whether a folder exists, who asks and what time it is are for others to know.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from jupyter_tasks.errors import BadMessage
from jupyter_tasks.messages.outgoing import CallState
from jupyter_tasks.messages.specs import (
    MAX_NAME,
    PLAIN,
    ExternalSpecMessage,
    Message,
    NotebookSpecMessage,
    SpecMessage,
    check_plain,
    to_spec,
    unique,
    without_control,
    words_of,
)
from jupyter_tasks.model import (
    DEFAULT_GRACE_S,
    DEFAULT_MAX_OUTPUT_BYTES,
    DEFAULT_QUEUE,
    ExternalSpec,
    Filter,
    Job,
    Kind,
    OnLost,
    State,
)

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_BULK: Final = 10_000
MAX_KEY: Final = 200
#: The largest number that every reader of JSON and the store keep exactly.
_MAX_INT: Final = 2**53 - 1
#: About 31 years: longer than anything, and still a number that every clock can add.
_MAX_SECONDS: Final = 1e9

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, extra_json_schema=PLAIN)]
Reason = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, extra_json_schema=PLAIN)]
Tag = Annotated[str, Meta(min_length=1, max_length=100)]
Tags = Annotated[list[Tag], Meta(max_length=50)]
Queue = Annotated[str, Meta(min_length=1, max_length=100)]
Priority = Annotated[int, Meta(ge=-1000, le=1000)]
TimeoutS = Annotated[float, Meta(gt=0, le=_MAX_SECONDS)]
MemoryBytes = Annotated[int, Meta(ge=1024 * 1024, le=_MAX_INT)]
GraceS = Annotated[float, Meta(ge=0, le=3600)]
MaxOutputBytes = Annotated[int, Meta(ge=64 * 1024, le=_MAX_INT)]
Version = Annotated[int, Meta(ge=1, le=_MAX_INT)]
JobId = Annotated[str, Meta(min_length=1, max_length=100)]
Number = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class JobOptions(Message, kw_only=True):
    """What can be said of any job, whatever it runs."""

    name: Name | None = None
    tags: Tags = []
    queue: Queue = DEFAULT_QUEUE
    priority: Priority = 0
    timeout_s: TimeoutS | None = None
    memory_bytes: MemoryBytes | None = None
    grace_s: GraceS = DEFAULT_GRACE_S
    max_output_bytes: MaxOutputBytes = DEFAULT_MAX_OUTPUT_BYTES
    on_lost: OnLost = "fail"


class JobRequest(JobOptions, kw_only=True):
    """What somebody wants to have run."""

    spec: SpecMessage

    def __post_init__(self) -> None:
        """Refuse words that could deceive a terminal, and what cannot be done elsewhere."""
        _check_words(self)
        if isinstance(self.spec, ExternalSpecMessage):
            _check_elsewhere(self)


#: The body of a submit: one job, or a list of jobs that are accepted all or none.
SubmitRequest = JobRequest | Annotated[list[JobRequest], Meta(min_length=1, max_length=MAX_BULK)]


class JobEdit(Message):
    """What to change about a waiting job; what is not given stays."""

    version: Version
    spec: SpecMessage | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    queue: Queue | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    timeout_s: TimeoutS | UnsetType | None = UNSET
    memory_bytes: MemoryBytes | UnsetType | None = UNSET
    grace_s: GraceS | UnsetType = UNSET
    max_output_bytes: MaxOutputBytes | UnsetType = UNSET
    on_lost: OnLost | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse words that could deceive a terminal."""
        _check_words(self)


class CancelRequest(Message):
    """Why a job is cancelled; the whole body may be left out."""

    reason: Reason | None = None

    def __post_init__(self) -> None:
        """Refuse words that could deceive a terminal."""
        check_plain("reason", self.reason)


class FilterMessage(Message):
    """Which jobs: several values of a field mean "or", tags mean "and"; a field left out means any.

    Each field takes a value or a list, and may be named in the singular or the plural.
    """

    state: State | list[State] | UnsetType = UNSET
    states: State | list[State] | UnsetType = UNSET
    kind: Kind | list[Kind] | UnsetType = UNSET
    kinds: Kind | list[Kind] | UnsetType = UNSET
    queue: Queue | list[Queue] | UnsetType = UNSET
    queues: Queue | list[Queue] | UnsetType = UNSET
    tag: Tag | list[Tag] | UnsetType = UNSET
    tags: Tag | list[Tag] | UnsetType = UNSET
    id: JobId | list[JobId] | UnsetType = UNSET
    ids: JobId | list[JobId] | UnsetType = UNSET
    q: Annotated[str, Meta(max_length=MAX_NAME)] | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Bound what one question may cost."""
        if any(len(both) > MAX_BULK for both in ((*_many(self.id), *_many(self.ids)),)):
            raise ValueError(f"`ids` may name at most {MAX_BULK} jobs")
        if len(_many(self.tag)) + len(_many(self.tags)) > 50:
            raise ValueError("`tags` may name at most 50 tags")
        if len(_many(self.queue)) + len(_many(self.queues)) > 50:
            raise ValueError("`queues` may name at most 50 queues")


class BulkRequest(Message):
    """Which jobs a bulk action is for; an empty filter means all of the owner's jobs."""

    filter: FilterMessage

    def __post_init__(self) -> None:
        """Refuse an empty choice: what a client forgot to fill in must not act on everything."""
        for name in self.filter.__struct_fields__:
            if getattr(self.filter, name) in ([], ""):
                raise ValueError(f"`filter.{name}` is empty; leave it out to mean any")


class ListQuery(Message):
    """The query string of a list of jobs."""

    state: list[State] = []
    kind: list[Kind] = []
    queue: list[Queue] = []
    tag: list[Tag] = []
    id: list[JobId] = []
    q: Annotated[str, Meta(max_length=MAX_NAME)] = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100
    after: Annotated[str, Meta(max_length=200)] | None = None


class AttemptQuery(Message):
    """The query string where an attempt can be chosen; the newest is the default."""

    attempt: Number | None = None


class CallsQuery(Message):
    """The query string of a list of calls; ``after`` is the number of the last one that is known."""

    state: list[CallState] = []
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None
    attempt: Number | None = None


class ArtifactQuery(AttemptQuery):
    """The query string of a file: to be saved, or to be shown as far as that can be done."""

    preview: bool = False


ArchiveFormat = Literal["zip", "tar"]


class ArchiveQuery(AttemptQuery):
    """The query string of all files in one."""

    format: ArchiveFormat = "zip"


# -- to the model -----------------------------------------------------------------------------


def to_job(request: JobRequest, *, job_id: str, owner: str, now: float, root_dir: str) -> Job:
    """The new job that was asked for; relative folders are meant below ``root_dir``."""
    return Job(
        id=job_id,
        owner=owner,
        spec=to_spec(request.spec, root_dir, job_id),
        name=request.name or default_name(words_of(request.spec)),
        created_at=now,
        updated_at=now,
        queued_at=now,
        reason="slots",
        tags=unique(request.tags),
        queue=request.queue,
        priority=request.priority,
        timeout_s=request.timeout_s,
        memory_bytes=request.memory_bytes,
        grace_s=request.grace_s,
        max_output_bytes=request.max_output_bytes,
        on_lost=request.on_lost,
    )


def default_name(command: str | Sequence[str]) -> str:
    """The command's first line, cut, without what could deceive a terminal."""
    words = command if isinstance(command, str) else " ".join(command)
    line = without_control(words.lstrip().partition("\n")[0])
    return line[:MAX_NAME].strip() or "command"


def to_edit(edit: JobEdit, former: Job, root_dir: str) -> dict[str, Any]:
    """The arguments of ``lifecycle.Edited``; an absent folder in a spec stays as it was."""
    given = {
        name: value
        for name in ("name", "queue", "priority")
        if (value := getattr(edit, name)) is not UNSET
    }
    if edit.tags is not UNSET:
        given["tags"] = unique(edit.tags)
    _check_kind(edit, former)
    if edit.spec is not UNSET:
        is_notebook = isinstance(edit.spec, NotebookSpecMessage)
        root = root_dir if is_notebook else former.spec.cwd
        given["spec"] = to_spec(edit.spec, root, former.id, former.spec)
    given["limits"] = tuple(
        (name, value)
        for name in ("timeout_s", "memory_bytes", "grace_s", "max_output_bytes", "on_lost")
        if (value := getattr(edit, name)) is not UNSET
    )
    return given


def _check_kind(edit: JobEdit, former: Job) -> None:
    """What runs elsewhere was never to be started here, nor the other way round."""
    is_external = isinstance(former.spec, ExternalSpec)
    if edit.spec is not UNSET and isinstance(edit.spec, ExternalSpecMessage) != is_external:
        words = f"A job of kind {former.kind} stays one; submit another for a program elsewhere."
        raise BadMessage(words, field="spec.kind")
    if is_external:
        try:
            _check_elsewhere(edit)
        except ValueError as error:
            raise BadMessage(f"{error}.") from None


def to_filter(message: FilterMessage | ListQuery, owner: str | None) -> Filter:
    """The model's filter for this owner."""

    def both(singular: str, plural: str) -> tuple[Any, ...]:
        values = (*_many(getattr(message, singular)), *_many(getattr(message, plural, ())))
        return unique(values)

    return Filter(
        owner=owner,
        ids=both("id", "ids"),
        states=both("state", "states"),
        kinds=both("kind", "kinds"),
        queues=both("queue", "queues"),
        tags=both("tag", "tags"),
        text="" if message.q is UNSET else message.q,
    )


def _many(value: Any) -> Sequence[Any]:
    if value is UNSET:
        return ()
    return (value,) if isinstance(value, str) else value


def _check_elsewhere(request: "JobRequest | JobEdit") -> None:
    """Refuse what only a supervisor could see to, or a program could only do by being started here."""
    if request.on_lost == "requeue":
        raise ValueError("`on_lost` must be fail: nobody here could start that program again")
    if request.memory_bytes not in (None, UNSET):
        raise ValueError("`memory_bytes` cannot be limited for a program that runs elsewhere")


def _check_words(message: "JobRequest | JobEdit") -> None:
    check_plain("name", message.name)
    check_plain("queue", message.queue)
    for tag in message.tags or ():
        check_plain("tags", tag)
