"""Badly behaved jobs: whatever they do, the end is true, every byte is there and nobody is left over."""

import os
import shutil
import signal
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from jupyter_tasks import attempt, posix
from tests import programs
from tests.eventually import eventually
from tests.supervised import JOB, Supervised, a_plain_supervisor, of_this_test


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    with a_plain_supervisor(tmp_path) as supervised:
        yield supervised
    eventually(lambda: not of_this_test(), what="no process of the test is left")


def named(pattern: bytes) -> list[int]:
    """Living processes whose command line holds the pattern."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if pattern in Path(f"/proc/{name}/cmdline").read_bytes():
                found.append(int(name))
        except OSError:
            continue
    return found


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def all_are(state: str, pattern: bytes) -> bool:
    return {state_of(pid) for pid in named(pattern)} == {state}


def test_who_ignores_sigterm_is_killed_after_the_grace_period(supervised: Supervised) -> None:
    supervised.run(programs.IGNORES_TERM)
    supervised.wait_for(b"ready")
    supervised.tell(do="cancel", reason="user", grace_s=0.3)
    end = supervised.end()
    assert (end["outcome"], end["signal"]) == ("signalled", signal.SIGKILL)
    assert (end["stopped_by"], end["stop_reason"]) == ("cancel", "user")


def test_who_stopped_itself_hears_the_cancel(supervised: Supervised) -> None:
    supervised.run("echo ready; kill -STOP $$")
    supervised.wait_for(b"ready")
    supervised.tell(do="cancel", reason="user", grace_s=60)
    assert supervised.end(within_s=10)["signal"] == signal.SIGTERM


def test_the_folder_for_artifacts_is_there(supervised: Supervised) -> None:
    supervised.run('echo kept > "$JUPYTER_TASKS_ARTIFACTS/file"')
    assert supervised.end()["exit_code"] == 0
    assert Path(supervised.dir, "artifacts", "file").read_text() == "kept\n"


def test_what_a_job_left_stays_and_the_next_finds_an_empty_folder(supervised: Supervised) -> None:
    left = []
    for number in range(6):
        command = 'ls "$JUPYTER_TASKS_ARTIFACTS"; stat -c "%a %F" "$JUPYTER_TASKS_ARTIFACTS"'
        if number % 2:
            command += f'; echo {number} > "$JUPYTER_TASKS_ARTIFACTS/file"'
        supervised.run_to_end(command)
        assert supervised.text() == b"700 directory\n"
        left.append(Path(supervised.dir, "artifacts"))
    assert [Path(left[n], "file").read_text() for n in (1, 3, 5)] == ["1\n", "3\n", "5\n"]
    assert not left[0].exists(), "who left nothing leaves no folder"


@pytest.mark.parametrize(
    "deed",
    ["chmod 777 {0}", "rmdir {0}", "rmdir {0}; ln -s {1} {0}", "rmdir {0}; echo x > {0}"],
    ids=["opened", "removed", "a link", "a file"],
)
def test_whatever_a_job_does_to_its_folder_the_next_has_a_good_one(
    supervised: Supervised, tmp_path: Path, deed: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    supervised.run_to_end(deed.format("$JUPYTER_TASKS_ARTIFACTS", elsewhere))
    supervised.run_to_end('stat -c "%a %F" "$JUPYTER_TASKS_ARTIFACTS"')
    assert supervised.text() == b"700 directory\n"


def test_a_job_that_says_nothing_leaves_no_output_file(supervised: Supervised) -> None:
    end = supervised.run_to_end("true")
    assert end["output_bytes"] == 0
    assert not Path(supervised.dir, "output").exists()


def test_a_second_cancel_kills_at_once(supervised: Supervised) -> None:
    supervised.run(programs.IGNORES_TERM)
    supervised.wait_for(b"ready")
    supervised.tell(do="cancel", reason="user", grace_s=60)
    supervised.tell(do="cancel", reason="user", grace_s=60)
    assert supervised.end(within_s=10)["signal"] == signal.SIGKILL


@pytest.mark.parametrize(
    "command", [programs.SETSID_ESCAPEE, programs.UNMARKED_DAEMON], ids=["marked", "unmarked"]
)
def test_who_left_the_session_is_cancelled_too(supervised: Supervised, command: str) -> None:
    supervised.run(command.replace("300", "300.5"))
    supervised.wait_for(b"ready")
    eventually(lambda: named(b"300.5"))
    supervised.tell(do="cancel", reason="user", grace_s=1)
    assert supervised.end()["leftover_pids"] == []
    assert not named(b"sleep\x00300.5")


def test_a_daemon_does_not_outlive_its_job(supervised: Supervised) -> None:
    end = supervised.run_to_end(programs.DAEMON)
    assert (end["outcome"], end["exit_code"], end["stopped_by"]) == ("exited", 0, None)
    assert "leftovers_ended" in supervised.notes()


def test_a_grandchild_that_holds_the_pipe_does_not_hold_the_end(supervised: Supervised) -> None:
    end = supervised.run_to_end(programs.HOLDS_PIPE)
    assert (end["exit_code"], end["leftover_pids"]) == (0, [])
    assert supervised.text() == b"leader ends\n"


def test_a_grandchild_that_floods_the_pipe_does_not_hold_the_end(supervised: Supervised) -> None:
    end = supervised.run_to_end("yes & echo leader ends", within_s=10, max_output_bytes=1 << 20)
    assert (end["outcome"], end["exit_code"], end["stopped_by"]) == ("exited", 0, None)
    assert "leftovers_ended" in supervised.notes()


def test_orphans_that_end_leave_no_zombies(supervised: Supervised) -> None:
    supervised.run("for i in 1 2 3 4 5 6 7 8; do (true &) ; done; echo ready; exec sleep 300")
    supervised.wait_for(b"ready")
    path = Path(f"/proc/{supervised.pid}/task/{supervised.pid}/children")
    eventually(lambda: len(path.read_text().split()) == 1, within_s=0.9)
    supervised.tell(do="kill", reason="user")
    supervised.end()


def test_a_pause_holds_the_whole_tree_still(supervised: Supervised) -> None:
    supervised.run("setsid sleep 300.75 & (sleep 300.75 &) ; echo ready; exec sleep 300.75")
    supervised.wait_for(b"ready")
    eventually(lambda: len(named(b"sleep\x00300.75")) == 3)
    for word, said, state in (("pause", "paused", "T"), ("resume", "resumed", "S")):
        supervised.tell(do=word)
        supervised.hear(said)
        # A signal that was sent is taken when its process comes to run.
        eventually(lambda state=state: all_are(state, b"sleep\x00300.75"))  # type: ignore[misc]
    supervised.tell(do="kill", reason="user")
    supervised.end()


def test_a_job_whose_folder_is_removed_runs_on_and_its_end_is_said(supervised: Supervised) -> None:
    gate = supervised.state / "gate"
    os.mkfifo(gate)
    supervised.run("read x < $GATE; echo after", env={"GATE": str(gate)}, max_output_bytes=1)

    def is_gone() -> bool:
        shutil.rmtree(supervised.dir, ignore_errors=True)  # a record may be made meanwhile
        return not Path(supervised.dir).exists()

    eventually(is_gone)
    gate.write_text("go\n")
    assert supervised.hear("ended")["end"]["exit_code"] == 0


def test_who_closes_its_output_still_has_an_end(supervised: Supervised) -> None:
    assert supervised.run_to_end(programs.CLOSES_STDOUT)["exit_code"] == 4


def test_a_paused_tree_can_be_cancelled(supervised: Supervised) -> None:
    supervised.run("sleep 300 & echo ready; wait")
    supervised.wait_for(b"ready")
    supervised.tell(do="pause")
    supervised.hear("paused")
    supervised.tell(do="cancel", reason="user", grace_s=5)
    assert supervised.end()["signal"] == signal.SIGTERM


def test_binary_output_is_kept_as_it_is(supervised: Supervised) -> None:
    supervised.run_to_end(programs.BINARY)
    assert supervised.text() == bytes(range(256)) * 16 + b'\0\xff\xfe\n"{}'


def test_a_line_of_ten_megabytes_is_kept_whole(supervised: Supervised) -> None:
    supervised.run_to_end(programs.LINE_10_MB)
    assert supervised.text() == b"x" * 10_000_000


def test_a_bar_drawn_with_carriage_returns_is_progress(supervised: Supervised) -> None:
    end = supervised.run_to_end(programs.CR_BAR)
    assert end["progress"]["value"] == 1.0
    assert supervised.text().count(b"\r") == 101


def test_a_fork_bomb_is_ended_whole(supervised: Supervised) -> None:
    supervised.run(programs.FORK_BOMB)
    supervised.wait_for(b"ready")
    supervised.tell(do="cancel", reason="user", grace_s=0.2)
    assert supervised.end(within_s=30)["leftover_pids"] == []


def test_200_mb_without_a_cap_lose_no_byte(supervised: Supervised) -> None:
    end = supervised.run_to_end(programs.flood(200_000_000), within_s=50, max_output_bytes=1 << 40)
    assert end["exit_code"] == 0
    assert end["output_bytes"] == supervised.records()[-1].end
    block = (b"%063d\n" % 7) * 1024
    expected = block * (200_000_000 // len(block)) + block[: 200_000_000 % len(block)]
    assert sha256(supervised.text()).digest() == sha256(expected).digest()


def test_1_gb_under_a_cap_keeps_head_and_tail(supervised: Supervised) -> None:
    cap = 4 << 20
    end = supervised.run_to_end(programs.flood(1 << 30), within_s=50, max_output_bytes=cap)
    kept = supervised.records()
    assert end["exit_code"] == 0
    assert end["output_bytes"] == kept[-1].end > 1 << 30
    assert kept[0].start == 0
    assert sum(r.end - r.start for r in kept) <= cap * 9 // 8 + (1 << 17)


def test_a_job_that_kills_its_supervisor_leaves_a_claim_that_nobody_holds(
    supervised: Supervised,
) -> None:
    # It may be killed before it has said "claimed": what counts is what stands in the directory.
    supervised.prepare(programs.KILLS_SUPERVISOR)
    supervised.tell(do="run", dir=supervised.dir)
    with pytest.raises((EOFError, ConnectionResetError)):
        supervised.hear("ended")
    probe = attempt.probe(supervised.dir)
    assert probe.claim is not None
    assert (probe.held_by, probe.end) == (None, None)
    assert attempt.end_tree(probe.claim) == []
    assert not of_this_test()


def test_who_left_everything_behind_is_ended_when_the_supervisor_is_dead(
    supervised: Supervised,
) -> None:
    orphan = programs.UNMARKED_DAEMON.replace("300", "300.25").removesuffix("; wait")
    supervised.run(f"({orphan}); exec sleep 300")
    (pid,) = eventually(lambda: named(b"sleep\x00300.25"))
    assert supervised.pid is not None
    eventually(lambda: parent_of(pid) == supervised.pid)
    os.kill(supervised.pid, signal.SIGKILL)
    with pytest.raises((EOFError, ConnectionResetError)):
        supervised.hear("ended")
    claim = attempt.probe(supervised.dir).claim
    assert claim is not None
    assert attempt.end_tree(claim) == []
    assert not named(b"sleep\x00300.25")


def test_the_mark_of_one_attempt_is_not_that_of_another(supervised: Supervised) -> None:
    supervised.run(programs.SLEEP)
    assert posix.marked(attempt.mark(JOB, 2)) == []
    (found,) = posix.marked(attempt.mark(JOB, 1))
    assert b"sleep" in Path(f"/proc/{found.pid}/cmdline").read_bytes()
    supervised.tell(do="kill", reason="user")
    supervised.end()


def test_the_limit_that_carries_the_mark_is_not_a_limit(supervised: Supervised) -> None:
    supervised.run_to_end("grep 'realtime timeout' /proc/self/limits")
    soft, hard = supervised.text().split()[3:5]
    assert int(soft) >= 2**61, "more than 70,000 years of microseconds"
    assert hard == b"unlimited"
    own = Path(f"/proc/{supervised.pid}/limits").read_text()
    assert own.partition("realtime timeout")[2].split()[:2] == ["unlimited", "unlimited"]


def test_a_cleaner_that_removed_socket_and_pipe_ends_nothing(supervised: Supervised) -> None:
    supervised.run("sleep 300")
    claim = attempt.probe(supervised.dir).claim
    assert claim is not None
    os.unlink(claim.control)
    os.unlink(claim.report)
    assert attempt.hang_up(claim)
    eventually(lambda: os.path.exists(claim.control) and os.path.exists(claim.report))
    supervised.tell(do="kill", reason="user")
    assert supervised.end()["stopped_by"] == "cancel"


def test_the_look_for_left_over_processes_sees_supervisor_and_job(supervised: Supervised) -> None:
    supervised.run(["sleep", "300.25"])
    assert {name.split("/")[0] for _, name in of_this_test()} >= {"sleep"}
    assert supervised.pid in [pid for pid, _ in of_this_test()]
    supervised.tell(do="kill", reason="user")
    supervised.end()
