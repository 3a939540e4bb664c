"""One supervisor and well-behaved jobs: what it says, writes, samples and obeys."""

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_tasks import attempt
from tests import programs
from tests.eventually import eventually
from tests.supervised import JOB, Supervised, a_plain_supervisor, of_this_test


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    with a_plain_supervisor(tmp_path) as supervised:
        yield supervised
    eventually(lambda: not of_this_test(), what="no process of the test is left")


def control(supervised: Supervised) -> Supervised:
    """Another connection, through the control socket that the claim names."""
    claim = attempt.probe(supervised.dir).claim
    assert claim is not None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(claim.control)
    other = Supervised(supervised.state, sock, None)
    other.dir = supervised.dir
    return other


def test_the_next_attempt_finds_the_doors_that_a_cleaner_removed(supervised: Supervised) -> None:
    supervised.run_to_end("true")
    claim = attempt.probe(supervised.dir).claim
    assert claim is not None
    for path in (claim.control, claim.report):
        Path(path).unlink()
    supervised.run('echo 3/4 > "$JUPYTER_TASKS_REPORT"; exec sleep 300')
    assert supervised.hear("progress")["progress"]["value"] == 3
    with control(supervised).channel as other:
        other.send(b'{"do": "kill"}')
        assert supervised.end()["progress"]["total"] == 4


@pytest.mark.parametrize("do", ["cancel", "kill"])
def test_a_reason_from_whoever_is_a_word_that_can_be_kept(supervised: Supervised, do: str) -> None:
    supervised.run("sleep 300")
    supervised.tell(do=do, reason="\ud800" + "x" * 60_000)
    reason = supervised.end()["stop_reason"]
    assert reason.encode() == b"?" + b"x" * (len(reason) - 1)
    assert len(reason) < 10_000


def test_output_exit_code_and_end_are_written_and_said(supervised: Supervised) -> None:
    end = supervised.run_to_end("echo out; echo err >&2; exit 3")
    assert (supervised.text(), supervised.text("err")) == (b"out\n", b"err\n")
    assert (end["outcome"], end["exit_code"], end["signal"], end["stopped_by"]) == (
        "exited",
        3,
        None,
        None,
    )
    assert end["output_bytes"] == supervised.records()[-1].end


def test_one_supervisor_takes_one_attempt_after_the_other(supervised: Supervised) -> None:
    pids = set()
    for text in ("one", "two", "three"):
        supervised.run_to_end(["echo", text])
        claim = attempt.probe(supervised.dir).claim
        assert claim is not None
        pids.add(claim.pid)
        assert supervised.text() == text.encode() + b"\n"
    assert len(pids) == 1


def test_a_claimed_attempt_is_not_started_again(supervised: Supervised) -> None:
    directory = supervised.prepare(["touch", f"{supervised.state}/started"])
    assert attempt.fence(directory, JOB, 1)
    supervised.tell(do="run", dir=directory)
    assert supervised.hear("fenced")["dir"] == directory
    assert not (supervised.state / "started").exists()


def test_a_held_claim_names_its_holder(supervised: Supervised) -> None:
    supervised.run(programs.SLEEP)
    probe = attempt.probe(supervised.dir)
    assert probe.claim is not None
    assert probe.held_by == probe.claim.pid == supervised.pid
    assert probe.end is None
    supervised.tell(do="kill", reason="user")
    supervised.end()
    assert attempt.probe(supervised.dir).held_by is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"command": ["no-such-program-here"]}, "no-such-program-here"),
        ({"command": "true", "cwd": "/no/such/folder"}, "/no/such/folder"),
        ({"command": ["/etc/hostname"]}, "/etc/hostname"),
        ({"command": "true", "version": 99}, "99"),
        ({"command": ["a\0b"]}, "null"),
        ({"command": ["echo", "a\0b"]}, "null"),
        ({"command": "true", "cwd": "/a\0b"}, "null"),
        ({"command": "true", "env": {"A=B": "c"}}, "environment"),
        ({"command": []}, "lacks command"),
        ({"command": ["./no-such-program-here"], "cwd": "/tmp"}, "no-such-program-here"),
        ({"command": ["echo", "x" * 200_000]}, "stdin or a file"),
        ({"command": "true", "spec": {"kind": "dream"}}, "dream"),
    ],
)
def test_what_cannot_start_says_why(
    supervised: Supervised, fields: dict[str, object], named: str
) -> None:
    supervised.prepare(**fields)
    supervised.tell(do="run", dir=supervised.dir)
    end = supervised.end()
    assert end["outcome"] == "not_started"
    assert end["message"]
    assert named in end["message"]


def test_a_timeout_ends_the_job_and_says_so(supervised: Supervised) -> None:
    end = supervised.run_to_end(programs.SLEEP, timeout_s=0.3)
    assert (end["stopped_by"], end["signal"]) == ("timeout", signal.SIGTERM)


