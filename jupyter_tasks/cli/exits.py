"""Exit codes: of the command itself, and of a job that was waited for. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from jupyter_tasks.errors import (
    BadMessage,
    Conflict,
    NoServer,
    NoSuchThing,
    TasksError,
)
from jupyter_tasks.model import State

OK: Final = 0
OTHER: Final = 1
USAGE: Final = 2
NO_SERVER: Final = 3
NOT_FOUND: Final = 4
CONFLICT: Final = 5
OUTPUT_FAILED: Final = 74
LOST: Final = 75
TIMEOUT: Final = 124
NOT_STARTED: Final = 126
CANCELLED: Final = 130
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

#: What --help says about them.
TABLE: Final = """\
exit codes:
  0  done        1  other error   2  wrong usage   3  no server
  4  not found   5  conflict      74  output cannot be written
  130  interrupted by Ctrl-C      141  the reader of a pipe has gone
with --wait, --follow and `wait` the job's own:
  its exit code; 128+n after signal n; 124 after its timeout; 126 could not be started;
  130 cancelled; 75 lost"""


def of_error(error: TasksError) -> int:
    """The exit code that stands for the error."""
    classes: tuple[tuple[type[TasksError], int], ...] = (
        (BadMessage, USAGE),
        (NoServer, NO_SERVER),
        (NoSuchThing, NOT_FOUND),
        (Conflict, CONFLICT),
    )
    return next((code for cls, code in classes if isinstance(error, cls)), OTHER)


def of_job(job: Mapping[str, Any]) -> int:
    """The exit code of a job that has ended, as its own program or a shell would give it."""
    if job["state"] == State.SUCCEEDED:
        return OK
    if job["state"] == State.CANCELLED:
        return CANCELLED
    if job["state"] == State.LOST:
        return LOST
    if job["reason"] == "timeout":
        return TIMEOUT
    if job["reason"] == "start" and job["exit_code"] is None:
        return NOT_STARTED
    if job["signal"]:
        return 128 + int(job["signal"])
    return int(job["exit_code"] or OTHER)
