"""A fork of the worker: makes one call, or one after the other, and writes down what became of each."""

import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import TextIOWrapper
from typing import Any, NamedTuple, NoReturn

from jupyter_tasks import values
from jupyter_tasks.errors import BadValue
from jupyter_tasks.worker import ledger
from jupyter_tasks.worker.calling import Outcome, call
from jupyter_tasks.worker.ledger import Book, Entry, Index
from jupyter_tasks.worker.loading import Work
from jupyter_tasks.worker.results import plain

_MAX_TOLD = 1000
_PYTHON = values.python_here()
_MAX_LINES = 100
#: Number of the call that runs, plus one, and when it began.
_NOW = struct.Struct("<Qd")


class Shared:
    """What each fork is doing: it says so in memory that its parent sees even when it has died."""

    def __init__(self, slots: int) -> None:
        """Nobody does anything."""
        self._map = mmap.mmap(-1, max(1, slots) * _NOW.size)

    def begin(self, slot: int, call_number: int) -> None:
        """Say which call runs."""
        _NOW.pack_into(self._map, slot * _NOW.size, call_number + 1, time.time())

    def end(self, slot: int) -> None:
        """Say that none does."""
        _NOW.pack_into(self._map, slot * _NOW.size, 0, 0.0)

    def running(self, slot: int) -> tuple[int | None, float]:
        """Which call runs, and since when."""
        number, began = _NOW.unpack_from(self._map, slot * _NOW.size)
        return (number - 1 if number else None), began


class Ended(NamedTuple):
    """A fork has ended in the middle of a call."""

    call: int
    words: str
    started_at: float


class Child:
    """A slot: the fork that has it, and the file that its records go to."""

    def __init__(self, slot: int, book: Book, shared: Shared, index: Index, attempt: int) -> None:
        """Nobody has it yet."""
        self.slot = slot
        self.book = book
        self.pid = self.last_pid = 0
        self._shared = shared
        self._index = index
        self._attempt = attempt

    def fork_for(self, call_number: int, work: Work) -> None:
        """Fork for one call."""
        self._shared.begin(self.slot, call_number)
        self._index.begin(call_number)
        try:
            self._fork([call_number], work)
        except OSError:
            self._shared.end(self.slot)
            self._index.put(call_number, Entry(ledger.WAITING, 0, 0, 0))
            raise

    def fork_to_read(self, tokens: tuple[int, int], token: struct.Struct, work: Work) -> None:
        """Fork for all the calls whose numbers it can get hold of."""
        self._fork(_numbers(tokens, token), work)

    def reap(self) -> Ended | None:
        """What it was running when it ended, where that is so."""
        if not self.pid:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self.pid = 0
        running, began = self._shared.running(self.slot)
        self._shared.end(self.slot)
        if running is None:
            return None
        last = self.book.mend()
        if last is not None and last[0]["index"] == running:
            self._account(last[0], last[1])  # it was done, but for saying so
            return None
        return Ended(running, f"Its process {_how(status)} while it ran call {running}.", began)

    def _fork(self, numbers: Iterable[int], work: Work) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._live(numbers, work)
        self.pid = self.last_pid = pid

    def _live(self, numbers: Iterable[int], work: Work) -> NoReturn:
        """In the fork: never returns."""
        code, parent = 1, os.getppid()
        try:
            _become_own()
            self.last_pid = os.getpid()
            for number in numbers:
                if os.getppid() != parent:
                    break  # the group has been ended, and this call may end in its own time: no other
                self._shared.begin(self.slot, number)
                self._index.begin(number)
                self._make(number, work)
                self._shared.end(self.slot)
            code = 0
        except BaseException as error:  # noqa: BLE001 - the fork must not go on as its parent
            print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        finally:
            _flush()
            os._exit(code)

    def _make(self, number: int, work: Work) -> None:
        args, kwargs = work.call_number(number)
        outcome = call(work.function, args, kwargs, _Deaf())
        _flush()
        value, outcome = _packed(outcome)
        header = _header(number, self.last_pid, outcome)
        self._account(header, self.book.add(header, value))

    def _account(self, header: dict[str, Any], offset: int) -> None:
        state = ledger.SUCCEEDED if header["success"] else ledger.FAILED
        self._index.put(header["index"], Entry(state, self._attempt, self.slot, offset))


class _Deaf:
    """Hears of progress and tells nobody: that of a group is how many calls are done."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def hear(self, yielded: Any) -> None:
        if isinstance(yielded, str) and len(self.lines) < _MAX_LINES:
            self.lines.append(yielded[:_MAX_TOLD])


def _numbers(tokens: tuple[int, int], token: struct.Struct) -> Iterator[int]:
    """What can be read, until nobody writes any more."""
    if tokens[1] >= 0:
        os.close(tokens[1])
    while len(data := os.read(tokens[0], token.size)) == token.size:
        yield token.unpack(data)[0]


def _become_own() -> None:
    """Let go of what is the parent's: its signals; and its luck, which each fork would have alike."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
    for stream in (sys.stdout, sys.stderr):
        # Several write to the same pipe: a line at a time, so that none is torn.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # closed by the function, or nobody reads


def _packed(outcome: Outcome) -> tuple[bytes, Outcome]:
    """The value's bytes; where there can be none, that is the outcome."""
    if not outcome.success:
        return b"", outcome
    try:
        return values.packed_alone(outcome.data, where="out of the job"), outcome
    except BadValue as error:
        failed = Outcome.of_error(error, type_name="BadValue")
        times = outcome.started_at, outcome.elapsed_s
        return b"", replace(failed, traceback="", started_at=times[0], elapsed_s=times[1])


def _header(number: int, worker: int, outcome: Outcome) -> dict[str, Any]:
    header: dict[str, Any] = {
        "index": number,
        "success": outcome.success,
        "started_at": outcome.started_at,
        "elapsed_s": outcome.elapsed_s,
        "worker": worker,
        **_PYTHON,
    }
    if outcome.success:
        header["data"], header["note"] = plain(outcome.data, _MAX_TOLD)
        told = {
            "summary": outcome.summary[:_MAX_TOLD],
            "tags": [tag[:_MAX_TOLD] for tag in outcome.tags[:_MAX_LINES]],
            "logs": [line[:_MAX_TOLD] for line in outcome.logs[:_MAX_LINES]],
        }
        header |= {name: value for name, value in told.items() if value}
    else:
        header["error"] = {
            "type": outcome.error_type,
            "message": outcome.error_message,
            "traceback": outcome.traceback,
        }
    return header


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"was killed by signal {os.WTERMSIG(status)}"
    return f"ended with exit code {os.WEXITSTATUS(status)}"