def test_time_paused_does_not_count_against_the_timeout(supervised: Supervised) -> None:
    supervised.run("sleep 0.6; echo done", timeout_s=1.5)
    supervised.tell(do="pause")
    supervised.hear("paused")
    with pytest.raises(TimeoutError):
        supervised.hear("ended", within_s=2.0)
    supervised.tell(do="resume")
    supervised.hear("resumed")
    end = supervised.end()
    assert (end["stopped_by"], end["exit_code"]) == (None, 0)


def test_too_much_memory_ends_the_job_and_says_so(supervised: Supervised) -> None:
    end = supervised.run_to_end(programs.eats_memory(150 << 20), memory_bytes=60 << 20)
    assert end["stopped_by"] == "memory"
    assert end["peak_rss_bytes"] > 60 << 20


def test_a_job_that_ended_by_itself_is_not_called_cancelled(supervised: Supervised) -> None:
    supervised.run("exit 5")
    eventually(lambda: attempt.probe(supervised.dir).end)
    supervised.tell(do="cancel", reason="user", grace_s=1)
    assert supervised.end()["stopped_by"] is None


def test_interrupt_is_sigint_to_the_group(supervised: Supervised) -> None:
    supervised.run(programs.python("import time\nprint('ready', flush=True)\ntime.sleep(300)\n"))
    supervised.wait_for(b"ready")
    supervised.tell(do="interrupt")
    end = supervised.end()
    assert b"KeyboardInterrupt" in supervised.text("err")
    assert end["stopped_by"] is None


def test_stdin_of_any_length_is_fed_without_blocking(supervised: Supervised) -> None:
    text = "line é\n" * 200_000
    supervised.run_to_end("wc -c", stdin=text)
    assert int(supervised.text()) == len(text.encode())
    assert supervised.run_to_end("exec <&-; exit 0", stdin=text)["exit_code"] == 0


def test_without_stdin_it_is_empty(supervised: Supervised) -> None:
    supervised.run_to_end("cat; echo end")
    assert supervised.text() == b"end\n"


def test_a_terminal_has_80_columns_and_signals_reach_it(supervised: Supervised) -> None:
    supervised.run_to_end("test -t 0 && test -t 1 && test -t 2 && stty size </dev/tty", tty=True)
    assert supervised.text() == b"24 80\r\n"


def test_merged_streams_keep_their_order(supervised: Supervised) -> None:
    supervised.run_to_end("for i in 1 2 3; do echo o$i; echo e$i >&2; done", merge_stderr=True)
    assert supervised.text() == b"o1\ne1\no2\ne2\no3\ne3\n"


def test_the_job_gets_its_environment_folder_and_umask(
    supervised: Supervised, tmp_path: Path
) -> None:
    supervised.run_to_end(
        'echo "$A $JUPYTER_TASKS_JOB $PYTHONUNBUFFERED $(pwd) $(umask) $JUPYTER_TASKS_ARTIFACTS"; test -p "$JUPYTER_TASKS_REPORT"',
        env={"A": "b"},
        cwd=str(tmp_path),
        umask=0o027,
    )
    expected = f"b {JOB}/1 1 {tmp_path} 0027 {supervised.dir}/artifacts\n"
    assert supervised.text().decode() == expected


def test_the_job_inherits_no_descriptor_and_no_ignored_signal(supervised: Supervised) -> None:
    supervised.run_to_end(
        programs.python(
            "import os\n"
            "print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1])\n"
            "print(*[l for l in open('/proc/self/status') if l[:6] in ('SigBlk', 'SigIgn')], sep='', end='')\n"
        )
    )
    fds, blocked, ignored = supervised.text().decode().splitlines()
    assert fds == "[0, 1, 2]"
    assert int(blocked.split()[1], 16) == 0
    # The interpreter itself ignores SIGPIPE and SIGXFSZ; 32 and 33 are the C library's own.
    assert int(ignored.split()[1], 16) & ~(1 << 12 | 1 << 24 | 3 << 31) == 0


def test_the_job_is_taken_before_the_supervisor_when_memory_runs_out(
    supervised: Supervised,
) -> None:
    supervised.run_to_end("cat /proc/self/oom_score_adj")
    assert int(supervised.text()) == 500
    assert int(Path(f"/proc/{supervised.pid}/oom_score_adj").read_text()) < 500


def test_files_are_the_owners_alone(supervised: Supervised) -> None:
    supervised.run_to_end("echo x")
    for path in Path(supervised.dir).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize(
    ("line", "value", "total", "message"),
    [
        ('{"value": 3, "total": 12, "message": "m"}', 3, 12, "m"),
        ("40% half way", 0.4, None, "half way"),
        ("3/12", 3, 12, ""),
        ("0.4", 0.4, None, ""),
    ],
)
def test_a_line_in_the_report_pipe_is_progress(
    supervised: Supervised, line: str, value: float, total: float | None, message: str
) -> None:
    end = supervised.run_to_end(f"echo '{line}' > \"$JUPYTER_TASKS_REPORT\"")
    told = end["progress"]
    assert (told["value"], told["total"], told["message"] or "", told["source"]) == (
        value,
        total,
        message,
        "report",
    )


