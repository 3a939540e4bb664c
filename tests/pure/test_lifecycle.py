"""The life cycle, walked exhaustively; and proof that the walk would see it if it were wrong."""

import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from jupyter_tasks import lifecycle
from jupyter_tasks.errors import IllegalTransition
from jupyter_tasks.lifecycle import (
    CancelAsked,
    Claimed,
    Continue,
    Continued,
    Due,
    Edited,
    Ended,
    Fence,
    NeverStarted,
    PauseAsked,
    RestartAsked,
    ResumeAsked,
    SlotGiven,
    Start,
    StartFailed,
    Stop,
    Stopped,
    Suspend,
    Unreachable,
    Vanished,
    attempt_after,
    event_name,
    step,
)
from jupyter_tasks.model import Job, Progress, State
from tests.pure.lifecycle_walk import NOW, PROPERTIES, STARTED, a_job, an_end, walk

CLAIMED = Claimed(pid=1, host="here", started_at=STARTED)


def after(job: Job, *events: Any) -> Job:
    for event in events:
        job, _ = step(job, event, NOW)
    return job


def effects_of(job: Job, event: Any) -> list[Any]:
    return step(job, event, NOW)[1]


@pytest.fixture(scope="module")
def steps() -> list[Any]:
    return walk(lifecycle)


@pytest.mark.parametrize("name", PROPERTIES)
def test_on_every_step_of_every_job_holds_that(name: str, steps: list[Any]) -> None:
    PROPERTIES[name](lifecycle, steps)


def test_every_event_and_every_state_is_in_the_walk(steps: list[Any]) -> None:
    events = [one for one in vars(lifecycle).values() if inspect.isclass(one)]
    wanted = {one for one in events if issubclass(one, lifecycle.Event)} - {lifecycle.Event}
    assert {type(one.event) for one in steps} == wanted
    assert {one.before.state for one in steps} == set(State)


# --- what the properties do not say: examples --------------------------------------------------


def test_a_running_job_that_is_cancelled_is_stopped_by_the_ladder() -> None:
    running = after(a_job(), SlotGiven(), CLAIMED)
    assert effects_of(running, CancelAsked(reason="superseded")) == [
        Stop(reason="superseded", at_once=False)
    ]


def test_a_second_cancel_is_at_once_and_keeps_the_first_reason() -> None:
    asked = after(a_job(), SlotGiven(), CLAIMED, CancelAsked(reason="overlap"))
    assert effects_of(asked, CancelAsked()) == [Stop(reason="overlap", at_once=True)]


def test_a_starting_job_that_is_cancelled_is_fenced_first() -> None:
    assert effects_of(after(a_job(), SlotGiven()), CancelAsked()) == [Fence()]


def test_a_wish_to_pause_waits_for_the_claim() -> None:
    asked = after(a_job(), SlotGiven(), PauseAsked())
    assert asked.pause_requested_at == NOW
    assert effects_of(asked, CLAIMED) == [Suspend()]


def test_a_resume_while_starting_takes_the_wish_back() -> None:
    asked = after(a_job(), SlotGiven(), PauseAsked(), ResumeAsked())
    assert effects_of(asked, CLAIMED) == []


def test_a_stopped_job_goes_on_when_asked_to() -> None:
    stopped = after(a_job(), SlotGiven(), CLAIMED, PauseAsked(), Stopped())
    assert (stopped.state, stopped.reason, stopped.is_live) == (State.PAUSED, "user", True)
    assert effects_of(stopped, ResumeAsked()) == [Continue()]
    assert after(stopped, ResumeAsked(), Continued()).state is State.RUNNING


def test_an_attempt_that_never_started_is_started_again_under_its_number() -> None:
    starting = after(a_job(), SlotGiven())
    again, effects = step(starting, NeverStarted(), NOW)
    assert (again.attempt, effects) == (starting.attempt, [Start()])


def test_a_resumed_job_says_why_it_waits() -> None:
    assert after(a_job(), PauseAsked()).reason == "user"
    assert after(a_job(), PauseAsked(), ResumeAsked()).reason == "slots"


