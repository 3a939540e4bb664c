"""Attempts that run elsewhere: this server writes down what their programs report, and when they do not.

There is no supervisor and nothing to signal. A wish reaches the program in the answer to its next
report; where that does not come in time, the attempt is over without it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from jupyter_tasks import attempt
from jupyter_tasks.background import Background
from jupyter_tasks.contracts import Listener, Verdict
from jupyter_tasks.errors import Conflict, ExecutorUnavailable, NoSpace, TooLarge
from jupyter_tasks.executors.ledger import Ledger
from jupyter_tasks.executors.verdict import end_from
from jupyter_tasks.lifecycle import (
    Claimed,
    Continued,
    Ended,
    Event,
    Fenced,
    NeverStarted,
    Stopped,
    Vanished,
)
from jupyter_tasks.model import End, ExternalSpec, Job, Report, State

_T = TypeVar("_T")

#: A server that stood still itself has not heard what waits at its door: it looks once more.
_SECOND_LOOK_S: Final = 1.0
_RETRY_S: Final = 1.0
#: What one report may print; an eighth of what is kept of a job's output, where that is less.
MAX_REPORTED_BYTES: Final = 1024 * 1024


@dataclass(slots=True, kw_only=True, eq=False)
class _Hold:
    """One attempt whose program may report."""

    job: Job
    dir: str
    started_at: float
    ledger: Ledger
    heard_at: float
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_paused: bool = False
    was_looked_for: bool = False
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)


class ReportedExecutor:
    """Keeps attempts whose programs run elsewhere (contracts.Executor)."""

    def __init__(
        self,
        *,
        state_dir: Path,
        log: logging.Logger,
        ring: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``ring`` is told the directory of an attempt whose output has grown."""
        self._state_dir = state_dir
        self._log = log
        self._ring = ring
        self._clock = clock
        self._listener: Listener
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="tasks-reports")
        self._holds: dict[str, _Hold] = {}
        self._background = Background(log)

    # -- contracts.Executor ---------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        """Name the one who is told."""
        self._listener = listener

    def prepare(self, job: Job) -> None:
        """There is nothing to prepare."""

    async def start(self, job: Job) -> None:
        """Make the attempt's directory and wait for reports from now on."""
        await self._in_thread(self._claim, job)
        self._listener.happened(job.id, job.attempt, await self.recover(job))

    async def recover(self, job: Job) -> Verdict:
        """Judge the attempt by its directory; its program has a whole lease to report again."""
        probe = await self._in_thread(attempt.probe, self._dir_of(job))
        if not probe.is_claimed and job.state is State.STARTING:
            return NeverStarted()
        if probe.claim is None:
            return Vanished(reason="files_lost", message="The files of its attempt are gone.")
        if probe.claim.fenced:
            return Fenced()
        if probe.end is not None:
            return Ended(end=end_from(probe.end))
        await self._hold(job, probe.claim)
        spec = _spec(job)
        return Claimed(pid=None, host=spec.host, started_at=probe.claim.started_at)

    async def fence(self, job: Job) -> bool:
        """Claim the attempt, so that no start that is still on its way begins it."""
        return await self._in_thread(self._fence, job)

    async def report(self, job: Job, report: Report) -> tuple[list[Event], bool]:
        """Keep what the program says, and tell what happened by it; False: it is known already."""
        if job.is_live and self._hold_of(job) is None:
            await self.recover(
                job
            )  # its program was quicker than this server, which has just started
        hold = self._hold_of(job)
        if hold is None:
            return [], not await self._in_thread(self._must_know, job, report)
        _must_fit(job, report)
        async with hold.turn:
            if self._hold_of(job) is not hold:
                return [], not await self._in_thread(self._must_know, job, report)
            self._heard(hold)
            if hold.ledger.knows(report):
                return [], False
            await self._keep(hold, report)
            return await self._happened_by(hold, job, report), True

    def stop(self, job: Job, reason: str, *, at_once: bool) -> None:
        """Give the program its grace period to hear of it; then it is over without its word."""
        hold = self._hold_of(job)
        if hold is None:
            self._background.spawn(self._tell_verdict(job))
        elif at_once or not job.grace_s:
            self._background.spawn(self._give_up(hold, "cancel", reason))
        elif "grace" not in hold.timers:
            self._later(hold, "grace", job.grace_s, lambda: self._give_up(hold, "cancel", reason))

    def suspend(self, job: Job) -> None:
        """The program is asked in the answer to its next report, and says when it stands still."""

    def resume(self, job: Job) -> None:
        """From now on the program is asked to go on."""
        hold = self._hold_of(job)
        if hold is not None:
            hold.is_paused = False
            self._heard(hold)
            self._arm_timeout(hold)
        self._listener.happened(job.id, job.attempt, Continued())

    async def forget(self, job: Job) -> None:
        """Remove the files of all of the job's attempts."""
        await self._in_thread(attempt.remove_job, self._state_dir, job.id)

    async def close(self) -> None:
        """Let go of everything; who reports finds another server, or this one again."""
        await self._background.close()
        for hold in tuple(self._holds.values()):
            self._let_go(hold)
        self._threads.shutdown(wait=True)

    # -- reports ----------------------------------------------------------------------------------

    async def _keep(self, hold: _Hold, report: Report) -> None:
        is_kept = await self._in_thread(hold.ledger.take, report, self._since_start(hold))
        if not is_kept:
            raise NoSpace(
                f"There is no room for this report of job {hold.job.id}; nothing of it was kept. "
                "Send it again later.",
                job=hold.job.id,
            )
        self._ring(hold.dir)
        if report.progress is not None:
            self._listener.progressed(hold.job.id, hold.job.attempt, report.progress)

    async def _happened_by(self, hold: _Hold, job: Job, report: Report) -> list[Event]:
        if report.result is not None or report.end is not None:
            result = _result_of(report, hold.started_at, self._clock())
            await self._in_thread(hold.ledger.write_result, result)
        if report.end is not None:
            return [Ended(end=await self._end(hold, **_ending(job, report)))]
        if report.is_paused and job.pause_requested_at is not None:
            self._stand_still(hold)
            return [Stopped()]
        if not report.is_paused and job.state is State.PAUSED:
            hold.is_paused = False
            self._arm_timeout(hold)
            return [Continued()]
        return []

    def _must_know(self, job: Job, report: Report) -> bool:
        """Whether an attempt that is over has taken that report; raises Conflict where it has not."""
        if not job.has_ended:
            words = (
                f"Job {job.id} is {job.state}; its program can report in a second. Send it again."
            )
            raise ExecutorUnavailable(words, job=job.id, state=str(job.state))
        if Ledger(self._dir_of(job), job.max_output_bytes).knows(report):
            return True
        why = f" ({job.reason})" if job.reason else ""
        raise Conflict(
            f"Job {job.id} is {job.state}{why}; its program can report no more. Restart the job to go on.",
            job=job.id,
            state=str(job.state),
        )

    # -- the end ----------------------------------------------------------------------------------

    async def _end(self, hold: _Hold, **how: Any) -> End:
        """Write down how the attempt ended, and take no more reports of it."""
        end = End(
            ended_at=self._clock(),
            started_at=hold.started_at,
            host=_spec(hold.job).host,
            output_bytes=hold.ledger.size,
            progress=hold.ledger.progress,
            **how,
        )
        told = msgspec.to_builtins(end)
        while True:
            try:
                await self._in_thread(attempt.write_reported_end, hold.dir, told)
            except FileNotFoundError:
                break  # its files are gone: there is nothing to write it into, and the job says it
            except OSError as error:
                self._log.warning("Failed to end job %s; trying again: %s", hold.job.id, error)
                await asyncio.sleep(_RETRY_S)  # nothing tells when a disk has room again
            else:
                break
        self._let_go(hold)
        return end

    async def _give_up(self, hold: _Hold, why: str, reason: str | None = None) -> None:
        """End the attempt without its program's word."""
        async with hold.turn:
            if self._hold_of(hold.job) is not hold:
                return
            words = "Its program did not say that it has ended; it may still run elsewhere."
            end = await self._end(
                hold, outcome="exited", stopped_by=why, stop_reason=reason, message=words
            )
        self._listener.happened(hold.job.id, hold.job.attempt, Ended(end=end))

    async def _tell_verdict(self, job: Job) -> None:
        found = await self.recover(job)
        self._listener.happened(job.id, job.attempt, found)

    # -- silence ----------------------------------------------------------------------------------

    def _heard(self, hold: _Hold) -> None:
        """Begin its lease anew; the timer finds out by itself."""
        hold.heard_at = asyncio.get_running_loop().time()
        hold.was_looked_for = False
        if "lease" not in hold.timers:
            self._later(hold, "lease", _spec(hold.job).lease_s, lambda: self._look(hold))

    async def _look(self, hold: _Hold) -> None:
        """Lose an attempt that has been silent for longer than its lease, on a second look."""
        spec = _spec(hold.job)
        left_s = hold.heard_at + spec.lease_s - asyncio.get_running_loop().time()
        if left_s <= 0 and hold.was_looked_for and not hold.turn.locked():
            if hold.is_paused:
                return  # who stands still says nothing; the lease begins anew when it goes on
            self._let_go(hold)
            words = (
                f"Its program has not reported for {spec.lease_s:g} s; it may still run elsewhere."
            )
            gone = Vanished(reason="silent", message=words)
            self._listener.happened(hold.job.id, hold.job.attempt, gone)
            return
        hold.was_looked_for = left_s <= 0
        self._later(hold, "lease", max(left_s, _SECOND_LOOK_S), lambda: self._look(hold))

    def _stand_still(self, hold: _Hold) -> None:
        hold.is_paused = True
        if timer := hold.timers.pop("timeout", None):
            timer.cancel()

    def _arm_timeout(self, hold: _Hold) -> None:
        """End it when its time is over; how long it once stood still is not counted back."""
        if hold.job.timeout_s is not None and "timeout" not in hold.timers:
            left_s = max(hold.job.timeout_s - self._since_start(hold), 0.0)
            self._later(hold, "timeout", left_s, lambda: self._give_up(hold, "timeout"))

    # -- small parts --------------------------------------------------------------------------------

    def _claim(self, job: Job) -> None:
        directory = attempt.create(self._state_dir, job.id, job.attempt)
        attempt.claim_for_reports(directory, job.id, job.attempt, self._clock())

    def _fence(self, job: Job) -> bool:
        directory = attempt.create(self._state_dir, job.id, job.attempt)
        return attempt.fence(directory, job.id, job.attempt)

    async def _hold(self, job: Job, claim: attempt.Claim) -> None:
        """Take reports of the attempt from now on."""
        if self._hold_of(job) is not None:
            return
        directory = self._dir_of(job)
        ledger = await self._in_thread(Ledger, directory, job.max_output_bytes)
        if self._hold_of(job) is not None:
            return  # somebody else was quicker
        hold = _Hold(
            job=job, dir=directory, started_at=claim.started_at, ledger=ledger, heard_at=0.0
        )
        hold.is_paused = job.state is State.PAUSED
        self._holds[job.id] = hold
        self._heard(hold)
        if not hold.is_paused:
            self._arm_timeout(hold)
        if ledger.progress is not None:
            self._listener.progressed(job.id, job.attempt, ledger.progress)

    def _hold_of(self, job: Job) -> _Hold | None:
        """The hold of that very attempt."""
        hold = self._holds.get(job.id)
        return hold if hold is not None and hold.job.attempt == job.attempt else None

    def _let_go(self, hold: _Hold) -> None:
        for timer in hold.timers.values():
            timer.cancel()
        hold.timers.clear()
        if self._holds.get(hold.job.id) is hold:
            del self._holds[hold.job.id]

    def _since_start(self, hold: _Hold) -> float:
        return max(self._clock() - hold.started_at, 0.0)

    def _dir_of(self, job: Job) -> str:
        return attempt.path_of(self._state_dir, job.id, job.attempt)

    def _later(
        self, hold: _Hold, name: str, wait_s: float, then: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        def fire() -> None:
            hold.timers.pop(name, None)
            self._background.spawn(then())

        hold.timers[name] = asyncio.get_running_loop().call_later(wait_s, fire)

    async def _in_thread(self, work: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


def _spec(job: Job) -> ExternalSpec:
    assert isinstance(job.spec, ExternalSpec)
    return job.spec


def _must_fit(job: Job, report: Report) -> None:
    """Refuse what would take more room than the job's output is given."""
    most = min(MAX_REPORTED_BYTES, job.max_output_bytes // 8)
    if sum(len(data) for _, data in report.output) > most:
        raise TooLarge(
            f"One report of job {job.id} may print at most {most} bytes; send it in several.",
            max_bytes=most,
        )


def _ending(job: Job, report: Report) -> dict[str, Any]:
    """How the program says that it ended, as a supervisor would have written it."""
    told = {"exit_code": report.exit_code, "message": report.message}
    was_cancelled = job.cancel_requested_at is not None and report.end == "failed"
    if report.end == "cancelled" or was_cancelled:
        reason = job.cancel_reason or "program"
        return {"outcome": "exited", "stopped_by": "cancel", "stop_reason": reason, **told}
    if report.end == "succeeded":
        return {"outcome": "exited", **told, "exit_code": 0}
    return {"outcome": "exited" if report.exit_code else "raised", **told}


def _result_of(report: Report, started_at: float, now: float) -> dict[str, Any]:
    """What is kept as the result, should the program say no more."""
    words = report.message if report.end else "Its program did not say how it ended."
    failure = {"type": report.end or "lost", "message": words, "traceback": ""}
    return {
        "success": report.end == "succeeded",
        "data": None if report.result is None else msgspec.Raw(report.result),
        "note": "",
        "summary": report.message if report.end == "succeeded" else "",
        "tags": [],
        "logs": [],
        "error": None if report.end == "succeeded" else failure,
        "started_at": started_at,
        "elapsed_s": max(now - started_at, 0.0),
    }
