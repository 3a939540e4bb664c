"""The few threads that read, each with a read-only connection of its own.

They know no job: work is a function that is given the connection inside a read transaction, so that
it sees one committed state.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, cast

from jupyter_tasks.errors import StoreUnavailable
from jupyter_tasks.store.files import connect, unavailable
from jupyter_tasks.store.threads import Answer, Task, deliver

_log = logging.getLogger(__name__)

T = TypeVar("T")
_THREADS: Final = 3


class Readers:
    """Runs work in threads, which start when they are first needed."""

    def __init__(self, path: Path) -> None:
        """Read the database at ``path``."""
        self._path = path
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        self._is_closed = False
        self._ends: list[asyncio.Future[None]] = []

    async def ask(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the work on a connection of its own thread; return its value."""
        if self._is_closed:
            raise StoreUnavailable(f"The job database {self._path} was closed by this server.")
        self._under_way += 1
        try:
            if self._under_way > len(self._threads) and len(self._threads) < _THREADS:
                self._start_thread()
            future = asyncio.get_running_loop().create_future()
            self._tasks.put(Task(work=work, future=future))
            return cast("T", await future)
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """Finish what was asked, then end the threads."""
        if not self._is_closed:
            self._is_closed = True
            for _ in self._threads:
                self._tasks.put(None)
        for end in self._ends:
            await asyncio.shield(end)
        for thread in self._threads:
            thread.join()

    def _start_thread(self) -> None:
        end = asyncio.get_running_loop().create_future()
        name = f"jupyter-tasks-reader-{len(self._threads)}"
        thread = threading.Thread(target=self._run, args=(end,), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)
        self._ends.append(end)

    def _run(self, end: "asyncio.Future[None]") -> None:
        connection: sqlite3.Connection | None = None
        while (task := self._tasks.get()) is not None:
            try:
                if connection is None:
                    connection = connect(self._path, read_only=True)
                answer = _answer(connection, task)
            except (sqlite3.Error, OSError) as error:
                # The next one opens the file anew: it may have been replaced or mended.
                _log.warning("Failed to read the job database: %s", error)
                answer = Answer(task=task, error=unavailable(self._path, error))
                if connection is not None:
                    connection.close()
                    connection = None
            deliver([answer])
            del task, answer
        if connection is not None:
            connection.close()
        deliver([Answer(task=Task(work=_nothing, future=end))])


def _answer(connection: sqlite3.Connection, task: Task) -> Answer:
    """Do the work in one read transaction."""
    connection.execute("BEGIN")
    try:
        return Answer(task=task, value=task.work(connection))
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - handed to the caller, whose fault it is
        return Answer(task=task, error=error)
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def _nothing(_: sqlite3.Connection) -> None:
    """The work of one who only waits for the end."""