def test_a_due_job_queues_from_that_moment_on() -> None:
    due = after(a_job(state=State.SCHEDULED, due_at=500.0, queued_at=None), Due())
    assert (due.queued_at, due.due_at, due.reason) == (NOW, None, "slots")


def test_a_stopped_job_found_again_is_still_paused_by_the_user() -> None:
    stopped = after(a_job(), SlotGiven(), CLAIMED, PauseAsked(), Stopped(), CLAIMED)
    assert (stopped.state, stopped.reason) == (State.PAUSED, "user")


def test_an_unreachable_host_is_named_until_the_attempt_is_seen_again() -> None:
    away = after(a_job(), SlotGiven(), CLAIMED, Unreachable(host="node7"))
    assert (away.state, away.reason, away.message) == (
        State.RUNNING,
        "host_unreachable",
        "It runs on node7.",
    )
    assert (after(away, CLAIMED).reason, after(away, CLAIMED).message) == ("", "")


def test_a_lost_job_that_may_run_again_says_what_became_of_it() -> None:
    requeued = after(
        a_job(on_lost="requeue"), SlotGiven(), CLAIMED, Vanished(reason="supervisor_died")
    )
    assert (requeued.state, requeued.reason, requeued.attempt) == (
        State.QUEUED,
        "supervisor_died",
        1,
    )


def test_a_job_that_was_to_stand_still_does_so_when_its_lost_attempt_may_run_again() -> None:
    starting = after(a_job(on_lost="requeue"), SlotGiven(), PauseAsked())
    stopped = after(a_job(on_lost="requeue"), SlotGiven(), CLAIMED, PauseAsked(), Stopped())
    for job in (starting, stopped):
        vanished = Vanished(reason="supervisor_died")
        lost = after(job, vanished)
        assert (lost.state, lost.resume_to, lost.reason) == (
            State.PAUSED,
            State.QUEUED,
            "supervisor_died",
        )
        row = attempt_after(lost, job, vanished)
        assert row is not None
        assert (row.number, row.state) == (1, State.LOST)
        assert after(lost, ResumeAsked()).state is State.QUEUED


def test_a_pause_that_was_taken_back_does_not_outlive_the_attempt() -> None:
    going = after(a_job(on_lost="requeue"), SlotGiven(), PauseAsked(), ResumeAsked())
    assert after(going, Vanished(reason="supervisor_died")).state is State.QUEUED


def test_what_could_not_start_failed_with_the_executors_words() -> None:
    failed = after(a_job(), SlotGiven(), StartFailed(message="No more processes."))
    assert (failed.state, failed.reason, failed.message) == (
        State.FAILED,
        "start",
        "No more processes.",
    )


@pytest.mark.parametrize(
    ("end", "state", "reason"),
    [
        (an_end(), State.SUCCEEDED, ""),
        (an_end(exit_code=1), State.FAILED, "exit"),
        (an_end(outcome="signalled", exit_code=None, signal=11), State.FAILED, "signal"),
        (an_end(outcome="not_started", exit_code=None), State.FAILED, "start"),
        (an_end(stopped_by="timeout"), State.FAILED, "timeout"),
        (an_end(stopped_by="memory"), State.FAILED, "memory"),
        (an_end(stopped_by="cancel", stop_reason="overlap"), State.CANCELLED, "overlap"),
        (an_end(stopped_by="cancel", stop_reason=None), State.CANCELLED, "user"),
    ],
)
def test_how_an_attempt_ended_decides_state_and_reason(end: Any, state: State, reason: str) -> None:
    ended = after(a_job(), SlotGiven(), CLAIMED, Ended(end=end))
    assert (ended.state, ended.reason, ended.ended_at) == (state, reason, end.ended_at)


def test_a_job_that_ended_well_before_the_first_signal_has_succeeded_all_the_same() -> None:
    asked = after(a_job(), SlotGiven(), CLAIMED, CancelAsked())
    assert after(asked, Ended(end=an_end())).state is State.SUCCEEDED


