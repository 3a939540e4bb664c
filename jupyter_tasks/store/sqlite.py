"""SqliteStore: the contract `Store`, kept by one writing thread and a few reading ones.

The event loop only hands over and is woken. Schema, statements and mapping are its neighbours'.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, cast

from jupyter_tasks.contracts import Page
from jupyter_tasks.errors import StoreUnavailable
from jupyter_tasks.model import Attempt, Change, Filter, Job, Receipt, State
from jupyter_tasks.store import reads, writes
from jupyter_tasks.store.files import OLDEST_SQLITE, connect, make_private, set_journal, unavailable
from jupyter_tasks.store.find import find
from jupyter_tasks.store.migrate import migrate, schema_of
from jupyter_tasks.store.queries import migrations
from jupyter_tasks.store.reader import Readers
from jupyter_tasks.store.writer import Writer

#: How many events are forgotten in one transaction.
_FORGET_AT_ONCE: Final = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """What kind of database it is; ``message`` says why it is read only, where it is."""

    path: Path
    journal_mode: str
    schema: int
    sqlite: str
    read_only: bool = False
    message: str = ""


class SqliteStore:
    """Jobs, attempts and events in one SQLite file (contracts.Store)."""

    def __init__(self, info: StoreInfo, clock: Callable[[], float]) -> None:
        """Use a database that ``open`` has prepared."""
        self.info = info
        self._clock = clock
        self._readers = Readers(info.path)
        self._writer = Writer(info.path)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        read_only: bool = False,
        clock: Callable[[], float] = time.time,
        schema: Mapping[int, Sequence[str]] | None = None,
    ) -> "SqliteStore":
        """Open the database, or make it; bring its schema up to date. Blocks; starts no thread.

        A database of a newer schema is opened read only, and ``info.message`` says so. Raises
        StoreUnavailable, with the remedy, where the file cannot be used.
        """
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise StoreUnavailable(f"SQLite {sqlite3.sqlite_version} is too old; 3.26 is needed.")
        steps = migrations() if schema is None else schema
        try:
            info = _inspect(path, max(steps)) if read_only else _prepare(path, steps)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(path, error) from error
        return cls(info, clock)

    # -- contracts.Reader -------------------------------------------------------------------------

    async def get(self, job_id: str) -> Job | None:
        """The job, or None where there is none."""
        return await self._readers.ask(lambda c: reads.get(c, job_id))

    async def get_many(self, job_ids: Sequence[str]) -> list[Job]:
        """Those of the jobs that exist, in the order asked for."""
        return await self._readers.ask(lambda c: reads.get_many(c, job_ids))

    async def find(self, wanted: Filter, *, limit: int, after: str | None = None) -> Page:
        """The newest jobs that the filter accepts."""
        return await self._readers.ask(lambda c: find(c, wanted, limit, after))

    async def head(self, *, limit: int, direct: bool = False) -> list[Job]:
        """The first queued jobs in starting order."""
        return await self._readers.ask(lambda c: reads.head(c, limit, direct=direct))

    async def due(self, *, limit: int) -> list[Job]:
        """The first scheduled jobs, by the time they are due."""
        return await self._readers.ask(lambda c: reads.due(c, limit))

    async def position(self, job: Job) -> int:
        """How many queued jobs would start before this queued one."""
        return await self._readers.ask(lambda c: reads.position(c, job))

    async def live(self) -> list[Job]:
        """All jobs that hold a slot."""
        return await self._readers.ask(reads.live)

    async def attempts(self, job_id: str) -> list[Attempt]:
        """The job's attempts, the oldest first."""
        return await self._readers.ask(lambda c: reads.attempts(c, job_id))

    async def counts(self, owner: str | None) -> dict[State, int]:
        """How many jobs there are in each state, zeros included."""
        return await self._readers.ask(lambda c: reads.counts(c, owner))

    async def changes(self, after: int, *, limit: int) -> list[Change] | None:
        """What happened after event number ``after``; None where that is forgotten or unknown."""
        return await self._readers.ask(lambda c: reads.changes(c, after, limit))

    async def last_seq(self) -> int:
        """The number of the newest event, also where it is forgotten by now; 0 before the first."""
        return await self._readers.ask(reads.last_seq)

    # -- contracts.Store --------------------------------------------------------------------------

    async def take_over(self) -> int:
        """Become the one writer."""
        self._must_be_writable()
        schema = self.info.schema
        work = partial(writes.take_over, schema=schema)
        return cast("int", await self._writer.do(work, takes_over=True))

    async def add(self, jobs: Sequence[Job], receipt: Receipt | None = None) -> list[Change]:
        """Add new jobs, all or none."""
        self._must_be_writable()
        work = partial(writes.add, jobs=jobs, receipt=receipt, now=self._clock())
        return cast("list[Change]", await self._writer.do(work))

    async def commit(self, change: Change) -> Change:
        """Replace or delete the job where its stored version is still the one before."""
        self._must_be_writable()
        # What a spec held may be secret.
        erases = change.before is not None and change.job.spec != change.before.spec
        erases = erases or change.after is None
        work = partial(writes.commit, change=change)
        return cast("Change", await self._writer.do(work, erases=erases))

    async def forget_events(self, *, keep: int) -> int:
        """Forget all but the newest events, a part at a time."""
        self._must_be_writable()
        forgotten = 0
        work = partial(writes.forget_events, keep=keep, at_most=_FORGET_AT_ONCE)
        while gone := cast("int", await self._writer.do(work)):
            forgotten += gone
        return forgotten

    async def forget_receipts(self, *, before: float) -> int:
        """Forget idempotency keys older than that time."""
        self._must_be_writable()
        return cast("int", await self._writer.do(partial(writes.forget_receipts, before=before)))

    async def close(self) -> None:
        """Finish what was asked, then close; no thread and no file stays open."""
        # The writer goes last: it leaves one file, with everything in it.
        await self._readers.close()
        await self._writer.close()

    def _must_be_writable(self) -> None:
        if self.info.read_only:
            raise StoreUnavailable(self.info.message)


