"""Walks the whole life cycle: every job that can come about, every event that can happen to it.

Owns the walk and the properties that hold on each step. Takes the module under test as an argument,
so that the same properties can be held against copies of it with planted faults.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from types import ModuleType
from typing import Any

from jupyter_tasks.errors import IllegalTransition
from jupyter_tasks.model import ENDED, End, Job, Progress, ShellSpec, State

NOW = 1_000.0
STARTED = 990.0
FINISHED = 999.0


@dataclass(frozen=True)
class Step:
    """One event that happened to one job; ``refused`` where the life cycle forbade it."""

    before: Job
    event: Any
    after: Job
    effects: tuple[Any, ...]
    refused: IllegalTransition | None = None

    def __str__(self) -> str:
        return f"{type(self.event).__name__}: {self.before} -> {self.after} {self.effects}"


def a_job(**fields: Any) -> Job:
    """A queued job, before anything happened to it."""
    given = {"id": "0123456789abcdef", "owner": "ann", "name": "sleep", "reason": "slots"}
    spec = ShellSpec(command="sleep 1", cwd="/")
    return Job(
        **{"spec": spec, "created_at": 1.0, "updated_at": 1.0, "queued_at": 1.0, **given, **fields}
    )


def an_end(**fields: Any) -> End:
    """How an attempt ended: by itself, and well."""
    given = {"outcome": "exited", "ended_at": FINISHED, "started_at": STARTED, "exit_code": 0}
    return End(**{**given, **fields})


def first_jobs() -> list[Job]:
    """Every sort of job that can be submitted."""
    queued = [a_job(on_lost=on_lost) for on_lost in ("fail", "requeue")]
    waiting = [
        replace(job, state=State.SCHEDULED, due_at=NOW, reason="", queued_at=None) for job in queued
    ]
    return [*queued, *waiting]


def ends() -> list[End]:
    """Every way in which an attempt can end, as far as the life cycle tells them apart."""
    return [
        an_end(),
        an_end(
            exit_code=3, peak_rss_bytes=1, cpu_s=0.5, output_bytes=7, progress=Progress(value=1)
        ),
        an_end(outcome="signalled", exit_code=None, signal=9),
        an_end(outcome="not_started", exit_code=None, started_at=None, message="no such program"),
        an_end(stopped_by="cancel", stop_reason="user"),
        an_end(stopped_by="timeout"),
        an_end(stopped_by="memory", outcome="signalled", exit_code=None, signal=9),
    ]


def all_events(life: ModuleType) -> list[Any]:
    """Every event, in every variant that the life cycle tells apart."""
    plain = ("Due", "SlotGiven", "RunAsked", "NeverStarted", "Fenced", "CancelAsked", "PauseAsked")
    more = ("Stopped", "ResumeAsked", "Continued", "RestartAsked")
    return [
        *(getattr(life, name)() for name in (*plain, *more)),
        life.Claimed(pid=1, host="here", started_at=STARTED),
        life.StartFailed(message="no more processes"),
        *(life.Ended(end=end) for end in ends()),
        life.Vanished(reason="supervisor_died"),
        life.Unreachable(host="there"),
        life.Edited(priority=1),
    ]


#: What makes two jobs the same to the walk (their specs are never changed on it).
_key = attrgetter(*(field.name for field in fields(Job) if field.name != "spec"))


def seen_from_afar(job: Job) -> Job:
    """The job without what grows for ever or decides nothing, so that the walk comes to an end."""
    return replace(job, version=1, attempt=min(job.attempt, 1), updated_at=1.0, priority=0)


def walk(life: ModuleType) -> list[Step]:
    """Every event at every job that can come about, breadth first."""
    events = all_events(life)
    waiting, known, steps = first_jobs(), set(), []
    while waiting:
        job = waiting.pop()
        if (key := _key(job)) in known:
            continue
        known.add(key)
        steps.extend(here := [take(life, job, event) for event in events])
        waiting.extend(seen_from_afar(one.after) for one in here if one.refused is None)
    return steps


def take(life: ModuleType, job: Job, event: Any) -> Step:
    """One step, or its refusal; anything else that goes wrong is raised."""
    try:
        after, effects = life.step(job, event, NOW)
    except IllegalTransition as refusal:
        return Step(job, event, job, (), refusal)
    return Step(job, event, after, tuple(effects))


def taken(steps: list[Step]) -> Iterator[Step]:
    """The steps that really were steps."""
    return (step for step in steps if step.refused is None)


# --- the properties: each takes the module and its walk, and asserts one thing -------------------

Property = Callable[[ModuleType, list[Step]], None]
PROPERTIES: dict[str, Property] = {}


def always(check: Property) -> Property:
    """Add it to what always holds; its docstring is the sentence that is tested."""
    PROPERTIES[check.__name__] = check
    return check


def has(step: Step, effect: str) -> bool:
    """Whether the step asks for such an effect."""
    return any(type(one).__name__ == effect for one in step.effects)


def happened(step: Step, *events: str) -> bool:
    """Whether the step was one of these events."""
    return type(step.event).__name__ in events


@always
def every_row_of_the_table_is_reached_and_nothing_else_is(
    life: ModuleType, steps: list[Step]
) -> None:
    """What the walk finds is TABLE, no more and no less."""
    found: dict[State, dict[type, set[State]]] = {state: {} for state in State}
    for step in taken(steps):
        found[step.before.state].setdefault(type(step.event), set()).add(step.after.state)
    assert found == {
        state: {e: set(to) for e, to in row.items()} for state, row in life.TABLE.items()
    }


@always
def versions_grow_by_one(life: ModuleType, steps: list[Step]) -> None:
    """Each step is one version, and is stamped with its time."""
    for step in taken(steps):
        assert step.after.version == step.before.version + 1, step
        assert step.after.updated_at == NOW, step


@always
def attempts_grow_only_with_a_start(life: ModuleType, steps: list[Step]) -> None:
    """A new attempt is what SlotGiven and RunAsked make, and nothing else makes one."""
    for step in taken(steps):
        more = 1 if happened(step, "SlotGiven", "RunAsked") else 0
        assert step.after.attempt == step.before.attempt + more, step


@always
def a_start_is_asked_for_exactly_where_nothing_runs(life: ModuleType, steps: list[Step]) -> None:
    """Start goes with a new attempt, or with one that certainly never started."""
    for step in taken(steps):
        fresh = happened(step, "SlotGiven", "RunAsked")
        again = happened(step, "NeverStarted") and step.before.cancel_requested_at is None
        assert has(step, "Start") == (fresh or again), step


@always
def a_job_asked_to_cancel_never_starts(life: ModuleType, steps: list[Step]) -> None:
    """After a wish to cancel nothing is started for that job, and it never waits in line again."""
    for step in taken(steps):
        if step.before.cancel_requested_at is None or happened(step, "RestartAsked"):
            continue
        assert not has(step, "Start"), step
        assert step.after.state not in (State.QUEUED, State.SCHEDULED), step
        assert step.after.cancel_requested_at is not None, step


@always
def a_claimed_job_that_should_end_is_stopped(life: ModuleType, steps: list[Step]) -> None:
    """What was wished while nobody could hear it is asked for when the claim is seen."""
    for step in taken(steps):
        if happened(step, "Claimed"):
            assert has(step, "Stop") == (step.before.cancel_requested_at is not None), step
            assert has(step, "Suspend") == (step.before.pause_requested_at is not None), step


@always
def a_start_that_may_be_on_its_way_is_fenced(life: ModuleType, steps: list[Step]) -> None:
    """A starting job that should end is fenced: nobody may claim its attempt any more."""
    for step in taken(steps):
        if step.before.state is State.STARTING and happened(step, "NeverStarted", "CancelAsked"):
            assert has(step, "Fence") == (step.after.cancel_requested_at is not None), step


@always
def ends_are_ends(life: ModuleType, steps: list[Step]) -> None:
    """Only a restart leads out of an end, back into the line, with nothing of the old outcome."""
    for step in steps:
        if not step.before.has_ended:
            continue
        assert (step.refused is None) == happened(step, "RestartAsked"), step
        if step.refused is None:
            old = (
                step.after.exit_code,
                step.after.signal,
                step.after.ended_at,
                step.after.started_at,
            )
            assert step.after.state is State.QUEUED, step
            assert old == (None,) * 4, step
            assert step.after.cancel_requested_at is None, step
            assert (step.after.message, step.after.progress, step.after.output_bytes) == (
                "",
                None,
                0,
            )


@always
def an_end_has_its_time_and_no_wish_left(life: ModuleType, steps: list[Step]) -> None:
    """``ended_at`` is set exactly while a job has ended; then it is neither paused nor to be."""
    for step in taken(steps):
        assert (step.after.ended_at is not None) == (step.after.state in ENDED), step
        if step.after.has_ended:
            assert (step.after.resume_to, step.after.pause_requested_at) == (None, None), step
            assert bool(step.after.reason) == (step.after.state is not State.SUCCEEDED), step


@always
def a_live_job_holds_an_attempt(life: ModuleType, steps: list[Step]) -> None:
    """Slots are taken by SlotGiven and RunAsked alone, and kept until an end or a return to the line."""
    for step in taken(steps):
        if step.after.is_live and not step.before.is_live:
            assert happened(step, "SlotGiven", "RunAsked"), step
        if step.before.is_live and not step.after.is_live:
            assert happened(step, "Ended", "Vanished", "Fenced", "StartFailed"), step
        if step.after.is_live:
            assert step.after.attempt > 0, step


@always
def paused_says_what_it_leads_back_to(life: ModuleType, steps: list[Step]) -> None:
    """``resume_to`` is set exactly while paused; before the start nothing is held, later the slot is."""
    for step in taken(steps):
        assert (step.after.resume_to is not None) == (step.after.state is State.PAUSED), step
        if step.after.state is not State.PAUSED:
            continue
        assert step.after.is_live == (step.after.resume_to is State.RUNNING), step
        if step.before.state in (State.SCHEDULED, State.QUEUED):
            assert step.after.resume_to is step.before.state, step
            assert (step.after.due_at, step.after.queued_at) == (
                step.before.due_at,
                step.before.queued_at,
            )


@always
def resume_before_the_start_leads_back(life: ModuleType, steps: list[Step]) -> None:
    """A job that was paused while it waited goes on waiting where it was."""
    for step in taken(steps):
        if happened(step, "ResumeAsked") and not step.before.is_live:
            assert step.after.state is step.before.resume_to, step


@always
def success_is_an_exit_of_zero_before_any_signal(life: ModuleType, steps: list[Step]) -> None:
    """Nothing else is a success; a stopped attempt is what it was stopped for."""
    for step in taken(steps):
        if not happened(step, "Ended"):
            assert step.after.state is not State.SUCCEEDED, step
            continue
        end = step.event.end
        well = (end.outcome, end.exit_code, end.stopped_by) == ("exited", 0, None)
        assert (step.after.state is State.SUCCEEDED) == well, step
        assert (step.after.state is State.CANCELLED) == (end.stopped_by == "cancel"), step


@always
def an_end_is_booked_as_the_supervisor_wrote_it(life: ModuleType, steps: list[Step]) -> None:
    """Exit code, signal, usage, size and time are those of the claim's second line."""
    fields = (
        "exit_code",
        "signal",
        "peak_rss_bytes",
        "cpu_s",
        "output_bytes",
        "ended_at",
        "message",
    )
    for step in taken(steps):
        if happened(step, "Ended"):
            for field in fields:
                assert getattr(step.after, field) == getattr(step.event.end, field), (field, step)


