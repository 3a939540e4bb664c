"""What a supervisor must endure: nonsense from peers and reports, many attempts, cleaners, silence."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks import attempt
from tests import programs
from tests.eventually import eventually
from tests.supervised import JOB, Supervised, a_plain_supervisor, of_this_test

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    with a_plain_supervisor(tmp_path) as supervised:
        yield supervised
    eventually(lambda: not of_this_test(), what="no process of the test is left")


def connect(supervised: Supervised) -> Supervised:
    claim = attempt.probe(supervised.dir).claim
    assert claim is not None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(claim.control)
    other = Supervised(supervised.state, sock, None)
    other.dir = supervised.dir
    return other


def kill(supervised: Supervised) -> dict[str, Any]:
    supervised.tell(do="kill", reason="user")
    return supervised.end()


def report_pipe(supervised: Supervised) -> str:
    claim = attempt.probe(supervised.dir).claim
    assert claim is not None
    return claim.report


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b'{"do": ["run"]}',
        b'{"do": {}}',
        b'{"do": "bell"}',
        b'{"do": "bell", "size": "x"}',
        b'{"do": "bell", "size": null}',
        b"[" * 30_000,
        b'{"a":' * 6000,
        b'{"do": "run", "dir": "/"}',
        b'{"do": "leave"}',
    ],
)
def test_nonsense_from_a_peer_harms_nobody(supervised: Supervised, message: bytes) -> None:
    supervised.run(programs.SLEEP)
    other = connect(supervised)
    other.channel.send(message)
    if message:  # an empty datagram is the end of a connection
        assert other.hear("error")["message"]
    other.channel.close()
    assert kill(supervised)["stopped_by"] == "cancel"


@pytest.mark.parametrize("grace_s", ["soon", None, float("nan"), float("inf"), [], -1])
def test_a_grace_that_is_no_time_does_not_keep_a_job_alive(
    supervised: Supervised, grace_s: Any
) -> None:
    supervised.run(programs.SLEEP)
    supervised.tell(do="cancel", reason="user", grace_s=grace_s)
    assert supervised.end()["stopped_by"] == "cancel"


@pytest.mark.parametrize("directory", ["", "/", "/nowhere/at/all", "/a/b/1", "a\0b/1"])
def test_a_folder_that_is_none_is_answered(supervised: Supervised, directory: str) -> None:
    supervised.tell(do="run", dir=directory)
    assert "cannot be claimed" in supervised.hear("error")["message"]


def test_a_spec_that_cannot_be_read_ends_the_attempt_with_words(supervised: Supervised) -> None:
    for content in ("", "[]", "{", '{"version": 1}', '{"version": 1, "spec": []}'):
        supervised.prepare("true")
        Path(supervised.dir, "spec.json").write_text(content)
        supervised.tell(do="run", dir=supervised.dir)
        end = supervised.end()
        assert end["outcome"] == "not_started", content
        assert end["message"], content


@pytest.mark.parametrize(
    "line",
    [
        b'{"value": ' + b"[" * 3000,
        b'{"value": 1' + b"0" * 3000 + b', "total": null}',
        b"9" * 3000 + b"%",
        b"\xff\xfe\0",
        b'{"value": {}}',
    ],
    ids=["deep", "huge", "long", "binary", "object"],
)
def test_a_report_of_nonsense_becomes_a_note(supervised: Supervised, line: bytes) -> None:
    supervised.run(programs.SLEEP)
    Path(report_pipe(supervised)).write_bytes(line + b"\n0.5\n")
    supervised.hear("progress")
    assert kill(supervised)["progress"]["value"] == 0.5
    assert "bad_report" in supervised.notes()


def test_half_a_character_in_a_report_can_be_written_anywhere(supervised: Supervised) -> None:
    supervised.run(programs.SLEEP)
    Path(report_pipe(supervised)).write_bytes(b'{"value": 0.5, "message": "\\ud800"}\n')
    supervised.hear("progress")
    kill(supervised)["progress"]["message"].encode()


def test_a_report_of_one_attempt_never_counts_for_the_next(supervised: Supervised) -> None:
    supervised.run_to_end("true")
    pipe = report_pipe(supervised)
    for number in range(5):
        # Between two attempts, when nobody is there to whom it could belong.
        Path(pipe).write_text(f"0.{number + 1}\n")
        assert supervised.run_to_end("true")["progress"] is None


def test_the_last_report_before_the_end_counts(supervised: Supervised) -> None:
    for number in range(20):
        command = f"echo 0.{number + 10} > $JUPYTER_TASKS_REPORT; printf 0.{number + 20} > $JUPYTER_TASKS_REPORT"
        end = supervised.run_to_end(command)
        assert end["progress"]["value"] == float(f"0.{number + 20}")


def test_a_program_that_holds_the_pipe_open_survives_a_cleaner(supervised: Supervised) -> None:
    gate = supervised.state / "gate"
    os.mkfifo(gate)
    supervised.run(
        f"exec 4>$JUPYTER_TASKS_REPORT; echo open; read x < {gate}; echo 0.75 >&4; exec sleep 300"
    )
    supervised.wait_for(b"open")
    claim = attempt.probe(supervised.dir).claim
    assert claim is not None
    os.unlink(claim.report)
    assert attempt.hang_up(claim)
    eventually(lambda: os.path.exists(claim.report))
    gate.write_text("go\n")
    assert supervised.hear("progress")["progress"]["value"] == 0.75
    kill(supervised)


def test_a_file_that_a_report_has_made_in_place_of_the_pipe_is_replaced(
    supervised: Supervised,
) -> None:
    supervised.run(programs.SLEEP)
    claim = attempt.probe(supervised.dir).claim
    assert claim is not None
    os.unlink(claim.report)
    Path(claim.report).write_text("0.1\n")
    assert attempt.hang_up(claim)
    eventually(lambda: Path(claim.report).is_fifo())
    kill(supervised)


def open_files(supervised: Supervised) -> int:
    return len(os.listdir(f"/proc/{supervised.pid}/fd"))


def test_attempts_leave_no_descriptor_behind(supervised: Supervised) -> None:
    commands: list[dict[str, Any]] = [
        {"command": "echo x"},
        {"command": "cat", "stdin": "text"},
        {"command": "echo x", "tty": True},
        {"command": ["no-such-program"]},
        {"command": "echo x", "merge_stderr": True},
        {"command": "true", "stdin": "x" * 1_000_000},
    ]
    counts = []
    for _ in range(3):
        for fields in commands:
            supervised.prepare(**fields)
            supervised.tell(do="run", dir=supervised.dir)
            supervised.end()
        counts.append(open_files(supervised))
    assert len(set(counts)) == 1, counts


def cpu_ticks(supervised: Supervised) -> int:
    stat = Path(f"/proc/{supervised.pid}/stat").read_text().rpartition(")")[2].split()
    return int(stat[11]) + int(stat[12])


@pytest.mark.parametrize(
    "fields",
    [
        {"command": "exec >&- 2>&-; sleep 300"},
        {"command": "exec <&-; echo ready; sleep 300", "stdin": "x" * 1_000_000},
        {"command": "echo ready; sleep 300", "stdin": "x" * 1_000_000},
        {"command": "echo ready; exec <&- >&- 2>&-; sleep 300", "tty": True},
        {"command": "echo ready; exec sleep 300", "tty": True, "stdin": "x\n" * 100_000},
    ],
    ids=["no output", "no input", "unread input", "terminal closed", "terminal unread"],
)
def test_what_a_job_has_closed_keeps_nobody_busy(
    supervised: Supervised, fields: dict[str, Any]
) -> None:
    supervised.run(**fields)
    before = cpu_ticks(supervised)
    with pytest.raises(TimeoutError):
        supervised.hear("ended", within_s=1.5)
    assert cpu_ticks(supervised) - before < TICKS_A_SECOND / 4
    kill(supervised)


def talk_without_end(other: Supervised) -> None:
    while True:
        other.tell(do="hello")


def test_a_peer_that_never_reads_is_hung_up_on(supervised: Supervised) -> None:
    supervised.run(programs.SLEEP)
    before = open_files(supervised)
    other = connect(supervised)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        talk_without_end(other)
    assert open_files(supervised) == before
    other.channel.close()
    kill(supervised)


def test_of_very_many_peers_the_last_are_turned_away(supervised: Supervised) -> None:
    supervised.run(programs.SLEEP)
    others = [connect(supervised) for _ in range(70)]
    others[0].tell(do="hello")
    assert others[0].hear("state")["job"] == JOB
    assert others[-1].channel.recv(100) == b""
    for other in others:
        other.channel.close()
    kill(supervised)


def test_memory_that_stays_too_much_leaves_the_grace_whole(supervised: Supervised) -> None:
    program = programs.python(
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(1.5)\n"
        "    print('tidied', flush=True)\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "held = b'x' * (80 << 20)\n"
        "time.sleep(300)\n"
    )
    end = supervised.run_to_end(program, memory_bytes=40 << 20, grace_s=20)
    assert (end["stopped_by"], end["exit_code"]) == ("memory", 0)
    assert supervised.text() == b"tidied\n"


def test_told_to_leave_it_holds_its_attempt_to_the_end(supervised: Supervised) -> None:
    supervised.run("sleep 0.3; echo done")
    supervised.tell(do="leave")
    assert supervised.end()["exit_code"] == 0
    with pytest.raises(EOFError):
        supervised.hear("anything", within_s=0.2)


def test_nothing_of_the_environment_stands_in_the_words_for_people(supervised: Supervised) -> None:
    supervised.prepare(["no-such-program"], env={"PATH": "/hush-hush", "TOKEN": "hush-hush"})
    supervised.tell(do="run", dir=supervised.dir)
    assert "hush-hush" not in json.dumps(supervised.end())


#: Blocks and ignores what others may have, then becomes what it is told.
MUFFLED = programs.python(
    "import os, signal, sys\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
    "for number in (signal.SIGQUIT, signal.SIGUSR2, signal.SIGCHLD, signal.SIGTTOU):\n"
    "    signal.signal(number, signal.SIG_IGN)\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)


def test_signals_that_a_parent_has_muffled_work_here_and_in_the_job(tmp_path: Path) -> None:
    with a_plain_supervisor(tmp_path, *MUFFLED) as supervised:
        end = supervised.run_to_end("grep -E 'Sig(Blk|Ign)' /proc/self/status; kill -USR2 $$")
        assert end["signal"] == 12
        blocked, ignored = (int(n, 16) for n in supervised.text().split()[1::2])
        assert blocked == 0
        assert ignored & ~(3 << 31) == 0  # 32 and 33 are the C library's own
