"""What is asked of the database, each inside a read transaction that the reader opens."""

import sqlite3
from collections import Counter
from collections.abc import Sequence

from jupyter_tasks.model import Attempt, Change, Job, State
from jupyter_tasks.store.queries import query
from jupyter_tasks.store.rows import KINDS_JSON, attempt_of, change_of, job_of, jobs_of, to_json


def get(connection: sqlite3.Connection, job_id: str) -> Job | None:
    """The job of that id."""
    row = connection.execute(query("get"), (job_id,)).fetchone()
    return None if row is None else job_of(row)


def get_many(connection: sqlite3.Connection, job_ids: Sequence[str]) -> list[Job]:
    """Those that exist, in the order asked for."""
    found = {
        job.id: job
        for job in jobs_of(connection.execute(query("get_many"), (to_json(job_ids),)).fetchall())
    }
    return [found[job_id] for job_id in job_ids if job_id in found]


def head(connection: sqlite3.Connection, limit: int, *, direct: bool) -> list[Job]:
    """The first of the queue."""
    return jobs_of(connection.execute(query("head"), (KINDS_JSON, direct, limit)).fetchall())


def due(connection: sqlite3.Connection, limit: int) -> list[Job]:
    """The first of those that wait for their time."""
    return jobs_of(connection.execute(query("due"), (KINDS_JSON, limit)).fetchall())


def live(connection: sqlite3.Connection) -> list[Job]:
    """Those that hold a slot."""
    return jobs_of(connection.execute(query("live")).fetchall())


def position(connection: sqlite3.Connection, job: Job) -> int:
    """How many stand before it in the queue."""
    since = job.created_at if job.queued_at is None else job.queued_at
    place = {"priority": job.priority, "since": since, "number": job.number}
    return int(connection.execute(query("position"), place).fetchone()[0])


def attempts(connection: sqlite3.Connection, job_id: str) -> list[Attempt]:
    """The attempts of a job, the oldest first."""
    return [attempt_of(row) for row in connection.execute(query("attempts"), (job_id,)).fetchall()]


def counts(connection: sqlite3.Connection, owner: str | None) -> dict[State, int]:
    """How many jobs there are in each state, also where there are none."""
    sums: Counter[str] = Counter()
    for whose, _queue, _kind, state, n in connection.execute(query("tally")).fetchall():
        if owner is None or whose == owner:
            sums[state] += n
    return {state: sums[state] for state in State}


def changes(connection: sqlite3.Connection, after: int, limit: int) -> list[Change] | None:
    """What happened since; an empty list means that nothing more did."""
    if after < _number(connection, "forgotten") or after > last_seq(connection):
        return None
    while rows := connection.execute(query("changes"), (after, limit)).fetchall():
        found = [change for row in rows if (change := change_of(row)) is not None]
        if found:
            return found
        after = rows[-1][0]
    return []


def last_seq(connection: sqlite3.Connection) -> int:
    """The number of the newest event."""
    return _number(connection, "last_seq")


def _number(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(query(name)).fetchone()[0])
