"""The recovery table: what an attempt's directory says, with real directories, locks and processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks import attempt, posix
from jupyter_tasks.executors import verdict
from jupyter_tasks.lifecycle import Ended, Fenced, NeverStarted, Unreachable, Vanished
from jupyter_tasks.model import Job, State
from tests.builders import a_job

END = {"outcome": "exited", "ended_at": 5.0, "started_at": 4.0, "exit_code": 3}
#: Another process claims, says so, and holds the claim until its input ends.
HOLDER = """
import json, os, sys
from jupyter_tasks import attempt, posix
directory, others = sys.argv[1], json.loads(sys.argv[2])
me = {"version": 1, "job": "j", "attempt": 1, "pid": os.getpid(),
      "start_time": posix.start_time(os.getpid()), "boot_id": posix.boot_id(),
      "machine_id": posix.machine_id(), "pid_namespace": posix.pid_namespace(),
      "host": posix.host(), "control": "/nowhere", "report": "", "started_at": 4.0}
fd = attempt.take_claim(directory, attempt.Claim(**(me | others)))
print("claimed", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return attempt.create(tmp_path, "j" * 16, 1)


def running(**given: Any) -> Job:
    now = time.time()
    values = {"id": "j" * 16, "state": State.RUNNING, "attempt": 1, "updated_at": now}
    return a_job(**(values | given))


@contextmanager
def claimed(directory: str, **others: Any) -> Iterator[None]:
    """While the block runs, a living process holds the claim; ``others`` are false facts in it."""
    command = [sys.executable, "-c", HOLDER, directory, json.dumps(others)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"claimed\n"
        yield
        process.kill()


def abandoned(directory: str, **others: Any) -> None:
    """A claim whose holder has died."""
    with claimed(directory, **others):
        pass


def test_a_claim_that_is_held_is_alive(directory: str) -> None:
    with claimed(directory):
        found = verdict.judge(directory, running())
    assert isinstance(found, verdict.Alive)


def test_a_claim_that_nobody_holds_any_more_is_lost(directory: str) -> None:
    abandoned(directory)
    found = verdict.judge(directory, running())
    assert isinstance(found, verdict.Dead)
    assert found.vanished.reason == "supervisor_died"


@pytest.mark.parametrize("elsewhere", [{}, {"boot_id": "x", "machine_id": "y"}])
def test_an_end_that_was_written_counts_wherever_it_was_written(
    directory: str, elsewhere: dict[str, str]
) -> None:
    abandoned(directory, **elsewhere)
    with open(f"{directory}/claim", "a") as file:
        file.write(json.dumps(END) + "\n")
    found = verdict.judge(directory, running())
    assert isinstance(found, Ended)
    assert found.end.exit_code == 3


def test_without_a_claim_it_never_started(directory: str) -> None:
    assert verdict.judge(directory, running(state=State.STARTING)) == NeverStarted()


def test_without_its_directory_a_start_never_happened(directory: str) -> None:
    os.rmdir(directory)
    assert verdict.judge(directory, running(state=State.STARTING)) == NeverStarted()


def test_a_start_from_before_the_boot_is_lost(directory: str) -> None:
    found = verdict.judge(directory, running(state=State.STARTING, updated_at=5.0))
    assert isinstance(found, Vanished)
    assert found.reason == "host_rebooted"


def test_what_ran_and_has_no_claim_has_lost_its_files(directory: str) -> None:
    found = verdict.judge(directory, running())
    assert isinstance(found, verdict.Dead)
    assert found.vanished.reason == "files_lost"


def test_a_claim_of_our_own_making_is_fenced(directory: str) -> None:
    assert attempt.fence(directory, "j" * 16, 1)
    assert verdict.judge(directory, running(state=State.STARTING)) == Fenced()


def test_another_boot_of_this_machine_is_lost(directory: str) -> None:
    abandoned(directory, boot_id="an-earlier-one")
    found = verdict.judge(directory, running())
    assert isinstance(found, Vanished)
    assert found.reason == "host_rebooted"


def test_another_host_is_not_judged(directory: str) -> None:
    abandoned(directory, boot_id="its-own", machine_id="another", host="far-away")
    assert verdict.judge(directory, running()) == Unreachable(host="far-away")


def test_a_container_that_is_gone_took_its_attempts_along(directory: str) -> None:
    abandoned(directory, pid_namespace=1, machine_id="the-former-container")
    found = verdict.judge(directory, running())
    assert isinstance(found, Vanished)
    assert found.reason == "container_replaced"


def test_a_living_container_beside_ours_is_not_judged(directory: str) -> None:
    with claimed(directory, pid_namespace=1, host="beside"):
        assert verdict.judge(directory, running()) == Unreachable(host="beside")


@pytest.mark.parametrize("line", [b"", b'{"version": 1, "job"', b"\0\0\0\0\n", b"[]\n", b"{}\n"])
def test_a_damaged_claim_is_lost_and_starts_nothing(directory: str, line: bytes) -> None:
    Path(directory, "claim").write_bytes(line)
    found = verdict.judge(directory, running(state=State.STARTING))
    assert isinstance(found, verdict.Dead)
    assert found.vanished.reason == "files_lost"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_folder_or_pipe_in_the_place_of_a_claim_is_a_damaged_one_and_costs_no_descriptor(
    directory: str, make: Callable[[str], None]
) -> None:
    make(f"{directory}/claim")
    before = os.listdir("/proc/self/fd")
    found = verdict.judge(directory, running(state=State.STARTING))
    assert os.listdir("/proc/self/fd") == before
    assert isinstance(found, verdict.Dead)
    assert found.vanished.reason == "files_lost"


@pytest.mark.parametrize("half", [b'{"outcome": "exi', b'{"outcome": "exited", "exit_code": 0'])
def test_an_end_that_was_not_written_whole_is_no_end(directory: str, half: bytes) -> None:
    abandoned(directory)
    with open(f"{directory}/claim", "ab") as file:
        file.write(half)
    assert isinstance(verdict.judge(directory, running()), verdict.Dead)


def test_a_newer_supervisors_words_are_understood_as_far_as_they_are_known() -> None:
    end = verdict.end_from(END | {"stopped_by": "a new limit", "mood": "good", "cpu_s": 1.5})
    assert (end.outcome, end.exit_code, end.stopped_by, end.cpu_s) == ("exited", 3, None, 1.5)


def test_a_judgement_takes_no_lock(directory: str) -> None:
    with claimed(directory):
        for _ in range(3):
            verdict.judge(directory, running())
        probe = attempt.probe(directory)
        assert probe.held_by is not None
        assert posix.start_time(probe.held_by) is not None
        os.kill(probe.held_by, signal.SIGCONT)
