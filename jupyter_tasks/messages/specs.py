"""What is to be run, as it comes in: each kind's fields and bounds, and its spec in the model."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from keyword import iskeyword
from posixpath import basename, dirname, join, normpath
from typing import Annotated, Any, Final, TypeVar

from msgspec import Meta, Struct, UnsetType, json

from jupyter_tasks.messages.outgoing import MASK
from jupyter_tasks.model import (
    DEFAULT_LEASE_S,
    CodeSpec,
    ExternalSpec,
    FunctionSpec,
    Load,
    NotebookSpec,
    ShellSpec,
    Spec,
)

T = TypeVar("T")
MAX_COMMAND_BYTES: Final = 128 * 1024
MAX_SOURCE_BYTES: Final = 1024 * 1024
MAX_ARGUMENTS_BYTES: Final = 1024 * 1024
MAX_CALLS: Final = 1_000_000
MAX_NAME: Final = 200
_MAX_CONCURRENT: Final = 1024
#: Of every file system that is in use.
_MAX_FILE_NAME_BYTES: Final = 255
#: (Not a pattern of msgspec's: two of those in one union crash the interpreter's garbage collector.)
_PYTHON: Final = re.compile(r"/[^\x00]+")

Path = Annotated[str, Meta(min_length=1, max_length=4096)]
Variable = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
#: Line breaks, escape sequences and the like could deceive whoever reads a list on a terminal.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: So the bounds that no decoder checks stand in the OpenAPI document at least.
PLAIN: Final = {"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}
LeaseS = Annotated[float, Meta(ge=1, le=30 * 24 * 3600)]
Words = Annotated[str, Meta(max_length=MAX_NAME, extra_json_schema=PLAIN)]
MaxConcurrent = Annotated[int, Meta(ge=-1, le=_MAX_CONCURRENT)]
UploadId = Annotated[str, Meta(min_length=1, max_length=100)]


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
    inputs: UploadId | None = None
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
        _check_python(self.python)
        if self.python is not None and self.kernel is not None:
            raise ValueError("`python` and `kernel` cannot both be given")
        for name in self.outputs:
            if not name.isidentifier() or iskeyword(name):
                raise ValueError("`outputs` has a name that no variable can have")
        _check_place(self)


class LoadMessage(Message):
    """Where a function is: by its dotted name in a module or a file, or by value in an upload."""

    module: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)] | None = None
    file: Path | None = None
    name: Annotated[str, Meta(max_length=MAX_NAME)] = ""
    upload: UploadId | None = None

    def __post_init__(self) -> None:
        """Refuse what says nothing, or two things."""
        given = [name for name in ("module", "file", "upload") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "`module`, `file` or `upload` must say where the function is, one of them alone"
            )
        if self.upload is None and not _is_dotted(self.name):
            raise ValueError("`name` must be a function's name, such as `main` or `Model.fit`")
        if self.module is not None and not _is_dotted(self.module):
            raise ValueError("`module` must be a module's name, such as `package.module`")
        if self.file is not None and "\0" in self.file:
            raise ValueError("`file` holds a NUL character, which no path can")


class FunctionSpecMessage(Message, tag_field="kind", tag="function"):
    """A function that is called in a process of its own, once or with many sets of arguments.

    ``arguments``: by name, the same for every call. ``inputs``: what an upload was answered with;
    it holds arguments by value. ``calls``: how many sets of arguments there are in it.
    ``max_concurrent``: calls at a time, 0 for the number of processors, -1 for 128. ``isolated``:
    each call in a process of its own.
    """

    load: LoadMessage
    task: Annotated[str, Meta(max_length=MAX_NAME)] = ""
    arguments: dict[str, Any] = {}
    inputs: UploadId | None = None
    calls: Annotated[int, Meta(ge=1, le=MAX_CALLS)] | None = None
    max_concurrent: MaxConcurrent = 0
    isolated: bool = False
    task_limit: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    python: Path | None = None
    cwd: Path | None = None
    env: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse what no function could be called with."""
        self.task = self.task or self.load.name or "function"
        if any(not name.isidentifier() or iskeyword(name) for name in self.arguments):
            raise ValueError("`arguments` has a name that no argument can have")
        if self.calls is not None and self.inputs is None and self.load.upload is None:
            raise ValueError("`calls` needs an upload that holds the sets of arguments")
        _check_python(self.python)
        _check_place(self)


