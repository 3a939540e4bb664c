"""Killed at any durable step, supervisor or fork server, what is left tells the truth and is mended."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_tasks import attempt
from jupyter_tasks.model import ENDED, Job, State
from tests.crash.die_at import NEVER
from tests.crash.wreckage import job_processes, starts
from tests.eventually import eventually, eventually_async
from tests.office import Office, an_office
from tests.supervised import JOB, Supervised, bare, of_this_test

DIE_AT = str(Path(__file__).with_name("die_at.py"))
HELLO = "echo started >> {state}/started; echo hello; sleep 0.2"
COUNTED = 'echo "$JUPYTER_TASKS_JOB" >> {state}/starts; echo hello; exit 3'


def python(who: str, number: int, state: Path) -> list[str]:
    """A Python that dies at that step of who it is started for; it lies outside what it watches."""
    return [sys.executable, DIE_AT, who, str(number), f"{state}.steps"]


def steps_of(state: Path) -> list[str]:
    return Path(f"{state}.steps").read_text().splitlines()


def run(state: Path, die_at: int) -> tuple[Supervised, int]:
    """One attempt under the launcher; returns when its supervisor has gone."""
    state.mkdir()
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    supervised = Supervised(state, ours, None)
    supervised.prepare(HELLO.format(state=state))
    options = bare("supervisor", its.fileno())[-4:]
    command = [*python("supervisor", die_at, state), *options]
    with subprocess.Popen(command, pass_fds=[its.fileno()], start_new_session=True) as process:
        its.close()
        supervised.tell(do="run", dir=supervised.dir)
        ours.settimeout(20)
        try:
            while ours.recv(65536):
                pass
        except ConnectionResetError:
            pass
        ours.close()
        return supervised, process.wait(timeout=10)


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    yield
    eventually(lambda: not of_this_test())


def test_every_step_of_a_supervisor_may_be_its_last(tmp_path: Path) -> None:
    supervised, code = run(tmp_path / "whole", NEVER)
    assert code == 0
    end = attempt.probe(supervised.dir).end
    assert end is not None
    assert end["exit_code"] == 0
    steps = steps_of(tmp_path / "whole")
    assert len(steps) >= 10, steps
    for number in range(len(steps)):
        state = tmp_path / str(number)
        supervised, code = run(state, number)
        assert code == -9, (number, steps[number])
        check_the_truth(state, supervised, f"step {number}: {steps[number]}")


def check_the_truth(state: Path, supervised: Supervised, step: str) -> None:
    """A claim iff it may have started; an end only if it ran through; at most one start."""
    probe = attempt.probe(supervised.dir)
    has_started = (state / "started").exists()
    assert probe.held_by is None, step
    if probe.claim is None:
        assert not has_started, step
        assert attempt.fence(supervised.dir, JOB, 1), step
    else:
        assert attempt.end_tree(probe.claim) == [], step
    if probe.end is not None:
        assert has_started, step
        assert supervised.text() == b"hello\n", step
    assert not of_this_test(), step
    if has_started:
        assert (state / "started").read_text() == "started\n", step


def test_a_half_written_claim_names_nobody_and_still_fences(tmp_path: Path) -> None:
    directory = attempt.create(tmp_path, JOB, 1)
    Path(directory, "claim").write_bytes(b'{"version": 1, "job": "00')
    probe = attempt.probe(directory)
    assert (probe.claim, probe.end, probe.is_claimed) == (None, None, True)
    assert not attempt.fence(directory, JOB, 1)


def test_a_half_written_end_counts_as_none(tmp_path: Path) -> None:
    supervised, _ = run(tmp_path / "whole", NEVER)
    claim = Path(supervised.dir, "claim")
    content = claim.read_bytes()
    for cut in (len(content) - 1, content.index(b"\n") + 2):
        os.truncate(claim, cut)
        probe = attempt.probe(supervised.dir)
        assert probe.claim is not None
        assert probe.end is None


def test_a_torn_record_is_not_read(tmp_path: Path) -> None:
    supervised, _ = run(tmp_path / "whole", NEVER)
    output = Path(supervised.dir, "output")
    whole = supervised.records()
    with output.open("ab") as file:
        file.write(b'{"k":"out","t":1.0,"n":100}\nonly this mu')
    assert supervised.records() == whole


# -- with a manager --------------------------------------------------------------------------------


async def live_through(state: Path, runtime_dir: Path, *, who: str, number: int) -> list[Job]:
    """A manager whose supervisor or fork server dies, and another after it, until all is ended."""
    state.mkdir()
    dead = Path(f"{state}.steps.dead")
    settings = {"fork": who == "forkserver", "python": python(who, number, state)}
    async with an_office(state, runtime_dir, **settings) as office:
        jobs = [await office.submit(COUNTED.format(state=state)) for _ in range(3)]

        async def is_over() -> bool:
            return dead.exists() or await all_ended(office, jobs)

        await eventually_async(is_over)
    async with an_office(state, runtime_dir) as office:
        return [await office.ended(job) for job in jobs]


async def all_ended(office: Office, jobs: list[Job]) -> bool:
    return all([(await office.now(job)).state in ENDED for job in jobs])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("who", ["supervisor", "forkserver"])
async def test_a_manager_brings_every_job_to_a_true_state_whatever_step_was_the_last(
    tmp_path: Path, who: str
) -> None:
    await live_through(
        tmp_path / "whole", Path(os.environ["JUPYTER_TASKS_RUNTIME_DIR"]), who=who, number=NEVER
    )
    steps = steps_of(tmp_path / "whole")
    for number in range(len(steps)):
        state = tmp_path / str(number)
        step = f"step {number}: {steps[number]}"
        jobs = await live_through(
            state, Path(os.environ["JUPYTER_TASKS_RUNTIME_DIR"]), who=who, number=number
        )
        counts = starts(state / "starts")
        for job in jobs:
            if job.state is State.LOST:
                assert who == "supervisor", step
                assert job.reason == "supervisor_died", step
                assert counts[f"{job.id}/1"] <= 1, step
            else:
                assert (job.state, job.exit_code) == (State.FAILED, 3), (step, job)
                assert counts[f"{job.id}/1"] == 1, step
        assert sum(job.state is State.LOST for job in jobs) <= 1, step
        ids = [job.id for job in jobs]
        eventually(lambda ids=ids: not job_processes(ids), what=f"nobody is left: {step}")
