"""The manager is killed at every durable step of a day's work: whatever is left, the next one mends."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_tasks import lifecycle as lc
from jupyter_tasks.errors import IllegalTransition
from jupyter_tasks.model import ENDED, Filter, Job, State
from tests.builders import a_job, a_receipt
from tests.crash.wreckage import job_processes, starts
from tests.eventually import eventually_async
from tests.office import Office, an_office

ROOT = Path(__file__).parent.parent.parent
SHORT = 'echo "$JUPYTER_TASKS_JOB" >> {state}/starts; exit 3'
LONG = 'echo "$JUPYTER_TASKS_JOB" >> {state}/starts; exec sleep 600'
AT_ONCE = 4


async def hand_in(office: Office, state: Path, command: str) -> Job:
    """Submit with an idempotency key, as our clients do: asked again, it is the same job."""
    job = a_job(command=command.format(state=state))
    jobs, _ = await office.manager.submit([job], a_receipt(job, key=command, body_hash="same"))
    return jobs[0]


@pytest.fixture
def lives(tmp_path: Path) -> None:
    """One life for each step, each in its own state directory."""
    launcher = [sys.executable, str(ROOT / "tests/crash/die_in_manager.py")]
    subprocess.run([*launcher, str(ROOT), str(tmp_path)], check=True, timeout=200)


@pytest.mark.timeout(600)
async def test_whatever_step_a_manager_dies_at_the_next_one_tells_the_truth(
    tmp_path: Path, lives: None
) -> None:
    runtime_dir = Path(os.environ["JUPYTER_TASKS_RUNTIME_DIR"])
    states = [entry for entry in tmp_path.iterdir() if entry.is_dir()]
    assert len(states) > 30, "each life ended too soon"

    width = asyncio.Semaphore(AT_ONCE)

    async def look(state: Path) -> None:
        async with width:
            await look_after(state, runtime_dir)

    async with asyncio.TaskGroup() as group:
        for state in states:
            group.create_task(look(state))


async def look_after(state: Path, runtime_dir: Path) -> None:
    """Do what the client does next, then hold what is there against what must be true."""
    step = Path(f"{state}.steps").read_text().splitlines()[-1]
    async with an_office(state, runtime_dir) as office:
        for job in (await office.store.find(Filter(), limit=500)).jobs:
            await settle(office, job, step)
        long = await hand_in(office, state, LONG)
        await settle(office, long, step)
        jobs = {job.id: job for job in (await office.store.find(Filter(), limit=500)).jobs}

        assert len(jobs) <= 2, (step, jobs)
        assert {job.attempt for job in jobs.values()} <= {0, 1}, (step, jobs)
        assert set(starts(state / "starts").values()) <= {1}, step
        for job in jobs.values():
            if job.spec.command == SHORT.format(state=state):
                assert (job.state, job.exit_code) == (State.FAILED, 3), (step, job)
                assert starts(state / "starts")[f"{job.id}/1"] == 1, step
            else:
                assert job.state is State.CANCELLED, (step, job)
        await eventually_async(
            lambda: no_stray_files(state, set(jobs)), what=f"no files are left: {step}"
        )
        assert not job_processes(jobs), step


async def settle(office: Office, job: Job, step: str) -> None:
    """Let the short one run to its end, and cancel the long one."""
    if "sleep" in job.spec.command:
        try:
            await office.manager.ask(job.id, None, lc.CancelAsked())
        except IllegalTransition:
            assert (await office.now(job)).state in ENDED, step
    await office.ended(job)


async def no_stray_files(state: Path, job_ids: set[str]) -> bool:
    """Whether there are attempts only of jobs that are still there."""
    return all(path.name in job_ids for path in state.glob("attempts/*/*"))
