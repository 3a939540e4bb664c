"""One reader's place in an attempt's output, and what readers of the same attempt share.

Whoever reads asks for the next piece and, where there is none, waits until there is reason to look
again. It must not know what a job is: that the attempt is over is for its caller to know.
"""

import asyncio
import logging
from typing import Literal

from jupyter_tasks.follow.bell import Bell
from jupyter_tasks.follow.segments import Gap, Segments, Slice

_MANY = 128
#: The largest slice that is read on the event loop.
_BUFFER_BYTES = 256 * 1024


class _Output:
    """The files and the doorbell of one attempt; lives as long as somebody reads it."""

    def __init__(self, directory: str, buffer: bytearray, log: logging.Logger) -> None:
        self.segments = Segments(directory, buffer)
        self.bell = Bell(directory, log)
        self.readers = 0

    def close(self) -> None:
        self.bell.close()
        self.segments.close()


class Outputs:
    """All attempts' outputs that are read on this server: one connection and few files for each."""

    def __init__(self, log: logging.Logger) -> None:
        """Start with none."""
        self._log = log
        self._buffer = bytearray()
        self._open: dict[str, _Output] = {}
        self._marks: dict[str, list[int]] = {}

    async def follow(
        self, directory: str, start: int | Literal["end"] = 0, *, tail_bytes: int | None = None
    ) -> "OutputFollower":
        """A new reader at the given byte, or with at most ``tail_bytes`` before it up to the end.

        Raises BadCursor where no record starts or ever started at that byte. Close it after use.
        """
        follower = OutputFollower(self, directory)
        try:
            await follower.seek(start, tail_bytes)
        except BaseException:
            follower.close()
            raise
        return follower

    def ring(self, directory: str) -> None:
        """Let the readers of that attempt look at once: its output has grown by this server's own hand."""
        if directory in self._open:
            self._open[directory].bell.ring()

    def close(self) -> None:
        """Let go of every file and connection, whoever may still read."""
        for output in self._open.values():
            output.close()

    def enter(self, directory: str) -> _Output:
        """Share the attempt's output with one more reader."""
        output = self._open.get(directory)
        if output is None:
            self._buffer = self._buffer or bytearray(_BUFFER_BYTES)
            output = self._open[directory] = _Output(directory, self._buffer, self._log)
            output.segments.marks = self._marks.pop(directory, [])
        output.readers += 1
        return output

    def leave(self, directory: str) -> None:
        """One reader less; the last one closes everything, but known boundaries are kept a while."""
        output = self._open[directory]
        output.readers -= 1
        if output.readers:
            return
        del self._open[directory]
        output.close()
        self._marks[directory] = output.segments.marks
        if len(self._marks) > _MANY:
            del self._marks[next(iter(self._marks))]


class OutputFollower:
    """Reads one attempt's output from a byte on, for one reader; not to be shared."""

    def __init__(self, outputs: Outputs, directory: str) -> None:
        """Join the attempt's other readers, if there are any."""
        self.offset = 0
        self._outputs = outputs
        self._directory = directory
        self._output: _Output | None = outputs.enter(directory)
        self._segments = self._output.segments
        self._bell = self._output.bell
        self._seen = 0
        self._waiter: asyncio.Future[None] | None = None
        self._was_woken = False

    async def seek(self, start: int | Literal["end"], tail_bytes: int | None) -> None:
        """Go to a record boundary; raises BadCursor."""
        if tail_bytes is not None:
            end = await self._segments.boundary(None)
            self.offset = await self._segments.boundary(max(0, end - tail_bytes))
        elif start == "end":
            self.offset = await self._segments.boundary(None)
        else:
            if start:
                await self._segments.check(start)
            self.offset = start

    async def read(self, max_bytes: int) -> Slice | Gap | None:
        """The next whole records or the gap before them; None at the end of what is there."""
        piece = await self._segments.read(self.offset, max_bytes)
        if piece is not None:
            self.offset = piece.end
        return piece

    async def grown(self) -> None:
        """Wait until there may be more, or until ``wake``; it may be for nothing."""
        if not self._was_woken:
            self._waiter = self._bell.wait(max(self.offset, self._seen))
            try:
                await self._waiter
            finally:
                self._waiter.cancel()
                self._waiter = None
            self._seen = self._bell.size
        self._was_woken = False

    async def end(self) -> int:
        """Where the last whole record ends at the moment."""
        return await self._segments.boundary(None)

    def gaps(self) -> list[Gap]:
        """What has been thrown away from here on, so far."""
        return self._segments.gaps(self.offset)

    def wake(self) -> None:
        """Let the reader look again now: something else than its output has changed."""
        self._was_woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Leave; may be called twice. Nobody may be waiting in it."""
        if self._output is not None:
            self._output = None
            self._outputs.leave(self._directory)