@always
def what_vanished_is_lost_or_queued_as_its_policy_says(life: ModuleType, steps: list[Step]) -> None:
    """A lost attempt runs again only by the job's own policy, and where nobody wants it ended or still."""
    for step in taken(steps):
        if not happened(step, "Vanished"):
            continue
        stands = step.before.state is State.PAUSED or step.before.pause_requested_at is not None
        again = State.PAUSED if stands else State.QUEUED
        policy = again if step.before.on_lost == "requeue" else State.LOST
        wanted = policy if step.before.cancel_requested_at is None else State.CANCELLED
        assert step.after.state is wanted, step
        assert step.after.resume_to is (State.QUEUED if wanted is State.PAUSED else None), step
        assert not step.after.is_live, step


@always
def a_cancel_is_answered_by_an_end_or_an_effect(life: ModuleType, steps: list[Step]) -> None:
    """Nothing runs: cancelled at once. Something may run: it is fenced or stopped, twice means now."""
    for step in taken(steps):
        if not happened(step, "CancelAsked"):
            continue
        assert step.after.cancel_requested_at is not None, step
        if not step.before.is_live:
            assert (step.after.state, step.effects) == (State.CANCELLED, ()), step
        elif step.before.state is State.STARTING:
            assert has(step, "Fence"), step
        else:
            again = step.before.cancel_requested_at is not None
            assert [(e.reason, e.at_once) for e in step.effects] == [("user", again)], step


