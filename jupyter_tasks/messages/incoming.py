"""What comes in: its fields, bounds and defaults, and what becomes of it in the model.

Whether a folder exists, who asks and what time it is are for others to know.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from keyword import iskeyword
from posixpath import join, normpath
from typing import Annotated, Any, Final, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from jupyter_tasks.messages.outgoing import MASK
from jupyter_tasks.model import (
    DEFAULT_GRACE_S,
    DEFAULT_MAX_OUTPUT_BYTES,
    DEFAULT_QUEUE,
    CodeSpec,
    Filter,
    Job,
    Kind,
    OnLost,
    ShellSpec,
    Spec,
    State,
)

T = TypeVar("T")
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_BULK: Final = 10_000
MAX_COMMAND_BYTES: Final = 128 * 1024
MAX_SOURCE_BYTES: Final = 1024 * 1024
MAX_NAME: Final = 200
MAX_KEY: Final = 200
#: The largest number that every reader of JSON and the store keep exactly.
_MAX_INT: Final = 2**53 - 1
#: About 31 years: longer than anything, and still a number that every clock can add.
_MAX_SECONDS: Final = 1e9
#: Line breaks, escape sequences and the like could deceive whoever reads a list on a terminal.
#: (Not a pattern of msgspec's: two of those in one union crash the interpreter's garbage collector.)
_PYTHON: Final = re.compile(r"/[^\x00]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

#: So the bounds that no decoder checks stand in the OpenAPI document at least.
_PLAIN: Final = {"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, extra_json_schema=_PLAIN)]
Reason = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, extra_json_schema=_PLAIN)]
Tag = Annotated[str, Meta(min_length=1, max_length=100)]
Tags = Annotated[list[Tag], Meta(max_length=50)]
Queue = Annotated[str, Meta(min_length=1, max_length=100)]
Priority = Annotated[int, Meta(ge=-1000, le=1000)]
TimeoutS = Annotated[float, Meta(gt=0, le=_MAX_SECONDS)]
MemoryBytes = Annotated[int, Meta(ge=1024 * 1024, le=_MAX_INT)]
GraceS = Annotated[float, Meta(ge=0, le=3600)]
MaxOutputBytes = Annotated[int, Meta(ge=64 * 1024, le=_MAX_INT)]
Version = Annotated[int, Meta(ge=1, le=_MAX_INT)]
Path = Annotated[str, Meta(min_length=1, max_length=4096)]
JobId = Annotated[str, Meta(min_length=1, max_length=100)]
Variable = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Number = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class Message(Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """What comes in: nothing in it is ignored."""


class ShellSpecMessage(Message, tag_field="kind", tag="shell"):
    """A command: a string for ``/bin/sh -c``, or a list of arguments."""

    command: str | list[str]
    cwd: Path | None = None
    env: dict[str, str] = {}
    stdin: str | None = None
    tty: bool = False
    merge_stderr: bool = False

    def __post_init__(self) -> None:
        """Refuse what no operating system could start."""
        _check_command(self.command)
        _check_place(self)


class CodeSpecMessage(Message, tag_field="kind", tag="code"):
    """Source text for a fresh kernel: of a kernelspec, or ipykernel in the Python at that path.

    With neither it is the server's default kernel. ``inputs``: what an upload was answered with; its
    values are there when the code begins. ``outputs``: names whose values are kept at its end.
    """

    source: str
    kernel: Annotated[str, Meta(max_length=MAX_NAME)] | None = None
    python: Path | None = None
    inputs: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    outputs: Annotated[list[Variable], Meta(max_length=100)] = []
    cwd: Path | None = None
    env: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse what no kernel could be given."""
        if not self.source.strip():
            raise ValueError("`source` is empty; give what to run")
        if _size(self.source) > MAX_SOURCE_BYTES:
            raise ValueError(
                f"`source` must be no longer than {MAX_SOURCE_BYTES} bytes; put it in a file"
            )
        self.kernel = self.kernel or None  # so it goes out where an interpreter was named
        if self.python is not None and not _PYTHON.fullmatch(self.python):
            raise ValueError("`python` must be the full path of an interpreter")
        if self.python is not None and self.kernel is not None:
            raise ValueError("`python` and `kernel` cannot both be given")
        for name in self.outputs:
            if not name.isidentifier() or iskeyword(name):
                raise ValueError("`outputs` has a name that no variable can have")
        _check_place(self)


#: Every kind's spec; further kinds join here.
SpecMessage = ShellSpecMessage | CodeSpecMessage


def complete(body: Any) -> None:
    """Name the kind of each spec of a body that does not: what stands in it tells."""
    for job in body if isinstance(body, list) else [body]:
        spec = job.get("spec") if isinstance(job, dict) else None
        if isinstance(spec, dict) and "kind" not in spec:
            spec["kind"] = "code" if "source" in spec else "shell"


class JobRequest(Message):
    """What somebody wants to have run."""

    spec: SpecMessage
    name: Name | None = None
    tags: Tags = []
    queue: Queue = DEFAULT_QUEUE
    priority: Priority = 0
    timeout_s: TimeoutS | None = None
    memory_bytes: MemoryBytes | None = None
    grace_s: GraceS = DEFAULT_GRACE_S
    max_output_bytes: MaxOutputBytes = DEFAULT_MAX_OUTPUT_BYTES
    on_lost: OnLost = "fail"

    def __post_init__(self) -> None:
        """Refuse words that could deceive a terminal."""
        _check_words(self)


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
        _check_plain("reason", self.reason)


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


# -- to the model -----------------------------------------------------------------------------


