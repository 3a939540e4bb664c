"""Keeps the fork server: started when first needed, again when it died or hangs, gone when we go.

It hands out connected sockets to new supervisors and knows nothing of attempts.
"""

import asyncio
import json
import logging
import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import Executor as Threads
from pathlib import Path
from typing import Any

from tornado.ioloop import IOLoop

_LEAVE_WITHIN_S = 5.0
_BUSY_S = 0.01
_PACKAGE_PARENT = str(Path(__file__).resolve().parent.parent.parent)
#: The command line of a process that runs ``main`` of our module with that descriptor.
Command = Callable[[str, int], list[str]]
_FORK_REQUEST = json.dumps({"do": "fork"}).encode()
#: Asks for a sign of life. Requests are taken in their order: the answer says that all forks are made.
_HELLO_REQUEST = json.dumps({"do": "hello"}).encode()
_MAX_ANSWER_BYTES = 256 * 1024
#: A fork server that was asked for forks is looked after once, so much later; then it has so long
#: to answer. A queue full of forks is made in half a second.
_HELLO_AFTER_S = 0.5
_ANSWER_WITHIN_S = 2.0


class Launcher:
    """Starts supervisors: forked from a warm process (2 ms), or as plain processes (20 ms)."""

    def __init__(
        self,
        *,
        fork: bool,
        command: Command,
        threads: Threads,
        log: logging.Logger,
        env: Mapping[str, str] | None = None,
        heard: Callable[[dict[str, Any] | None], None] | None = None,
    ) -> None:
        """Start nothing yet. ``env``: instead of our own, for processes that become those of jobs.

        ``heard`` is called with what the fork server says of itself, and with None when it has gone.
        """
        self._command = command
        self._env = env
        self._heard = heard
        self._fork = fork
        self._threads = threads
        self._log = log
        self._control: socket.socket | None = None
        self._answered = asyncio.Event()
        self._is_asked = False
        self._care: asyncio.Task[None] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._fork_server: subprocess.Popen[bytes]
        self._starting: asyncio.Lock = asyncio.Lock()
        self._spawning: set[asyncio.Future[None]] = set()

    async def launch(self) -> socket.socket:
        """Start a supervisor; returns our end of its channel. Raises OSError where it cannot be."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            if self._fork:
                with its:
                    await self._ask_fork_server(its)
            else:
                await self._in_thread_spawn("supervisor", its)
        except BaseException:  # a server that closes cancels starts, too
            ours.close()
            raise
        return ours

    async def warm_up(self) -> None:
        """Start the fork server, so that it is there when it is needed. Raises OSError."""
        async with self._starting:
            if self._control is None:
                await self._start_fork_server()

    async def launch_at_once(self) -> socket.socket:
        """As ``launch``, but only by a fork server that is there; raises OSError where none is."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            try:
                await self._send(its)
            except BaseException:
                ours.close()
                raise
        return ours

    async def close(self) -> None:
        """Let the fork server leave; its supervisors go on."""
        self._drop_control()
        ending = [*self._spawning]
        if self._care is not None:
            self._care.cancel()
            ending.append(self._care)
        await asyncio.gather(*ending, return_exceptions=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, self._reap)

    async def _ask_fork_server(self, its: socket.socket) -> None:
        for may_retry in (True, False):
            await self.warm_up()
            try:
                await self._send(its)
            except OSError:
                self._drop_control()
                if not may_retry:
                    raise
                continue
            return

    async def _send(self, its: socket.socket) -> None:
        """Ask for one fork."""
        self._is_asked = True
        if self._care is None:
            self._care = asyncio.ensure_future(self._look_after())
        await self._say(lambda control: socket.send_fds(control, [_FORK_REQUEST], [its.fileno()]))

    async def _say(self, send: Callable[[socket.socket], object]) -> None:
        """Send a request; waits while the fork server has more to do than it can take."""
        while self._control is not None:
            try:
                send(self._control)
            except BlockingIOError:
                await asyncio.sleep(_BUSY_S)  # nothing tells when a datagram fits again
            else:
                return
        raise ConnectionResetError

    async def _look_after(self) -> None:
        """End a fork server that hangs, while it is asked for forks; the next start makes another.

        Who waited for one of its forks sees the channel end, and the attempt's claim says whether it
        was made. So at worst a fork server is ended that was only slow.
        """
        try:
            while self._is_asked and self._control is not None:
                await asyncio.sleep(_HELLO_AFTER_S)  # a silence has no event
                self._is_asked = False
                self._answered.clear()
                async with asyncio.timeout(_ANSWER_WITHIN_S):
                    await self._say(lambda control: control.send(_HELLO_REQUEST))
                    await self._answered.wait()
        except TimeoutError:
            if self._control is not None:
                self._log.warning(
                    "Ending fork server %d: it does not answer", self._fork_server.pid
                )
                self._fork_server.kill()
                self._drop_control()
        except OSError as error:
            self._log.debug("The fork server has gone before it could answer: %s", error)
        finally:
            self._care = None

    async def _start_fork_server(self) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            await self._in_thread_spawn("forkserver", its)
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        self._control = ours
        self._fork_server = self._processes[-1]
        IOLoop.current().add_handler(ours.fileno(), self._hear, IOLoop.READ)
        self._log.info("Started fork server %d", self._fork_server.pid)

    def _hear(self, _fd: object, _events: int) -> None:
        """It has answered, says something of itself, or has gone."""
        assert self._control is not None
        try:
            if datagram := self._control.recv(_MAX_ANSWER_BYTES):
                self._take(json.loads(datagram))
                return
        except BlockingIOError:
            return
        except OSError as error:
            self._log.debug("Lost the fork server's socket: %s", error)
        if self._heard is None:
            self._log.warning("Lost the fork server; the next start makes another")
        self._drop_control()

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("say") == "here":
            self._answered.set()
        elif self._heard is not None:
            self._heard(message)

    def _drop_control(self) -> None:
        if self._control is not None:
            IOLoop.current().remove_handler(self._control.fileno())
            self._control.close()
            self._control = None
            self._answered.set()  # whoever waits finds that there is nobody to answer
            if self._heard is not None:
                self._heard(None)

    async def _in_thread_spawn(self, module: str, its: socket.socket) -> None:
        """Start a process that has the socket; it is the thread's from now on, whoever cancels us."""
        spawning = asyncio.get_running_loop().run_in_executor(
            self._threads, self._spawn, module, its
        )
        self._spawning.add(spawning)
        spawning.add_done_callback(self._spawning.discard)
        await asyncio.shield(spawning)

    def _spawn(self, module: str, its: socket.socket) -> None:
        with its:
            self._popen(self._command(module, its.fileno()), its.fileno())

    def _popen(self, command: list[str], fd: int) -> None:
        self._processes = [process for process in self._processes if process.poll() is None]
        read, write = self._streams()
        try:
            process = subprocess.Popen(
                command,
                pass_fds=[fd, *read],
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                start_new_session=True,
                cwd="/",
                env=self._env,
            )
        finally:
            for end in (*read, write):
                os.close(end)
        self._processes.append(process)

    def _streams(self) -> tuple[list[int], int]:
        """What it prints to, and what it has to keep open for that; nobody reads it.

        Who becomes a job's process later must find what it would have had from the beginning.
        """
        if self._env is None:
            return [], os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        read, write = os.pipe()
        return [read], write

    def _reap(self) -> None:
        """Wait for the fork server; a plain supervisor that still holds an attempt is left alone."""
        for process in self._processes:
            try:
                process.wait(timeout=_LEAVE_WITHIN_S if self._fork else 0)
            except subprocess.TimeoutExpired:
                if self._fork:
                    process.kill()  # it hangs: a fork that it still makes one day helps nobody
                    process.wait()
                else:
                    # Its attempt goes on without us, as it should; Popen must not warn about that.
                    process.returncode = 0
        self._processes = []


def bare(python: list[str], load: Mapping[str, str]) -> Command:
    """Runs our module with the standard library alone, and no site.

    ``load``: modules to load beforehand, and the folders that they are in.
    """
    folders = [_PACKAGE_PARENT, *load.values()]
    loaded = "".join(f"import {name}; " for name in load)

    def command(module: str, fd: int) -> list[str]:
        code = (
            f"import sys; sys.path.extend({folders!r}); {loaded}"
            f"from jupyter_tasks.{module} import main; main({fd})"
        )
        return [*python, "-I", "-S", "-c", code]

    return command
