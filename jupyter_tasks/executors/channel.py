"""A connection to one supervisor: one JSON object a datagram, both ways, on the event loop.

It knows the framing and the end of the connection, nothing of what is said.
"""

import json
import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from tornado.ioloop import IOLoop

from jupyter_tasks import posix

Message = dict[str, Any]

_log = logging.getLogger(__name__)

_MAX_DATAGRAM_BYTES = 64 * 1024


class Channel:
    """Sends and receives messages over a connected SOCK_SEQPACKET socket; never blocks.

    ``on_message`` is called for each message, ``on_close`` once, when the other side has gone.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[["Channel", Message], None],
        on_close: Callable[["Channel"], None],
    ) -> None:
        """Start listening on the current event loop; the socket is ours from now on."""
        sock.setblocking(False)
        self._sock: socket.socket | None = sock
        self._fd = sock.fileno()
        self._on_message = on_message
        self._on_close = on_close
        self._unsent: deque[bytes] = deque()
        self._wants_write = False
        self._loop = IOLoop.current()
        self._loop.add_handler(self._fd, self._ready, IOLoop.READ)

    @property
    def is_open(self) -> bool:
        """Whether the other side was there when we last looked."""
        return self._sock is not None

    def send(self, message: Message) -> None:
        """Send it, or keep it until there is room; silently dropped once the channel is closed."""
        if self._sock is None:
            return
        self._unsent.append(json.dumps(message).encode())
        self._flush()

    def close(self) -> None:
        """Let go without telling ``on_close``."""
        if self._sock is not None:
            self._loop.remove_handler(self._fd)
            self._sock.close()
            self._sock = None

    def _ready(self, _fd: Any, events: int) -> None:
        if events & IOLoop.WRITE:
            self._flush()
        if events & ~IOLoop.WRITE:
            self._receive()

    def _flush(self) -> None:
        while self._unsent and self._sock is not None:
            try:
                self._sock.send(self._unsent[0])
            except BlockingIOError:
                self._want_write(wanted=True)
                return
            except OSError:
                # What it said before it went must still be heard.
                self._unsent.clear()
                self._receive()
                return
            self._unsent.popleft()
        self._want_write(wanted=False)

    def _want_write(self, *, wanted: bool) -> None:
        if self._sock is not None and wanted != self._wants_write:
            self._wants_write = wanted
            self._loop.update_handler(self._fd, IOLoop.READ | (IOLoop.WRITE if wanted else 0))

    def _receive(self) -> None:
        while self._sock is not None:
            try:
                datagram = posix.receive(self._sock, _MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:
                datagram = b""
            if not datagram:
                self._lost()
                return
            self._hear(datagram)

    def _hear(self, datagram: bytes) -> None:
        try:
            message = json.loads(datagram)
        except ValueError:
            _log.warning("Ignored a datagram of %d bytes that is no JSON", len(datagram))
            return
        self._on_message(self, message)

    def _lost(self) -> None:
        self.close()
        self._on_close(self)
