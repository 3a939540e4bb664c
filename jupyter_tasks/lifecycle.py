"""The life of a job: one table and one pure function. Everything about the life cycle is here.

Rule 1: whatever decides a job's state lives in this file, as much of it as possible in TABLE.
Rule 2: nothing here reads a clock, a file or a socket; the time of an event is an argument.
Rule 3: a wish (to cancel, to pause) is a column; the state changes when it has come true.
``docs/lifecycle.md`` and the README's diagram are drawn from TABLE by a script; a test checks it.
"""

from dataclasses import dataclass, replace
from typing import Final

from jupyter_tasks.errors import IllegalTransition
from jupyter_tasks.model import FAILURES, Attempt, End, Job, Loss, Spec, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a job; its name on the wire is ``event_name``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due(Event):
    """The time that the job waited for has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotGiven(Event):
    """The job is the next in its line and a slot is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAsked(Event):
    """A person wants it started now, whatever the line and ``max_running`` say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Event):
    """A supervisor holds the attempt's claim: it has started (or was found again, still running)."""

    pid: int | None
    host: str
    started_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverStarted(Event):
    """It is certain that nobody has claimed the attempt, and no supervisor is on its way to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced(Event):
    """The claim was made by us: the attempt will never start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailed(Event):
    """The executor could not start a supervisor for the attempt."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Event):
    """The supervisor has written the attempt's end."""

    end: End


@dataclass(frozen=True, slots=True, kw_only=True)
class Vanished(Event):
    """Nobody holds the claim and there is no end: the result can never be known."""

    reason: Loss
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable(Event):
    """The attempt runs on another host, which is neither judged nor signalled from here."""

    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAsked(Event):
    """Somebody, or a rule, wants the job ended. Asked a second time: at once."""

    reason: str = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseAsked(Event):
    """Somebody wants the job to stand still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Event):
    """The job's processes stand still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeAsked(Event):
    """Somebody wants the job to go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued(Event):
    """The job's processes go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartAsked(Event):
    """Somebody wants another attempt of a job that has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited(Event):
    """A waiting job was changed; None leaves a field as it is."""

    spec: Spec | None = None
    name: str | None = None
    tags: tuple[str, ...] | None = None
    queue: str | None = None
    priority: int | None = None
    limits: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Something that must be done now, after the commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Effect):
    """Start the job's current attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence(Effect):
    """See to it that the attempt, which may be on its way, never starts; else stop it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(Effect):
    """End the attempt: by the ladder, or at once."""

    reason: str
    at_once: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend(Effect):
    """Let the attempt's processes stand still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continue(Effect):
    """Let the attempt's processes go on."""


S = State
_LIVE: Final[dict[type[Event], frozenset[State]]] = {
    Ended: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED}),
    Vanished: frozenset({S.LOST, S.QUEUED, S.PAUSED, S.CANCELLED}),
}
_RESTART: Final[dict[type[Event], frozenset[State]]] = {RestartAsked: frozenset({S.QUEUED})}

