"""Registered tasks on the wire: what is registered, what is run, what is told."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, NamedTuple

from msgspec import Meta, structs

from jupyter_tasks.errors import BadFields, BadTask
from jupyter_tasks.fields import Field, FieldType, Scalar, parse, schema
from jupyter_tasks.messages.incoming import (
    JobOptions,
    JobRequest,
    Tags,
)
from jupyter_tasks.messages.outgoing import Answer, JobMessage, ResultMessage
from jupyter_tasks.messages.specs import (
    MAX_COMMAND_BYTES,
    FunctionSpecMessage,
    LoadMessage,
    MaxConcurrent,
    Message,
    Path,
    UploadId,
)
from jupyter_tasks.tasks import CommandTask, Definition, Source, definition_of
from jupyter_tasks.tasks.commands import filled
from jupyter_tasks.tasks.definition import MAX_FIELDS, checked

#: How long a caller may wait in one request; whoever needs longer watches the job.
MAX_WAIT_S: Final = 50.0
_WAIT_S: Final = 30.0
#: What runs a command, in the worker.
_RUNNER: Final = ("jupyter_tasks.tasks.running", "run_command")

Words = Annotated[str, Meta(max_length=4000)]
FieldName = Annotated[str, Meta(min_length=1, max_length=100)]
TaskName = Annotated[str, Meta(min_length=1, max_length=100)]
#: (Bounded here; what stands in it is checked with the rest of the task.)
Arguments = Annotated[list[str], Meta(min_length=1, max_length=1000)]


class FieldMessage(Message):
    """A field of a task that is registered; see ``jupyter_tasks.Field``."""

    name: FieldName
    type: FieldType
    title: Words = ""
    help: Words = ""
    required: bool = True
    default: Any = None
    many: bool = False
    nullable: bool = False
    choices: Annotated[list[Scalar], Meta(max_length=1000)] = []
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None


class TaskRequest(Message):
    """A task to register: a command, or a function by value in an upload.

    ``command``: a program and its arguments, ``{name}`` for the value of a field. ``progress``: a
    regular expression that finds progress in a line of its output. ``upload``: what an upload was
    answered with. ``python``: the interpreter that the function is for; default: the server's own.
    """

    name: TaskName
    title: Words = ""
    category: Words = ""
    icon: Words = ""
    tags: Tags = []
    description: Words = ""
    dangerous: Words = ""
    expensive: bool = False
    max_concurrent: int | None = None
    fields: Annotated[list[FieldMessage], Meta(max_length=MAX_FIELDS)] = []
    command: Arguments | None = None
    progress: str | None = None
    upload: UploadId | None = None
    python: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what is no task, or two."""
        if (self.command is None) == (self.upload is None):
            raise ValueError("`command` or `upload` must say what the task is, one of them alone")
        if self.command is not None and sum(map(len, self.command)) >= MAX_COMMAND_BYTES:
            raise ValueError(f"`command` must be shorter than {MAX_COMMAND_BYTES} characters")


class TaskJobRequest(JobOptions):
    """What a task is to be run with, and what else is wanted of the job.

    ``argument_sets``: makes a group, one call for each; ``arguments`` are then the same for all.
    ``max_concurrent`` and ``isolated``: as in a function's spec. ``confirmed``: that a dangerous task
    is meant.
    """

    arguments: dict[str, Any] = {}
    argument_sets: Annotated[list[dict[str, Any]], Meta(min_length=1)] | None = None
    max_concurrent: MaxConcurrent = 0
    isolated: bool = False
    confirmed: bool = False
    python: Path | None = None
    cwd: Path | None = None
    env: dict[str, str] = {}


class TaskRunRequest(TaskJobRequest):
    """The same, and how long to wait for the end in this very request."""

    wait_s: Annotated[float, Meta(ge=0, le=MAX_WAIT_S)] = _WAIT_S


class FieldAnswer(Answer):
    """A field of a task."""

    name: str
    type: FieldType
    title: str
    help: str
    required: bool
    default: Any
    many: bool
    nullable: bool
    choices: tuple[Scalar, ...]
    minimum: float | None
    maximum: float | None
    max_length: int | None


class TaskMessage(Answer):
    """A task that can be run; ``json_schema`` describes its arguments, ``place`` says where it is from."""

    name: str
    title: str
    category: str
    icon: str
    tags: tuple[str, ...]
    description: str
    dangerous: str
    expensive: bool
    max_concurrent: int | None
    fields: tuple[FieldAnswer, ...]
    source: Source
    place: str
    json_schema: dict[str, Any]


