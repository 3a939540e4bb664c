"""What every store promises (contracts.Store), against every implementation."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_tasks import lifecycle as lc
from jupyter_tasks.contracts import Store
from jupyter_tasks.errors import (
    BadMessage,
    DuplicateKey,
    ServerError,
    StaleVersion,
    StoreUnavailable,
    Superseded,
)
from jupyter_tasks.model import Change, End, Filter, Job, Progress, State
from tests.builders import a_change, a_deletion, a_job, a_receipt
from tests.contracts.stores import IMPLEMENTATIONS, Opens, a_store, added, committed

CLAIMED = lc.Claimed(pid=7, host="here", started_at=2100.0)
ENDED = lc.Ended(end=End(outcome="exited", ended_at=2200.0, exit_code=0, started_at=2100.0))


@pytest.fixture(params=IMPLEMENTATIONS)
def opens(request: pytest.FixtureRequest) -> Opens:
    return IMPLEMENTATIONS[request.param]


@pytest.fixture
def store(
    jp_asyncio_loop: asyncio.AbstractEventLoop, opens: Opens, tmp_path: Path
) -> Iterator[Store]:
    opened = opens(tmp_path)
    jp_asyncio_loop.run_until_complete(opened.take_over())
    yield opened
    jp_asyncio_loop.run_until_complete(opened.close())


async def ended(store: Store, job: Job) -> Job:
    job = await committed(store, a_change(job, lc.SlotGiven()))
    job = await committed(store, a_change(job, CLAIMED))
    return await committed(store, a_change(job, ENDED))


def names(jobs: list[Job] | tuple[Job, ...]) -> list[str]:
    return [job.name for job in jobs]


# -- adding ---------------------------------------------------------------------------------------


async def test_what_was_added_comes_back_field_by_field(store: Store) -> None:
    rich = a_job(
        name='Größe "quoted" \\ %_ 日本',
        tags=("b", "a", "ü"),
        command=("printf", "a\nb", "é"),
        env={"KEY": "välue"},
        stdin="x" * 100_000,
        tty=True,
        queue="gpu",
        priority=-7,
        timeout_s=1.5,
        memory_bytes=2**40,
        on_lost="requeue",
        progress=Progress(value=0.5, total=2.0, message="half", source="report"),
    )
    [job] = await added(store, rich)

    assert job == replace(rich, number=job.number)
    assert await store.get(rich.id) == job


async def test_numbers_and_events_go_upwards_in_the_order_of_the_jobs(store: Store) -> None:
    changes = [*await store.add([a_job(), a_job()]), *await store.add([a_job()])]

    assert [change.job.number for change in changes] == [1, 2, 3]
    assert [change.seq for change in changes] == [1, 2, 3]
    assert {(c.event, c.at, c.before) for c in changes} == {("submitted", 1500.0, None)}


async def test_jobs_are_added_all_or_none(store: Store) -> None:
    twice = a_job()
    first, last = a_job(), a_job()

    with pytest.raises(ServerError, match="can never be true"):
        await store.add([first, twice, twice, last])

    assert await store.get_many([first.id, twice.id, last.id]) == []
    assert await store.last_seq() == 0
    assert sum((await store.counts(None)).values()) == 0


async def test_adding_nothing_does_nothing(store: Store) -> None:
    assert await store.add([]) == []
    assert await store.last_seq() == 0


async def test_a_number_is_not_given_twice_also_after_a_deletion(store: Store) -> None:
    [job] = await added(store, a_job())
    await store.commit(a_deletion(await ended(store, job)))

    [later] = await added(store, a_job())

    assert later.number == job.number + 1


# -- receipts -------------------------------------------------------------------------------------


async def test_a_repeated_request_brings_back_the_jobs_of_the_first(store: Store) -> None:
    first, second = a_job(), a_job()
    receipt = a_receipt(first, second)
    changes = await store.add([first, second], receipt)

    again = await store.add([a_job(), a_job()], receipt)

    assert [change.job for change in again] == [change.job for change in changes]
    assert [change.seq for change in again] == [0, 0]
    assert (await store.counts("ada"))[State.QUEUED] == 2


async def test_a_key_stands_for_one_request_only(store: Store) -> None:
    job = a_job()
    await store.add([job], a_receipt(job))

    with pytest.raises(DuplicateKey, match="'key-1' stands for another request"):
        await store.add([a_job()], a_receipt(body_hash="hash-2"))

    assert (await store.counts("ada"))[State.QUEUED] == 1


async def test_two_owners_may_use_the_same_key(store: Store) -> None:
    job = a_job()
    await store.add([job], a_receipt(job))

    [change] = await store.add([a_job(owner="bob")], a_receipt(owner="bob", body_hash="hash-2"))

    assert change.seq == 2


async def test_a_receipt_goes_with_the_last_of_its_jobs(store: Store) -> None:
    jobs = [a_job(), a_job()]
    receipt = a_receipt(*jobs)
    one, two = [change.job for change in await store.add(jobs, receipt)]

    await store.commit(a_deletion(await ended(store, one)))
    assert [change.job for change in await store.add(jobs, receipt)] == [two]

    await store.commit(a_deletion(await ended(store, two)))
    assert [change.seq > 0 for change in await store.add([a_job()], receipt)] == [True]


async def test_old_receipts_are_forgotten(store: Store) -> None:
    old, new = a_job(), a_job()
    await store.add([old], a_receipt(old, key="old", created_at=10.0))
    await store.add([new], a_receipt(new, key="new", created_at=20.0))

    assert await store.forget_receipts(before=20.0) == 1

    assert (await store.add([a_job()], a_receipt(key="old")))[0].seq > 0
    assert (await store.add([a_job()], a_receipt(key="new")))[0].seq == 0


# -- committing -----------------------------------------------------------------------------------


async def test_a_commit_replaces_the_job_its_event_and_its_attempt_together(store: Store) -> None:
    [job] = await added(store, a_job())
    change = await store.commit(a_change(job, lc.SlotGiven()))

    assert change.seq == 2
    assert await store.get(job.id) == change.after
    assert await store.attempts(job.id) == [change.attempt]


async def test_where_an_attempt_runs_is_told_once_and_kept(store: Store) -> None:
    [job] = await added(store, a_job())
    starting = await store.commit(a_change(job, lc.SlotGiven()))
    claimed = lc.Claimed(pid=12, host="here", started_at=2000.0)
    running = await store.commit(a_change(starting.job, claimed))
    assert [(one.host, one.pid) for one in await store.attempts(job.id)] == [("here", 12)]

    await store.commit(a_change(running.job, lc.CancelAsked()))
    assert [(one.host, one.pid) for one in await store.attempts(job.id)] == [("here", 12)]


async def test_a_commit_upon_a_former_version_changes_nothing(store: Store) -> None:
    [job] = await added(store, a_job())
    started = await committed(store, a_change(job, lc.SlotGiven()))

    with pytest.raises(StaleVersion, match="is starting and at version 2 by now, not 1"):
        await store.commit(a_change(job, lc.CancelAsked()))

    assert await store.get(job.id) == started
    assert await store.last_seq() == 2


async def test_a_commit_upon_a_deleted_job_is_refused(store: Store) -> None:
    [job] = await added(store, a_job())
    job = await ended(store, job)
    await store.commit(a_deletion(job))

    with pytest.raises(StaleVersion, match="was deleted in the meantime"):
        await store.commit(a_change(job, lc.RestartAsked()))
    assert await store.get(job.id) is None


async def test_an_edit_changes_all_that_people_may_change(store: Store) -> None:
    [job] = await added(store, a_job(tags=("old",)))
    edit = lc.Edited(
        spec=replace(job.spec, command="make clean"),
        name="renamed",
        tags=("new", "x"),
        queue="gpu",
        priority=9,
        limits=(("timeout_s", 3.0), ("memory_bytes", None), ("grace_s", 1.0)),
    )
    after = await committed(store, a_change(job, edit))

    assert await store.get(job.id) == after
    for wanted, found in {
        Filter(text="RENAMED"): [after],
        Filter(text="make"): [],
        Filter(tags=("new",)): [after],
        Filter(tags=("old",)): [],
        Filter(queues=("gpu",)): [after],
        Filter(queues=("default",)): [],
    }.items():
        assert list((await store.find(wanted, limit=5)).jobs) == found, wanted


async def test_a_deletion_takes_along_all_but_its_event(store: Store) -> None:
    [job] = await added(store, a_job(tags=("t",)))
    job = await ended(store, job)

    deleted = await store.commit(a_deletion(job))

    assert deleted.seq == await store.last_seq()
    assert await store.get(job.id) is None
    assert await store.attempts(job.id) == []
    assert (await store.find(Filter(tags=("t",)), limit=5)).jobs == ()
    assert (await store.find(Filter(text="make"), limit=5)).jobs == ()
    assert not any((await store.counts(None)).values())


async def test_one_refusal_does_not_touch_what_was_asked_at_the_same_time(store: Store) -> None:
    jobs = await added(store, *(a_job() for _ in range(20)))
    changes = [a_change(job, lc.SlotGiven()) for job in jobs]
    changes[3] = replace(changes[3], before=replace(jobs[3], version=9))
    changes[7] = a_change(jobs[7], lc.SlotGiven(), ended_at=5.0)  # starting, and ended

    results = await asyncio.gather(*map(store.commit, changes), return_exceptions=True)

    assert isinstance(results.pop(7), ServerError)
    assert isinstance(results.pop(3), StaleVersion)
    assert all(isinstance(result, Change) for result in results)
    assert (await store.counts("ada"))[State.STARTING] == 18
    assert len(await store.changes(20, limit=100) or []) == 18


@pytest.mark.parametrize(
    "never",
    [
        {"resume_to": State.QUEUED},
        {"state": State.PAUSED},
        {"state": State.SUCCEEDED},
        {"ended_at": 5.0},
        {"state": State.FAILED, "ended_at": 5.0, "started_at": 6.0},
        {"state": State.SCHEDULED},
        {"state": State.RUNNING},
        {"attempt": -1},
        {"version": 0},
        {"timeout_s": -1.0},
        {"grace_s": -1.0},
        {"output_bytes": -1},
        {"on_lost": "explode"},
        {"name": "\ud800"},
        {"priority": 2**70},
    ],
)
async def test_what_can_never_be_true_is_refused(store: Store, never: dict[str, object]) -> None:
    with pytest.raises(ServerError, match="can never be true"):
        await store.add([a_job(**never)])


async def test_a_job_never_has_two_attempts_at_once(store: Store) -> None:
    [job] = await added(store, a_job())
    job = await committed(store, a_change(job, lc.SlotGiven()))
    again = a_change(job, CLAIMED, attempt=2)

    with pytest.raises(ServerError, match="can never be true"):
        await store.commit(again)

    assert await store.get(job.id) == job


async def test_attempts_are_kept_the_oldest_first(store: Store) -> None:
    [job] = await added(store, a_job())
    job = await ended(store, job)
    job = await committed(store, a_change(job, lc.RestartAsked()))
    await committed(store, a_change(job, lc.SlotGiven()))

    rows = await store.attempts(job.id)

    assert [(row.number, row.state) for row in rows] == [(1, "succeeded"), (2, "starting")]
    assert (rows[0].job, rows[0].exit_code, rows[0].ended_at) == (job.id, 0, 2200.0)


# -- who may write --------------------------------------------------------------------------------


async def test_only_who_took_over_last_may_write(opens: Opens, tmp_path: Path) -> None:
    async with a_store(opens, tmp_path) as first, a_store(opens, tmp_path) as second:
        job = a_job()
        with pytest.raises(Superseded, match="Another server has taken charge"):
            await first.add([job])
        assert await second.get(job.id) is None

        await added(second, job)
        assert (await first.get(job.id)) is not None


async def test_who_never_took_over_writes_nothing(opens: Opens, tmp_path: Path) -> None:
    async with a_store(opens, tmp_path, writes=False) as store:
        with pytest.raises(StoreUnavailable, match="not in charge"):
            await store.add([a_job()])
        assert await store.last_seq() == 0


async def test_a_take_over_gives_a_higher_epoch_each_time(opens: Opens, tmp_path: Path) -> None:
    async with a_store(opens, tmp_path) as first, a_store(opens, tmp_path) as second:
        epochs = [await store.take_over() for store in (first, second, first)]
        await added(first, a_job())

    assert epochs == sorted(set(epochs))


async def test_everything_is_there_after_closing_and_opening(opens: Opens, tmp_path: Path) -> None:
    async with a_store(opens, tmp_path) as store:
        [job] = await added(store, a_job())
    async with a_store(opens, tmp_path) as store:
        assert await store.head(limit=5) == [job]


async def test_closing_finishes_what_was_asked_and_may_be_repeated(
    opens: Opens, tmp_path: Path
) -> None:
    async with a_store(opens, tmp_path) as store:
        asked = [asyncio.ensure_future(store.add([a_job()])) for _ in range(30)]
        await asyncio.sleep(0)
        await store.close()
        await store.close()
        assert len(await asyncio.gather(*asked)) == 30
        with pytest.raises(StoreUnavailable, match="was closed"):
            await store.add([a_job()])
        with pytest.raises(StoreUnavailable, match="was closed"):
            await store.last_seq()


async def test_a_caller_that_goes_away_does_not_undo_what_it_asked(store: Store) -> None:
    job = a_job()
    asked = asyncio.ensure_future(store.add([job]))
    await asyncio.sleep(0)
    asked.cancel()

    await added(store, a_job())

    assert await store.get(job.id) is not None


# -- reading --------------------------------------------------------------------------------------


async def test_lists_are_paged_newest_first(store: Store) -> None:
    await added(store, *(a_job(name=f"job {n}") for n in range(5)))

    first = await store.find(Filter(owner="ada"), limit=2)
    await added(store, a_job(name="newer"))
    second = await store.find(Filter(owner="ada"), limit=2, after=first.after)
    third = await store.find(Filter(owner="ada"), limit=2, after=second.after)

    pages = [names(page.jobs) for page in (first, second, third)]
    assert pages == [["job 4", "job 3"], ["job 2", "job 1"], ["job 0"]]
    assert third.after is None


async def test_a_last_page_that_is_full_has_no_next(store: Store) -> None:
    await added(store, a_job(), a_job())

    assert (await store.find(Filter(), limit=2)).after is None


@pytest.mark.parametrize("key", ["", "x", "-1", "1.5", "٣", "9" * 40, "1 OR 1=1"])
async def test_a_key_that_is_none_of_ours_is_refused(store: Store, key: str) -> None:
    with pytest.raises(BadMessage, match="is no key of a page"):
        await store.find(Filter(), limit=2, after=key)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("TRAIN", ["Train 2", "train 1"]),
        ("größe", ["GRÖSSE 100%"]),
        ("e", ["GRÖSSE 100%"]),
        ("0%", ["GRÖSSE 100%"]),
        ("_", ["a_b"]),
        ('"x" OR *', ['say "x" OR * now']),
        ("in 1", ["train 1"]),
        ("absent", []),
    ],
)
async def test_a_text_is_looked_for_anywhere_in_the_name_without_case(
    store: Store, text: str, found: list[str]
) -> None:
    every = ["train 1", "Train 2", "GRÖSSE 100%", "a_b", 'say "x" OR * now']
    await added(store, *(a_job(name=name) for name in every))

    assert names((await store.find(Filter(text=text), limit=9)).jobs) == found


async def test_several_tags_mean_and_several_states_mean_or(store: Store) -> None:
    one, two, three = await added(
        store, a_job(tags=("a",)), a_job(tags=("a", "b", "a")), a_job(tags=("b",))
    )
    await committed(store, a_change(three, lc.CancelAsked()))

    both = await store.find(Filter(tags=("b", "a")), limit=9)
    either = await store.find(Filter(states=(State.QUEUED, State.CANCELLED)), limit=9)

    assert [job.id for job in both.jobs] == [two.id]
    assert [job.id for job in either.jobs] == [three.id, two.id, one.id]


async def test_many_come_in_the_order_asked_for(store: Store) -> None:
    one, _, three = await added(store, a_job(), a_job(), a_job())

    assert await store.get_many([three.id, "absent", one.id]) == [three, one]
    assert await store.get_many([]) == []
    assert await store.get("absent") is None


async def test_the_queue_is_read_in_starting_order(store: Store) -> None:
    await added(
        store,
        a_job(name="late", queued_at=30.0),
        a_job(name="early", queued_at=10.0),
        a_job(name="first of two", queued_at=20.0),
        a_job(name="second of two", queued_at=20.0),
        a_job(name="urgent", queued_at=99.0, priority=5),
        a_job(name="never queued", queued_at=None, created_at=25.0),
    )
    head = await store.head(limit=9)

    order = ["urgent", "early", "first of two", "second of two", "never queued", "late"]
    assert names(head) == order
    assert names(await store.head(limit=2)) == order[:2]
    assert [await store.position(job) for job in head] == [0, 1, 2, 3, 4, 5]


async def test_scheduled_jobs_are_read_by_the_time_they_are_due(store: Store) -> None:
    def at(due: float) -> Job:
        return a_job(name=f"at {due:g}", state=State.SCHEDULED, due_at=due, queued_at=None)

    await added(store, at(30.0), at(10.0), a_job(), at(20.0))

    assert names(await store.due(limit=2)) == ["at 10", "at 20"]


async def test_what_holds_a_slot_is_live(store: Store) -> None:
    starting, running, stopped, paused, _ = await added(store, *(a_job() for _ in range(5)))
    starting = await committed(store, a_change(starting, lc.SlotGiven()))
    running = await committed(store, a_change(running, lc.SlotGiven()))
    running = await committed(store, a_change(running, CLAIMED))
    stopped = await committed(store, a_change(stopped, lc.SlotGiven()))
    stopped = await committed(store, a_change(stopped, CLAIMED))
    stopped = await committed(store, a_change(stopped, lc.PauseAsked()))
    stopped = await committed(store, a_change(stopped, lc.Stopped()))
    await committed(store, a_change(paused, lc.PauseAsked()))

    assert await store.live() == [starting, running, stopped]


async def test_counts_tell_every_state_of_an_owner(store: Store) -> None:
    mine, _, _ = await added(store, a_job(), a_job(), a_job(owner="bob"))
    await ended(store, mine)

    counts = await store.counts("ada")

    assert counts == dict.fromkeys(State, 0) | {State.QUEUED: 1, State.SUCCEEDED: 1}
    assert (await store.counts(None))[State.QUEUED] == 2


# -- what happened --------------------------------------------------------------------------------


async def test_changes_tell_what_happened_and_what_a_filter_saw_before(store: Store) -> None:
    [job] = await added(store, a_job(tags=("t",)))
    after = await committed(store, a_change(job, lc.Edited(name="new", tags=(), queue="gpu")))
    await committed(store, a_change(after, lc.SlotGiven()))
    now = await store.get(job.id)

    changes = await store.changes(0, limit=9)

    assert changes is not None
    assert [(c.seq, c.event) for c in changes] == [
        (1, "submitted"),
        (2, "edited"),
        (3, "slot_given"),
    ]
    assert [c.after for c in changes] == [now, now, now]
    submitted, edited, started = (c.before for c in changes)
    assert submitted is None
    assert edited is not None
    assert (edited.name, edited.tags, edited.queue) == (job.name, ("t",), "default")
    assert edited.state is State.QUEUED
    assert started is not None
    assert (started.name, started.state) == ("new", State.QUEUED)


async def test_changes_are_given_in_parts(store: Store) -> None:
    await added(store, *(a_job() for _ in range(5)))

    assert [c.seq for c in await store.changes(2, limit=2) or []] == [3, 4]
    assert await store.changes(5, limit=2) == []


async def test_changes_of_a_deleted_job_can_still_be_filtered(store: Store) -> None:
    [job] = await added(store, a_job(tags=("t",), queue="gpu"))
    await store.commit(a_deletion(await ended(store, job)))
    wanted = Filter(owner="ada", tags=("t",), queues=("gpu",), kinds=("shell",), text="make")

    changes = await store.changes(0, limit=9)

    assert changes is not None
    assert [c.event for c in changes] == ["slot_given", "claimed", "ended", "deleted"]
    assert all(c.after is None for c in changes)
    assert all(c.before is not None and wanted.accepts(c.before) for c in changes)
    assert changes[-1].job.state is State.SUCCEEDED


async def test_forgotten_changes_are_told_from_none(store: Store) -> None:
    await added(store, *(a_job() for _ in range(10)))

    assert await store.forget_events(keep=4) == 6

    assert await store.changes(5, limit=9) is None
    assert [c.seq for c in await store.changes(6, limit=9) or []] == [7, 8, 9, 10]
    assert await store.forget_events(keep=0) == 4
    assert await store.last_seq() == 10
    assert await store.changes(9, limit=9) is None
    assert await store.changes(10, limit=9) == []


async def test_changes_after_an_event_that_never_was_are_not_known(store: Store) -> None:
    await added(store, a_job())

    assert await store.changes(7, limit=9) is None
