"""Many calls of a function: shares them out among forks of this process, and keeps account.

Whoever is forked has the function and all arguments already; a call is told by its number. A fork
that dies fails the one call that it was running. What former attempts have done is not done again.
"""

import errno
import fcntl
import os
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace

from jupyter_tasks import report
from jupyter_tasks.errors import NoSpace
from jupyter_tasks.worker import ledger
from jupyter_tasks.worker.calling import Outcome
from jupyter_tasks.worker.fork import Child, Shared
from jupyter_tasks.worker.ledger import Book, Entry, Index, Ledger
from jupyter_tasks.worker.loading import Work

_TOKEN = struct.Struct("<I")
_TELL_EVERY_S = 0.1
_LONGEST_TICK_S = 1.0
_SYNC_EVERY_S = 1.0
_NO_ROOM_RETRY_S = 1.0
_MAX_CONCURRENT = 128
_FEED = 4096
_MOST_DEATHS = 10


class Group:
    """All calls of an attempt, from its beginning to its end."""

    def __init__(self, directory: str, work: Work, *, max_concurrent: int, isolated: bool) -> None:
        """Take over what former attempts have done; raises NoSpace or OSError."""
        assert work.calls is not None
        self._work = work
        self._isolated = isolated
        self.count = len(work.calls)
        self._directory = directory
        self._attempt = int(os.path.basename(directory))
        self._index = Index(directory, self.count)
        self._take_over(os.path.dirname(directory))
        self._index.publish()
        left = self._waiting()
        width = min(len(left), _processes(max_concurrent))
        self._shared = Shared(width)
        self._slots = [
            Child(slot, Book(directory, slot), self._shared, self._index, self._attempt)
            for slot in range(width)
        ]
        self._left: deque[int] = deque(left)
        self._tokens: tuple[int, int] | None = None
        #: Forks that have ended since a call began: where they cannot live, others need not be tried.
        self._begun = self._deaths = 0
        self._most_deaths = 2 * width + _MOST_DEATHS
        self._told_at = self._synced_at = 0.0
        self._tick_s = _TELL_EVERY_S
        self._told = self._synced = -1

    def run(self) -> None:
        """Make all calls that are left."""
        if threading.active_count() > 1:
            words = "The function's module has started threads; its calls run without them."
            print(words, file=sys.stderr)  # noqa: T201 - the job's own output
        wakes = _Wakes()
        try:
            while self._left:
                before = len(self._left)
                self._round(wakes)
                self._left = deque(self._waiting())
                if len(self._left) >= before:
                    self._give_up("Its process ended before it could be called.")
        finally:
            wakes.close()
        self._tell(at_once=True)
        self._sync()

    def outcome(self) -> Outcome:
        """What became of all of them; the first that failed stands for the rest."""
        failed = [n for n, state in enumerate(self._index.states()) if state != ledger.SUCCEEDED]
        summary = f"{self.count - len(failed)} of {self.count} calls succeeded."
        outcome = Outcome(success=not failed, started_at=0.0, summary=summary)
        if not failed:
            return outcome
        words = f"{len(failed)} of {self.count} calls failed; the first is call {failed[0]}"
        with Ledger(os.path.dirname(self._directory), self._attempt) as known:
            found = known.find(failed[0])
        error = found.header["error"] if found else {"type": "", "message": "", "traceback": ""}
        told = f"{error['type']}: {error['message']}".strip(": ")
        return replace(
            outcome,
            error_type="CallsFailed",
            error_message=f"{words}: {told}" if told else words,
            traceback=error["traceback"],
        )

    # -- one round ----------------------------------------------------------------------------------

    def _round(self, wakes: "_Wakes") -> None:
        """Let forks take calls until there are none; a call that got lost on its way is left."""
        if not self._isolated:
            self._tokens = os.pipe()
            os.set_blocking(self._tokens[1], False)
            self._feed()
        self._fill()
        while self._is_busy() or (self._has_more() and self._deaths <= self._most_deaths):
            if wakes.wait(self._tick_s, self._tokens[1] if self._tokens and self._left else None):
                self._reap()
            self._feed()
            self._fill()
            self._tell()
        if self._tokens is not None:
            os.close(self._tokens[0])
            self._stop_feeding()
            self._tokens = None

    def _is_busy(self) -> bool:
        return any(child.pid for child in self._slots)

    def _feed(self) -> None:
        """Put numbers of calls into the pipe that the forks read, as many as it takes."""
        if self._tokens is None or self._tokens[1] < 0:
            return
        while self._left:
            some = [self._left[n] for n in range(min(_FEED, len(self._left)))]
            try:
                written = os.write(self._tokens[1], b"".join(map(_TOKEN.pack, some)))
            except BlockingIOError:
                return
            for _ in range(written // _TOKEN.size):
                self._left.popleft()
        self._stop_feeding()

    def _stop_feeding(self) -> None:
        if self._tokens is not None and self._tokens[1] >= 0:
            os.close(self._tokens[1])
            self._tokens = (self._tokens[0], -1)

    def _fill(self) -> None:
        """See to it that every slot has a fork, as long as there is something to do."""
        for child in self._slots:
            if child.pid or not self._has_more() or self._deaths > self._most_deaths:
                continue
            try:
                self._fork(child)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ENOMEM):
                    raise
                if not self._is_busy():
                    # Nothing tells when there is room for a process again.
                    time.sleep(_NO_ROOM_RETRY_S)
                return

    def _has_more(self) -> bool:
        return bool(self._left) or (self._tokens is not None and _has_data(self._tokens[0]))

    def _fork(self, child: Child) -> None:
        if self._isolated:
            child.fork_for(self._left[0], self._work)
            self._left.popleft()
        else:
            assert self._tokens is not None
            child.fork_to_read(self._tokens, _TOKEN, self._work)

    def _reap(self) -> None:
        busy = [child for child in self._slots if child.pid]
        for child in busy:
            ended = child.reap()
            if ended is not None:
                self._fail(ended.call, child, ended.words, ended.started_at)
        begun = self.count - self._index.states().count(ledger.WAITING)
        self._deaths += sum(not child.pid for child in busy)
        if begun != self._begun:
            self._begun, self._deaths = begun, 0

    def _fail(self, call: int, child: Child, words: str, started_at: float) -> None:
        """Book the end of a call whose process has ended in it; where there is no room, wait."""
        error = {"type": "ProcessEnded", "message": words, "traceback": ""}
        header = {
            "index": call,
            "success": False,
            "started_at": started_at,
            "elapsed_s": max(0.0, time.time() - started_at),
            "worker": child.last_pid,
            "error": error,
        }
        while True:
            try:
                offset = child.book.add(header, b"")
            except NoSpace:
                time.sleep(_NO_ROOM_RETRY_S)  # nothing tells when there is room again
                continue
            self._index.put(call, Entry(ledger.FAILED, self._attempt, child.slot, offset))
            return

    def _give_up(self, words: str) -> None:
        for call in self._left:
            self._fail(call, self._slots[0], words, time.time())
        self._left.clear()

    # -- account ------------------------------------------------------------------------------------

    def _take_over(self, folder: str) -> None:
        """What has succeeded before need not be called again; where all has, all is."""
        try:
            with Ledger(folder, self._attempt - 1) as former:
                done = [n for n, state in enumerate(former.states()) if state == ledger.SUCCEEDED]
                if self._attempt == 1 or len(former) != self.count or len(done) == self.count:
                    return
                for call in done:
                    if former.find(call) is not None:
                        self._index.put(call, former.entry(call))
        except (OSError, ValueError):
            return  # none has begun

    def _waiting(self) -> list[int]:
        return [n for n, state in enumerate(self._index.states()) if state == ledger.WAITING]

    def _tell(self, *, at_once: bool = False) -> None:
        """Say how many are done; where nothing happens, look ever less often."""
        now = time.monotonic()
        if now - self._told_at < _TELL_EVERY_S and not at_once:
            return
        self._told_at = now
        states = self._index.states()
        failed = states.count(ledger.FAILED)
        done = states.count(ledger.SUCCEEDED) + failed
        if done != self._synced and now - self._synced_at >= _SYNC_EVERY_S:
            self._synced, self._synced_at = done, now
            self._sync()
        if done == self._told:
            self._tick_s = min(_LONGEST_TICK_S, 1.5 * self._tick_s)
            return
        self._tick_s = _TELL_EVERY_S
        self._told = done
        report.progress(done, self.count, f"{failed} failed" if failed else "")

    def _sync(self) -> None:
        for child in self._slots:
            child.book.sync()
        self._index.sync()


class _Wakes:
    """Wakes us at once when a child ends."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        for fd in (self._read, self._write):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def wait(self, at_most_s: float, writable: int | None) -> bool:
        """Wait for an end, or for room in a pipe; whether a child may have ended."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        if writable is not None and writable >= 0:
            poll.register(writable, select.POLLOUT)
        ready = dict(poll.poll(at_most_s * 1000))
        if self._read not in ready:
            return False
        with suppress(BlockingIOError):
            os.read(self._read, 4096)
        return True

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self._read)
        os.close(self._write)


def _processes(max_concurrent: int) -> int:
    if max_concurrent < 0:
        return _MAX_CONCURRENT
    return max_concurrent or _processors()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _has_data(fd: int) -> bool:
    return any(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