class ExternalSpecMessage(Message, tag_field="kind", tag="external"):
    """A program that runs elsewhere and reports itself; silence longer than ``lease_s`` loses it.

    ``program`` and ``host``: what it is and where it runs, for people.
    """

    lease_s: LeaseS = DEFAULT_LEASE_S
    program: Words = ""
    host: Words = ""

    def __post_init__(self) -> None:
        """Refuse words that could deceive a terminal."""
        check_plain("program", self.program)
        check_plain("host", self.host)


class NotebookSpecMessage(Message, tag_field="kind", tag="notebook"):
    """A notebook, run cell by cell in a fresh kernel; the outputs go into another one.

    ``path`` and ``output`` are relative to the server's root folder, or full paths below it.
    ``parameters`` become a cell behind that tagged ``parameters``. Without ``kernel`` it is the
    notebook's own; without ``output`` it is ``<name>.<id of the job>.ipynb`` beside the notebook, and
    without ``cwd`` it runs in the notebook's folder. ``allow_errors``: go on after a cell that fails.
    """

    path: Path
    parameters: dict[Variable, Any] = {}
    kernel: Annotated[str, Meta(max_length=MAX_NAME)] | None = None
    output: Path | None = None
    allow_errors: bool = False
    cwd: Path | None = None
    env: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse what no file can be called."""
        for name in ("path", "output"):
            if "\0" in (getattr(self, name) or ""):
                raise ValueError(f"`{name}` holds a NUL character, which no path can")
        if self.parameters and len(json.encode(self.parameters)) > MAX_ARGUMENTS_BYTES:
            raise ValueError(
                f"`parameters` must be no longer than {MAX_ARGUMENTS_BYTES} bytes; put them in a file"
            )
        _check_place(self)


#: What runs on this machine.
LocalSpecMessage = ShellSpecMessage | CodeSpecMessage | NotebookSpecMessage | FunctionSpecMessage
#: Every kind's spec; further kinds join here.
SpecMessage = LocalSpecMessage | ExternalSpecMessage


#: Which kind a spec is of where it has such a field and does not say.
_TOLD_BY: Final = {"source": "code", "path": "notebook", "load": "function"}


def complete(body: Any) -> None:
    """Name the kind of each spec of a body that does not: what stands in it tells."""
    for job in body if isinstance(body, list) else [body]:
        spec = job.get("spec") if isinstance(job, dict) else None
        if isinstance(spec, dict) and "kind" not in spec:
            told = [kind for field, kind in _TOLD_BY.items() if field in spec]
            spec["kind"] = told[0] if told else "shell"


def to_spec(message: SpecMessage, root_dir: str, job_id: str, former: Spec | None = None) -> Spec:
    """The spec with an absolute folder; what is masked is taken from the former spec, if any."""
    if isinstance(message, ExternalSpecMessage):
        return ExternalSpec(lease_s=message.lease_s, program=message.program, host=message.host)
    env = message.env
    if former is not None:
        env = {name: _unmask(name, value, former) for name, value in env.items()}
    if isinstance(message, NotebookSpecMessage):
        return _to_notebook(message, root_dir, job_id, env)
    cwd = root_dir if message.cwd is None else _below(root_dir, message.cwd)
    if isinstance(message, CodeSpecMessage):
        return CodeSpec(
            source=message.source,
            kernel=message.kernel or "",
            python=message.python,
            inputs=message.inputs,
            outputs=unique(message.outputs),
            cwd=cwd,
            env=env,
        )
    if isinstance(message, FunctionSpecMessage):
        return _to_function(message, cwd, env)
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


def _to_function(message: FunctionSpecMessage, cwd: str, env: Mapping[str, str]) -> FunctionSpec:
    load = message.load
    return FunctionSpec(
        task=message.task,
        load=Load(module=load.module, file=load.file, name=load.name, upload=load.upload),
        arguments=message.arguments,
        inputs=message.inputs,
        calls=message.calls,
        max_concurrent=message.max_concurrent,
        isolated=message.isolated,
        task_limit=message.task_limit,
        python=message.python,
        cwd=cwd,
        env=env,
    )


def _to_notebook(
    message: NotebookSpecMessage, root_dir: str, job_id: str, env: Mapping[str, str]
) -> NotebookSpec:
    folder = dirname(message.path)
    return NotebookSpec(
        path=message.path,
        root=root_dir,
        output=message.output or join(folder, _output_name(basename(message.path), job_id)),
        parameters=message.parameters,
        kernel=message.kernel or "",
        allow_errors=message.allow_errors,
        cwd=_below(root_dir, folder if message.cwd is None else message.cwd),
        env=env,
    )


def _output_name(name: str, job_id: str) -> str:
    """A name that nobody has given to anything: that of the notebook, and the job's id."""
    suffix = f".{job_id}.ipynb"
    stem = name.removesuffix(".ipynb").encode()[: _MAX_FILE_NAME_BYTES - len(suffix)]
    return stem.decode("utf-8", "ignore") + suffix


