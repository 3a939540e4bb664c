"""A minimal event loop: descriptors, timers and signals, nothing else; a supervisor must stay thin."""

import os
import select
import signal
import time
from collections.abc import Callable

READ = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
WRITE = select.EPOLLOUT


class Timer:
    """A call in the future."""

    __slots__ = ("_set", "callback", "when")

    def __init__(self, when: float, callback: Callable[[], None], timers: set["Timer"]) -> None:
        """Note when (monotonic seconds) what is to be called."""
        self.when = when
        self.callback = callback
        self._set = timers
        timers.add(self)

    def cancel(self) -> None:
        """Let it not happen."""
        self._set.discard(self)


class Loop:
    """Waits for descriptors, timers and signals; wakes for nothing else."""

    def __init__(self) -> None:
        """Start with nothing to wait for; signals wake it through a pipe."""
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._timers: set[Timer] = set()
        self._on_signal: dict[int, Callable[[], None]] = {}
        self._signals, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self.add(self._signals, self._signalled)

    def add(self, fd: int, callback: Callable[[int], None], events: int = READ) -> None:
        """Call back with the descriptor's events whenever it has some.

        It may be called for nothing: a descriptor closed and opened again in the same round.
        """
        self._callbacks[fd] = callback
        self._epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Wait for other events of the descriptor."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Wait for the descriptor no longer; before it is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def after(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once, after so many seconds."""
        return Timer(time.monotonic() + delay_s, callback, self._timers)

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        """Call back from the loop, never in the middle of something, after such a signal."""
        self._on_signal[number] = callback
        signal.signal(number, _nothing)

    def run_once(self) -> None:
        """Wait for the next thing and do what is then to be done."""
        timeout = None
        if self._timers:
            first = min(timer.when for timer in self._timers)
            timeout = max(0.0, first - time.monotonic())
        for fd, events in self._epoll.poll(timeout):
            callback = self._callbacks.get(fd)
            if callback is not None:
                callback(events)
        if self._timers:
            self._run_timers()

    def _run_timers(self) -> None:
        now = time.monotonic()
        due = [timer for timer in self._timers if timer.when <= now]
        for timer in sorted(due, key=lambda timer: timer.when):
            if timer in self._timers:  # not cancelled by the one before
                self._timers.discard(timer)
                timer.callback()

    def _signalled(self, _events: int) -> None:
        try:
            numbers = set(os.read(self._signals, 4096))
        except BlockingIOError:
            return
        for number in numbers:
            if number in self._on_signal:
                self._on_signal[number]()


def _nothing(*_: object) -> None:
    """Be a handler: only a handled signal is written to the pipe."""
