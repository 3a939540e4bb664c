"""Whether a database holds work for a server that has just started; cheap, for every start asks.

It loads neither the model nor the other statements.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from jupyter_tasks.store.files import connect

_SQL = Path(__file__).with_name("unfinished.sql")


def has_unfinished(path: Path) -> bool:
    """Whether a job has not ended, or the last server did not close the database.

    Also where that cannot be found out: opening it in earnest then tells what is wrong.
    """
    if not path.exists():
        return False
    wal = Path(f"{path}-wal")
    try:
        if wal.exists() and wal.stat().st_size > 0:
            return True
        with closing(connect(path, read_only=True)) as connection:
            found: bool = bool(connection.execute(_SQL.read_text("utf-8")).fetchone()[0])
    except (sqlite3.Error, OSError):
        return True
    return found