def to_job(request: JobRequest, *, job_id: str, owner: str, now: float, root_dir: str) -> Job:
    """The new job that was asked for; relative folders are meant below ``root_dir``."""
    return Job(
        id=job_id,
        owner=owner,
        spec=to_spec(request.spec, root_dir),
        name=request.name or default_name(_words(request.spec)),
        created_at=now,
        updated_at=now,
        queued_at=now,
        reason="slots",
        tags=_unique(request.tags),
        queue=request.queue,
        priority=request.priority,
        timeout_s=request.timeout_s,
        memory_bytes=request.memory_bytes,
        grace_s=request.grace_s,
        max_output_bytes=request.max_output_bytes,
        on_lost=request.on_lost,
    )


def to_spec(message: SpecMessage, root_dir: str, former: Spec | None = None) -> Spec:
    """The spec with an absolute folder; what is masked is taken from the former spec, if any."""
    env = message.env
    if former is not None:
        env = {name: _unmask(name, value, former) for name, value in env.items()}
    cwd = root_dir if message.cwd is None else _below(root_dir, message.cwd)
    if isinstance(message, CodeSpecMessage):
        return CodeSpec(
            source=message.source,
            kernel=message.kernel or "",
            python=message.python,
            inputs=message.inputs,
            outputs=_unique(message.outputs),
            cwd=cwd,
            env=env,
        )
    command, stdin = message.command, message.stdin
    if isinstance(former, ShellSpec) and stdin == MASK and former.stdin is not None:
        stdin = former.stdin
    return ShellSpec(
        command=command if isinstance(command, str) else tuple(command),
        cwd=cwd,
        env=env,
        stdin=stdin,
        tty=message.tty,
        merge_stderr=message.merge_stderr,
    )


@lru_cache(maxsize=64)
def _below(root_dir: str, folder: str) -> str:
    return normpath(join(root_dir, folder))


def _words(spec: SpecMessage) -> str | Sequence[str]:
    return spec.source if isinstance(spec, CodeSpecMessage) else spec.command


def default_name(command: str | Sequence[str]) -> str:
    """The command's first line, cut, without what could deceive a terminal."""
    words = command if isinstance(command, str) else " ".join(command)
    line = words.lstrip().partition("\n")[0]
    if not line.isprintable():
        line = _CONTROL.sub(" ", line)
    return line[:MAX_NAME].strip() or "command"


def to_edit(edit: JobEdit, former: Job) -> dict[str, Any]:
    """The arguments of ``lifecycle.Edited``; an absent folder in a spec stays as it was."""
    given = {
        name: value
        for name in ("name", "queue", "priority")
        if (value := getattr(edit, name)) is not UNSET
    }
    if edit.tags is not UNSET:
        given["tags"] = _unique(edit.tags)
    if edit.spec is not UNSET:
        given["spec"] = to_spec(edit.spec, former.spec.cwd, former.spec)
    given["limits"] = tuple(
        (name, value)
        for name in ("timeout_s", "memory_bytes", "grace_s", "max_output_bytes", "on_lost")
        if (value := getattr(edit, name)) is not UNSET
    )
    return given


def to_filter(message: FilterMessage | ListQuery, owner: str | None) -> Filter:
    """The model's filter for this owner."""

    def both(singular: str, plural: str) -> tuple[Any, ...]:
        values = (*_many(getattr(message, singular)), *_many(getattr(message, plural, ())))
        return _unique(values)

    return Filter(
        owner=owner,
        ids=both("id", "ids"),
        states=both("state", "states"),
        kinds=both("kind", "kinds"),
        queues=both("queue", "queues"),
        tags=both("tag", "tags"),
        text="" if message.q is UNSET else message.q,
    )


def _unmask(name: str, value: str, former: Spec) -> str:
    return former.env.get(name, value) if value == MASK else value


def _unique(values: Sequence[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values)) if len(values) > 1 else tuple(values)


def _many(value: Any) -> Sequence[Any]:
    if value is UNSET:
        return ()
    return (value,) if isinstance(value, str) else value


def _size(text: str) -> int:
    """Its bytes, counted only where it matters."""
    return len(text) if text.isascii() else len(text.encode())


def _check_command(command: str | list[str]) -> None:
    words = command if isinstance(command, str) else " ".join(command)
    program = command if isinstance(command, str) else "".join(command[:1])
    if not program.strip():
        raise ValueError("`command` is empty; give what to run")
    if "\0" in words:
        raise ValueError("`command` holds a NUL character, which no command can")
    if _size(words) >= MAX_COMMAND_BYTES:
        raise ValueError(
            f"`command` must be shorter than {MAX_COMMAND_BYTES} bytes; put it in a file"
        )


def _check_place(message: "ShellSpecMessage | CodeSpecMessage") -> None:
    if message.cwd is not None and "\0" in message.cwd:
        raise ValueError("`cwd` holds a NUL character, which no path can")
    if message.env:
        _check_env(message.env)


def _check_words(message: "JobRequest | JobEdit") -> None:
    _check_plain("name", message.name)
    _check_plain("queue", message.queue)
    for tag in message.tags or ():
        _check_plain("tags", tag)


def _check_plain(field: str, text: str | UnsetType | None) -> None:
    if text and not text.isprintable() and _CONTROL.search(text):
        raise ValueError(f"`{field}` must not hold control characters")


def _check_env(env: Mapping[str, str]) -> None:
    """Refuse what no environment can hold; the complaint must not repeat a value."""
    for name, value in env.items():
        if not name or "=" in name or "\0" in name:
            raise ValueError('`env` has a name that is empty or holds "=" or a NUL character')
        if "\0" in value:
            raise ValueError(f"`env` has a NUL character in the value of {name}")
        if _size(name) + _size(value) >= MAX_COMMAND_BYTES - 2:
            raise ValueError(f"`env` has a value of {MAX_COMMAND_BYTES} bytes or more in {name}")
