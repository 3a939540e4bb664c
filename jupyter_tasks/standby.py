"""Which server decides: takes the manager's role when it is free, follows the active one until then.

Following means: one open request to the active server's UNIX socket, whose end says that the server
has gone. What arrives there only wakes us; what happened is read from the store.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
from tornado.iostream import IOStream, StreamClosedError

from jupyter_tasks import posix
from jupyter_tasks.errors import StoreUnavailable
from jupyter_tasks.manager import Manager
from jupyter_tasks.model import Progress

#: Waits between two tries while the role is taken and its holder does not answer.
_BACKOFF_S = (0.02, 0.05, 0.1, 0.2, 0.5)
#: Waits after the role was free and could not be filled, or may not be.
_TROUBLE_S = (0.5, 1.0, 2.0, 5.0)
_ANSWER_WITHIN_S = 2.0
_LOOK_EVERY_S = 60.0
_RETRY_S = 1.0


class Standby:
    """Brings the manager into its role and keeps it there; one for each server."""

    def __init__(
        self,
        *,
        manager: Manager,
        lock_path: Path,
        socket_path: Path,
        on_active: Callable[[], Awaitable[None]],
        on_superseded: Callable[[], Awaitable[None]],
        lock: int | None = None,
        may_lead: bool = True,
        log: logging.Logger,
    ) -> None:
        """Wait for ``run``. Who may not lead (a newer schema is not ours to write) only follows.

        ``lock``: the role's lock, where this server has it already.
        """
        self._manager = manager
        self._lock_path = lock_path
        self._socket_path = socket_path
        self._on_active = on_active
        self._on_superseded = on_superseded
        self._may_lead = may_lead
        self._log = log
        self._lock = lock
        #: Set once it was tried to take the role and to follow: from then on requests find somebody.
        self.settled = asyncio.Event()
        self._behind = asyncio.Event()

    async def run(self) -> None:
        """Take the role or follow, for as long as the server lives."""
        tries = troubles = 0
        while True:
            try:
                has_served = await self._follow_or_lead()
                troubles = 0 if has_served else troubles
                wait_s = _BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)]
                tries = 0 if has_served else tries + 1
                if not self._may_lead:
                    wait_s = _TROUBLE_S[-1]
            except Exception as error:  # noqa: BLE001 - the top loop: no fault may end it
                self._tell_trouble(error)
                await self._let_go()
                wait_s = _TROUBLE_S[min(troubles, len(_TROUBLE_S) - 1)]
                troubles += 1
            self.settled.set()
            await asyncio.sleep(wait_s)  # nothing tells when a lock is free

    def close(self) -> None:
        """Give the role back, so that a following server takes it at once."""
        if self._lock is not None:
            posix.release_lock(self._lock)
            self._lock = None

    # -- the role --------------------------------------------------------------------------------

    async def _follow_or_lead(self) -> bool:
        """Serve in one role or the other until that ends; False where neither was to be had."""
        # Who has the role follows nobody: the socket would be its own.
        has_followed = self._lock is None and await self._follow()
        return has_followed or (self._may_lead and await self._lead())

    async def _lead(self) -> bool:
        """Take the role if it is free, and keep it until another server supersedes us."""
        if self._lock is None:
            loop = asyncio.get_running_loop()
            self._lock = await loop.run_in_executor(None, posix.take_lock, self._lock_path)
        if self._lock is None:
            return False
        await self._manager.activate()
        await self._on_active()
        self.settled.set()
        self._log.info("Took charge of the jobs in %s", self._lock_path.parent)
        await self._until_superseded()
        # Our lock file was removed, or the database was brought to a newer schema.
        self._log.warning("Another server took charge of the jobs; following it from now on")
        await self._let_go()
        return True

    async def _until_superseded(self) -> None:
        """Decide for as long as it is ours; see to it that other servers still find us.

        A cleaner of temporary files gives no sign, so the socket is looked for once a minute.
        """
        while not self._manager.superseded.is_set():
            try:
                await asyncio.wait_for(self._manager.superseded.wait(), _LOOK_EVERY_S)
            except TimeoutError:
                if not self._socket_path.exists():
                    await self._on_superseded()
                    await self._on_active()
                    self._log.warning("Made the removed socket %s anew", self._socket_path)

    async def _let_go(self) -> None:
        self._manager.step_down()
        await self._on_superseded()
        self.close()

    def _tell_trouble(self, error: Exception) -> None:
        words = "Failed to take charge of the jobs in %s; trying again: %s"
        is_known = isinstance(error, StoreUnavailable | OSError)
        self._log.error(words, self._lock_path.parent, error, exc_info=None if is_known else error)

    # -- following -------------------------------------------------------------------------------

    async def _follow(self) -> bool:
        """Follow the active server until it goes; False where none answered."""
        try:
            stream = await self._connect()
        except (OSError, StreamClosedError):
            return False
        pump = asyncio.ensure_future(self._pump())
        answered = False
        try:
            async for name, data in _server_sent_events(stream):
                if not answered:
                    self._log.info("Following the active server at %s", self._socket_path)
                answered = True
                self.settled.set()
                self._take(name, data)
        except (StreamClosedError, TimeoutError):
            pass  # it has gone, or does not answer: both are what the caller wants to know
        finally:
            pump.cancel()
            stream.close()
        return answered

    async def _connect(self) -> IOStream:
        import socket  # noqa: PLC0415 - only a following server needs it

        stream = IOStream(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            await stream.connect(str(self._socket_path))
            await stream.write(
                b"GET /tasks/api/events HTTP/1.1\r\nHost: localhost\r\n"
                b"Accept: text/event-stream\r\nX-Tasks-Owner: *\r\n\r\n"
            )
        except BaseException:
            stream.close()
            raise
        return stream

    def _take(self, name: str, data: str) -> None:
        if name == "progress":
            news = json.loads(data)
            self._manager.progressed(
                news["job_id"], news["attempt"], msgspec.convert(news["progress"], Progress)
            )
        else:
            self._behind.set()

    async def _pump(self) -> None:
        """Publish what the store has and our feed has not, whenever there is something."""
        self._behind.set()
        while True:
            await self._behind.wait()
            self._behind.clear()
            try:
                await self._manager.catch_up()
            except StoreUnavailable as error:
                self._log.warning("Failed to read what the active server did: %s", error)
                self._behind.set()
                await asyncio.sleep(_RETRY_S)  # nothing tells when a disk works again


async def _server_sent_events(stream: IOStream) -> AsyncIterator[tuple[str, str]]:
    """The events of an HTTP/1.1 answer with chunked server-sent events (WHATWG HTML, 9.2).

    The first item is ("open", "") once the server has answered. Ends by StreamClosedError.
    """
    head = await asyncio.wait_for(stream.read_until(b"\r\n\r\n"), _ANSWER_WITHIN_S)
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise StreamClosedError
    yield "open", ""
    buffer = b""
    while True:
        size = int((await stream.read_until(b"\r\n")).split(b";")[0], 16)
        chunk = await stream.read_bytes(size + 2)
        if size == 0:
            raise StreamClosedError
        buffer += chunk[:-2]
        *blocks, buffer = buffer.split(b"\n\n")
        for block in blocks:
            fields = dict(
                line.partition(":")[::2] for line in block.decode().split("\n") if line[:1] != ":"
            )
            if "data" in fields:
                yield fields.get("event", "message").strip(), fields["data"].strip()
