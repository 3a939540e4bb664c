"""A relay between client and server that loses answers: the server has done it, nobody is told."""

import socket
import threading
from contextlib import suppress
from typing import BinaryIO, Self
from urllib.parse import urlsplit


class LossyRelay:
    """Passes connections on to a server; swallows the first answers to requests that begin so."""

    def __init__(self, url: str, request: str, *, losses: int = 1) -> None:
        """Listen on a port of its own."""
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._request, self._losses = request.encode(), losses
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}{parts.path}"
        self.lost = 0
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone wakes no thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(near,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, near: socket.socket) -> None:
        """One question and answer at a time, each over a connection of its own to the server."""
        with near, near.makefile("rb") as questions, suppress(OSError):
            near.settimeout(10)
            while question := _whole_request(questions):
                with socket.create_connection(self._target, timeout=10) as far:  # type: ignore[arg-type]
                    far.sendall(question.replace(b"Connection: keep-alive", b"Connection: close"))
                    answer = b"".join(iter(lambda: far.recv(65536), b""))
                if question.startswith(self._request) and self.lost < self._losses:
                    self.lost += 1
                    return
                near.sendall(answer)


def _whole_request(source: BinaryIO) -> bytes:
    head, size = b"", 0
    while (line := source.readline()) not in (b"\r\n", b""):
        head += line
        name, _, value = line.lower().partition(b":")
        size = int(value) if name == b"content-length" else size
    return head + line + source.read(size) if line else b""
