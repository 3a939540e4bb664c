"""What changes the database, each inside a transaction that the writer opens and commits.

A TasksError is raised only before anything was changed.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from jupyter_tasks.errors import DuplicateKey, StaleVersion, StoreUnavailable
from jupyter_tasks.model import Change, Job, Receipt, folded
from jupyter_tasks.store import reads, rows, text_index
from jupyter_tasks.store.migrate import schema_of
from jupyter_tasks.store.queries import query
from jupyter_tasks.store.rows import to_json


def take_over(connection: sqlite3.Connection, schema: int) -> int:
    """Fence every earlier writer; return the new epoch."""
    if schema_of(connection) != schema:
        raise StoreUnavailable(
            "The job database was brought to another schema meanwhile; start this server anew."
        )
    connection.execute(query("take_over"))
    text_index.keep(connection)
    return int(connection.execute(query("epoch")).fetchone()[0])


def add(
    connection: sqlite3.Connection, jobs: Sequence[Job], receipt: Receipt | None, now: float
) -> list[Change]:
    """Add the jobs with their events, or return those that the receipt already stands for."""
    if receipt is not None:
        known = _jobs_of_receipt(connection, receipt)
        if known is not None:
            return [
                Change(event="submitted", at=job.created_at, before=None, after=job)
                for job in known
            ]
    row = None if receipt is None else _add_receipt(connection, receipt, len(jobs))
    rows.number(jobs, _number(connection, "last_number") + 1)
    if all(map(rows.is_new, jobs)):
        connection.executemany(query("add_new_job"), [rows.new(job, row) for job in jobs])
    else:
        connection.executemany(query("add_job"), [rows.inserted(job, row) for job in jobs])
    connection.executemany(query("add_spec"), [(job.number, to_json(job.spec)) for job in jobs])
    seq = _number(connection, "last_seq") + 1
    _add_what_follows(connection, jobs, now)
    return [
        Change(event="submitted", at=now, before=None, after=job, seq=number)
        for number, job in enumerate(jobs, seq)
    ]


def _add_what_follows(connection: sqlite3.Connection, added: Sequence[Job], now: float) -> None:
    if not added:
        return
    first = {"first": added[0].number}
    connection.execute(query("add_submitted"), {**first, "now": now})
    if any(job.tags for job in added):
        connection.execute(query("add_tags"), first)
    sorts = Counter((job.owner, job.queue, job.kind, job.state.value) for job in added)
    tally = [(*sort, n) for sort, n in sorts.items()]
    connection.executemany(query("add_to_tally"), tally)
    if text_index.is_kept(connection):
        connection.executemany(query("add_text"), [(job.number, folded(job.name)) for job in added])


def _jobs_of_receipt(connection: sqlite3.Connection, receipt: Receipt) -> list[Job] | None:
    row = connection.execute(query("receipt"), (receipt.owner, receipt.key)).fetchone()
    if row is None:
        return None
    if row[0] != receipt.body_hash:
        raise DuplicateKey(
            f"The idempotency key {receipt.key!r} stands for another request of yours; "
            "use a new key for a new request.",
            key=receipt.key,
        )
    return reads.get_many(connection, msgspec.json.decode(row[1]))


def _add_receipt(connection: sqlite3.Connection, receipt: Receipt, remaining: int) -> int | None:
    return connection.execute(
        query("add_receipt"),
        (
            receipt.owner,
            receipt.key,
            receipt.body_hash,
            to_json(receipt.job_ids),
            receipt.created_at,
            remaining,
        ),
    ).lastrowid


def commit(connection: sqlite3.Connection, change: Change) -> Change:
    """Replace or delete the job, with its event and its attempt's row."""
    before = change.before
    assert before is not None, "new jobs come through add"
    if change.after is None:
        found = _delete(connection, before)
    else:
        found = _update(connection, before, change.after)
    if found == 0:
        raise _stale(connection, before)
    if change.attempt is not None and change.after is not None:
        connection.execute(query("put_attempt"), rows.put(change.attempt, before.number))
    event = (before.number, before.id, change.event, change.at, rows.was_values(before))
    seq = connection.execute(query("add_event"), event).lastrowid
    assert seq is not None
    return replace(change, seq=seq)


def _delete(connection: sqlite3.Connection, before: Job) -> int:
    if text_index.is_kept(connection):
        stored = {"id": before.id, "version": before.version}
        connection.execute(query("drop_text"), stored)
    return connection.execute(query("delete_job"), (before.id, before.version)).rowcount


def _update(connection: sqlite3.Connection, before: Job, after: Job) -> int:
    # An UPDATE pays for each index of a column that it names, whether the value differs or not.
    if not rows.is_edit(after, before):
        return connection.execute(query("move_job"), rows.moved(after, before)).rowcount
    renames = before.name != after.name and text_index.is_kept(connection)
    if renames:
        stored = {"id": before.id, "version": before.version}
        connection.execute(query("drop_text"), stored)
    found = connection.execute(query("edit_job"), rows.edited(after, before)).rowcount
    if found and after.spec != before.spec:
        connection.execute(query("edit_spec"), (to_json(after.spec), before.number))
    if found and renames:
        connection.execute(query("add_text"), (before.number, folded(after.name)))
    return found


def _stale(connection: sqlite3.Connection, before: Job) -> StaleVersion:
    row = connection.execute(query("version_of"), (before.id,)).fetchone()
    if row is None:
        return StaleVersion(f"Job {before.id} was deleted in the meantime.", job=before.id)
    return StaleVersion(
        f"Job {before.id} is {row[1]} and at version {row[0]} by now, not {before.version}; "
        "read it again.",
        job=before.id,
        version=row[0],
    )


def forget_events(connection: sqlite3.Connection, keep: int, at_most: int) -> int:
    """Forget the oldest events beyond the newest ``keep``; a bounded number at once."""
    upto = _number(connection, "last_seq") - keep
    return connection.execute(query("forget_events"), (upto, at_most)).rowcount


def forget_receipts(connection: sqlite3.Connection, before: float) -> int:
    """Forget the receipts that are older."""
    return connection.execute(query("forget_receipts"), (before,)).rowcount


def _number(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(query(name)).fetchone()[0])
