"""A store agrees with a dictionary, Filter.accepts and step(), whatever is done in whatever order."""

import asyncio
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jupyter_tasks import lifecycle as lc
from jupyter_tasks.contracts import Store
from jupyter_tasks.errors import IllegalTransition, StaleVersion
from jupyter_tasks.model import Change, End, Filter, Job, State
from jupyter_tasks.schedule import starting_order
from tests.builders import a_change, a_deletion, a_job
from tests.contracts.stores import IMPLEMENTATIONS, Opens

OWNERS = ("ada", "bob")
TAGS = ("a", "b", "ü")
QUEUES = ("default", "gpu")
#: Letters whose case is folded in uncommon ways, and what SQL and searches treat specially.
texts = st.text(alphabet="aAß\u017fİ\u0131Σς%_\"'*\0 日", max_size=5)
times = st.floats(min_value=1000, max_value=2000)
tags = st.lists(st.sampled_from(TAGS), max_size=3).map(tuple)
some = {"unique": True, "max_size": 3}

jobs = st.builds(
    a_job,
    owner=st.sampled_from(OWNERS),
    name=texts,
    tags=tags,
    queue=st.sampled_from(QUEUES),
    priority=st.integers(-1, 1),
    queued_at=times,
    on_lost=st.sampled_from(["fail", "requeue"]),
) | st.builds(a_job, name=texts, state=st.just(State.SCHEDULED), due_at=times, tags=tags)
ends = st.builds(
    End,
    outcome=st.sampled_from(["exited", "signalled", "not_started"]),
    ended_at=times,
    started_at=st.none() | times,
    exit_code=st.none() | st.integers(0, 2),
    stopped_by=st.sampled_from([None, "cancel", "timeout"]),
)
events: st.SearchStrategy[lc.Event] = st.one_of(
    *(
        st.builds(kind)
        for kind in (
            *(lc.Due, lc.SlotGiven, lc.RunAsked, lc.NeverStarted, lc.Fenced, lc.CancelAsked),
            *(lc.PauseAsked, lc.Stopped, lc.ResumeAsked, lc.Continued, lc.RestartAsked),
        )
    ),
    st.builds(lc.Claimed, pid=st.just(7), host=st.just("here"), started_at=times),
    st.builds(lc.StartFailed, message=texts),
    st.builds(lc.Ended, end=ends),
    st.builds(lc.Vanished, reason=st.just("supervisor_died")),
    st.builds(lc.Edited, name=st.none() | texts, tags=st.none() | tags, priority=st.just(1)),
    st.builds(lc.Edited, queue=st.sampled_from(QUEUES), spec=st.none() | st.just(a_job().spec)),
)
filters = st.builds(
    Filter,
    owner=st.sampled_from([None, *OWNERS, "nobody"]),
    states=st.lists(st.sampled_from(State), **some).map(tuple),
    kinds=st.sampled_from([(), ("shell",), ("shell", "other"), ("other",)]),
    queues=st.lists(st.sampled_from([*QUEUES, "other"]), **some).map(tuple),
    tags=tags,
    text=texts,
)