def _prepare(path: Path, steps: Mapping[int, Sequence[str]]) -> StoreInfo:
    """Make the file where it is missing, choose its journal, take the missing migrations."""
    path = path.absolute()
    make_private(path)
    with closing(connect(path, read_only=False)) as connection:
        found, newest = schema_of(connection), max(steps)
        if found > newest:
            return _newer(path, connection, newest)
        journal = set_journal(connection, path)
        reached = migrate(connection, path, steps)
        if reached > newest:  # another server brought it further meanwhile
            return _newer(path, connection, newest)
        return _info(path, connection, journal_mode=journal)


def _inspect(path: Path, newest: int) -> StoreInfo:
    """Look at an existing database without changing anything."""
    path = path.absolute()
    with closing(connect(path, read_only=True)) as connection:
        found = schema_of(connection)
        if found < newest:
            raise StoreUnavailable(
                f"The job database {path} has schema {found}; start a server of this version once, "
                f"which brings it to schema {newest}."
            )
        if found > newest:
            return _newer(path, connection, newest)
        words = f"The job database {path} was opened for reading only."
        return _info(path, connection, read_only=True, message=words)


def _newer(path: Path, connection: sqlite3.Connection, newest: int) -> StoreInfo:
    words = (
        f"The job database {path} has schema {schema_of(connection)}, this version of jupyter_tasks "
        f"knows {newest}: it only reads. Update jupyter_tasks to change jobs from here."
    )
    return _info(path, connection, read_only=True, message=words)


def _info(
    path: Path,
    connection: sqlite3.Connection,
    *,
    journal_mode: str = "",
    read_only: bool = False,
    message: str = "",
) -> StoreInfo:
    mode = journal_mode or str(connection.execute("PRAGMA journal_mode").fetchone()[0])
    return StoreInfo(
        path=path,
        journal_mode=mode,
        schema=schema_of(connection),
        sqlite=sqlite3.sqlite_version,
        read_only=read_only,
        message=message,
    )