class TaskNote(Answer):
    """Why a place has no tasks to give; ``where`` is the file and the line, where they are known."""

    place: str
    error: str
    where: str


class Tasks(Answer):
    """All tasks that can be run, by name, and what went wrong while they were looked for."""

    tasks: list[TaskMessage]
    notes: list[TaskNote]


class TaskRun(Answer):
    """The job of a run, and what became of it; null where it has not ended yet."""

    job: JobMessage
    result: ResultMessage | None


# -- to and from the model ------------------------------------------------------------------------


def to_definition(request: TaskRequest) -> Definition:
    """The task that is to be registered; raises BadTask."""
    said = {
        name: getattr(request, name)
        for name in ("name", "title", "category", "icon", "description", "dangerous", "expensive")
    }
    said |= {
        "tags": tuple(request.tags),
        "max_concurrent": request.max_concurrent,
        "fields": tuple(_to_field(one) for one in request.fields),
    }
    if request.command is None:
        if request.progress is not None:
            raise BadTask("`progress` goes with a command; a function reports its own.")
        load = {"upload": request.upload, "python": request.python}
        return checked(Definition(**said, source="value", place="registered", load=load))
    task = CommandTask(**said, command=tuple(request.command), progress=request.progress)
    return replace(definition_of(task), place="registered")


def from_definition(one: Definition) -> TaskMessage:
    """The task as it goes out."""
    told = {name: getattr(one, name) for name in TaskMessage.__struct_fields__[:-1]}
    told["fields"] = tuple(_from_field(field) for field in one.fields)
    return TaskMessage(**told, json_schema=schema(one.fields))


class Group(NamedTuple):
    """The upload that holds the sets of arguments of a group, and how many there are."""

    inputs: str
    calls: int


def to_job_request(
    request: TaskJobRequest,
    one: Definition,
    values: Mapping[str, Any],
    *,
    queue: str | None = None,
    group: Group | None = None,
) -> JobRequest:
    """The job that runs the task with these values, or with those of a group; raises BadFields."""
    if one.source == "command":
        module, function = _RUNNER
        load = LoadMessage(module=module, name=function)
        arguments = {"progress": one.load["progress"]}
        arguments |= {} if group else {"command": _filled(one, values)}
    else:
        where = {name: value for name, value in one.load.items() if name != "python"}
        load, arguments = LoadMessage(**where), dict(values)
    options = structs.asdict(request)
    place = {name: options.pop(name) for name in ("python", "cwd", "env")}
    place["python"] = place["python"] or one.load.get("python")
    for name in ("arguments", "argument_sets", "max_concurrent", "isolated", "confirmed", "wait_s"):
        options.pop(name, None)
    options |= {} if queue is None else {"queue": queue}
    if group is not None:
        place |= {"inputs": group.inputs, "calls": group.calls}
        place |= {"max_concurrent": request.max_concurrent, "isolated": request.isolated}
    spec = FunctionSpecMessage(
        load=load, task=one.name, arguments=arguments, task_limit=one.max_concurrent, **place
    )
    return JobRequest(spec=spec, **options)


def checked_sets(request: TaskJobRequest, one: Definition) -> list[dict[str, Any]]:
    """What each call of a group is given; raises BadFields, which tells of the first bad set."""
    sets = []
    for number, given in enumerate(request.argument_sets or ()):
        try:
            values = parse(one.fields, {**request.arguments, **given})
            is_command = one.source == "command"
            sets.append({"command": _filled(one, values)} if is_command else values)
        except BadFields as error:
            words = f"Argument set {number}: {error.message}"
            raise BadFields(words, argument_set=number, **error.details) from None
    return sets


def _filled(one: Definition, values: Mapping[str, Any]) -> list[str]:
    try:
        return filled(one.load["command"], values)
    except ValueError as error:
        bad = [name for name, value in values.items() if "\0" in str(value)]
        raise BadFields(str(error), fields=dict.fromkeys(bad, str(error))) from None


def _to_field(message: FieldMessage) -> Field:
    given: dict[str, Any] = structs.asdict(message)
    return Field(**(given | {"choices": tuple(message.choices)}))


def _from_field(field: Field) -> FieldAnswer:
    return FieldAnswer(*(getattr(field, name) for name in FieldAnswer.__struct_fields__))
