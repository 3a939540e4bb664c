"""What every runner offers to the supervisor, and what it is given by it."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

Message = dict[str, Any]


class CannotStart(Exception):
    """What was asked for cannot be started; the words name the thing and the remedy."""


class NoRoom(CannotStart):
    """The machine is short of something at the moment; it is no fault of what was asked for."""


class Started(NamedTuple):
    """A running job: its leader, what to read (descriptor -> record kind), and where to write.

    ``kept`` must stay open as long as anything of the job lives.
    """

    pid: int
    outputs: dict[int, str]
    stdin: int | None
    stdin_data: bytes
    kept: int | None = None


class Timer(Protocol):
    """A call in the future."""

    def cancel(self) -> None:
        """Let it not happen."""


class Loop(Protocol):
    """What of the supervisor's event loop a runner needs."""

    def add(self, fd: int, callback: Callable[[int], None]) -> None:
        """Call back whenever the descriptor can be read."""

    def remove(self, fd: int) -> None:
        """Wait for the descriptor no longer."""

    def after(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once, after so many seconds."""


class Stage(NamedTuple):
    """Where a runner plays: the supervisor's loop, the attempt's output, and its place on disk.

    ``output`` takes what a program prints (``out`` or ``err``), ``record`` any other record;
    ``drain`` reads what the leader has printed so far; ``signal`` goes to the leader's process group. ``directory`` is the attempt's; ``socket`` a short
    path that nothing else begins with. ``hold`` lets the leader's group stand still until ``release``.
    ``progress`` takes how far the job is (value, total, message); ``stopped_by`` tells what has made us
    end it, "" where nothing has.
    """

    loop: Loop
    output: Callable[[str, bytes], None]
    record: Callable[..., None]
    drain: Callable[[], None]
    hold: Callable[[], None]
    release: Callable[[], None]
    progress: Callable[[Message], None]
    is_paused: Callable[[], bool]
    stopped_by: Callable[[], str]
    signal: Callable[[int], None]
    directory: str
    socket: str


class Runner(Protocol):
    """How an attempt of one kind is run. Its leader's end is the attempt's end."""

    def start(self, told: dict[str, str], umask: int) -> Started:
        """Start the leader; raises CannotStart. ``told`` stands in its environment in any case."""

    def began(self) -> None:
        """The leader runs, and its output is read."""

    def prints(self, kind: str, data: bytes | bytearray, size: int) -> bool:
        """Whether what the leader has printed is the job's output: the first bytes of a buffer.

        ``kind`` is that of the record that it would be, ``out`` or ``err``.
        """

    def interrupt(self) -> bool:
        """Ask what runs now to stop, as Ctrl-C does; False: a signal is the way."""

    def leave(self) -> bool:
        """Ask it to end, politely; False: a signal is the way."""

    def outcome(self, status: int | None) -> Message:
        """How it ended, once its leader has: with that wait status, None where nobody knows it.

        ``where`` in it, if any, is the message of an attempt that we have ended.
        """

    def close(self) -> None:
        """Let go of everything."""
