"""Attempts on this machine: each held by a supervisor that outlives the server.

It writes the attempt's directory, has a supervisor start it, follows the supervisor over its
channel, and judges by the directory alone when that breaks. It knows no store and no life cycle.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from tornado.ioloop import IOLoop

from jupyter_tasks import attempt, inputs, posix
from jupyter_tasks.background import Background
from jupyter_tasks.contracts import Listener, Verdict
from jupyter_tasks.errors import Conflict
from jupyter_tasks.executors import verdict, writing
from jupyter_tasks.executors.channel import Channel, Message
from jupyter_tasks.executors.doors import remove_abandoned
from jupyter_tasks.executors.pool import Pool
from jupyter_tasks.lifecycle import (
    Claimed,
    Continued,
    Ended,
    Event,
    NeverStarted,
    StartFailed,
    Stopped,
    Unreachable,
    Vanished,
)
from jupyter_tasks.model import Job, Progress, Report, State

_T = TypeVar("_T")

#: How often one attempt is offered to a new supervisor before its start counts as failed.
_MAX_TRIES = 3
#: How long a supervisor's control socket may take to answer before we do without it.
_CONNECT_WITHIN_S = 2.0
_CONNECT_ROUND_S = 0.02
#: A supervisor that was told to kill and says nothing for so long is taken to hang.
_ANSWER_WITHIN_S = 3.0
_RETRY_S = 1.0


@dataclass(slots=True, kw_only=True, eq=False)
class _Hold:
    """One attempt that this executor follows. Recovered: by the supervisor's control socket."""

    job: Job
    dir: str
    channel: Channel | None = None
    is_recovered: bool = False
    tries: int = 1
    lacks_process: bool = False
    pidfd: int | None = None
    heard_at: float = 0.0


