"""The database's files: opening them, their modes, whether WAL works where they lie.

It also says what an error of SQLite means to people. It knows no table.
"""

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Final

from jupyter_tasks.errors import StoreUnavailable

#: How long one server waits for another's lock before it gives up.
BUSY_S: Final = 5.0
_RETRY_S: Final = 0.01
OLDEST_SQLITE: Final = (3, 26, 0)
#: File systems on which the shared memory of WAL is not shared between machines.
_NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"}
    | {"orangefs", "smb3", "smbfs", "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs"}
    | {"fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
)


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open an existing database; the connection belongs to the thread that asks.

    Readers can never write, not even by a checkpoint when they are the last to close.
    """
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        cached_statements=256,
    )
    try:
        connection.execute(f"PRAGMA query_only = {int(read_only)}")
        connection.execute("PRAGMA synchronous = FULL")
        # What is deleted may be secret: FAST would leave it on pages that become free.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA cache_size = -8000")
        # Checkpoints are made between groups, by the writer's thread.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        if not read_only and _journal_of(connection) != "wal":
            # Unlike WAL, this is a matter of each connection.
            connection.execute("PRAGMA journal_mode = truncate")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def make_private(path: Path) -> bool:
    """See to it that the file is there and the owner's alone; whether it had to be made.

    SQLite gives ``-wal`` and ``-shm`` the mode of the database.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not path.exists()
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with contextlib.suppress(FileNotFoundError):
            file.chmod(0o600)
    return is_new


def set_journal(connection: sqlite3.Connection, path: Path) -> str:
    """Use WAL where it works, else a journal that is truncated; return the mode in use."""
    in_use = _journal_of(connection)
    works = not is_on_network(path) and (in_use == "wal" or _wal_works(path))
    wanted = "wal" if works else "truncate"
    deadline = time.monotonic() + BUSY_S
    while in_use != wanted:
        try:
            return str(connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            # SQLite does not wait here by itself while another server opens the database too.
            time.sleep(_RETRY_S)
            in_use = _journal_of(connection)
    return in_use


def _journal_of(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def is_on_network(path: Path) -> bool:
    """Whether the file lies on a file system that machines share (where the kernel tells)."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace")
    except OSError:
        return False
    return file_system_of(path.resolve(), mounts) in _NETWORK


def file_system_of(path: Path, mounts: str) -> str:
    """The kind of file system that the absolute path lies on, of those in ``mountinfo``."""
    nearest, kind = Path("/"), ""
    for line in mounts.splitlines():
        mount, _, rest = line.partition(" - ")
        # Spaces are written as octal; a later mount hides an earlier one of the same place.
        point = Path(mount.split()[4].replace("\\040", " "))
        if path.is_relative_to(point) and len(point.parts) >= len(nearest.parts):
            nearest, kind = point, rest.split()[0]
    return kind


def _wal_works(path: Path) -> bool:
    """Try with a throw-away database beside it: SQLite may accept WAL and fail at its first use."""
    trial = path.with_name(f"{path.name}.trial-{threading.get_native_id()}")
    try:
        make_private(trial)
        with (
            contextlib.closing(connect(trial, read_only=False)) as writer,
            contextlib.closing(connect(trial, read_only=True)) as reader,
        ):
            mode = writer.execute("PRAGMA journal_mode = wal").fetchone()[0]
            writer.execute("CREATE TABLE trial AS SELECT 42 AS answer")
            answer = reader.execute("SELECT answer FROM trial").fetchone()
            return bool(mode == "wal" and answer == (42,))
    except (sqlite3.Error, OSError):
        return False
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                Path(f"{trial}{end}").unlink()


def unavailable(path: Path, error: sqlite3.Error | OSError) -> StoreUnavailable:
    """What an error of SQLite means, and what a person can do about it."""
    if isinstance(error, OSError):
        return StoreUnavailable(f"The job database {path} cannot be opened: {error.strerror}.")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    words = _WORDS.get(code, f"cannot be used: {error}. The server's log tells more.")
    return StoreUnavailable(f"The job database {path} {words}", sqlite=str(error))


_DAMAGED: Final = (
    "is damaged. Stop every server that uses it, move it away together with its -wal and -shm files, "
    "put a backup (*.backup-*.db beside it) in its place if there is one, and start again."
)
_WORDS: Final = {
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_FULL: "cannot grow: the disk or the quota is full. Free some space; then it goes on by itself.",
    sqlite3.SQLITE_BUSY: "is held by another process at the moment; try again in a second.",
    sqlite3.SQLITE_LOCKED: "is held by another process at the moment; try again in a second.",
    sqlite3.SQLITE_READONLY: "may not be written: check the modes of the file and of its folder.",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that it is there, the modes of its folder, and "
    "how many files this process may have open.",
    sqlite3.SQLITE_PERM: "may not be opened: check the modes of the file and of its folder.",
}
