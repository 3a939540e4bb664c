"""The one thread that writes: group commit, the writer's epoch, and checkpoints.

Whatever was asked while a commit ran goes into the next one. It knows no job: work is a function
that is given the connection, may be run twice, and raises a TasksError only before it has changed
anything.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from jupyter_tasks.errors import ServerError, StoreUnavailable, Superseded, TasksError
from jupyter_tasks.store.files import BUSY_S, connect, unavailable
from jupyter_tasks.store.queries import query
from jupyter_tasks.store.threads import Answer, Task, Work, deliver

_log = logging.getLogger(__name__)

_GROUP: Final = 500
#: Checkpoint after so many changed rows, or when nothing was asked for so long.
_CHECKPOINT_ROWS: Final = 4000
_CHECKPOINT_IDLE_S: Final = 1.0
#: What was deleted is erased in the first idle second, or after so long where there is none.
_ERASE_WITHIN_S: Final = 10.0
#: Erasing waits so long for readers, and tries again later: the next commit must not wait for them.
_ERASE_BUSY_MS: Final = 50
_MAX_PATIENCE_S: Final = 60.0


class _NeedsCareError(Exception):
    """Something in the group failed half way: run it again with a savepoint for each task."""


class Writer:
    """Runs work in groups, each in one durable transaction; the thread starts when first needed."""

    def __init__(self, path: Path) -> None:
        """Write to the database at ``path``."""
        self._path = path
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._end: asyncio.Future[None] | None = None
        # Of the thread alone:
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._epoch: int | None = None
        self._held: Task | None = None
        self._stops = False
        self._checkpointed = 0
        self._erase_since: float | None = None
        self._patience_s = _CHECKPOINT_IDLE_S

    async def do(self, work: Work, *, takes_over: bool = False, erases: bool = False) -> Any:
        """Do the work in a transaction; return its value after the commit.

        ``erases``: what it deletes or replaces leaves the files, too, within a bounded time.
        """
        if self._end is not None:
            raise StoreUnavailable(f"The job database {self._path} was closed by this server.")
        future = asyncio.get_running_loop().create_future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="jupyter-tasks-writer")
            self._thread.daemon = True
            self._thread.start()
        self._tasks.put(Task(work=work, future=future, takes_over=takes_over, erases=erases))
        return await future

    async def close(self) -> None:
        """Finish what was asked, then end the thread."""
        if self._end is None:
            self._end = asyncio.get_running_loop().create_future()
            if self._thread is None:
                self._end.set_result(None)
            self._tasks.put(None)
        await asyncio.shield(self._end)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            answers = self._answers(group)
            deliver(answers)
            self._note_erasures(group)
            # Nothing of this group is kept while the thread waits for the next one.
            del group, answers
            self._checkpoint(after_rows=_CHECKPOINT_ROWS)
            self._erase(after_s=_ERASE_WITHIN_S)
        self._disconnect()
        end = self._end
        assert end is not None
        deliver([Answer(task=Task(work=_nothing, future=end))])

    # -- groups -------------------------------------------------------------------------------

    def _next_group(self) -> list[Task]:
        """Wait for a task, then take whatever else is there; empty at the end."""
        group: list[Task] = []
        while not self._stops:
            task, self._held = (self._held or self._wait(group)), None
            if task is None:
                self._stops = True
            elif task.takes_over and group:
                self._held = task
                break
            else:
                group.append(task)
            if task and (task.takes_over or len(group) >= _GROUP or self._tasks.empty()):
                break
        return group

    def _wait(self, group: Sequence[Task]) -> Task | None:
        """The next task, for however long it takes; in the first idle second, checkpoint."""
        while not group and (self._rows_to_checkpoint() or self._has_to_erase()):
            try:
                return self._tasks.get(timeout=self._patience_s)
            except queue.Empty:
                self._checkpoint(after_rows=0)
                self._erase(after_s=0)
        return self._tasks.get()

    def _answers(self, group: Sequence[Task]) -> list[Answer]:
        """Commit the group; what one of its tasks gets wrong does not touch the others."""
        try:
            try:
                return self._transaction(group, careful=False)
            except _NeedsCareError:
                return self._transaction(group, careful=True)
        except sqlite3.Error as error:
            _log.warning("Failed to commit %d changes: %s", len(group), error)
            why = unavailable(self._path, error)
        except StoreUnavailable as error:
            why = error
        return [Answer(task=task, error=type(why)(why.message)) for task in group]

    def _transaction(self, group: Sequence[Task], *, careful: bool) -> list[Answer]:
        if self._connection is None:
            self._connection = connect(self._path, read_only=False)
            self._file = self._file_there()
        connection = self._connection
        self._must_be_there()
        try:
            connection.execute("BEGIN IMMEDIATE")
            # Whoever takes over is alone in its group.
            self._must_be_writer(connection, group)
            answers = [self._one(connection, task, careful=careful) for task in group]
            connection.execute("COMMIT")
        finally:
            self._roll_back(connection)
        if group[-1].takes_over and answers[-1].error is None:
            self._epoch = answers[-1].value
        return answers

    def _must_be_there(self) -> None:
        """Refuse to write into a file that has no name any more: nobody would ever find it again."""
        if self._file_there() != self._file:
            raise StoreUnavailable(
                f"The job database {self._path} was removed or replaced while this server used it. "
                "Put it back, or end this server and start it anew."
            )

    def _file_there(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _must_be_writer(self, connection: sqlite3.Connection, group: Sequence[Task]) -> None:
        if group[0].takes_over:
            return
        epoch = connection.execute(query("epoch")).fetchone()[0]
        if self._epoch is None:
            raise StoreUnavailable(
                "This server is not in charge of the queue, so it writes nothing."
            )
        if epoch != self._epoch:
            raise Superseded

    def _one(self, connection: sqlite3.Connection, task: Task, *, careful: bool) -> Answer:
        if careful:
            connection.execute("SAVEPOINT task")
        try:
            value = task.work(connection)
        except TasksError as refusal:
            answer = Answer(task=task, error=refusal)
        except Exception as error:  # handed to the caller, whose fault it is
            if _is_of_all(error):
                raise
            if not careful:
                raise _NeedsCareError from error
            connection.execute("ROLLBACK TO task")
            answer = Answer(task=task, error=_impossible(error))
        else:
            answer = Answer(task=task, value=value)
        if careful:
            connection.execute("RELEASE task")
        return answer

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        """Leave no transaction behind; a connection that cannot even do that is given up."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            _log.exception("Failed to roll back; opening the database anew")
            self._disconnect()

    # -- checkpoints ----------------------------------------------------------------------------

    def _rows_to_checkpoint(self) -> int:
        if self._connection is None:
            return 0
        return self._connection.total_changes - self._checkpointed

    def _checkpoint(self, *, after_rows: int) -> None:
        """Move what was committed from the log into the database; readers are not disturbed."""
        if self._connection is None or self._rows_to_checkpoint() <= after_rows:
            return
        self._checkpointed = self._connection.total_changes
        try:
            epoch = self._connection.execute(query("epoch")).fetchone()[0]
            if epoch == self._epoch:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            # Nothing is lost: the log is kept, and the next checkpoint tries again.
            _log.warning("Failed to checkpoint the job database: %s", error)

    def _note_erasures(self, group: Sequence[Task]) -> None:
        # A server that was killed may have left what it was about to erase.
        if self._erase_since is None and any(task.erases or task.takes_over for task in group):
            self._erase_since = time.monotonic()
            self._patience_s = _CHECKPOINT_IDLE_S

    def _has_to_erase(self) -> bool:
        return self._erase_since is not None and self._connection is not None

    def _erase(self, *, after_s: float) -> None:
        """Empty the log: SQLite keeps old pages there, secrets too, until it writes over them.

        Where somebody reads from the log just now, it is tried again later, and less and less often.
        """
        since, connection = self._erase_since, self._connection
        if since is None or connection is None or time.monotonic() - since < after_s:
            return
        try:
            is_read = self._is_read_while_truncating(connection)
        except sqlite3.Error as error:
            _log.warning("Failed to erase what was deleted: %s", error)
            is_read = True
        self._erase_since = time.monotonic() if is_read else None
        self._patience_s = (
            min(2 * self._patience_s, _MAX_PATIENCE_S) if is_read else _CHECKPOINT_IDLE_S
        )

    def _is_read_while_truncating(self, connection: sqlite3.Connection) -> bool:
        """Truncate the log if it is ours; whether readers kept us from it."""
        if connection.execute(query("epoch")).fetchone()[0] != self._epoch:
            return False
        connection.execute(f"PRAGMA busy_timeout = {_ERASE_BUSY_MS}")
        try:
            return bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._checkpointed = 0


def _nothing(_: sqlite3.Connection) -> None:
    """The work of one who only waits for the end."""


def _is_of_all(error: Exception) -> bool:
    """Whether the database failed, and not what was asked of it."""
    return isinstance(error, sqlite3.Error) and not isinstance(
        error,
        sqlite3.IntegrityError
        | sqlite3.ProgrammingError
        | sqlite3.InterfaceError
        | sqlite3.DataError,
    )


def _impossible(error: Exception) -> ServerError:
    impossible = ServerError(f"The database refuses what can never be true: {error}.")
    impossible.__cause__ = error
    return impossible
