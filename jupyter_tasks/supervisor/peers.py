"""Whom a supervisor talks to: its channel, and whoever connects to its control socket.

One JSON object a datagram. It knows connections and framing, nothing of what is said.
"""

import contextlib
import json
import os
import signal
import socket
import stat
from collections.abc import Callable
from typing import Any

from jupyter_tasks import posix
from jupyter_tasks.supervisor.loop import READ, WRITE, Loop

Message = dict[str, Any]
_MAX_DATAGRAM_BYTES = 64 * 1024
#: Who has so much to read and does not is hung up on: it can come again and ask for the state.
_MAX_UNSENT = 256
_MAX_REPORT_BYTES = 64 * 1024


class Peer:
    """One connection. ``bell`` is the size that its owner wants to be told of, once."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        heard: Callable[["Peer", Message], None],
        gone: Callable[["Peer"], None],
    ) -> None:
        """Listen to it from now on."""
        sock.setblocking(False)
        self.bell: int | None = None
        self.wants_news = False
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._heard = heard
        self._gone = gone
        self._unsent: list[bytes] = []
        self._wants_write = False
        self.is_open = True
        loop.add(self._fd, self._ready)

    def say(self, message: Message) -> None:
        """Send it, or keep it until there is room."""
        if not self.is_open:
            return
        self._unsent.append(json.dumps(message).encode())
        if len(self._unsent) == 1:
            self._flush()
        elif len(self._unsent) > _MAX_UNSENT:
            self._hang_up()

    def close(self) -> None:
        """Hang up."""
        if self.is_open:
            self.is_open = False
            self._loop.remove(self._fd)
            self._sock.close()

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & READ:
            self._receive()

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._sock.send(self._unsent[0])
                del self._unsent[0]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()  # it has gone: reading says so, after what it said before
        if bool(self._unsent) != self._wants_write:
            self._wants_write = not self._wants_write
            self._loop.modify(self._fd, READ | WRITE if self._wants_write else READ)

    def _hang_up(self) -> None:
        self.close()
        self._gone(self)

    def _receive(self) -> None:
        """Take one datagram: where there are more, the loop comes again."""
        try:
            datagram = posix.receive(self._sock, _MAX_DATAGRAM_BYTES)
        except BlockingIOError:
            return
        except OSError:
            datagram = b""
        if datagram:
            self._hear(datagram)
        else:
            self._hang_up()

    def _hear(self, datagram: bytes) -> None:
        try:
            message = json.loads(datagram)
        except (ValueError, RecursionError):
            message = None
        if isinstance(message, dict):
            self._heard(self, message)
        else:
            self.say({"say": "error", "message": "Not a JSON object."})


class Doors:
    """The control socket and the report pipe: by which a supervisor is reached from outside."""

    def __init__(
        self,
        loop: Loop,
        runtime_dir: str,
        came: Callable[[socket.socket], None],
        reported: Callable[[bytes], None],
    ) -> None:
        """Open both, or raise OSError; they are made anew when SIGHUP says that a cleaner may have removed them."""
        name = f"{runtime_dir}/{os.getpid()}-{posix.own_start_time()}"
        self.control = f"{name}.control"
        self.report = f"{name}.report"
        self._loop = loop
        self._came = came
        self._reported = reported
        self._listener: socket.socket | None = None
        self._pipe: int | None = None
        self._unlinked_pipes: list[int] = []
        posix.private_dir(runtime_dir)
        self._open_control()
        self._open_report()
        loop.on_signal(signal.SIGHUP, self.mend)

    def hear_reports(self) -> None:
        """Take what is in the pipes; all of it, for no pipe holds more than is read at once."""
        for pipe in (self._pipe, *self._unlinked_pipes):
            if pipe is not None:
                try:
                    self._reported(os.read(pipe, _MAX_REPORT_BYTES))
                except BlockingIOError:
                    continue

    def mend(self) -> None:
        """Make anew what a cleaner has removed; where that cannot be, whoever looks finds nothing there."""
        try:
            has_control, has_report = (
                _is(self.control, stat.S_ISSOCK),
                _is(self.report, stat.S_ISFIFO),
            )
            if has_control and has_report:
                return
            posix.private_dir(os.path.dirname(self.control))
            if not has_control:
                self._open_control()
            if not has_report:
                self._open_report()  # a job that reported meanwhile has made a plain file there
        except OSError:
            pass  # said above

    def close(self) -> None:
        """Close both and remove their names."""
        if self._listener is not None:
            self._loop.remove(self._listener.fileno())
            self._listener.close()
        for pipe in (self._pipe, *self._unlinked_pipes):
            if pipe is not None:
                self._loop.remove(pipe)
                os.close(pipe)
        for path in (self.control, self.report):
            _forget(path)

    def _open_control(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            listener.setblocking(False)
            _forget(self.control)
            listener.bind(self.control)
            listener.listen(64)
        except OSError:
            listener.close()
            raise
        if self._listener is not None:
            self._loop.remove(self._listener.fileno())
            self._listener.close()
        self._listener = listener
        self._loop.add(listener.fileno(), self._accept)

    def _open_report(self) -> None:
        _forget(self.report)
        os.mkfifo(self.report, 0o600)
        # Opened for both, it never reads an end of file between two writers.
        pipe = os.open(self.report, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        if self._pipe is not None:
            # A program that keeps the former one open must not be ended by writing to it.
            self._unlinked_pipes.append(self._pipe)
        self._pipe = pipe
        self._loop.add(pipe, lambda _: self.hear_reports())

    def _accept(self, _events: int) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # it hung up before we came to it
        if posix.peer_uid(sock) == os.getuid():
            self._came(sock)
        else:
            sock.close()


def _is(path: str, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _forget(path: str) -> None:
    """Remove it: our pid and start time in the name make it ours, or that of an earlier boot."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
