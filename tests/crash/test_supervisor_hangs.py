"""A supervisor that hangs (stopped, or on a dead disk) holds up nobody but its own job."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from jupyter_tasks import attempt
from jupyter_tasks import lifecycle as lc
from jupyter_tasks.model import Job, State
from tests.crash.wreckage import job_processes
from tests.eventually import eventually, eventually_async
from tests.office import Office, an_office


@pytest.fixture
def place(tmp_path: Path, _own_runtime_dir: Path) -> tuple[Path, Path]:
    return tmp_path, _own_runtime_dir


def held_by(directory: str) -> int:
    claim = attempt.probe(directory).claim
    assert claim is not None
    return claim.pid


async def test_a_supervisor_that_hangs_does_not_hold_up_the_start_of_a_server(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place) as office:
        job = await office.submit("exec sleep 600")
        job = await office.until(job, State.RUNNING)
        pid = held_by(office.executor.dir_of(job))
    os.kill(pid, signal.SIGSTOP)

    began = asyncio.get_running_loop().time()
    async with an_office(*place) as office:
        other = await office.ended(await office.submit("true"))
        took_s = asyncio.get_running_loop().time() - began
        assert (other.state, took_s < 2) == (State.SUCCEEDED, True)
        assert (await office.now(job)).state is State.RUNNING

        os.kill(pid, signal.SIGCONT)
        await office.manager.ask(job.id, None, lc.CancelAsked())
        assert (await office.ended(job)).state is State.CANCELLED


@pytest.mark.parametrize("has_sockets", [True, False])
@pytest.mark.parametrize("is_restarted", [True, False])
async def test_a_second_cancel_ends_a_job_whose_supervisor_hangs(
    place: tuple[Path, Path], has_sockets: bool, is_restarted: bool
) -> None:
    async with an_office(*place) as office:
        job = await office.submit("exec sleep 600")
        job = await office.until(job, State.RUNNING)
        directory = office.executor.dir_of(job)
        os.kill(held_by(directory), signal.SIGSTOP)
        if not has_sockets:
            claim = attempt.probe(directory).claim
            assert claim is not None
            Path(claim.control).unlink()
        if not is_restarted:
            await cancel_twice(office, job)
    if is_restarted:
        async with an_office(*place) as office:
            await cancel_twice(office, job)
    assert not job_processes([job.id])


async def cancel_twice(office: Office, job: Job) -> None:
    for _ in range(2):
        asked = await office.manager.ask(job.id, None, lc.CancelAsked())
        assert asked.state is State.RUNNING
    ended = await office.ended(asked)
    assert (ended.state, ended.reason) == (State.CANCELLED, "user")


async def test_a_cancel_that_is_told_again_after_a_restart_leaves_the_job_its_grace(
    place: tuple[Path, Path],
) -> None:
    last_words = "trap 'sleep 1; echo bye; exit 0' TERM; echo begun; while :; do sleep 0.05; done"
    async with an_office(*place) as office:
        job = await office.submit(last_words, grace_s=30)
        await office.until(job, State.RUNNING)
        eventually(lambda: b"begun" in office.output(job))
        await office.manager.ask(job.id, None, lc.CancelAsked())

    async with an_office(*place) as office:
        ended = await office.ended(job)
        assert b"bye\n" in office.output(job)
    assert (ended.state, ended.exit_code) == (State.CANCELLED, 0)


async def test_an_attempt_on_another_host_is_left_alone_until_a_person_gives_it_up(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place) as office:
        job = await office.submit("exec sleep 600")
        job = await office.until(job, State.RUNNING)
        directory = office.executor.dir_of(job)
    claim = attempt.probe(directory).claim
    assert claim is not None
    elsewhere = claim._asdict() | {"machine_id": "m", "boot_id": "b", "host": "far-away"}
    Path(directory, "claim").write_text(json.dumps(elsewhere) + "\n")

    async with an_office(*place) as office:
        await eventually_async(lambda: reason_is(office, job, "host_unreachable"))
        assert (await office.now(job)).state is State.RUNNING
        assert "far-away" in (await office.manager.explain(job.id, None)).message
        await office.manager.ask(job.id, None, lc.CancelAsked())
        told = await office.manager.explain(job.id, None)
        assert "Cancel it once more to give it up" in told.message
        await office.manager.ask(job.id, None, lc.CancelAsked())
        ended = await office.ended(job)

    assert (ended.state, ended.reason) == (State.CANCELLED, "user")
    assert "whether it still runs on far-away is not known" in ended.message
    assert len(job_processes([job.id])) == 1, "it was not to be signalled"
    os.kill(claim.pid, signal.SIGKILL)
    assert attempt.end_tree(claim) == []


async def reason_is(office: Office, job: Job, reason: str) -> bool:
    return (await office.now(job)).reason == reason
