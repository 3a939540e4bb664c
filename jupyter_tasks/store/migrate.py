"""Brings a database to the schema of this version: forward only, a backup before each step.

It knows no job. The schema's version is SQLite's ``user_version``.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from jupyter_tasks.errors import StoreUnavailable
from jupyter_tasks.store.files import connect, make_private

_log = logging.getLogger(__name__)

Migrations = Mapping[int, Sequence[str]]


def schema_of(connection: sqlite3.Connection) -> int:
    """The version of the schema, 0 for an empty database."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, path: Path, migrations: Migrations) -> int:
    """Take the missing steps, each whole or not at all; return the schema's version then.

    A schema newer than ours is left alone. Servers that start at once do not disturb each other.
    """
    is_new = schema_of(connection) == 0
    for version in sorted(migrations):
        if schema_of(connection) < version:
            _take_step(connection, path, version, migrations[version], backs_up=not is_new)
    return schema_of(connection)


def _take_step(
    connection: sqlite3.Connection,
    path: Path,
    version: int,
    statements: Sequence[str],
    *,
    backs_up: bool,
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = schema_of(connection)
        if found < version:
            if backs_up:
                _back_up(path, found)
            if found > 0:
                # A server of the former version must not write into the new schema.
                connection.execute("UPDATE writer SET epoch = epoch + 1")
            elif connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise _foreign(path)
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")
            _log.info("Brought %s from schema %d to %d", path, found, version)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _back_up(path: Path, schema: int) -> None:
    """Copy the database as it is; the copy appears under its name when it is whole."""
    backup = path.with_name(f"{path.stem}.backup-{schema:04d}.db")
    part = Path(f"{backup}.part")
    part.unlink(missing_ok=True)
    make_private(part)
    with (
        contextlib.closing(connect(path, read_only=True)) as source,
        contextlib.closing(connect(part, read_only=False)) as target,
    ):
        source.backup(target)
        # One file that stands alone, also where it is put on a read-only disk.
        target.execute("PRAGMA journal_mode = delete")
    part.rename(backup)
    _log.info("Backed up %s to %s", path, backup)


def _foreign(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"{path} is a database of something else. Choose another state directory."
    )
