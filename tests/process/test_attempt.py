"""The attempt directory: one claim, one holder, one end, and a probe that takes nothing."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jupyter_tasks import attempt, posix
from tests.supervised import JOB

ROOT = Path(__file__).parent.parent.parent
END = {"outcome": "exited", "exit_code": 0}

#: Claims the directory, says what came of it, then does what it is told, line by line.
CLAIMER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from jupyter_tasks import attempt, posix
directory, job = sys.argv[2:4]
claim = attempt.Claim(attempt.VERSION, job, 1, os.getpid(), posix.start_time(os.getpid()), posix.boot_id(),
                      posix.machine_id(), posix.pid_namespace(), posix.host(), "c", "r", 5.0)
sys.stdin.readline()
fd = attempt.take_claim(directory, claim)
print("none" if fd is None else "claimed", flush=True)
for line in sys.stdin:
    if line == "end\\n":
        attempt.write_end(fd, json.loads(sys.argv[4]))
    elif line == "fork\\n":
        pid = os.fork()
        if pid == 0:
            sys.stdin.readline()
            os._exit(0)
        print(pid, flush=True)
        continue
    print("done", flush=True)
"""


class Claimer:
    """Another process that takes the claim; everything it does is asked of it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.pid = process.pid

    def ask(self, word: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def a_claimer(directory: str) -> Iterator[Claimer]:
    command = [sys.executable, "-I", "-c", CLAIMER, str(ROOT), directory, JOB, json.dumps(END)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Claimer(process)
        process.kill()


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return attempt.create(tmp_path, JOB, 1)


def test_what_nobody_has_claimed_says_so(directory: str) -> None:
    assert attempt.probe(directory) == (None, None, None, False)


def test_directory_and_spec_are_the_owners_alone(directory: str) -> None:
    attempt.write_spec(directory, {"version": 1})
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{directory}/spec.json").st_mode) == 0o600
    assert attempt.read_spec(directory) == {"version": 1}


@pytest.mark.parametrize("content", ["", "[1]", '{"version": 1', "\xff"])
def test_a_spec_that_is_none_is_refused(directory: str, content: str) -> None:
    Path(directory, "spec.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=r"\w"):
        attempt.read_spec(directory)


def test_the_holder_of_a_claim_is_seen_from_outside_and_loses_nothing_by_it(directory: str) -> None:
    with a_claimer(directory) as claimer:
        assert claimer.ask("claim") == "claimed"
        for _ in range(2):
            probe = attempt.probe(directory)
            assert probe.claim is not None
            assert probe.held_by == probe.claim.pid == claimer.pid
            assert probe.end is None
        assert (probe.claim.job, probe.claim.attempt, probe.claim.started_at) == (JOB, 1, 5.0)


def test_a_killed_holder_holds_nothing_and_has_no_end(directory: str) -> None:
    with a_claimer(directory) as claimer:
        claimer.ask("claim")
        os.kill(claimer.pid, signal.SIGKILL)
        claimer.process.wait()
        probe = attempt.probe(directory)
    assert probe.claim is not None
    assert (probe.held_by, probe.end) == (None, None)


def test_a_child_of_the_holder_does_not_hold_on(directory: str) -> None:
    with a_claimer(directory) as claimer:
        claimer.ask("claim")
        child = int(claimer.ask("fork"))
        os.kill(claimer.pid, signal.SIGKILL)
        claimer.process.wait()
        assert attempt.probe(directory).held_by is None
        os.kill(child, signal.SIGKILL)


def test_the_end_lets_go_of_the_claim(directory: str) -> None:
    with a_claimer(directory) as claimer:
        claimer.ask("claim")
        assert claimer.ask("end") == "done"
        probe = attempt.probe(directory)
    assert (probe.held_by, probe.end) == (None, END)


def test_who_fences_first_keeps_the_attempt_from_starting(directory: str) -> None:
    assert attempt.fence(directory, JOB, 1)
    with a_claimer(directory) as claimer:
        assert claimer.ask("claim") == "none"
    probe = attempt.probe(directory)
    assert probe.claim is not None
    assert probe.claim.fenced
    assert probe.held_by is None


def test_who_claims_first_cannot_be_fenced(directory: str) -> None:
    with a_claimer(directory) as claimer:
        claimer.ask("claim")
        assert not attempt.fence(directory, JOB, 1)
        assert attempt.probe(directory).held_by == claimer.pid


def test_of_many_at_the_same_time_one_gets_the_claim(directory: str) -> None:
    with (
        a_claimer(directory) as a,
        a_claimer(directory) as b,
        a_claimer(directory) as c,
        a_claimer(directory) as d,
    ):
        claimers = [a, b, c, d]
        for claimer in claimers:  # all are told before the first is listened to
            assert claimer.process.stdin is not None
            claimer.process.stdin.write("claim\n")
            claimer.process.stdin.flush()
        said = [c.process.stdout.readline().strip() for c in claimers if c.process.stdout]
        assert sorted(said) == ["claimed", "none", "none", "none"]
        assert attempt.probe(directory).held_by == claimers[said.index("claimed")].pid
        assert os.listdir(directory) == ["claim"]


def test_a_claim_in_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        attempt.fence(str(tmp_path / "gone"), JOB, 1)


def test_only_whole_lines_of_a_claim_count(directory: str) -> None:
    with a_claimer(directory) as claimer:
        claimer.ask("claim")
        claimer.ask("end")
    content = Path(directory, "claim").read_bytes()
    first = content.index(b"\n")
    for cut in range(len(content) + 1):
        Path(directory, "claim").write_bytes(content[:cut])
        probe = attempt.probe(directory)
        assert probe.is_claimed
        assert (probe.claim is not None) == (cut > first)
        assert probe.end == (END if cut == len(content) else None)


def test_a_claim_of_a_newer_supervisor_is_read_as_far_as_known(directory: str) -> None:
    attempt.fence(directory, JOB, 1)
    path = Path(directory, "claim")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"colour": "blue"}) + "\n")
    claim = attempt.probe(directory).claim
    assert claim is not None
    assert claim.job == JOB


@pytest.mark.parametrize("field", ["boot_id", "machine_id", "pid_namespace"])
def test_nobody_is_signalled_for_a_claim_of_another_boot_or_machine(
    directory: str, field: str
) -> None:
    with a_claimer(directory) as claimer:
        claimer.ask("claim")
        claim = attempt.probe(directory).claim
        assert claim is not None
        assert attempt.is_here(claim)
        elsewhere = claim._replace(**{field: 1 if field == "pid_namespace" else "another"})
        assert not attempt.is_here(elsewhere)
        assert not attempt.hang_up(elsewhere)
        attempt.end_supervisor(elsewhere)
        attempt.end_supervisor(claim._replace(start_time=claim.start_time + 1))
        assert claimer.ask("anything") == "done"


#: Writes an end that does not fit, then one that does.
FULL = """
import os, resource, sys
sys.path.insert(0, sys.argv[1])
from jupyter_tasks import attempt
fd = os.open(sys.argv[2], os.O_RDWR)
size = os.fstat(fd).st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))
try:
    attempt.write_end(fd, {"message": "x" * 100})
