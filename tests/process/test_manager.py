"""The manager with a real store, real supervisors and real processes; no web server."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_tasks import attempt
from jupyter_tasks import lifecycle as lc
from jupyter_tasks.errors import Conflict, IllegalTransition, NoActiveManager, NoSuchThing
from jupyter_tasks.model import Change, Filter, ShellSpec, State
from tests.builders import a_job
from tests.eventually import eventually, eventually_async
from tests.office import Office, an_office

FOREVER = "exec sleep 600"


@pytest.fixture
def place(tmp_path: Path, _own_runtime_dir: Path) -> tuple[Path, Path]:
    return tmp_path, _own_runtime_dir


def supervisor_of(office: Office, job_id: str, number: int = 1) -> int:
    claim = attempt.probe(office.executor.attempt_dir(job_id, number)).claim
    assert claim is not None
    return claim.pid


async def test_a_job_runs_and_what_became_of_it_is_kept(place: tuple[Path, Path]) -> None:
    async with an_office(*place) as office:
        job = await office.ended(await office.submit("echo hello; exit 3"))

        assert (job.state, job.reason, job.exit_code) == (State.FAILED, "exit", 3)
        assert b"hello\n" in office.output(job)
        assert await office.store.get(job.id) == job


async def test_jobs_start_by_priority_then_in_order_and_never_more_than_allowed(
    place: tuple[Path, Path],
) -> None:
    started: list[str] = []
    async with an_office(*place, max_running=1) as office:
        first = await office.submit("sleep 0.2", name="first")

        def note(news: object) -> None:
            assert office.manager.running <= 1
            if isinstance(news, Change) and news.event == "slot_given":
                started.append(news.job.name)

        office.manager.feed.subscribe(note)
        names = {"low": -1, "one": 0, "two": 0, "high": 5}
        jobs = [await office.submit("true", name=n, priority=p) for n, p in names.items()]
        for job in [first, *jobs]:
            await office.ended(job)

    assert started[-4:] == ["high", "one", "two", "low"]


async def test_a_supervisor_takes_the_next_job(place: tuple[Path, Path]) -> None:
    async with an_office(*place, max_running=1) as office:
        jobs = [await office.submit("true") for _ in range(5)]
        for job in jobs:
            await office.ended(job)

        assert len({supervisor_of(office, job.id) for job in jobs}) == 1


async def test_cancel_ends_the_job_and_a_second_one_at_once(place: tuple[Path, Path]) -> None:
    async with an_office(*place) as office:
        job = await office.submit("trap '' TERM; while :; do sleep 0.1; done", grace_s=600)
        await office.until(job, State.RUNNING)

        asked = await office.manager.ask(job.id, None, lc.CancelAsked())
        assert (asked.state, asked.cancel_reason) == (State.RUNNING, "user")
        await office.manager.ask(job.id, None, lc.CancelAsked())

        assert (await office.ended(job)).state is State.CANCELLED


async def test_a_job_cancelled_while_it_starts_never_runs_or_is_stopped(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place, max_running=8) as office:
        for _ in range(8):
            job = await office.submit(FOREVER)
            await office.until(job, State.STARTING, State.RUNNING)
            await office.manager.ask(job.id, None, lc.CancelAsked())

            assert (await office.ended(job)).state is State.CANCELLED
        assert office.manager.running == 0


async def test_a_queued_job_can_be_paused_resumed_edited_and_cancelled(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place, max_running=1) as office:
        blocker = await office.submit(FOREVER)
        job = await office.submit("true")

        paused = await office.manager.ask(job.id, None, lc.PauseAsked())
        assert (paused.state, paused.resume_to) == (State.PAUSED, State.QUEUED)
        edited = await office.manager.edit(job.id, None, paused.version, lc.Edited(name="new"))
        assert edited.name == "new"
        resumed = await office.manager.ask(job.id, None, lc.ResumeAsked())
        assert resumed.state is State.QUEUED
        explanation = await office.manager.explain(job.id, None)
        assert (explanation.position, explanation.running, explanation.max_running) == (0, 1, 1)

        await office.manager.ask(job.id, None, lc.CancelAsked())
        assert (await office.now(job)).state is State.CANCELLED
        await office.manager.ask(blocker.id, None, lc.CancelAsked())
        await office.ended(blocker)


async def test_run_ignores_the_slots(place: tuple[Path, Path]) -> None:
    async with an_office(*place, max_running=1) as office:
        blocker = await office.submit(FOREVER)
        job = await office.submit("true")

        await office.manager.ask(job.id, None, lc.RunAsked())

        assert (await office.ended(job)).state is State.SUCCEEDED
        await office.manager.ask(blocker.id, None, lc.CancelAsked())
        await office.ended(blocker)


async def test_a_running_job_is_paused_and_resumed(place: tuple[Path, Path]) -> None:
    async with an_office(*place) as office:
        job = await office.submit("while :; do echo tick; sleep 0.01; done")
        await office.until(job, State.RUNNING)

        await office.manager.ask(job.id, None, lc.PauseAsked())
        paused = await office.until(job, State.PAUSED)
        assert (paused.resume_to, paused.is_live) == (State.RUNNING, True)
        size = len(office.output(job))
        await office.manager.ask(job.id, None, lc.ResumeAsked())
        await office.until(job, State.RUNNING)
        eventually(lambda: len(office.output(job)) > size)

        await office.manager.ask(job.id, None, lc.CancelAsked())
        await office.ended(job)


async def test_an_ended_job_can_be_restarted_and_keeps_its_first_attempt(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place) as office:
        job = await office.ended(await office.submit("exit 7"))

        await office.manager.ask(job.id, None, lc.RestartAsked())
        again = await eventually_async(lambda: _at_attempt(office, job.id, 2))

        rows = await office.store.attempts(job.id)
        assert [(row.number, row.exit_code) for row in rows] == [(1, 7), (2, 7)]
        assert again.attempt == 2


async def _at_attempt(office: Office, job_id: str, number: int) -> object:
    job = await office.manager.get(job_id, None)
    return job if job.attempt == number and job.has_ended else None


async def test_only_an_ended_job_can_be_deleted_and_its_files_go_with_it(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place) as office:
        job = await office.submit(FOREVER)
        await office.until(job, State.RUNNING)
        with pytest.raises(Conflict, match=f"Job {job.id} is running; .* Cancel it first"):
            await office.manager.delete(job.id, None)
        await office.manager.ask(job.id, None, lc.CancelAsked())
        await office.ended(job)

        await office.manager.delete(job.id, None)

        assert not Path(office.executor.attempt_dir(job.id, 1)).exists()
        with pytest.raises(NoSuchThing):
            await office.manager.get(job.id, None)


async def test_what_was_prepared_for_a_start_that_did_not_come_is_not_what_starts_later(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place, max_running=1) as office:
        blocker = await office.submit(FOREVER)
        job = await office.submit("echo old")
        office.executor.prepare(replace(job, attempt=1))
        spec = ShellSpec(command="echo new", cwd="/")
        await office.manager.edit(job.id, None, job.version, lc.Edited(spec=spec))

        await office.manager.ask(blocker.id, None, lc.CancelAsked())
        await office.ended(job)

        assert b"new" in office.output(job)


async def test_what_was_prepared_goes_with_the_job(place: tuple[Path, Path]) -> None:
    async with an_office(*place) as office:
        job = a_job(attempt=1)
        office.executor.prepare(job)

        await office.executor.forget(job)

        assert not Path(attempt.job_path(place[0], job.id)).exists()


async def test_a_strangers_job_is_not_there(place: tuple[Path, Path]) -> None:
    async with an_office(*place) as office:
        job = await office.ended(await office.submit("true", owner="ann"))

        for refused in (
            office.manager.get(job.id, "bob"),
            office.manager.ask(job.id, "bob", lc.RestartAsked()),
            office.manager.delete(job.id, "bob"),
        ):
            with pytest.raises(NoSuchThing, match=job.id):
                await refused


async def test_what_the_state_forbids_is_refused_in_words(place: tuple[Path, Path]) -> None:
    async with an_office(*place) as office:
        job = await office.ended(await office.submit("true"))

        with pytest.raises(IllegalTransition, match=r"is succeeded; only .* can be cancelled"):
            await office.manager.ask(job.id, None, lc.CancelAsked())


async def test_a_bulk_action_counts_and_touches_only_those_it_can_be_done_to(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place, max_running=1) as office:
        done = await office.ended(await office.submit("true", tags=("x",)))
        blocker = await office.submit(FOREVER)
        waiting = [await office.submit("true", tags=("x",)) for _ in range(3)]

        counts = await office.manager.ask_all(Filter(tags=("x",)), lc.CancelAsked())

        assert counts == {"matched": 3, "done": 3, "refused": 0}
        assert (await office.now(done)).state is State.SUCCEEDED
        assert {await _state(office, job.id) for job in waiting} == {State.CANCELLED}
        await office.manager.ask(blocker.id, None, lc.CancelAsked())
        await office.ended(blocker)


async def _state(office: Office, job_id: str) -> State:
    return (await office.manager.get(job_id, None)).state


async def test_a_running_job_outlives_its_manager_and_is_found_again(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place) as office:
        job = await office.submit("echo one; sleep 0.5; echo two")
        await office.until(job, State.RUNNING)
        pid = supervisor_of(office, job.id)

    async with an_office(*place) as office:
        found = await office.now(job)
        assert found.state is State.RUNNING
        assert supervisor_of(office, job.id) == pid

        ended = await office.ended(job)
        assert (ended.state, ended.attempt, ended.exit_code) == (State.SUCCEEDED, 1, 0)
        assert b"one\n" in office.output(job)
        assert b"two\n" in office.output(job)


async def test_a_job_that_ended_meanwhile_is_booked_with_its_true_end(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place) as office:
        job = await office.submit("sleep 0.2; exit 5")
        await office.until(job, State.RUNNING)
        directory = office.executor.attempt_dir(job.id, 1)
    eventually(lambda: attempt.probe(directory).end)

    async with an_office(*place) as office:
        ended = await office.ended(job)

        assert (ended.state, ended.exit_code, ended.attempt) == (State.FAILED, 5, 1)


async def test_a_job_found_again_can_be_cancelled_and_paused(place: tuple[Path, Path]) -> None:
    async with an_office(*place) as office:
        job = await office.submit(FOREVER)
        await office.until(job, State.RUNNING)

    async with an_office(*place) as office:
        await office.manager.ask(job.id, None, lc.PauseAsked())
        await office.until(job, State.PAUSED)

    async with an_office(*place) as office:
        assert (await office.now(job)).state is State.PAUSED
        await office.manager.ask(job.id, None, lc.ResumeAsked())
        await office.until(job, State.RUNNING)
        await office.manager.ask(job.id, None, lc.CancelAsked())
        assert (await office.ended(job)).state is State.CANCELLED


async def test_a_job_whose_supervisor_dies_is_lost_and_its_tree_is_ended(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place) as office:
        job = await office.submit("echo $$; exec sleep 600")
        await office.until(job, State.RUNNING)
        leader = int(eventually(lambda: _printed_number(office.output(job))))

        os.kill(supervisor_of(office, job.id), signal.SIGKILL)

        lost = await office.ended(job)
        assert (lost.state, lost.reason) == (State.LOST, "supervisor_died")
        eventually(lambda: not Path(f"/proc/{leader}").exists())


def _printed_number(output: bytes) -> bytes | None:
    lines = [line for line in output.splitlines() if line.isdigit()]
    return lines[0] if lines else None


async def test_a_lost_job_goes_back_to_its_queue_where_its_policy_says_so(
    place: tuple[Path, Path],
) -> None:
    command = "test -e again && exit 0; touch again; exec sleep 600"
    async with an_office(*place) as office:
        job = await office.submit(command, cwd=str(place[0]), on_lost="requeue")
        await office.until(job, State.RUNNING)
        eventually((place[0] / "again").exists)

        os.kill(supervisor_of(office, job.id), signal.SIGKILL)

        ended = await office.ended(job)
        assert (ended.state, ended.attempt) == (State.SUCCEEDED, 2)
        assert [row.state for row in await office.store.attempts(job.id)] == [
            State.LOST,
            State.SUCCEEDED,
        ]


async def test_a_lost_job_that_was_paused_waits_for_a_person_before_it_runs_again(
    place: tuple[Path, Path],
) -> None:
    command = "test -e again && exit 0; touch again; exec sleep 600"
    async with an_office(*place) as office:
        job = await office.submit(command, cwd=str(place[0]), on_lost="requeue")
        await office.until(job, State.RUNNING)
        eventually((place[0] / "again").exists)
        await office.manager.ask(job.id, None, lc.PauseAsked())
        await office.until(job, State.PAUSED)

        os.kill(supervisor_of(office, job.id), signal.SIGKILL)

        async def is_lost() -> bool:
            return (await office.store.attempts(job.id))[0].state is State.LOST

        await eventually_async(is_lost)
        waiting = await office.now(job)
        assert (waiting.state, waiting.resume_to) == (State.PAUSED, State.QUEUED)
        assert office.manager.running == 0
        await office.manager.ask(job.id, None, lc.ResumeAsked())
        assert (await office.ended(job)).attempt == 2


async def test_a_fork_server_that_dies_is_replaced_and_no_job_suffers(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place, max_running=4) as office:
        running = await office.submit("sleep 0.5; exit 0")
        await office.until(running, State.RUNNING)
        fork_server = int(
            Path(f"/proc/{supervisor_of(office, running.id)}/stat").read_text().split()[3]
        )

        os.kill(fork_server, signal.SIGKILL)
        others = [await office.submit("true") for _ in range(6)]

        for job in [running, *others]:
            assert (await office.ended(job)).state is State.SUCCEEDED


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_a_fork_server_that_hangs_is_replaced_and_every_attempt_runs_once(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place, max_running=8) as office:
        running = await office.submit(FOREVER)
        await office.until(running, State.RUNNING)
        fork_server = parent(supervisor_of(office, running.id))
        ran = place[0] / "ran"

        os.kill(fork_server, signal.SIGSTOP)
        others = [await office.submit(f"echo {n} >> {ran}") for n in range(6)]

        for job in others:
            ended = await office.ended(job)
            assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1)
        assert sorted(ran.read_text().split()) == [*"012345"]
        eventually(lambda: not Path(f"/proc/{fork_server}").exists() or is_zombie(fork_server))
        assert (await office.now(running)).state is State.RUNNING
        await office.manager.ask(running.id, None, lc.CancelAsked())
        await office.ended(running)


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


async def test_a_job_that_is_cancelled_while_the_fork_server_hangs_never_runs(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place, max_running=8) as office:
        running = await office.submit(FOREVER)
        await office.until(running, State.RUNNING)
        fork_server = parent(supervisor_of(office, running.id))

        os.kill(fork_server, signal.SIGSTOP)
        job = await office.submit(f"touch {place[0] / 'ran'}")
        await office.until(job, State.STARTING)
        await office.manager.ask(job.id, None, lc.CancelAsked())
        assert (await office.ended(job)).state is State.CANCELLED
        os.kill(fork_server, signal.SIGCONT)

        after = await office.submit("true")
        assert (await office.ended(after)).state is State.SUCCEEDED
        assert not (place[0] / "ran").exists()
        await office.manager.ask(running.id, None, lc.CancelAsked())
        await office.ended(running)


async def test_a_fork_server_that_hangs_is_ended_when_its_server_goes(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place) as office:
        running = await office.submit(FOREVER)
        await office.until(running, State.RUNNING)
        fork_server = parent(supervisor_of(office, running.id))
        await office.manager.ask(running.id, None, lc.CancelAsked())
        await office.ended(running)
        os.kill(fork_server, signal.SIGSTOP)

    assert not Path(f"/proc/{fork_server}").exists()


async def test_without_fork_everything_is_the_same(place: tuple[Path, Path]) -> None:
    async with an_office(*place, fork=False) as office:
        jobs = [await office.submit("echo hi") for _ in range(4)]
        for job in jobs:
            assert (await office.ended(job)).state is State.SUCCEEDED
            assert b"hi\n" in office.output(job)


async def test_a_manager_that_was_superseded_changes_nothing_more(place: tuple[Path, Path]) -> None:
    async with an_office(*place) as former, an_office(*place) as office:
        with pytest.raises(Exception, match="Another server"):
            await former.submit("true")
        assert not former.manager.is_active
        with pytest.raises(NoActiveManager):
            await former.submit("true")

        assert (await office.ended(await office.submit("true"))).state is State.SUCCEEDED