class LocalExecutor:
    """Runs attempts on this machine (contracts.Executor)."""

    def __init__(
        self,
        *,
        state_dir: Path,
        runtime_dir: Path,
        log: logging.Logger,
        fork: bool = hasattr(os, "fork"),
        warm: bool = True,
        python: list[str] | None = None,
        kernels: writing.Kernels = writing.no_kernels,
    ) -> None:
        """Start nothing yet: a server that runs no job pays nothing.

        ``kernels`` tells by a kernelspec's name how its kernel is started; it may raise OSError.
        """
        self._state_dir = state_dir
        self._runtime_dir = runtime_dir
        self._log = log
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="tasks-files")
        self._kernels = kernels
        self._pool = Pool(
            fork=fork,
            warm=warm,
            python=python,
            threads=self._threads,
            heard=self._heard,
            broke=self._broke,
            log=log,
        )
        self._listener: Listener
        self._holds: dict[str, _Hold] = {}
        self._prepared: dict[str, tuple[Job, asyncio.Future[Message | None]]] = {}
        self._by_channel: dict[Channel, _Hold] = {}
        self._has_launched = False
        self._background = Background(log)

    # -- contracts.Executor ---------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        """Name the one who is told."""
        self._listener = listener

    def prepare(self, job: Job) -> None:
        """Begin to write the attempt's directory."""
        if job.id not in self._prepared:
            writing = asyncio.get_running_loop().run_in_executor(self._threads, self._write, job)
            writing.add_done_callback(_look_at)
            self._prepared[job.id] = (job, writing)

    async def start(self, job: Job) -> None:
        """Write the attempt's directory and offer it to a supervisor."""
        former = self._hold_of(job)
        hold = _Hold(job=job, dir=self.dir_of(job), tries=former.tries + 1 if former else 1)
        self._holds[job.id] = hold
        try:
            kernel = await self._written(job)
            # An idle supervisor may be just leaving: a further try goes to a new one.
            channel = await self._supervisor(job.kind, kernel, new=hold.tries > 1)
        except OSError:
            self._forget_hold(hold)
            raise
        self._hand_over(hold, channel)

    async def recover(self, job: Job) -> Verdict:
        """Judge the attempt by its directory; where it runs, follow it again."""
        found = await self._in_thread(verdict.judge, self.dir_of(job), job)
        if isinstance(found, verdict.Alive):
            await self._follow(job, found.claim)
            return verdict.claimed(found.claim)
        if isinstance(found, verdict.Dead):
            left = await self._in_thread(attempt.end_marked, job.id, job.attempt)
            if left:
                self._log.warning("Processes %s of job %s would not end", left, job.id)
            await self._in_thread(remove_abandoned, self._runtime_dir, found.claim)
            await self._in_thread(writing.remove_key, self.dir_of(job))
            return found.vanished
        return found

    async def fence(self, job: Job) -> bool:
        """Claim the attempt ourselves, so that nobody starts it."""
        return await self._in_thread(self._fence, job)

    async def report(self, job: Job, report: Report) -> tuple[list[Event], bool]:
        """Refuse it: what runs here is heard by its supervisor."""
        del report
        raise Conflict(
            f"Job {job.id} is of kind {job.kind}; only one of kind external is reported on from "
            "outside. What runs here tells how far it is by $JUPYTER_TASKS_REPORT.",
            job=job.id,
            kind=job.kind,
        )

    def stop(self, job: Job, reason: str, *, at_once: bool) -> None:
        """End the attempt's tree; the supervisor does it, by its ladder."""
        if at_once:
            self._tell(job, {"do": "kill", "reason": reason})
            self._background.spawn(self._see_to_end(job))
        else:
            grace: Message = {"grace_s": job.grace_s, "unless_stopping": True}
            self._tell(job, {"do": "cancel", "reason": reason, **grace})

    def suspend(self, job: Job) -> None:
        """Let the attempt's tree stand still."""
        self._tell(job, {"do": "pause"})

    def resume(self, job: Job) -> None:
        """Let the attempt's tree go on."""
        self._tell(job, {"do": "resume"})

    async def forget(self, job: Job) -> None:
        """Remove the files of all of the job's attempts."""
        _, writing = self._prepared.pop(job.id, (None, None))
        if writing is not None:
            await asyncio.wait([writing])
        await self._in_thread(attempt.remove_job, self._state_dir, job.id)
        await self._in_thread(inputs.release, self._state_dir, job)

    async def close(self) -> None:
        """Close every channel: idle supervisors leave, busy ones go on without us."""
        await self._background.close()
        for channel in self._by_channel:
            channel.close()
        for hold in self._holds.values():
            self._unwatch(hold)
        self._by_channel.clear()
        self._holds.clear()
        await self._pool.close()
        self._threads.shutdown(wait=True)

    def dir_of(self, job: Job) -> str:
        """The directory of the job's current attempt."""
        return self.attempt_dir(job.id, job.attempt)

    def attempt_dir(self, job_id: str, number: int) -> str:
        """The directory of one of a job's attempts."""
        return attempt.path_of(self._state_dir, job_id, number)

    # -- the directory ---------------------------------------------------------------------------

    async def _written(self, job: Job) -> Message | None:
        """Wait for the directory, or write it; what was prepared for an older version is not it.

        Returns how the attempt's kernel is started, where it has one.
        """
        prepared, writing = self._prepared.pop(job.id, (None, None))
        if prepared is not job:
            if writing is not None:
                await asyncio.wait([writing])
            writing = asyncio.get_running_loop().run_in_executor(self._threads, self._write, job)
        assert writing is not None
        return await writing

    def _write(self, job: Job) -> Message | None:
        places = {"state_dir": self._state_dir, "runtime_dir": self._runtime_dir}
        return writing.write(job, **places, kernels=self._kernels)

    def _fence(self, job: Job) -> bool:
        directory = attempt.create(self._state_dir, job.id, job.attempt)
        return attempt.fence(directory, job.id, job.attempt)

    # -- the supervisor's side --------------------------------------------------------------------

    def _hand_over(self, hold: _Hold, channel: Channel) -> None:
        hold.channel = channel
        self._by_channel[channel] = hold
        channel.send({"do": "run", "dir": hold.dir})

    def _tell(self, job: Job, message: Message) -> None:
        hold = self._holds.get(job.id)
        if hold is not None and hold.channel is not None and hold.channel.is_open:
            hold.channel.send(message)
        else:
            self._background.spawn(self._reach(job, message))

    async def _reach(self, job: Job, message: Message) -> None:
        """Tell a supervisor that we have no channel to; where there is none, say what is true."""
        found = await self._judge(job)
        hold = self._hold_of(job)
        if isinstance(found, Claimed) and hold is not None and hold.channel is not None:
            hold.channel.send(message)
        elif isinstance(found, Unreachable) and message["do"] == "kill":
            words = f"It was given up: whether it still runs on {found.host} is not known."
            found = Vanished(reason="worker_lost", message=words)
        if not isinstance(found, Claimed) or job.state is State.STARTING:
            self._tell_verdict(job, found)

    async def _see_to_end(self, job: Job) -> None:
        """A supervisor that was told to kill and does not even answer is ended, and so its tree."""
        asked_at = asyncio.get_running_loop().time()
        self._tell(job, {"do": "hello"})
        await asyncio.sleep(_ANSWER_WITHIN_S)  # a silence has no event
        hold = self._hold_of(job)
        if hold is None or hold.heard_at >= asked_at:
            return
        found = await self._in_thread(verdict.judge, hold.dir, job)
        if isinstance(found, verdict.Alive):
            self._log.warning("Killing the supervisor of job %s: it does not answer", job.id)
            await self._in_thread(attempt.end_supervisor, found.claim)

    def _heard(self, channel: Channel, message: Message) -> None:
        hold = self._by_channel.get(channel)
        if hold is None:
            self._log.debug("Ignored %r from an idle supervisor", message.get("say"))
            return
        hold.heard_at = asyncio.get_running_loop().time()
        match message:
            case {"say": "claimed"}:
                self._happened(hold, verdict.claimed_from(message))
            case {"say": "ended", "end": end}:
                self._release(hold)
                self._happened(hold, Ended(end=verdict.end_from(end)))
            case {"say": "fenced"}:
                self._release(hold)
                self._background.spawn(self._look(hold.job))
            case {"say": "progress", "progress": progress}:
                self._progressed(hold, progress)
            case {"say": "state"}:
                self._take_state(hold, message)
            case {"say": "paused"}:
                self._happened(hold, Stopped())
            case {"say": "resumed"}:
                self._happened(hold, Continued())
            case {"say": "no_process"}:
                hold.tries, hold.lacks_process = 0, True  # its channel ends next
            case {"say": "error"}:
                self._log.warning("Supervisor of job %s: %s", hold.job.id, message.get("message"))

    def _take_state(self, hold: _Hold, message: Message) -> None:
        """What a supervisor that was found again tells about its attempt."""
        self._happened(hold, Stopped() if message.get("paused") else Continued())
        if message.get("progress"):
            self._progressed(hold, message["progress"])

    def _release(self, hold: _Hold) -> None:
        """The attempt is over for us; its supervisor may take another at once."""
        channel = hold.channel
        self._forget_hold(hold)
        if channel is None or not channel.is_open:
            return
        if hold.is_recovered:
            channel.close()
        else:
            self._pool.give_back(hold.job.kind, channel)

    def _forget_hold(self, hold: _Hold) -> None:
        """Follow the attempt no more; a later one of the same job may be followed by now."""
        self._unwatch(hold)
        if hold.channel is not None:
            self._by_channel.pop(hold.channel, None)
        if self._holds.get(hold.job.id) is hold:
            del self._holds[hold.job.id]

    def _broke(self, channel: Channel) -> None:
        """A supervisor has gone: with its attempt, or idle, as it should."""
        self._pool.forget(channel)
        hold = self._by_channel.pop(channel, None)
        if hold is None:
            return
        hold.channel = None
        if hold.pidfd is None:
            self._background.spawn(self._look(hold.job))

    async def _look(self, job: Job) -> None:
        """The connection is gone: judge the attempt by its directory."""
        former = self._hold_of(job)
        if former is not None and former.lacks_process:
            self._log.warning("No process can be made for job %s now; trying again", job.id)
            await asyncio.sleep(_RETRY_S)  # nothing tells when another one may be made
        found = await self._judge(job)
        hold = self._hold_of(job)
        if isinstance(found, NeverStarted) and hold is not None and hold.tries >= _MAX_TRIES:
            await self._give_up(hold)
        else:
            self._tell_verdict(job, found)

    async def _judge(self, job: Job) -> Verdict:
        """As ``recover``; where the directory cannot be read now, waits until it can."""
        while True:
            try:
                return await self.recover(job)
            except OSError as error:
                self._log.warning("Failed to judge job %s; trying again: %s", job.id, error)
                await asyncio.sleep(_RETRY_S)  # nothing tells when a disk works again

    async def _give_up(self, hold: _Hold) -> None:
        """Every try to start it failed; see to it that no late one starts it behind our back."""
        job = hold.job
        try:
            is_fenced = await self.fence(job)
        except OSError as error:
            # What keeps us from writing a claim kept the supervisors from it: no fault of the job.
            self._log.warning("Failed to start job %s; trying again: %s", job.id, error)
            await asyncio.sleep(_RETRY_S)  # nothing tells when a disk has room again
            hold.tries = 0
            self._tell_verdict(job, NeverStarted())
            return
        if not is_fenced:
            self._tell_verdict(job, await self._judge(job))
            return
        self._forget_hold(hold)
        words = f"{_MAX_TRIES} supervisors in a row died before they could start it."
        self._listener.happened(job.id, job.attempt, StartFailed(message=words))

    def _tell_verdict(self, job: Job, found: Verdict) -> None:
        former = self._hold_of(job)
        if former is not None and not isinstance(found, Claimed | NeverStarted):
            self._release(former)
        self._listener.happened(job.id, job.attempt, found)

    # -- a supervisor that was there before us ------------------------------------------------------

    async def _follow(self, job: Job, claim: attempt.Claim) -> None:
        """Follow a living supervisor by its pid, and by its control socket if it answers."""
        hold = self._hold_of(job)
        if hold is None:
            hold = self._holds[job.id] = _Hold(job=job, dir=self.dir_of(job))
        if hold.channel is not None:
            return
        self._watch(hold, claim)
        sock = await self._connected(job, claim)
        if sock is None:
            return
        if hold.channel is not None or self._hold_of(job) is not hold:
            sock.close()  # meanwhile somebody else connected, or it ended
            return
        hold.is_recovered = True
        hold.channel = Channel(sock, self._heard, self._broke)
        self._by_channel[hold.channel] = hold
        hold.channel.send({"do": "hello"})

    async def _connected(self, job: Job, claim: attempt.Claim) -> socket.socket | None:
        """Connect to its control socket; one that a cleaner has removed is made anew when asked."""
        loop = asyncio.get_running_loop()
        deadline, was_asked = loop.time() + _CONNECT_WITHIN_S, False
        while True:
            try:
                return posix.connect_control(claim.control)
            except OSError as error:
                if loop.time() > deadline:
                    self._log.warning("Supervisor of job %s cannot be reached: %s", job.id, error)
                    return None
                if not (was_asked or isinstance(error, BlockingIOError)):
                    was_asked = True
                    await self._in_thread(attempt.hang_up, claim)
            await asyncio.sleep(_CONNECT_ROUND_S)  # nothing tells when it listens again

    def _watch(self, hold: _Hold, claim: attempt.Claim) -> None:
        """Be woken by the supervisor's death, whatever becomes of its sockets."""
        if hold.pidfd is not None:
            return
        try:
            pidfd = os.pidfd_open(claim.pid)
        except (OSError, AttributeError) as error:
            self._log.debug("Cannot watch the supervisor of job %s: %s", hold.job.id, error)
            self._background.spawn(self._look_later(hold))
            return
        hold.pidfd = pidfd
        IOLoop.current().add_handler(pidfd, lambda *_: self._died(hold), IOLoop.READ)

    async def _look_later(self, hold: _Hold) -> None:
        """It has just died, or this system cannot tell of its death."""
        await asyncio.sleep(_RETRY_S)  # see above: there is no event to wait for
        if hold.channel is None and self._hold_of(hold.job) is hold:
            await self._look(hold.job)

    def _died(self, hold: _Hold) -> None:
        self._unwatch(hold)
        if hold.channel is None or not hold.channel.is_open:
            self._background.spawn(self._look(hold.job))

    def _unwatch(self, hold: _Hold) -> None:
        if hold.pidfd is not None:
            IOLoop.current().remove_handler(hold.pidfd)
            os.close(hold.pidfd)
            hold.pidfd = None

    # -- small parts --------------------------------------------------------------------------------

    def _hold_of(self, job: Job) -> _Hold | None:
        """The hold of that very attempt."""
        hold = self._holds.get(job.id)
        return hold if hold is not None and hold.job.attempt == job.attempt else None

    async def _supervisor(self, kind: str, kernel: Message | None, *, new: bool) -> Channel:
        if not self._has_launched:
            self._has_launched = True
            self._background.spawn(self._in_thread(remove_abandoned, self._runtime_dir))
        return await self._pool.take(kind, new=new, kernel=kernel)

    def _happened(self, hold: _Hold, event: Event) -> None:
        self._listener.happened(hold.job.id, hold.job.attempt, event)

    def _progressed(self, hold: _Hold, progress: dict[str, Any]) -> None:
        try:
            newest = msgspec.convert(progress, Progress)
        except msgspec.ValidationError as error:
            self._log.debug("Ignored progress of job %s: %s", hold.job.id, error)
            return
        self._listener.progressed(hold.job.id, hold.job.attempt, newest)

    async def _in_thread(self, work: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


def _look_at(writing: asyncio.Future[Message | None]) -> None:
    """Whoever waits for it hears of an error; where nobody does, the start was not to be."""
    if not writing.cancelled():
        writing.exception()
