"""Files that a crash, a person or a full disk has left half written or has taken away."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_tasks import attempt
from jupyter_tasks import lifecycle as lc
from jupyter_tasks.model import Job, State
from jupyter_tasks.records import last_boundary
from tests.crash.wreckage import job_processes
from tests.eventually import eventually, eventually_async
from tests.office import Office, an_office

FOREVER = "echo begun; exec sleep 600"


@pytest.fixture
def place(tmp_path: Path, _own_runtime_dir: Path) -> tuple[Path, Path]:
    return tmp_path, _own_runtime_dir


async def left_running(place: tuple[Path, Path], command: str = FOREVER) -> tuple[Job, Path]:
    """A job that runs, without a server; its attempt's directory."""
    async with an_office(*place) as office:
        job = await office.submit(command)
        job = await office.until(job, State.RUNNING)
        await eventually_async(lambda: has_begun(office, job))
        return job, Path(office.executor.dir_of(job))


async def has_begun(office: Office, job: Job) -> bool:
    return b"begun" in office.output(job)


def die(directory: Path) -> None:
    """The supervisor dies, and all that it holds with it."""
    claim = attempt.probe(str(directory)).claim
    assert claim is not None
    os.kill(claim.pid, signal.SIGKILL)
    eventually(lambda: attempt.probe(str(directory)).held_by is None)


@pytest.mark.parametrize("half", [b'{"outcome": "exited", "exit_code": 0', b"\x80\n"])
async def test_a_half_written_end_is_no_end_and_nothing_of_the_job_is_left(
    place: tuple[Path, Path], half: bytes
) -> None:
    job, directory = await left_running(place)
    die(directory)
    with (directory / "claim").open("ab") as file:
        file.write(half)

    async with an_office(*place) as office:
        ended = await office.ended(job)

    assert (ended.state, ended.reason) == (State.LOST, "supervisor_died")
    eventually(lambda: not job_processes([job.id]))


async def test_a_damaged_claim_is_lost_and_nothing_of_the_job_is_left(
    place: tuple[Path, Path],
) -> None:
    job, directory = await left_running(place)
    (directory / "claim").write_bytes(b'{"version": 1, "jo')

    async with an_office(*place) as office:
        ended = await office.ended(job)
        again = await office.ended(await office.submit("true"))

    assert (ended.state, ended.reason) == (State.LOST, "files_lost")
    assert again.state is State.SUCCEEDED
    eventually(lambda: not job_processes([job.id]))


async def test_an_attempt_whose_directory_is_gone_is_lost_and_nothing_of_it_is_left(
    place: tuple[Path, Path],
) -> None:
    job, directory = await left_running(place)
    shutil.rmtree(directory)

    async with an_office(*place) as office:
        ended = await office.ended(job)

    assert (ended.state, ended.reason) == (State.LOST, "files_lost")
    eventually(lambda: not job_processes([job.id]))


async def test_a_directory_that_goes_under_a_living_server_does_not_keep_the_job_from_its_end(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place) as office:
        job = await office.submit(FOREVER)
        await office.until(job, State.RUNNING)
        shutil.rmtree(office.executor.dir_of(await office.now(job)))

        await office.manager.ask(job.id, None, lc.CancelAsked())

        assert (await office.ended(job)).state is State.CANCELLED
    eventually(lambda: not job_processes([job.id]))


async def test_half_a_record_at_the_end_of_the_output_is_not_read(
    place: tuple[Path, Path],
) -> None:
    job, directory = await left_running(place)
    die(directory)
    with (directory / "output").open("ab") as file:
        file.write(b'{"k":"out","t":1.0,"n":400}\nonly thi')

    async with an_office(*place) as office:
        await office.ended(job)
        data = office.output(job)

    whole = data[: last_boundary(data)]
    assert b"begun\n" in whole
    assert b"only thi" not in whole


def without_spec(directory: Path) -> None:
    (directory / "spec.json").unlink()


def half_a_spec(directory: Path) -> None:
    (directory / "spec.json").write_bytes(b'{"version": 1, "job": "')


def a_spec_of_another_version(directory: Path) -> None:
    spec = json.loads((directory / "spec.json").read_text())
    (directory / "spec.json").write_text(json.dumps(spec | {"version": 99}))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (without_spec, "Its spec cannot be read"),
        (half_a_spec, "Its spec cannot be read"),
        (a_spec_of_another_version, "Its spec has version 99"),
    ],
)
async def test_an_attempt_whose_spec_is_not_readable_ends_with_clear_words(
    place: tuple[Path, Path],
    harm: Callable[[Path], None],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_spec = attempt.write_spec

    def write_and_harm(directory: str, spec: dict[str, object]) -> None:
        write_spec(directory, spec)
        harm(Path(directory))

    async with an_office(*place) as office:
        monkeypatch.setattr("jupyter_tasks.attempt.write_spec", write_and_harm)
        ended = await office.ended(await office.submit("true"))

    assert (ended.state, ended.reason) == (State.FAILED, "start")
    assert words in ended.message
