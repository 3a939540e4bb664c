"""Counts a process's durable steps and kills it at the Nth: for launchers, never for the product.

A step is a change of a file below the given folders, a socket bound there, a process started, a word
to a supervisor or fork server, and each side of a commit of something written.
"""

import os
import signal
import socket
import sqlite3
import sys
from typing import Any

NEVER = 1_000_000
_FILES = {"open", "os.link", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "socket.bind"}
_PROCESSES = {"subprocess.Popen", "socket.sendmsg"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Steps:
    """Writes a line for each step into a file before it happens; ``die_at`` is the last one."""

    def __init__(self, die_at: int, log: str, *places: str) -> None:
        """Count from now on, in this process."""
        self._die_at = die_at
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._places = places
        self._count = 0
        sys.addaudithook(self._audit)
        _tell_commits(self)
        _tell_words(self)

    def begin(self, die_at: int) -> None:
        """Count anew from here."""
        self._count, self._die_at = 0, die_at
        os.write(self._log, b"begun\n")

    def take(self, name: str) -> None:
        """Here is one."""
        os.write(self._log, f"{self._count} {name}\n".encode())
        if self._count == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._count += 1

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in _PROCESSES:
            self.take(event)
        elif event in _FILES and self._changes(event, args):
            self.take(f"{event} {args[0]}")

    def _changes(self, event: str, args: tuple[Any, ...]) -> bool:
        is_ours = any(place in repr(args) for place in self._places)
        return is_ours and (event != "open" or bool((args[2] or 0) & _WRITES))


def _tell_commits(steps: Steps) -> None:
    class Connection(sqlite3.Connection):
        changes_before = 0

        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            if sql.startswith("BEGIN"):
                self.changes_before = self.total_changes
            if sql != "COMMIT" or self.total_changes == self.changes_before:
                return super().execute(sql, *args)
            steps.take("before a commit")
            done = super().execute(sql, *args)
            steps.take("after a commit")
            return done

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **named: connect(*args, factory=Connection, **named)  # type: ignore[assignment]


def _tell_words(steps: Steps) -> None:
    send = socket.socket.send

    def tell(sock: socket.socket, data: bytes, *flags: int) -> int:
        if sock.type == socket.SOCK_SEQPACKET:
            steps.take(f"a word {data[:16]!r}")
        return send(sock, data, *flags)

    socket.socket.send = tell  # type: ignore[assignment,method-assign]
