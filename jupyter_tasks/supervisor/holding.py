"""One attempt, from its claim to its end: output, progress, limits, pause, and the stop ladder."""

import errno
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from jupyter_tasks import attempt, posix
from jupyter_tasks.output import OutputWriter
from jupyter_tasks.runners import KINDS, CannotStart, NoRoom, Runner, Stage, runner_of
from jupyter_tasks.supervisor.artifacts import ArtifactFolder
from jupyter_tasks.supervisor.ladder import Ladder
from jupyter_tasks.supervisor.loop import Loop, Timer
from jupyter_tasks.supervisor.progress import ProgressBook
from jupyter_tasks.supervisor.streams import Streams
from jupyter_tasks.supervisor.usage import Meter

Message = dict[str, Any]
_DEFAULT_OUTPUT_BYTES = 64 * 1024 * 1024
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ROOM_RETRY_S = 1.0
_MAX_REASON = 8192
#: What the spec of each kind cannot lack.
_NEEDED = {
    "shell": ("command",),
    "code": ("source", "kernel"),
    "notebook": ("path", "output_path", "kernel"),
    "function": ("load", "python"),
}


class Holding:
    """The attempt that the supervisor holds now."""

    def __init__(
        self,
        directory: str,
        loop: Loop,
        artifacts: ArtifactFolder,
        *,
        hear_reports: Callable[[], None],
        tell: Callable[[Message], None],
        ring: Callable[[int], None],
        done: Callable[[Message], None],
    ) -> None:
        """Read what is to be run; nothing is claimed yet."""
        self.directory = directory
        self._artifacts = artifacts
        self._loop = loop
        self._hear_reports = hear_reports
        self._tell = tell
        self._done = done
        self._spec, self._trouble = _read(directory)
        job, number = directory.rstrip("/").split("/")[-2:]
        self.identity: Message = {"job": job, "attempt": int(number)}
        self._mark = attempt.mark(job, int(number))
        self.runtime_dir = str(self._spec.get("runtime_dir") or posix.default_runtime_dir())
        self._ring = ring
        self._timeout: Timer | None = None
        self._timeout_left_s = self._spec.get("timeout_s")
        self._resumed_at = 0.0
        self._runner: Runner | None = None
        #: The next try, where there was no room to start it.
        self._coming: Timer | None = None
        self._leader = 0
        self._status: int | None = None
        self._is_ended = False

    @property
    def size(self) -> int:
        """The logical end of the output."""
        return self._writer.end

    def state(self) -> Message:
        """What somebody who has just come should know."""
        return {
            **self.identity,
            "paused": self._ladder.is_paused,
            "progress": self._progress.last,
            "size": self.size,
        }

    # -- begin ------------------------------------------------------------------------------------

    def claim(self, control: str, report: str) -> bool:
        """Claim the attempt for us; False where somebody did before. Raises OSError where it can't."""
        self._started_at = time.time()
        self._t0 = self._resumed_at = time.monotonic()
        fd = attempt.take_claim(self.directory, self._claim(control, report))
        if fd is None:
            return False
        self._claim_fd = fd
        self._prepare()
        return True

    def start(self, report: str) -> None:
        """Start the job; what keeps it from starting is its end."""
        if self._trouble:
            self._not_started(self._trouble)
            return
        try:
            self._runner = runner_of(self._spec["spec"], self._stage(report))
            with posix.worn(self._mark):
                started = self._runner.start(self._told(report), self._spec.get("umask", 0o022))
        except NoRoom:
            self._coming = self._loop.after(_NO_ROOM_RETRY_S, lambda: self.start(report))
            return
        except CannotStart as error:
            self._not_started(str(error))
            return
        self._coming = None
        self._leader = self._ladder.leader = started.pid
        self._streams.open(started)
        self._runner.began()
        self._meter.start()
        self._arm_timeout()
        self._tell_claimed()

    def _claim(self, control: str, report: str) -> attempt.Claim:
        pid = os.getpid()
        return attempt.Claim(
            version=attempt.VERSION,
            job=self.identity["job"],
            attempt=self.identity["attempt"],
            pid=pid,
            start_time=posix.own_start_time(),
            boot_id=posix.boot_id(),
            machine_id=posix.machine_id(),
            pid_namespace=posix.pid_namespace(),
            host=posix.host(),
            control=control,
            report=report,
            started_at=self._started_at,
        )

    def _prepare(self) -> None:
        spec = self._spec
        self._writer = OutputWriter(
            self.directory, int(spec.get("max_output_bytes") or _DEFAULT_OUTPUT_BYTES)
        )
        self._progress = ProgressBook(self._loop, self._record, self._tell_progress)
        self._streams = Streams(self._loop, self._read, self._streams_ended)
        self._ladder = Ladder(
            self._loop,
            mark=self._mark,
            grace_s=float(spec.get("grace_s", 10.0)),
            reap=self.reap,
            emptied=self._streams.finish,
            leave=lambda: self._runner is not None and self._runner.leave(),
        )
        self._meter = Meter(
            self._loop,
            limit_bytes=spec.get("memory_bytes"),
            record=self._record,
            exceeded=lambda: self._exceed("memory"),
        )

    def _stage(self, report: str) -> Stage:
        return Stage(
            loop=self._loop,
            output=lambda kind, data: self._came(kind, data, len(data)),
            record=self._record,
            drain=self._streams.drain,
            hold=lambda: self._ladder.signal_group(signal.SIGSTOP),
            release=self._release,
            progress=self._progress.tell,
            is_paused=lambda: self._ladder.is_paused,
            stopped_by=lambda: self._ladder.verdict()["stopped_by"] or "",
            signal=self._ladder.signal_group,
            directory=self.directory,
            socket=f"{report.removesuffix('.report')}.kernel",
        )

    def _told(self, report: str) -> dict[str, str]:
        """What the job learns of us through its environment."""
        name, _, value = self._mark.partition("=")
        folder = self._artifacts.give(self.directory)
        return {name: value, "JUPYTER_TASKS_REPORT": report, "JUPYTER_TASKS_ARTIFACTS": folder}

    # -- what peers ask ---------------------------------------------------------------------------

    def obey(self, message: Message) -> bool:
        """Do what is asked; False where it is not known or makes no sense now."""
        match message.get("do"):
            case "cancel" if message.get("unless_stopping") and self._ladder.is_stopping:
                pass  # said again by a server that cannot know whether the first word arrived
            case "cancel":
                self._stop("cancel", _reason(message), _grace(message))
            case "kill":
                self._stop("cancel", _reason(message), 0.0)
            case "interrupt" if not self._is_ended:
                self._interrupt()
            case "pause" if not (self._ladder.is_stopping or self._is_ended or self._coming):
                self._pause()
            case "resume":
                self._resume()
            case _:
                return False
        return True

    def _stop(self, cause: str, reason: str | None = None, grace_s: float | None = None) -> None:
        """Climb the ladder; a second time at once. A job that has just ended by itself stays so."""
        self.reap()
        if self._is_ended or (self._status is not None and not self._ladder.is_stopping):
            return
        if self._timeout is not None:
            self._timeout.cancel()
        self._ladder.stop(cause, reason, grace_s)
        if self._coming is not None:
            self._coming.cancel()
            self._not_started("It was ended before there was room to start it.")

    def _exceed(self, limit: str) -> None:
        """A limit that is still exceeded while the job has its grace is no second wish."""
        if not self._ladder.is_stopping:
            self._stop(limit)

    def _release(self) -> None:
        """Who was held goes on, unless a person wants it to stand still."""
        if not self._ladder.is_paused:
            self._ladder.signal_group(signal.SIGCONT)

    def _interrupt(self) -> None:
        if self._runner is None or not self._runner.interrupt():
            self._ladder.signal_group(signal.SIGINT)

    def _pause(self) -> None:
        if not self._ladder.is_paused:
            self._ladder.pause()
            self._disarm_timeout()
        self._tell({"say": "paused", **self.identity})

    def _resume(self) -> None:
        if self._ladder.is_paused:
            self._ladder.resume()
            self._arm_timeout()
        self._tell({"say": "resumed", **self.identity})

    # -- limits -----------------------------------------------------------------------------------

    def _arm_timeout(self) -> None:
        if self._timeout_left_s is not None and not self._ladder.is_stopping:
            self._resumed_at = time.monotonic()
            self._timeout = self._loop.after(self._timeout_left_s, lambda: self._exceed("timeout"))

    def _disarm_timeout(self) -> None:
        """Standing still does not count."""
        if self._timeout is not None and self._timeout_left_s is not None:
            self._timeout.cancel()
            self._timeout_left_s -= time.monotonic() - self._resumed_at

    # -- output and progress ------------------------------------------------------------------------

    def reported(self, data: bytes) -> None:
        """Take what came through the report pipe."""
        self._progress.report(data)

    def _read(self, kind: str, data: bytes | bytearray, size: int) -> None:
        if self._runner is None or self._runner.prints(kind, data, size):
            self._came(kind, data, size)

    def _came(self, kind: str, data: bytes | bytearray, size: int) -> None:
        self._writer.write_output(kind, time.monotonic() - self._t0, data, size)
        self._ring(self._writer.end)
        self._progress.look_at(data, size)

    def _record(self, kind: str, payload: bytes | None = None, **fields: Any) -> None:
        self._writer.write(kind, time.monotonic() - self._t0, payload, **fields)
        self._ring(self._writer.end)

    def _tell_progress(self, progress: Message) -> None:
        self._tell({"say": "progress", **self.identity, "progress": progress})

    # -- end --------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Wait for every child that has ended: the leader, and orphans that became ours."""
        has_led = self._status is not None
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self._meter.add_usage(usage)
            if pid == self._leader:
                self._status = status
        if self._status is None or self._is_ended:
            return
        if has_led:
            self._ladder.look()
        else:
            self._streams.leader_ended()
            self._ladder.leader_ended(is_heard=self._streams.is_open)

    def _streams_ended(self) -> None:
        """Nothing of the job lives any more, and what was in the pipes is read."""
        self._hear_reports()
        assert self._runner is not None
        outcome = self._runner.outcome(self._status)
        where = outcome.pop("where", "")
        # What it says of its end is no news where we have ended it; how far it had come is.
        self._finish(outcome | {"message": where} if self._ladder.is_stopping else outcome)

    def _not_started(self, why: str) -> None:
        self._tell_claimed()
        self._finish({"outcome": "not_started", "exit_code": None, "signal": None, "message": why})

    def _tell_claimed(self) -> None:
        told = {"pid": os.getpid(), "leader": self._leader or None, "started_at": self._started_at}
        self._tell({"say": "claimed", "dir": self.directory, **self.identity, **told})

    def _finish(self, outcome: Message) -> None:
        self._is_ended = True
        if self._runner is not None:
            self._runner.close()
        if self._timeout is not None:
            self._timeout.cancel()
        if self._ladder.ended_count:
            words = f"{self._ladder.ended_count} processes were still there and were ended."
            self._record("note", words.encode(), code="leftovers_ended")
        self._meter.stop()
        self._progress.close()
        self._ladder.close()
        end = {
            **outcome,
            **self._ladder.verdict(),
            **self._meter.totals(),
            "host": posix.host(),
            "pid": os.getpid(),
            "started_at": self._started_at,
            "ended_at": time.time(),
            "progress": self._progress.last,
        }
        self._write_end(end)

    def _write_end(self, end: Message) -> None:
        """First the output, then how it ended; where there is no room, again until there is."""
        try:
            self._writer.finish(time.monotonic() - self._t0)
            end["output_bytes"] = self._writer.end
            if self._writer.lost_bytes:
                end["message"] = (
                    end["message"] or f"{self._writer.lost_bytes} bytes of output lost."
                )
            attempt.write_end(self._claim_fd, end)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._loop.after(_NO_ROOM_RETRY_S, lambda: self._write_end(end))
            return
        self._writer.close()
        self._artifacts.take_back()
        self._done(end)