class Agreement(RuleBasedStateMachine):
    """Does everything twice: to a store and to a dictionary."""

    opens: Opens

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="jt-agreement-"))
        self.loop = asyncio.new_event_loop()
        self.jobs: dict[str, Job] = {}
        self.attempts: Counter[str] = Counter()
        self.changes: list[Change] = []

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    @initialize()
    def open(self) -> None:
        self.store: Store = self.opens(self.folder)
        self.run(self.store.take_over())

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    def note(self, change: Change) -> None:
        assert change.seq == len(self.changes) + 1
        self.changes.append(change)
        if change.after is None:
            del self.jobs[change.job.id]
        else:
            self.jobs[change.job.id] = change.after
        if change.attempt is not None:
            self.attempts[change.job.id] = change.attempt.number

    def pick(self, data: st.DataObject, *, ended: bool = False) -> Job:
        """One of the jobs; by its place, since ids differ from run to run."""
        choice = [job for job in self.jobs.values() if job.has_ended or not ended]
        return choice[data.draw(st.integers(0, len(choice) - 1))]

    @rule(new=st.lists(jobs, min_size=1, max_size=4, unique_by=lambda job: job.id))
    def add(self, new: list[Job]) -> None:
        for change, job in zip(self.run(self.store.add(new)), new, strict=True):
            assert change.job == replace(job, number=change.job.number)
            self.note(change)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), event=events, at=times)
    def happen(self, data: st.DataObject, event: lc.Event, at: float) -> None:
        try:
            change = a_change(self.pick(data), event, at=at)
        except IllegalTransition:
            return
        self.note(self.run(self.store.commit(change)))

    @precondition(lambda self: self.jobs)
    @rule(event=events, at=times)
    def happen_to_all_at_once(self, event: lc.Event, at: float) -> None:
        changes = []
        for job in self.jobs.values():
            try:
                changes.append(a_change(job, event, at=at))
            except IllegalTransition:
                continue

        async def commit() -> list[Change]:
            return await asyncio.gather(*map(self.store.commit, changes))

        for change in self.run(commit()):
            self.note(change)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def come_too_late(self, data: st.DataObject) -> None:
        job = self.pick(data)
        late = a_deletion(replace(job, version=job.version + 1))
        with pytest.raises(StaleVersion):
            self.run(self.store.commit(late))

    @precondition(lambda self: any(job.has_ended for job in self.jobs.values()))
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        job = self.pick(data, ended=True)
        self.note(self.run(self.store.commit(a_deletion(job))))
        assert self.run(self.store.attempts(job.id)) == []

    @rule()
    def open_again(self) -> None:
        self.run(self.store.close())
        self.open()

    @rule(wanted=filters, limit=st.integers(1, 4))
    def find(self, wanted: Filter, limit: int) -> None:
        found: list[Job] = []
        after = None
        while True:
            page = self.run(self.store.find(wanted, limit=limit, after=after))
            assert len(page.jobs) <= limit
            found.extend(page.jobs)
            after = page.after
            if after is None:
                break
        every = sorted(self.jobs.values(), key=lambda job: -job.number)
        assert found == [job for job in every if wanted.accepts(job)]

    @rule(data=st.data())
    def find_by_ids(self, data: st.DataObject) -> None:
        known = [*self.jobs, "absent"]
        places = data.draw(st.lists(st.integers(0, len(known) - 1), min_size=1))
        wanted = Filter(ids=tuple(known[place] for place in places), owner="ada")
        page = self.run(self.store.find(wanted, limit=500))
        expected = [job for job in self.jobs.values() if wanted.accepts(job)]
        assert sorted(job.id for job in page.jobs) == sorted(job.id for job in expected)

    @rule(after=st.integers(0, 30), limit=st.integers(1, 9))
    def read_changes(self, after: int, limit: int) -> None:
        found = self.run(self.store.changes(after, limit=limit))
        if after > len(self.changes):
            assert found is None
            return
        told = [c for c in self.changes[after:] if c.before or c.job.id in self.jobs]
        assert [(c.seq, c.event, c.after) for c in found] == [
            (c.seq, c.event, self.jobs.get(c.job.id)) for c in told[:limit]
        ]
        for mine, theirs in zip(told, found, strict=False):
            assert looks(mine.before) == looks(theirs.before)

    @invariant()
    def what_is_asked_all_the_time_agrees(self) -> None:
        if not hasattr(self, "store"):
            return
        every = sorted(self.jobs.values(), key=lambda job: job.number)
        queued = sorted((job for job in every if job.state is State.QUEUED), key=starting_order)
        due = [job for job in every if job.state is State.SCHEDULED]
        assert self.run(self.store.head(limit=5)) == queued[:5]
        assert [self.run(self.store.position(job)) for job in queued[-1:]] == [
            len(queued) - 1 for _ in queued[-1:]
        ]
        assert (
            self.run(self.store.due(limit=9)) == sorted(due, key=lambda j: (j.due_at, j.number))[:9]
        )
        assert self.run(self.store.live()) == [job for job in every if job.is_live]
        for owner in (None, *OWNERS):
            states = Counter(job.state for job in every if owner in (None, job.owner))
            assert self.run(self.store.counts(owner)) == {s: states[s] for s in State}
        assert self.run(self.store.last_seq()) == len(self.changes)
        for job in every[-2:]:
            rows = self.run(self.store.attempts(job.id))
            assert [row.number for row in rows] == list(range(1, self.attempts[job.id] + 1))


def looks(job: Job | None) -> tuple[object, ...] | None:
    """What a filter looks at."""
    return job and (job.id, job.owner, job.name, job.tags, job.queue, job.kind, job.state)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.timeout(180)
def test_the_store_agrees_with_a_dictionary(name: str) -> None:
    machine = type("Agreement", (Agreement,), {"opens": staticmethod(IMPLEMENTATIONS[name])})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
