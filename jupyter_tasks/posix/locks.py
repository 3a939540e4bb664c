"""Locks that the kernel lets go of when their holder dies, however it dies.

A record lock (POSIX) belongs to the process, says who holds it, and is not inherited. An
open-file-description lock belongs to the descriptor, so that closing another descriptor of the
same file does not lose it.
"""

import fcntl
import os
import struct

#: struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"
_WHOLE_FILE = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_OFD_SETLK = getattr(fcntl, "F_OFD_SETLK", None)


def lock_record(fd: int) -> bool:
    """Take the file's record lock for this process; False where another process has it."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETLK, _WHOLE_FILE)
    except (BlockingIOError, PermissionError):
        return False
    return True


def who_locks(fd: int) -> int | None:
    """The pid that holds the file's record lock, None if nobody does; takes nothing.

    Must not be asked by the holder itself: closing the descriptor would lose its lock.
    """
    found = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, _WHOLE_FILE))
    return None if found[0] == fcntl.F_UNLCK else int(found[4])


def take_lock(path: str | os.PathLike[str]) -> int | None:
    """Take an exclusive lock by a file that may be made for it; returns what holds it, or None.

    The lock is good only if the path still names the locked file: a cleaner may have removed it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if _OFD_SETLK is not None:
            fcntl.fcntl(fd, _OFD_SETLK, _WHOLE_FILE)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_ino == os.stat(path).st_ino:
            return fd
    except (BlockingIOError, PermissionError, FileNotFoundError):
        pass  # somebody else has it, or it was removed just now: not ours
    os.close(fd)
    return None


def release_lock(fd: int) -> None:
    """Let go of what ``take_lock`` returned."""
    os.close(fd)
