"""Keeps saved notebooks true: what they show of jobs is written anew from the store before each save.

A kernel keeps the HTML and the text of its cells true as long as it lives and the page is open. A
notebook that is saved later, exported, or read where no server of ours runs must not say "running"
of a job that has ended long ago.
"""

import getpass
import inspect
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
from jupyter_server.base.call_context import CallContext
from jupyter_server.base.handlers import JupyterHandler

from jupyter_tasks import access, attempt, messages, views
from jupyter_tasks.follow.last import last_records
from jupyter_tasks.handlers.base import identifies_people
from jupyter_tasks.model import Job
from jupyter_tasks.records import Ending, ending, read_records
from jupyter_tasks.store import reads
from jupyter_tasks.store.files import connect

_TEXT_BYTES: Final = 8192
#: A notebook that shows more jobs is brought up to date in part: a save holds up the server.
_MAX_JOBS: Final = 200
#: Where the database is no WAL, a writer may keep us waiting.
_BUSY_MS: Final = 200


def keep_true(shown: dict[str, list[dict[str, Any]]], *, state_dir: Path, database: Path) -> None:
    """Write anew what is shown of the saver's own jobs. Blocks; raises OSError."""
    if database.exists() and (owner := _saver()) is not None:
        _bring_up_to_date(shown, owner, state_dir, database)


def _bring_up_to_date(
    shown: dict[str, list[dict[str, Any]]], owner: str, state_dir: Path, database: Path
) -> None:
    """What says already how a job has ended is left as it is."""
    wanted = list(shown)[:_MAX_JOBS]
    jobs = [job for job in _read(database, wanted) if job.owner == owner]
    for job in jobs:
        wire = msgspec.to_builtins(messages.from_job(job))
        if job.has_ended and all(views.is_of(data, wire) for data in shown[job.id]):
            continue
        end = _end_of(state_dir, job)
        bundle = views.bundle(wire, end.text, time.time(), end.pictures)
        for data in shown[job.id]:
            data.update(bundle)


def _saver() -> str | None:
    """Whose jobs the one who saves may see; None for nobody's.

    Some programs save in nobody's name (those that edit together): then people are not told apart.
    """
    account = getpass.getuser()
    handler = CallContext.get(CallContext.JUPYTER_HANDLER)
    if not isinstance(handler, JupyterHandler):
        return None
    may_read = handler.authorizer.is_authorized(handler, handler.current_user, "read", "tasks")
    if inspect.iscoroutine(may_read):
        may_read.close()  # there is no waiting for it here
        return None
    if not (handler.current_user and may_read):
        return None
    return access.owner_of(handler.current_user.username, identifies_people(handler), account)


def _read(database: Path, job_ids: Sequence[str]) -> list[Job]:
    try:
        with closing(connect(database, read_only=True)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            return reads.get_many(connection, job_ids)
    except sqlite3.Error as error:
        raise OSError(f"The job database {database} cannot be read: {error}") from error


def _end_of(state_dir: Path, job: Job) -> Ending:
    """The end of what the job's newest attempt has printed and shown."""
    if job.attempt == 0:
        return Ending()
    records = read_records(last_records(attempt.path_of(state_dir, job.id, job.attempt)))
    return ending(records, _TEXT_BYTES)