@lru_cache(maxsize=64)
def _below(root_dir: str, folder: str) -> str:
    return normpath(join(root_dir, folder))


def words_of(spec: SpecMessage) -> str | Sequence[str]:
    """What a job of that spec is called after."""
    match spec:
        case CodeSpecMessage():
            return spec.source
        case NotebookSpecMessage():
            return basename(spec.path)
        case FunctionSpecMessage():
            return spec.task
        case ExternalSpecMessage():
            return spec.program or "external program"
    return spec.command


def _unmask(name: str, value: str, former: Spec) -> str:
    return former.env.get(name, value) if value == MASK else value


def unique(values: Sequence[T]) -> tuple[T, ...]:
    """The values without repetitions, in their order."""
    return tuple(dict.fromkeys(values)) if len(values) > 1 else tuple(values)


def check_plain(field: str, text: str | UnsetType | None) -> None:
    """Raise ValueError, naming the field, where its text holds control characters."""
    if text and not text.isprintable() and _CONTROL.search(text):
        raise ValueError(f"`{field}` must not hold control characters")


def without_control(text: str) -> str:
    """The text, with spaces in the place of control characters."""
    return text if text.isprintable() else _CONTROL.sub(" ", text)


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() and not iskeyword(part) for part in name.split("."))


def _check_python(python: str | None) -> None:
    if python is not None and not _PYTHON.fullmatch(python):
        raise ValueError("`python` must be the full path of an interpreter")


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


def _check_place(message: LocalSpecMessage) -> None:
    if message.cwd is not None and "\0" in message.cwd:
        raise ValueError("`cwd` holds a NUL character, which no path can")
    if message.env:
        _check_env(message.env)


def _check_env(env: Mapping[str, str]) -> None:
    """Refuse what no environment can hold; the complaint must not repeat a value."""
    for name, value in env.items():
        if not name or "=" in name or "\0" in name:
            raise ValueError('`env` has a name that is empty or holds "=" or a NUL character')
        if "\0" in value:
            raise ValueError(f"`env` has a NUL character in the value of {name}")
        if _size(name) + _size(value) >= MAX_COMMAND_BYTES - 2:
            raise ValueError(f"`env` has a value of {MAX_COMMAND_BYTES} bytes or more in {name}")