def test_the_last_progress_outlives_an_end_that_tells_none() -> None:
    running = after(a_job(progress=None), SlotGiven(), CLAIMED)
    half = Progress(value=0.5)
    assert after(running, Ended(end=an_end(progress=half))).progress == half


def test_an_edit_changes_what_it_names_and_can_take_a_limit_away() -> None:
    edited = after(
        a_job(timeout_s=5.0), Edited(name="new", tags=("a",), limits=(("timeout_s", None),))
    )
    assert (edited.name, edited.tags, edited.timeout_s, edited.queue) == (
        "new",
        ("a",),
        None,
        "default",
    )


def test_restarting_keeps_the_count_of_attempts() -> None:
    ended = after(a_job(), SlotGiven(), CLAIMED, Ended(end=an_end(exit_code=1)))
    assert after(ended, RestartAsked(), SlotGiven()).attempt == 2


def test_a_refused_event_says_where_it_is_possible() -> None:
    ended = after(a_job(), SlotGiven(), CLAIMED, Ended(end=an_end()))
    with pytest.raises(IllegalTransition) as refused:
        step(ended, CancelAsked(), NOW)
    assert refused.value.message == (
        "Job 0123456789abcdef is succeeded; only a job that has not ended can be cancelled."
    )


def test_an_attempts_row_is_the_job_as_it_stands() -> None:
    running = after(a_job(), SlotGiven(), CLAIMED)
    ended = Ended(end=an_end(exit_code=3, host="here", pid=12))
    row = attempt_after(after(running, ended), running, ended)
    assert row is not None
    assert (row.number, row.state, row.exit_code, row.started_at) == (1, State.FAILED, 3, STARTED)
    assert (row.host, row.pid) == ("here", 12)


def test_a_job_that_waits_has_no_attempts_row_to_write() -> None:
    assert attempt_after(after(a_job(), PauseAsked()), a_job(), PauseAsked()) is None


def test_an_attempt_that_was_lost_keeps_its_row_when_the_job_queues_again() -> None:
    running = after(a_job(on_lost="requeue"), SlotGiven(), CLAIMED)
    vanished = Vanished(reason="supervisor_died")
    row = attempt_after(after(running, vanished), running, vanished)
    assert row is not None
    assert (row.state, row.reason, row.started_at) == (State.LOST, "supervisor_died", STARTED)


def test_events_are_named_in_snake_case() -> None:
    assert event_name(CancelAsked()) == "cancel_asked"
    assert event_name(NeverStarted()) == "never_started"


# --- the walk can fail: each planted fault is seen by it ------------------------------------------