#: state -> event -> the states that it may lead to. The diagram is drawn from this.
TABLE: Final[dict[State, dict[type[Event], frozenset[State]]]] = {
    S.SCHEDULED: {
        Due: frozenset({S.QUEUED}),
        RunAsked: frozenset({S.STARTING}),
        CancelAsked: frozenset({S.CANCELLED}),
        PauseAsked: frozenset({S.PAUSED}),
        Edited: frozenset({S.SCHEDULED}),
    },
    S.QUEUED: {
        SlotGiven: frozenset({S.STARTING}),
        RunAsked: frozenset({S.STARTING}),
        CancelAsked: frozenset({S.CANCELLED}),
        PauseAsked: frozenset({S.PAUSED}),
        Edited: frozenset({S.QUEUED}),
    },
    S.STARTING: {
        **_LIVE,
        Claimed: frozenset({S.RUNNING}),
        NeverStarted: frozenset({S.STARTING}),
        Fenced: frozenset({S.CANCELLED}),
        StartFailed: frozenset({S.FAILED, S.CANCELLED}),
        Unreachable: frozenset({S.STARTING}),
        CancelAsked: frozenset({S.STARTING}),
        PauseAsked: frozenset({S.STARTING}),
        ResumeAsked: frozenset({S.STARTING}),
    },
    S.RUNNING: {
        **_LIVE,
        Claimed: frozenset({S.RUNNING}),
        Unreachable: frozenset({S.RUNNING}),
        CancelAsked: frozenset({S.RUNNING}),
        PauseAsked: frozenset({S.RUNNING}),
        Stopped: frozenset({S.PAUSED}),
        ResumeAsked: frozenset({S.RUNNING}),
        Continued: frozenset({S.RUNNING}),
    },
    S.PAUSED: {
        **_LIVE,
        Vanished: frozenset({S.LOST, S.PAUSED, S.CANCELLED}),
        Claimed: frozenset({S.PAUSED}),
        Unreachable: frozenset({S.PAUSED}),
        RunAsked: frozenset({S.STARTING}),
        CancelAsked: frozenset({S.CANCELLED, S.PAUSED}),
        PauseAsked: frozenset({S.PAUSED}),
        Stopped: frozenset({S.PAUSED}),
        ResumeAsked: frozenset({S.SCHEDULED, S.QUEUED, S.PAUSED}),
        Continued: frozenset({S.RUNNING}),
        Edited: frozenset({S.PAUSED}),
    },
    S.SUCCEEDED: _RESTART,
    S.FAILED: _RESTART,
    S.CANCELLED: _RESTART,
    S.LOST: _RESTART,
}

#: What people are told when an event cannot happen: what it is called, and where it is possible.
_ASKS: Final[dict[type[Event], tuple[str, str]]] = {
    CancelAsked: ("cancelled", "a job that has not ended"),
    PauseAsked: ("paused", "a job that has not ended"),
    ResumeAsked: ("resumed", "a paused job"),
    RestartAsked: ("restarted", "a job that has ended"),
    RunAsked: ("run now", "a waiting job"),
    Edited: ("edited", "a waiting job"),
}


def event_name(event: Event) -> str:
    """The event's name in the store, on the wire and in Jupyter's events: ``cancel_asked``."""
    name = type(event).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def step(job: Job, event: Event, now: float) -> tuple[Job, list[Effect]]:
    """Return the job after the event, and what must now be done about it.

    Raises IllegalTransition where the job's state does not allow the event; then nothing changed.
    """
    if not is_possible(job, event):
        raise _illegal(job, event)
    after, effects = _apply(job, event, now)
    assert after.state in TABLE[job.state][type(event)], (job, event, after)
    return replace(after, version=job.version + 1, updated_at=now), effects


def states_of(event: Event) -> frozenset[State]:
    """The states in which the event can happen to a job, or to some."""
    return frozenset(state for state in TABLE if type(event) in TABLE[state])


def attempt_after(job: Job, before: Job, event: Event) -> Attempt | None:
    """The row of the attempt that the event was about; None where it was about none.

    A job that goes back to its queue forgets what its attempt was; the attempt's row does not.
    """
    if not (job.is_live or before.is_live):
        return None
    if not (job.is_live or job.has_ended):
        lost = _attempt_row(before, event)
        return replace(lost, state=State.LOST, reason=job.reason, ended_at=job.queued_at)
    return _attempt_row(job, event)


def _attempt_row(job: Job, event: Event) -> Attempt:
    told = event.end if isinstance(event, Ended) else event
    return Attempt(
        host=told.host if isinstance(told, End | Claimed) else "",
        pid=told.pid if isinstance(told, End | Claimed) else None,
        job=job.id,
        number=job.attempt,
        state=job.state,
        reason=job.reason,
        message=job.message,
        started_at=job.started_at,
        ended_at=job.ended_at,
        exit_code=job.exit_code,
        signal=job.signal,
        peak_rss_bytes=job.peak_rss_bytes,
        cpu_s=job.cpu_s,
        output_bytes=job.output_bytes,
    )


