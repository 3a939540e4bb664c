"""What the two clients share: requests, replies and the steps that a flow asks its shell for.

A flow is a generator: it yields a step and is sent the result. So everything that is decided
stands once, without I/O, and the two shells (`sync`, `aio`) only carry out steps. Knows the
error shape and the job of the wire; must know no socket, no clock and no file.
"""

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, TypeVar

from jupyter_tasks import errors
from jupyter_tasks.errors import TasksError

T = TypeVar("T")
Params = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A Jupyter server that may have what we want; ``found_by`` says to people why we think so."""

    #: May hold a user's name and password for a proxy on the way: to be shown as ``place`` alone.
    url: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    socket: str | None = None
    found_by: str = ""

    @property
    def place(self) -> str:
        """Where it is, in a message: without a password."""
        if self.socket:
            return self.socket
        scheme, separator, rest = self.url.partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request below ``tasks/api/``. ``quiet_s`` bounds the silence that is waited through.

    ``file``: the path of a file that is the body, and is read anew each time that it is sent.
    """

    method: str
    path: str
    params: Params = ()
    body: bytes | None = field(default=None, repr=False)
    file: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    quiet_s: float | None = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back; ``headers`` have lower-case names. A stream's body is read piece by piece."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """No answer, or half a one. ``sent``: the server may have got the request."""

    why: str
    sent: bool


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing was said on a stream for ``quiet_s``; the stream is closed."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request; the result is an Reply or Broken."""

    server: Server
    request: Request


@dataclass(frozen=True, slots=True)
class Open:
    """Send the request and keep its body open for Read; the result is an Reply or Broken."""

    server: Server
    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """Read what has come on the open stream: bytes (none at its end), Broken or Quiet."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait; the result is None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Look:
    """Look for servers; the result is a list of Server, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand a value to the one who iterates; the result is None."""

    value: Any


Step = Send | Open | Read | Sleep | Look | Emit
Flow = Generator[Step, Any, T]
#: A flow that emits values instead of returning one.
Stream = Generator[Step, Any, None]

_FIRST_DELAY_S: Final = 0.05
_LONGEST_DELAY_S: Final = 2.0


def delays() -> Iterator[float]:
    """How long to wait before each further try: short at first, never longer than two seconds."""
    delay = _FIRST_DELAY_S
    while True:
        yield delay
        delay = min(delay * 2, _LONGEST_DELAY_S)


@cache
def error_classes() -> dict[str, type[TasksError]]:
    """Every class of the error tree by its code."""

    def below(parent: type[TasksError]) -> Iterator[type[TasksError]]:
        yield parent
        for child in parent.__subclasses__():
            yield from below(child)

    return {cls.code: cls for cls in reversed([*below(TasksError)])}


def error_from(reply: Reply) -> TasksError:
    """The error that an answer of 400 or more means, in the class that its code names."""
    told = _json_object(reply.body)
    cls = error_classes().get(told.get("code", "")) or _class_for(reply.status)
    message = told.get("message") or _words_for(reply)
    details = dict(told.get("details") or {})
    if told.get("request_id"):
        details["request_id"] = told["request_id"]
    error = cls(message)
    error.details = details
    return error


def checked(reply: Reply) -> Reply:
    """The reply, where it means success; else its error is raised."""
    if reply.status >= 300:
        raise error_from(reply)
    return reply


def decoded(reply: Reply) -> Any:
    """The answer's JSON."""
    try:
        return json.loads(reply.body)
    except ValueError:
        raise errors.ServerError(
            f"The server's answer is not JSON but {reply.body[:80]!r}; is a proxy in between?"
        ) from None


def is_ours(reply: Reply) -> bool:
    """Whether jupyter_tasks itself has answered, and not something in front of it."""
    return "code" in _json_object(reply.body)


def is_passing(reply: Reply) -> bool:
    """Whether the trouble goes away by itself: a take-over, or a proxy whose server restarts."""
    if is_ours(reply):
        code: str = _json_object(reply.body)["code"]
        return code in (errors.NoActiveManager.code, "superseded")
    # 424 is how a hub says that the user's server does not run at the moment.
    return reply.status in (424, 502, 503, 504)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _class_for(status: int) -> type[TasksError]:
    by_status: dict[int, type[TasksError]] = {
        400: errors.CallerError,
        401: errors.NotAllowed,
        403: errors.NotAllowed,
        404: errors.NoSuchThing,
        409: errors.Conflict,
        413: errors.TooLarge,
        416: errors.BadCursor,
    }
    fallback = errors.CallerError if status < 500 else errors.ServerError
    return errors.NotAllowed if status < 400 else by_status.get(status, fallback)


def _words_for(reply: Reply) -> str:
    if reply.status in (401, 403) or reply.status < 400:
        return "The server refuses the request: the token is missing, wrong, or may not do this."
    return f"The server answered {reply.status} without saying why."
