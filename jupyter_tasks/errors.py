"""The error tree: whose fault it is comes first. A job's own failure is no exception but a state.

TasksError
├── CallerError                you asked for something that cannot be              4xx
│   ├── BadMessage             not valid JSON, unknown field, wrong type or value  400
│   ├── BadValue               a variable that cannot go into a job, or out of it  400
│   ├── BadFields              arguments that a task does not take                 400
│   ├── BadTask                a task that cannot be: its fields, its name         400
│   ├── NotAllowed             not yours to do                                     403
│   ├── NoSuchThing            no such job, artifact or route                      404
│   │   ├── NoResult           the job has no values to give: not yet, or never
│   │   └── NoPreview          the artifact is nothing that could be shown as it is
│   │       └── CallFailed     (clients) the function has raised, or its process has ended
│   ├── Conflict               the thing's state forbids it                        409
│   │   ├── IllegalTransition  this event cannot happen in this state
│   │   ├── StaleVersion       somebody else changed the job first
│   │   ├── DuplicateKey       the idempotency key was used for another request
│   │   ├── NameTaken          a task of that name exists
│   │   └── NotConfirmed       a dangerous task was asked for without a word that it is meant
│   ├── NotAcceptable          no form of the answer is one that the caller takes  406
│   ├── TooLarge               the body or the answer is larger than allowed       413
│   └── BadCursor              no record starts at this cursor                     416
└── ServerError                ours, or our surroundings'                          5xx
    ├── StoreUnavailable       the database cannot be read or written now          503
    │   └── Superseded         another server has taken charge
    ├── ExecutorUnavailable    attempts cannot be started now                      503
    ├── NoActiveManager        no server is in charge of the queue at the moment   503
    ├── ManagerStalled         the server in charge has stopped, or answers not   503
    ├── NoSpace                the disk is full                                    507
    └── NoServer               (clients) no running server could be found          503
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class TasksError(Exception):
    """Something went wrong in jupyter_tasks."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str | None = None, **details: Any) -> None:
        """Keep the message for people and the details for programs (JSON values only)."""
        self.message = message or (self.__doc__ or "").strip()
        self.details = details
        super().__init__(self.message)


class CallerError(TasksError):
    """The request asks for something that cannot be."""

    code = "bad_request"
    status = 400


class BadMessage(CallerError):
    """The message is not what this route takes."""

    code = "bad_message"


class BadValue(CallerError):
    """A value cannot be carried into a job or out of it."""

    code = "bad_value"


class BadFields(CallerError):
    """Some of the arguments are not what the task takes."""

    code = "bad_fields"


class BadTask(CallerError):
    """This cannot be a task."""

    code = "bad_task"


class NotAllowed(CallerError):
    """You may not do this."""

    code = "not_allowed"
    status = 403


class NoSuchThing(CallerError):
    """There is no such thing here."""

    code = "not_found"
    status = 404


class NoResult(NoSuchThing):
    """The job has no result."""

    code = "no_result"


class CallFailed(NoResult):
    """The function has not returned."""

    code = "call_failed"


class NoPreview(NoSuchThing):
    """The file cannot be shown as it is; download it."""

    code = "no_preview"


class Conflict(CallerError):
    """The state of the thing forbids this."""

    code = "conflict"
    status = 409


class IllegalTransition(Conflict):
    """This cannot happen to the job in its state."""

    code = "illegal_transition"


class StaleVersion(Conflict):
    """The job was changed by somebody else in the meantime; read it again."""

    code = "stale_version"


class DuplicateKey(Conflict):
    """This idempotency key was used for another request; use a new key."""

    code = "duplicate_key"


class NameTaken(Conflict):
    """A task of this name exists; choose another name, or remove that one first."""

    code = "exists"


class NotConfirmed(Conflict):
    """This task is dangerous; say that it is meant."""

    code = "not_confirmed"


class NotAcceptable(CallerError):
    """There is no form of this answer that the request accepts."""

    code = "not_acceptable"
    status = 406


class TooLarge(CallerError):
    """The body is larger than this server takes."""

    code = "too_large"
    status = 413


class BadCursor(CallerError):
    """No record of this job's output starts at this cursor."""

    code = "bad_cursor"
    status = 416


class ServerError(TasksError):
    """The server could not do it."""

    code = "server_error"
    status = 500


class StoreUnavailable(ServerError):
    """The job database cannot be read or written at the moment."""

    code = "store_unavailable"
    status = 503


class Superseded(StoreUnavailable):
    """Another server has taken charge of the queue; this one follows it from now on."""

    code = "superseded"


class ExecutorUnavailable(ServerError):
    """Attempts cannot be started at the moment."""

    code = "executor_unavailable"
    status = 503


class NoActiveManager(ServerError):
    """No server is in charge of the queue at the moment; try again in a second."""

    code = "no_active_manager"
    status = 503


class ManagerStalled(ServerError):
    """The server in charge of the queue does not answer; wake it or end it."""

    code = "manager_stalled"
    status = 503


class NoSpace(ServerError):
    """There is no room left on the disk."""

    code = "no_space"
    status = 507


@contextmanager
def told_if_full(words: str) -> Iterator[None]:
    """Raise NoSpace with these words where the system says that a disk has no room."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace(words) from error
        raise


class NoServer(ServerError):
    """No running Jupyter server with jupyter_tasks could be found."""

    code = "no_server"
    status = 503


def no_such_job(job_id: str) -> NoSuchThing:
    """The error for an id that names no job of this owner (also for somebody else's job)."""
    shown = shortened(job_id)
    return NoSuchThing(f"This server knows no job {shown!r} of yours.", job=shown)


def shortened(text: str, longest: int = 100) -> str:
    """The text for a message: where it is longer, its middle is left out."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"