#: What is planted: a name for it, the text that goes, the text that comes.
FAULTS = {
    "a cancelled job that never started is started": (
        "[Start()] if job.cancel_requested_at is None else [Fence()]",
        "[Start()]",
    ),
    "a claim forgets the wish to cancel": (
        "    if job.cancel_requested_at is not None:\n        effects.append(Stop(",
        "    if False:\n        effects.append(Stop(",
    ),
    "a claim forgets the wish to pause": ("effects.append(Suspend())", "pass"),
    "a vanished job is requeued though somebody cancelled it": (
        (
            "def _vanish(job: Job, event: Vanished, now: float) -> Job:\n"
            "    if job.cancel_requested_at is not None:"
        ),
        (
            "def _vanish(job: Job, event: Vanished, now: float) -> Job:\n"
            "    if job.cancel_requested_at is not None and job.on_lost == 'fail':"
        ),
    ),
    "a vanished job runs again against its policy": (
        'job.on_lost == "requeue"',
        'job.on_lost != "x"',
    ),
    "a second cancel is as slow as the first": ("at_once=again)", "at_once=False)"),
    "a cancel while running is only noted": (
        "return job, [Stop(reason=job.cancel_reason or event.reason, at_once=again)]",
        "return job, []",
    ),
    "a cancel while starting is not fenced": ("return job, [Fence()]", "return job, []"),
    "versions stand still": ("version=job.version + 1", "version=job.version"),
    "a requeued job counts an attempt": (
        "again = _queue(replace(_forget_outcome(job), resume_to=None), now, event.reason)",
        "again = _queue(replace(_forget_outcome(job), resume_to=None, attempt=job.attempt + 1), now)",
    ),
    "a requeued job forgets that it was to stand still": (
        "return _pause_waiting(again, event.reason) if _is_to_stand_still(job) else again",
        "return again",
    ),
    "only a job that stands still already is held up": (
        "return job.state is State.PAUSED or job.pause_requested_at is not None",
        "return job.state is State.PAUSED",
    ),
    "a start does not count": ("attempt=job.attempt + 1, resume_to=None", "resume_to=None"),
    "a slot is given and nothing starts": (
        "case SlotGiven() | RunAsked():\n            return _start(job, now), [Start()]",
        "case SlotGiven() | RunAsked():\n            return _start(job, now), []",
    ),
    "a stopped attempt that exits with zero has succeeded": (
        'if end.stopped_by == "cancel":',
        'if end.stopped_by == "cancel" and end.exit_code != 0:',
    ),
    "every exit is a success": ("if end.exit_code == 0 else", "if end.exit_code is not None else"),
    "a paused job that runs can be started once more": (
        "return not isinstance(event, RunAsked | Edited)",
        "return not isinstance(event, Edited)",
    ),
    "a paused job that waits is taken for a running one": (
        "return replace(job, state=State.PAUSED, resume_to=job.state",
        "return replace(job, state=State.PAUSED, resume_to=State.RUNNING",
    ),
    "a running job that was paused gives its slot away": (
        "state=State.PAUSED, resume_to=State.RUNNING",
        "state=State.PAUSED, resume_to=State.QUEUED",
    ),
    "a resume does not reach the processes": (
        "[] if job.state is State.STARTING else [Continue()]",
        "[]",
    ),
    "a restart keeps the wish to cancel": ("        cancel_requested_at=None,\n", ""),
    "a restart keeps the old exit code": ("        exit_code=None,\n", ""),
    "an end leaves the wish to pause": ("        pause_requested_at=None,\n    )", "    )"),
    "an ended job can be cancelled": (
        "_RESTART: Final[dict[type[Event], frozenset[State]]] = {RestartAsked: frozenset({S.QUEUED})}",
        (
            "_RESTART: Final[dict[type[Event], frozenset[State]]] = {\n"
            "    RestartAsked: frozenset({S.QUEUED}), CancelAsked: frozenset({S.CANCELLED})}"
        ),
    ),
    "a row of the table can never happen": (
        "SlotGiven: frozenset({S.STARTING}),",
        "SlotGiven: frozenset({S.STARTING, S.FAILED}),",
    ),
    "an end's time is lost": ("reason, end.ended_at, end.message", "reason, 0.0, end.message"),
    "a timeout is an exit": (
        "return State.FAILED, end.stopped_by",
        'return State.CANCELLED, "timeout"',
    ),
    "an edit forgets the priority": ('"queue", "priority")', '"queue")'),
}


@pytest.fixture
def planted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ModuleType]:
    """A copy of the life cycle with one text replaced."""
    old, new = FAULTS[request.param]
    source = inspect.getsource(lifecycle)
    assert old in source, f"the life cycle was rewritten; plant this fault anew: {request.param}"
    path = tmp_path / "planted.py"
    path.write_text(source.replace(old, new, 1))
    spec = importlib.util.spec_from_file_location("planted_lifecycle", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def faults_seen(life: ModuleType) -> list[str]:
    """The properties that do not hold for that copy; a walk that breaks down is seen, too."""
    try:
        steps = walk(life)
    except (AssertionError, TypeError, ValueError) as failure:
        return [f"the walk itself: {type(failure).__name__}"]
    seen = []
    for name, check in PROPERTIES.items():
        try:
            check(life, steps)
        except AssertionError:
            seen.append(name)
    return seen


@pytest.mark.parametrize("planted", FAULTS, indirect=True)
def test_a_planted_fault_is_seen(planted: ModuleType) -> None:
    assert faults_seen(planted)


def test_without_a_fault_nothing_is_seen() -> None:
    assert faults_seen(lifecycle) == []