@always
def pause_and_resume_reach_the_processes(life: ModuleType, steps: list[Step]) -> None:
    """A running job's wish to pause is kept until it came true; a resume takes it back."""
    for step in taken(steps):
        if happened(step, "PauseAsked") and step.before.state is State.RUNNING:
            assert has(step, "Suspend"), step
            assert step.after.pause_requested_at is not None, step
        if happened(step, "PauseAsked") and step.before.state is State.STARTING:
            assert step.after.pause_requested_at is not None, step
        if happened(step, "ResumeAsked") and step.before.is_live:
            assert has(step, "Continue") == (step.before.state is not State.STARTING), step
        if happened(step, "ResumeAsked", "Stopped"):
            assert step.after.pause_requested_at is None, step


@always
def effects_belong_to_live_jobs(life: ModuleType, steps: list[Step]) -> None:
    """Nothing is done about a job that is not, or is no longer, in anybody's hands."""
    for step in taken(steps):
        assert not step.effects or step.after.is_live, step


@always
def what_was_asked_for_stays(life: ModuleType, steps: list[Step]) -> None:
    """Only an edit changes what a person wrote, and it changes nothing else."""
    asked = (
        "id",
        "owner",
        "spec",
        "name",
        "created_at",
        "number",
        "tags",
        "queue",
        "priority",
        "on_lost",
    )
    limits = ("timeout_s", "memory_bytes", "grace_s", "max_output_bytes")
    for step in taken(steps):
        changed = [
            f for f in (*asked, *limits) if getattr(step.after, f) != getattr(step.before, f)
        ]
        if not happened(step, "Edited"):
            assert not changed, step
            continue
        edited = replace(step.before, priority=1, version=step.after.version, updated_at=NOW)
        assert step.after == edited, step


@always
def a_refusal_names_the_job_its_state_and_the_remedy(life: ModuleType, steps: list[Step]) -> None:
    """Whoever asked for what cannot be is told where it could be."""
    for step in steps:
        if step.refused is not None:
            assert step.before.id in step.refused.message, step
            assert f" is {step.before.state}; only " in step.refused.message, step
            assert step.refused.details["event"] == life.event_name(step.event)
