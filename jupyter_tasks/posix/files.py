"""Folders and files that are the owner's alone, and reads that do not wait for a disk."""

import itertools
import os
import socket
import stat
import struct
from typing import TypeVar

_Path = TypeVar("_Path", bound="str | os.PathLike[str]")
_PIECE_BYTES = 64 * 1024
_RWF_NOWAIT = getattr(os, "RWF_NOWAIT", None)
#: Where the owner's socket of a server is, told to all that the server starts.
SOCKET_VARIABLE = "JUPYTER_TASKS_SOCKET"


def default_runtime_dir() -> str:
    """Where sockets and pipes lie: short and local; JUPYTER_TASKS_RUNTIME_DIR overrides it."""
    return os.environ.get("JUPYTER_TASKS_RUNTIME_DIR") or f"/tmp/jupyter-tasks-{os.getuid()}"  # noqa: S108 - its owner and mode are checked


def private_dir(path: _Path) -> _Path:
    """Make the folder for the owner alone, or see that it is so; raises PermissionError if not."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{path} is not a folder of yours; remove it or choose another.")
    if found.st_mode & 0o077:
        os.chmod(path, 0o700)
    return path


def read_file(path: str) -> bytes:
    """All that is in the file; raises OSError. With no more system calls than that takes."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = piece = os.read(fd, _PIECE_BYTES)
        while piece:
            piece = os.read(fd, _PIECE_BYTES)
            content += piece
    finally:
        os.close(fd)
    return content


def close_all_but(*fds: int) -> None:
    """Close every descriptor but these and the three standard ones."""
    kept = [2, *sorted(fds), os.sysconf("SC_OPEN_MAX")]
    for last, following in itertools.pairwise(kept):
        os.closerange(last + 1, following)


def peer_uid(sock: socket.socket) -> int:
    """The user id of the process at the other end of a connected UNIX socket."""
    # Other systems: the folder's mode 0700 is what keeps strangers out.
    return _peer(sock)[1] if hasattr(socket, "SO_PEERCRED") else os.getuid()


def peer_pid(sock: socket.socket) -> int | None:
    """The process at the other end of a connected UNIX socket; None where that cannot be known."""
    return _peer(sock)[0] or None if hasattr(socket, "SO_PEERCRED") else None


def _peer(sock: socket.socket) -> tuple[int, int]:
    size = struct.calcsize("3i")
    pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(pid), int(uid)


def connect_control(path: str) -> socket.socket:
    """Connect to a supervisor's control socket; without waiting; raises OSError where nobody listens there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        sock.setblocking(False)
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def receive(sock: socket.socket, max_bytes: int) -> bytes:
    """The next datagram of a SOCK_SEQPACKET socket; empty at its end. Raises OSError as ``recv`` does.

    Where the other side went without having read all we said, Linux first tells that, once, and
    then what it had said before (unix(7), ECONNRESET): its last words are not lost.
    """
    try:
        return sock.recv(max_bytes)
    except ConnectionResetError:
        return sock.recv(max_bytes)


def read_cached(fd: int, buffer: bytearray | memoryview, offset: int) -> int | None:
    """Read what is in the page cache; None where the disk would have to be waited for.

    The caller's buffer is used again and again: a new one for each large read costs more than the read.
    """
    if _RWF_NOWAIT is None:
        return None
    try:
        return os.preadv(fd, [buffer], offset, _RWF_NOWAIT)
    except OSError:
        return None  # not cached, or a file system without the flag: a thread reads it