def is_possible(job: Job, event: Event) -> bool:
    """Whether the event can happen to the job: the bare state does not tell all about a pause."""
    if type(event) not in TABLE[job.state]:
        return False
    if job.state is State.PAUSED:
        if job.resume_to is State.RUNNING:
            return not isinstance(event, RunAsked | Edited)
        return isinstance(event, RunAsked | Edited | CancelAsked | ResumeAsked | PauseAsked)
    if isinstance(event, ResumeAsked):
        return job.pause_requested_at is not None
    return True


def _apply(job: Job, event: Event, now: float) -> tuple[Job, list[Effect]]:
    """The one place where states change; each case is a row of TABLE."""
    match event:
        case Due():
            return _queue(job, now), []
        case SlotGiven() | RunAsked():
            return _start(job, now), [Start()]
        case Edited():
            return _edit(job, event), []
        case RestartAsked():
            return _queue(_forget_outcome(job), now), []
        case CancelAsked():
            return _cancel(job, event, now)
        case PauseAsked() | Stopped() | ResumeAsked() | Continued():
            return _pause_or_resume(job, event, now)
        case Ended():
            return _end(job, event.end), []
        case Vanished():
            return _vanish(job, event, now), []
        case _:
            return _starting(job, event, now)


def _starting(job: Job, event: Event, now: float) -> tuple[Job, list[Effect]]:
    """What the executor tells about an attempt that is on its way or was found again."""
    match event:
        case Claimed():
            return _claimed(job, event)
        case Unreachable():
            return replace(job, reason="host_unreachable", message=f"It runs on {event.host}."), []
        case NeverStarted():
            # A start may still wait in an orphaned fork server: only the claim keeps it away.
            return job, [Start()] if job.cancel_requested_at is None else [Fence()]
        case Fenced():
            return _close(job, State.CANCELLED, job.cancel_reason or "user", now), []
        case StartFailed() if job.cancel_requested_at is None:
            return _close(job, State.FAILED, "start", now, event.message), []
        case StartFailed():
            return _close(job, State.CANCELLED, job.cancel_reason or "user", now), []
    raise AssertionError(event)


def _queue(job: Job, now: float, reason: str = "slots") -> Job:
    return replace(job, state=State.QUEUED, reason=reason, queued_at=now, due_at=None)


def _start(job: Job, now: float) -> Job:
    job = replace(_forget_outcome(job), queued_at=job.queued_at or now)
    return replace(job, state=State.STARTING, attempt=job.attempt + 1, resume_to=None)


def _forget_outcome(job: Job) -> Job:
    """The job as if it had never run: what its attempts were stays in their own rows."""
    return replace(
        job,
        reason="",
        message="",
        cancel_requested_at=None,
        cancel_reason=None,
        pause_requested_at=None,
        started_at=None,
        ended_at=None,
        exit_code=None,
        signal=None,
        peak_rss_bytes=None,
        cpu_s=None,
        output_bytes=0,
        progress=None,
    )


def _claimed(job: Job, event: Claimed) -> tuple[Job, list[Effect]]:
    was_stopped = job.state is State.PAUSED
    state, reason = (State.PAUSED, "user") if was_stopped else (State.RUNNING, "")
    after = replace(job, state=state, reason=reason, message="", started_at=event.started_at)
    effects: list[Effect] = []
    if job.pause_requested_at is not None:
        effects.append(Suspend())
    if job.cancel_requested_at is not None:
        effects.append(Stop(reason=job.cancel_reason or "user", at_once=False))
    return after, effects


def _cancel(job: Job, event: CancelAsked, now: float) -> tuple[Job, list[Effect]]:
    if not job.is_live:
        asked = replace(job, cancel_requested_at=now, cancel_reason=event.reason)
        return _close(asked, State.CANCELLED, event.reason, now), []
    again = job.cancel_requested_at is not None
    if not again:
        job = replace(job, cancel_requested_at=now, cancel_reason=event.reason)
    if job.state is State.STARTING:
        return job, [Fence()]
    return job, [Stop(reason=job.cancel_reason or event.reason, at_once=again)]