def _read(directory: str) -> tuple[Message, str]:
    """The spec, and what is wrong with it. Whose it is stands in the path."""
    try:
        spec = attempt.read_spec(directory)
    except (OSError, ValueError) as error:
        return {}, f"Its spec cannot be read: {error}."
    if spec.get("version") != attempt.VERSION:
        return {"runtime_dir": spec.get("runtime_dir")}, (
            f"Its spec has version {spec.get('version')}, this supervisor knows {attempt.VERSION}: "
            "they are of different releases. Restart the job."
        )
    return spec, _trouble(spec.get("spec"))


def _trouble(spec: Any) -> str:
    """What keeps a spec of our version from being run."""
    kind = spec.get("kind") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or kind not in KINDS:
        return f"This supervisor knows no kind {kind!r}, only {' and '.join(map(repr, KINDS))}."
    missing = [name for name in (*_NEEDED[str(kind)], "cwd") if not spec.get(name)]
    return f"Its spec lacks {' and '.join(missing)}." if missing else ""


def _reason(message: Message) -> str:
    """Why it shall end, in words that can be kept: JSON's may be none in UTF-8 (half a surrogate pair)."""
    words = str(message.get("reason", "user"))[:_MAX_REASON]
    return words.encode("utf-8", "replace").decode()


def _grace(message: Message) -> float | None:
    """The grace period that was asked for; what is no time is as if it had not been said."""
    grace_s = message.get("grace_s")
    return grace_s if isinstance(grace_s, int | float) and grace_s < float("inf") else None