def test_a_bad_report_becomes_a_note_at_most_ten_times(supervised: Supervised) -> None:
    supervised.run_to_end(
        'for i in $(seq 30); do echo nonsense > "$JUPYTER_TASKS_REPORT"; done; sleep 0.2'
    )
    assert 1 <= supervised.notes().count("bad_report") <= 10


def test_osc_progress_is_recognised(supervised: Supervised) -> None:
    end = supervised.run_to_end(r"printf '\033]9;4;1;42\033\\'")
    assert (end["progress"]["value"], end["progress"]["source"]) == (0.42, "osc")


def test_a_job_that_reports_is_not_taken_by_the_bars_of_its_steps(supervised: Supervised) -> None:
    # Both go through pipes of their own: what is printed comes when the report has been taken.
    report = 'echo "7/12 step" > "$JUPYTER_TASKS_REPORT"; sleep 0.3; '
    end = supervised.run_to_end(report + r"printf 'bar 1%%\rbar 90%%\r'; sleep 0.3")
    assert (end["progress"]["value"], end["progress"]["source"]) == (7, "report")


def test_the_last_progress_is_always_said(supervised: Supervised) -> None:
    supervised.run_to_end('for i in $(seq 100); do echo "$i%" > "$JUPYTER_TASKS_REPORT"; done')
    said = [m["progress"]["value"] for m in supervised.heard if m["say"] == "progress"]
    assert said[-1] == 1.0
    assert len(said) < 20


def test_usage_is_sampled_for_jobs_of_more_than_a_second_only(supervised: Supervised) -> None:
    supervised.run_to_end("true")
    assert not [r for r in supervised.records() if r.header["k"] == "usage"]
    supervised.run_to_end("sleep 2.5")
    found = [r.header for r in supervised.records() if r.header["k"] == "usage"]
    assert 1 <= len(found) <= 3
    assert found[0]["processes"] >= 1
    assert found[0]["rss_bytes"] > 0


def test_a_silent_job_wakes_nobody_without_need(supervised: Supervised) -> None:
    supervised.run("sleep 300")

    def switches() -> int:
        status = Path(f"/proc/{supervised.pid}/status").read_text()
        return int(
            status.split("nonvoluntary_ctxt_switches:")[0].split("voluntary_ctxt_switches:")[1]
        )

    before = switches()
    with pytest.raises(TimeoutError):
        supervised.hear("ended", within_s=5)
    assert switches() - before <= 8
    supervised.tell(do="kill", reason="user")
    supervised.end()


def test_the_bell_rings_once_when_there_is_more(supervised: Supervised) -> None:
    supervised.run("read x; echo more; sleep 300", stdin="go\n")
    other = control(supervised)
    other.tell(do="bell", size=0)
    assert other.hear("bell")["size"] > 0
    other.channel.close()
    supervised.tell(do="kill", reason="user")
    supervised.end()


def test_a_control_connection_can_cancel_but_gives_no_work(supervised: Supervised) -> None:
    supervised.run(programs.SLEEP)
    other = control(supervised)
    other.tell(do="hello")
    state = other.hear("state")
    assert (state["job"], state["attempt"], state["paused"]) == (JOB, 1, False)
    other.tell(do="run", dir=supervised.dir)
    assert other.hear("error")["message"]
    other.tell(do="cancel", reason="user", grace_s=1)
    assert other.hear("ended")["end"]["stopped_by"] == "cancel"
    other.channel.close()


def test_an_unknown_request_is_answered(supervised: Supervised) -> None:
    supervised.tell(do="dance")
    assert "dance" in supervised.hear("error")["message"]
    supervised.channel.send(b"not json")
    assert supervised.hear("error")["message"]
    assert supervised.run_to_end("true")["exit_code"] == 0


def test_it_goes_on_when_the_channel_breaks(supervised: Supervised) -> None:
    supervised.run("sleep 0.5; echo after")
    supervised.channel.close()
    end = eventually(lambda: attempt.probe(supervised.dir).end)
    assert end["exit_code"] == 0
    assert supervised.text() == b"after\n"


def test_it_leaves_when_idle_and_takes_its_socket_and_pipe_along(supervised: Supervised) -> None:
    supervised.run_to_end("true")
    with pytest.raises(EOFError):
        supervised.hear("anything", within_s=3)
    eventually(lambda: os.listdir(os.environ["JUPYTER_TASKS_RUNTIME_DIR"]) == [])


def test_secrets_stand_in_no_argument(supervised: Supervised) -> None:
    supervised.run("sleep 300", env={"TOKEN": "hush-hush"}, stdin="hush-hush")
    for pid, _ in of_this_test():
        assert b"hush-hush" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    supervised.tell(do="kill", reason="user")
    assert "hush-hush" not in json.dumps(supervised.end())