def _pause_or_resume(job: Job, event: Event, now: float) -> tuple[Job, list[Effect]]:
    match event:
        case PauseAsked() if job.state in (State.SCHEDULED, State.QUEUED):
            return _pause_waiting(job, "user"), []
        case PauseAsked() if job.state is State.PAUSED:
            return job, []
        case PauseAsked():
            asked = replace(job, pause_requested_at=now)
            return asked, [Suspend()] if job.state is State.RUNNING else []
        case Stopped():
            stopped = replace(job, state=State.PAUSED, resume_to=State.RUNNING, reason="user")
            return replace(stopped, pause_requested_at=None), []
        case ResumeAsked() if job.is_live:
            going = replace(job, pause_requested_at=None)
            return going, [] if job.state is State.STARTING else [Continue()]
        case ResumeAsked():
            assert job.resume_to is not None
            reason = "slots" if job.resume_to is State.QUEUED else ""
            return replace(job, state=job.resume_to, resume_to=None, reason=reason), []
        case _:
            return replace(job, state=State.RUNNING, resume_to=None, reason=""), []


def _end(job: Job, end: End) -> Job:
    """A job has succeeded only if it ended by itself, before the first signal was sent to it."""
    state, reason = _verdict(job, end)
    job = replace(job, started_at=end.started_at or job.started_at)
    return replace(
        _close(job, state, reason, end.ended_at, end.message),
        exit_code=end.exit_code,
        signal=end.signal,
        peak_rss_bytes=end.peak_rss_bytes,
        cpu_s=end.cpu_s,
        output_bytes=end.output_bytes,
        progress=end.progress or job.progress,
    )


def _verdict(job: Job, end: End) -> tuple[State, str]:
    if end.stopped_by == "cancel":
        return State.CANCELLED, end.stop_reason or job.cancel_reason or "user"
    if end.stopped_by is not None:
        return State.FAILED, end.stopped_by
    if end.outcome in FAILURES:
        return State.FAILED, FAILURES[end.outcome]
    return (State.SUCCEEDED, "") if end.exit_code == 0 else (State.FAILED, "exit")


def _vanish(job: Job, event: Vanished, now: float) -> Job:
    if job.cancel_requested_at is not None:
        return _close(job, State.CANCELLED, job.cancel_reason or "user", now, event.message)
    if job.on_lost == "requeue":
        again = _queue(replace(_forget_outcome(job), resume_to=None), now, event.reason)
        # Who wants it to stand still has said so of the job, not of the attempt that was lost.
        return _pause_waiting(again, event.reason) if _is_to_stand_still(job) else again
    return _close(job, State.LOST, event.reason, now, event.message)


def _is_to_stand_still(job: Job) -> bool:
    return job.state is State.PAUSED or job.pause_requested_at is not None


def _pause_waiting(job: Job, reason: str) -> Job:
    """The job, held up where it waits: it holds no slot, and a resume leads back there."""
    return replace(job, state=State.PAUSED, resume_to=job.state, reason=reason)


def _close(job: Job, state: State, reason: str, now: float, message: str = "") -> Job:
    return replace(
        job,
        state=state,
        reason=reason,
        message=message,
        # A clock that was set back must not keep an end from being booked.
        ended_at=max(now, job.started_at or now),
        resume_to=None,
        pause_requested_at=None,
    )


def _edit(job: Job, event: Edited) -> Job:
    given = {
        name: value
        for name in ("spec", "name", "tags", "queue", "priority")
        if (value := getattr(event, name)) is not None
    }
    return replace(job, **given, **dict(event.limits))  # type: ignore[arg-type]


def _illegal(job: Job, event: Event) -> IllegalTransition:
    done, where = _ASKS.get(type(event), (event_name(event), "a job in another state"))
    return IllegalTransition(
        f"Job {job.id} is {job.state}; only {where} can be {done}.",
        job=job.id,
        state=str(job.state),
        event=event_name(event),
    )
