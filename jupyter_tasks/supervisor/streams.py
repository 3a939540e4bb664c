"""The job's descriptors: reads what is there, feeds standard input, never waits for either."""

import contextlib
import fcntl
import os
from collections.abc import Callable

from jupyter_tasks.output import RECORD_BYTES
from jupyter_tasks.runners import Started
from jupyter_tasks.supervisor.loop import WRITE, Loop

_CHUNK_BYTES = RECORD_BYTES
#: Who writes so much at once is read by more at once, and given a pipe that holds more.
_MUCH_BYTES = 32 * 1024
_FLOOD_BYTES = 4 * RECORD_BYTES
_FLOOD_PIPE_BYTES = 1024 * 1024
_SET_PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", None)
#: More than a pipe holds: who still writes after so much is not waited for.
_MAX_DRAINED_BYTES = 16 * 1024 * 1024


class Streams:
    """Output goes to ``came`` as it is read; ``ended`` is called once when no more can come.

    ``came`` gets a buffer and how much of it counts; the buffer is used again afterwards.
    """

    def __init__(
        self,
        loop: Loop,
        came: Callable[[str, bytes | bytearray, int], None],
        ended: Callable[[], None],
    ) -> None:
        """Nothing is open yet."""
        self._loop = loop
        self._came = came
        self._ended = ended
        self._outputs: dict[int, str] = {}
        self._buffer: bytearray | None = None
        self._stdin: int | None = None
        self._stdin_data = memoryview(b"")
        self._kept: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody still could write output, as far as we have read."""
        return bool(self._outputs)

    def open(self, started: Started) -> None:
        """Read from the job, and write to it, whenever that is possible."""
        self._outputs = dict(started.outputs)
        self._kept = started.kept
        for fd in self._outputs:
            self._watch(fd)
        if started.stdin is not None:
            self._stdin = started.stdin
            self._stdin_data = memoryview(started.stdin_data)
            self._loop.add(self._stdin, self._write, WRITE)

    def leader_ended(self) -> None:
        """Read what it left; its input is wanted no more."""
        self._close_stdin()
        self.drain()

    def finish(self) -> None:
        """Read what is still there and let go, whoever may hold the other ends."""
        self._close_stdin()
        self.drain()
        for fd in tuple(self._outputs):
            self._close(fd)
        if self._kept is not None:
            os.close(self._kept)
        self._ended()

    def _watch(self, fd: int) -> None:
        def ready(_events: int) -> None:
            self._read(fd)

        self._loop.add(fd, ready)

    def drain(self) -> None:
        """Read what is there."""
        for fd in tuple(self._outputs):
            left = _MAX_DRAINED_BYTES
            while left > 0 and (count := self._read(fd)):
                left -= count

    def _read(self, fd: int) -> int:
        """Read once; how many bytes came."""
        data: bytes | bytearray
        try:
            if self._buffer is None:
                data = os.read(fd, _CHUNK_BYTES)
                size = len(data)
            else:
                data = self._buffer
                size = os.readv(fd, [data])
        except BlockingIOError:
            return 0
        except OSError:
            size = 0  # a terminal whose other side is closed says EIO
        if not size:
            self._close(fd)
            return 0
        self._came(self._outputs[fd], data, size)
        if size >= _MUCH_BYTES and self._buffer is None:
            self._expect_a_flood()
        return size

    def _expect_a_flood(self) -> None:
        self._buffer = bytearray(_FLOOD_BYTES)
        for fd in self._outputs:
            # Refused where the user's pipes hold too much already, and for a terminal.
            with contextlib.suppress(OSError):
                if _SET_PIPE_SIZE is not None:
                    fcntl.fcntl(fd, _SET_PIPE_SIZE, _FLOOD_PIPE_BYTES)

    def _close(self, fd: int) -> None:
        if self._outputs.pop(fd, None) is not None:
            self._loop.remove(fd)
            os.close(fd)

    def _write(self, _events: int) -> None:
        if self._stdin is None:
            return
        try:
            count = (
                os.write(self._stdin, self._stdin_data[:_CHUNK_BYTES]) if self._stdin_data else 0
            )
        except BlockingIOError:
            return
        except OSError:
            count = len(self._stdin_data)  # it closed its input: what it does not want is not lost
        self._stdin_data = self._stdin_data[count:]
        if not self._stdin_data:
            self._close_stdin()

    def _close_stdin(self) -> None:
        if self._stdin is not None:
            self._loop.remove(self._stdin)
            os.close(self._stdin)
            self._stdin = None
