"""The doorbell of one running attempt: wakes readers when its output grows, and costs nothing else.

It owns the one connection of this server to that attempt's supervisor. It asks for a ring only while
somebody waits, so a silent attempt, or one without readers, wakes nobody. It reads no output.
"""

import asyncio
import json
import logging
import os
import socket
from typing import Any, Final

from jupyter_tasks import attempt, posix

#: Rings come at most this often: the first at once, those of a flood together.
_RING_EVERY_S: Final = 0.004
#: Waits before the tries to reach a supervisor that lives but does not listen.
_BACKOFF_S: Final = (0.02, 0.05, 0.1, 0.2, 0.4)
#: How often readers look for themselves where no supervisor can ring for them.
_LOOK_EVERY_S: Final = 1.0
_MAX_DATAGRAM_BYTES: Final = 64 * 1024


class Bell:
    """Lets any number of readers of one attempt wait for its output to grow."""

    def __init__(self, directory: str, log: logging.Logger) -> None:
        """Connect to nobody before somebody waits."""
        self.size = 0
        self._directory = directory
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._waiters: dict[asyncio.Future[None], int] = {}
        self._sock: socket.socket | None = None
        self._asked = False
        self._tries = 0
        self._timer: asyncio.TimerHandle | None = None
        self._rung_at = 0.0

    def wait(self, size: int) -> asyncio.Future[None]:
        """A future that is done as soon as there is more output than that, or reason to look.

        The one who waits has seen whole records up to ``size``. Cancel it to wait no longer.
        """
        waiter = self._loop.create_future()
        if self.size > size:
            waiter.set_result(None)
            return waiter
        self.size = size
        self._waiters[waiter] = size
        waiter.add_done_callback(self._forget)
        self._arm()
        return waiter

    def ring(self) -> None:
        """Wake everybody whom it may concern; they wait anew where it did not."""
        for waiter in tuple(self._waiters):
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        """Let go of the supervisor; nobody waits any more."""
        self._hang_up()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _forget(self, waiter: asyncio.Future[None]) -> None:
        self._waiters.pop(waiter, None)

    def _arm(self) -> None:
        """See to it that a ring is asked for, as soon as it is time for the next one."""
        if self._asked or self._timer is not None or not self._waiters:
            return
        wait = self._rung_at + _RING_EVERY_S - self._loop.time()
        if self._sock is not None and wait > 0:
            self._later(wait, self._ask)
        else:
            self._ask()

    def _later(self, wait: float, then: Any) -> None:
        def fire() -> None:
            self._timer = None
            then()

        self._timer = self._loop.call_later(wait, fire)

    def _ask(self) -> None:
        if not self._waiters:
            return
        if self._sock is None:
            self._connect()
        if self._sock is None:
            return
        try:
            self._sock.send(json.dumps({"do": "bell", "size": self.size}).encode())
        except OSError:
            self._lost()
        else:
            self._asked = True

    # -- the connection --------------------------------------------------------------------------

    def _connect(self) -> None:
        """Connect to the attempt's supervisor, or see to the next try."""
        probe = attempt.probe(self._directory)
        if probe.claim is None:
            return  # it has not started: the feed will wake whoever waits
        if probe.end is not None or probe.held_by is None:
            self._later(_LOOK_EVERY_S, self.ring)
            return
        try:
            self._sock = posix.connect_control(probe.claim.control)
        except OSError as error:
            self._try_again(probe.claim, error)
            return
        self._loop.add_reader(self._sock, self._receive)

    def _try_again(self, claim: attempt.Claim, error: OSError) -> None:
        """It lives but does not listen: a cleaner has taken its socket, or it is very busy."""
        if self._tries >= len(_BACKOFF_S):
            self._later(_LOOK_EVERY_S, self.ring)
            return
        if self._tries == 0:
            self._log.info(
                "Asking supervisor %d to listen again: %s", claim.pid, os.strerror(error.errno or 0)
            )
            attempt.hang_up(claim)
        self._later(_BACKOFF_S[self._tries], self._ask)
        self._tries += 1

    def _receive(self) -> None:
        assert self._sock is not None
        try:
            datagram = self._sock.recv(_MAX_DATAGRAM_BYTES)
        except BlockingIOError:
            return
        except OSError:
            datagram = b""
        if not datagram:
            self._lost()
            return
        message = json.loads(datagram)
        if message["say"] == "bell":
            self._asked = False
            self._tries = 0
            self._rung_at = self._loop.time()
            self.size = max(self.size, message["size"])
            self.ring()

    def _lost(self) -> None:
        """The supervisor has gone, or does not want us: readers look, and we try again later."""
        self._hang_up()
        wait = _BACKOFF_S[self._tries] if self._tries < len(_BACKOFF_S) else _LOOK_EVERY_S
        self._tries += 1
        self._later(wait, self.ring)

    def _hang_up(self) -> None:
        self._asked = False
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self._sock = None