except OSError as error:
    print(error.errno, os.fstat(fd).st_size - size)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, resource.RLIM_INFINITY))
attempt.write_end(fd, {"message": "x" * 100})
"""


def test_an_end_without_room_leaves_the_claim_as_it_was(directory: str) -> None:
    attempt.fence(directory, JOB, 1)
    command = [sys.executable, "-I", "-c", FULL, str(ROOT), f"{directory}/claim"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(said.split()[0]) > 0
    assert said.split()[1] == "0"
    assert attempt.probe(directory).end == {"message": "x" * 100}


def test_a_lock_on_a_file_that_was_replaced_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = posix.take_lock(path)
    assert held is not None
    assert posix.take_lock(path) is None
    path.unlink()
    again = posix.take_lock(path)
    assert again is not None
    assert posix.take_lock(path) is None
    for fd in (held, again):
        posix.release_lock(fd)
    free = posix.take_lock(path)
    assert free is not None
    posix.release_lock(free)


def test_a_private_folder_is_closed_to_others_or_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    posix.private_dir(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(PermissionError, match="link is not a folder of yours"):
        posix.private_dir(link)


def test_all_attempts_of_a_job_are_removed_at_once(tmp_path: Path) -> None:
    for number in (1, 2):
        attempt.create(tmp_path, JOB, number)
    attempt.remove_job(tmp_path, JOB)
    attempt.remove_job(tmp_path, JOB)
    assert not os.path.exists(attempt.job_path(tmp_path, JOB))
