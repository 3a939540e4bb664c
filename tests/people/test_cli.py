"""The command line as people use it: real commands, a real server, pipes and a terminal."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks.client import Client
from tests.eventually import eventually
from tests.live_server import REPOSITORY, LiveServer

COMMAND = (sys.executable, "-m", "jupyter_tasks.cli")
Result = subprocess.CompletedProcess[str]
Cli = Callable[..., Result]


@pytest.fixture
def env(server: LiveServer) -> dict[str, str]:
    return server.env | {"COLUMNS": "200"}


@pytest.fixture
def cli(env: dict[str, str], tmp_path: Path) -> Cli:
    def run(*words: str, **options: Any) -> Result:
        how = {"env": env, "cwd": tmp_path, "timeout": 50, "text": True} | options
        return subprocess.run([*COMMAND, *words], check=False, capture_output=True, **how)

    return run


def submitted(cli: Cli, *words: str) -> str:
    result = cli("submit", *words)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# -- submit ------------------------------------------------------------------------------------


def test_code_from_a_file_runs_in_a_kernel_and_its_outputs_are_printed(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "sweep.py").write_text("\ufeff# A sweep\nprint('one')\n6 * 7\n")
    result = cli("submit", "--code", "sweep.py", "--kernel", "python3", "--follow")
    assert (result.returncode, result.stdout) == (0, "one\n42\n")
    job = json.loads(cli("list", "--json", "-n", "1").stdout)
    assert (job["kind"], job["name"], job["spec"]["cwd"]) == ("code", "# A sweep", str(tmp_path))
    assert cli("logs", job["id"], "-n", "1").stdout == "42\n"
    assert "Kernel" in cli("show", job["id"]).stdout


def test_an_error_in_code_is_shown_and_is_the_exit_code(cli: Cli) -> None:
    result = cli("submit", "--code", "-", "--follow", input="1 / 0")
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr
    missing = cli("submit", "--code", "nowhere.py")
    assert missing.returncode == 2
    assert "--code nowhere.py cannot be read" in missing.stderr


def test_submit_prints_the_id_alone_and_show_tells_the_rest(cli: Cli, tmp_path: Path) -> None:
    job_id = submitted(cli, "--name", "my job", "--tag", "x", "--", "echo", "a  b", "*")
    assert re.fullmatch(r"[0-9a-f]{16}", job_id)
    assert cli("wait", job_id[:8]).returncode == 0
    assert cli("logs", job_id).stdout == "a  b *\n"
    card = cli("show", job_id[:6]).stdout
    for told in ("my job", "succeeded", "echo 'a  b' '*'", str(tmp_path), f"logs {job_id[:8]}"):
        assert told in card


@pytest.mark.parametrize(
    ("command", "options", "code"),
    [
        ("exit 0", [], 0),
        ("exit 3", [], 3),
        ("kill -9 $$", [], 137),
        ("sleep 60", ["--timeout", "200ms"], 124),
        ("exec /nowhere/at/all", [], 127),
    ],
)
@pytest.mark.parametrize("how", ["--wait", "-f"])
def test_waiting_for_a_job_ends_with_its_own_code(
    cli: Cli, command: str, options: list[str], code: int, how: str
) -> None:
    assert cli("submit", how, *options, command).returncode == code


def test_following_prints_the_exact_bytes_of_both_streams(cli: Cli) -> None:
    script = r"printf 'a\000\377\r\n'; printf 'e\200' >&2"
    result = cli("submit", "-f", script, text=False)
    assert result.stdout == b"a\0\xff\r\n"  # type: ignore[comparison-overlap]
    assert result.stderr.endswith(b"e\x80")  # type: ignore[arg-type]


def test_secrets_come_from_the_callers_environment_and_standard_input(
    cli: Cli, env: dict[str, str], tmp_path: Path
) -> None:
    words = ("submit", "-f", "--env", "SECRET", "--env", "PLAIN=p=q", "--stdin")
    script = 'echo "$SECRET $PLAIN"; cat'
    given = env | {"SECRET": "s3"}
    assert cli(*words, "-", script, env=given, input="in\n").stdout == "s3 p=q\nin\n"
    (tmp_path / "file").write_text("from a file\n")
    assert cli(*words, "file", script, env=given).stdout == "s3 p=q\nfrom a file\n"


def test_what_cannot_be_read_is_wrong_usage(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for words, told in (
        (["--env", "NOT_SET_AT_ALL"], "--env NOT_SET_AT_ALL=VALUE"),
        (["--stdin", "missing"], "missing cannot be read"),
        (["--stdin", "binary"], "is no text"),
        (["--cwd", "no/such/folder"], "no/such/folder"),
        (["--priority", "5000"], "priority"),
    ):
        result = cli("submit", *words, "true")
        assert result.returncode == 2, result
        assert told in result.stderr


def test_an_argument_that_is_no_text_is_refused_in_a_sentence(cli: Cli) -> None:
    no_text = os.fsdecode(b"\xff")
    for words in (
        ("submit", "--", "cat", no_text),
        ("list", "--tag", no_text),
        ("show", no_text * 16),
        ("cancel", no_text * 4),
    ):
        result = cli(*words)
        assert result.returncode in (2, 4), result
        assert "Traceback" not in result.stderr


def test_a_token_file_that_is_no_text_is_refused_in_a_sentence(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xcb\xff")
    result = cli("list", "--token-file", "token")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "is no text" in result.stderr


def test_in_a_folder_that_has_gone_a_relative_one_is_refused_in_a_sentence(
    env: dict[str, str], tmp_path: Path
) -> None:
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    words = [*COMMAND, "submit", "--cwd", ".", "true"]
    how: dict[str, Any] = {"env": env, "cwd": tmp_path, "text": True, "timeout": 50}
    result = subprocess.run(
        ["sh", "-c", script, "sh", *words], check=False, capture_output=True, **how
    )
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert "is there no more" in result.stderr


def test_the_same_key_submits_once(cli: Cli) -> None:
    assert submitted(cli, "--idempotency-key", "k1", "true") == submitted(
        cli, "--idempotency-key", "k1", "true"
    )
    assert cli("submit", "--idempotency-key", "k1", "false").returncode == 5


# -- reading -----------------------------------------------------------------------------------


def test_jobs_are_listed_as_a_table_and_as_lines_of_json(cli: Cli) -> None:
    ids = [submitted(cli, "--tag", "listed", f"exit {n}") for n in range(2)]
    cli("wait", *ids)
    lines = cli("list", "--tag", "listed").stdout.splitlines()
    assert lines[0].split() == ["ID", "STATE", "PROGRESS", "NAME", "SUBMITTED", "TOOK"]
    assert [line.split()[0] for line in lines[1:]] == ids[::-1]
    assert "failed (exit 1)" in lines[1]
    told = [
        json.loads(line) for line in cli("list", "--tag", "listed", "--json").stdout.splitlines()
    ]
    assert [job["id"] for job in told] == ids[::-1]
    assert told[0]["exit_code"] == 1


def test_every_verb_can_speak_json(cli: Cli) -> None:
    job = json.loads(cli("submit", "--json", "--wait", "echo x").stdout)
    assert job["state"] == "succeeded"
    assert json.loads(cli("show", job["id"], "--json").stdout)["id"] == job["id"]
    assert json.loads(cli("explain", job["id"], "--json").stdout)["state"] == "succeeded"
    assert json.loads(cli("--json", "status").stdout)["version"]
    [record] = [json.loads(line) for line in cli("logs", job["id"], "--json").stdout.splitlines()]
    assert (record["k"], record["text"], record["cursor"].split(".")[0]) == ("out", "x\n", "1")
    assert json.loads(cli("wait", job["id"], "--json").stdout)["exit_code"] == 0
    restarted = json.loads(cli("restart", job["id"], "--json").stdout)
    assert restarted["state"] in ("queued", "starting", "running")
    cli("wait", job["id"])
    assert json.loads(cli("delete", job["id"], "--json").stdout) == {
        "id": job["id"],
        "deleted": True,
    }
    assert json.loads(cli("cancel", "--tag", "nobody", "--json").stdout)["matched"] == 0
    error = json.loads(cli("show", job["id"], "--json").stderr)
    assert (error["code"], job["id"] in error["message"]) == ("not_found", True)


def test_the_servers_state_and_what_it_survives_is_told(cli: Cli, server: LiveServer) -> None:
    told = cli("status").stdout
    for word in (server.url, "active", "Survival", str(server.home)):
        assert word in told


def test_the_end_of_the_output_is_printed_line_by_line(cli: Cli) -> None:
    script = "for i in $(seq 2000); do echo line $i; done; for i in 1 2 3; do echo e $i >&2; done"
    job_id = submitted(cli, "--wait", script)
    assert cli("logs", "-n", "2", "--stream", "out", job_id).stdout == "line 1999\nline 2000\n"
    result = cli("logs", "-f", "-n", "2", job_id)
    assert (result.stdout, result.stderr) == ("", "e 2\ne 3\n")
    assert len(cli("logs", job_id, "--stream", "out").stdout.splitlines()) == 2000


def test_what_was_lost_is_told_with_its_place_and_size_beside_the_exact_bytes(
    cli: Cli, client: Client
) -> None:
    job_id = submitted(cli, "--wait", "--max-output", "256K", "seq 200000")
    told = r"\[\d+ bytes from 1\.\d+ to 1\.\d+ were thrown away: .*\]\n"
    for words in (["logs", job_id], ["logs", "-n", "1000000", job_id]):
        result = cli(*words)
        assert re.fullmatch(told, result.stderr), result.stderr
        assert result.stdout.encode() == client.job(job_id).output()
    assert cli("logs", "-n", "2", job_id).stderr == ""


# -- changing ----------------------------------------------------------------------------------


def test_a_job_is_paused_resumed_cancelled_and_deleted(cli: Cli, client: Client) -> None:
    job_id = submitted(cli, "sleep 60")

    def state() -> str:
        return str(client.job(job_id).wire["state"])

    eventually(lambda: state() == "running")
    assert "running" in cli("pause", job_id[:8]).stdout or state() == "paused"
    eventually(lambda: state() == "paused")
    cli("resume", job_id)
    eventually(lambda: state() == "running")
    assert "cancel asked" in cli("cancel", "--reason", "enough", job_id).stdout
    assert cli("wait", job_id).returncode == 130
    again = cli("cancel", job_id)
    assert (again.returncode, "cancelled" in again.stderr) == (5, True)
    assert cli("delete", job_id).stdout == f"{job_id}  deleted\n"
    assert cli("show", job_id).returncode == 4


def test_jobs_are_changed_by_filter(cli: Cli) -> None:
    for _ in range(2):
        submitted(cli, "--tag", "bulk", "--wait", "true")
    assert cli("cancel", "--tag", "bulk").stdout.startswith("cancel: 0 jobs; among these")
    waiting = submitted(cli, "--tag", "bulk", "sleep 60")
    assert cli("pause", "--tag", "bulk").stdout == "pause: 1 of 1 jobs\n"
    assert cli("cancel", "--tag", "bulk").stdout == "cancel: 1 of 1 jobs\n"
    cli("wait", waiting)
    assert cli("delete", "--tag", "bulk", "--state", "succeeded").stdout == "delete: 2 of 2 jobs\n"


def test_a_waiting_job_is_edited_explained_and_run(cli: Cli, client: Client) -> None:
    blockers = client.submit_many(["sleep 60"] * client.status()["max_running"])
    job_id = submitted(cli, "echo old")
    told = cli("explain", job_id).stdout
    assert told.count("\n") == 1
    assert len(told) > 10
    assert "priority 5" in cli("edit", job_id, "--priority", "5", "--", "echo", "new").stdout
    assert cli("edit", job_id).returncode == 2
    assert cli("run", job_id).returncode == 0
    assert cli("wait", job_id).returncode == 0
    assert cli("logs", job_id).stdout == "new\n"
    client.cancel_all(ids=[blocker.id for blocker in blockers])
    for blocker in blockers:
        blocker.wait(20)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["cancel"], 2, "cancel ID"),
        (["cancel", "abcd", "--all"], 2, "not by both"),
        (["show", "0000"], 4, "begins with '0000'"),
        (["show", "0" * 16], 4, "0" * 16),
        (["show", "abc"], 2, "at least 4"),
        (["status", "--url", "http://127.0.0.1:1/"], 3, "does not answer"),
        (["status", "--token-file", "missing"], 2, "missing cannot be read"),
        (["logs", "--cursor", "1.0", "0" * 16], 4, "0" * 16),
        (["logs", "--cursor", "x", "0" * 16], 2, "'x' is no cursor"),
    ],
)
def test_what_goes_wrong_has_its_code_and_a_sentence(
    cli: Cli, words: list[str], code: int, told: str
) -> None:
    result = cli(*words)
    assert (result.returncode, result.stdout) == (code, "")
    assert told in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "restart", "run", "delete"])
def test_with_json_every_id_gets_one_line_a_result_or_an_error(cli: Cli, verb: str) -> None:
    ended = submitted(cli, "--wait", "true")
    result = cli(verb, "--json", "zzzz", "abc", ended, "0" * 16)
    errors = [json.loads(line) for line in result.stderr.splitlines()]
    done = [json.loads(line)["id"] for line in result.stdout.splitlines()]
    assert all(set(error) == {"code", "message", "details"} for error in errors)
    assert sorted([*done, *(error["details"]["job"] for error in errors)]) == sorted(
        ["zzzz", "abc", ended, "0" * 16]
    )
    codes = [error["code"] for error in errors]
    assert (codes[:2], codes[-1]) == (["not_found", "bad_message"], "not_found")
    assert result.returncode == (4 if done else 5)
    assert done == ([ended] if verb in ("restart", "delete") else [])


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (["show", "zzzz"], ["not_found"]),
        (["wait", "zzzz"], ["not_found"]),
        (["logs", "zzzz"], ["not_found"]),
        (["cancel"], ["bad_message"]),
        (["submit"], ["wrong_usage"]),
        (["list", "--state", "asleep"], ["wrong_usage"]),
        (["list", "--kind", "asleep"], ["bad_message"]),
        (["status", "--url", "http://127.0.0.1:1"], ["no_server"]),
        (["status", "--url", "http://127.0.0.1:1", "--token", "x"], [None, "no_server"]),
    ],
)
def test_with_json_whatever_stands_on_standard_error_is_json_too(
    cli: Cli, words: list[str], codes: list[str | None]
) -> None:
    result = cli(*words, "--json")
    told = [json.loads(line) for line in result.stderr.splitlines()]
    assert [line.get("code") for line in told] == codes
    assert result.stdout == ""


def test_one_bad_id_does_not_keep_the_others_from_it(cli: Cli) -> None:
    job_id = submitted(cli, "--wait", "true")
    result = cli("restart", "0" * 16, job_id)
    assert result.returncode == 4
    assert job_id in result.stdout
    cli("wait", job_id)


def test_waiting_for_a_while_leaves_the_job_alone(cli: Cli) -> None:
    job_id = submitted(cli, "sleep 60")
    result = cli("wait", job_id, "--timeout", "300ms")
    assert result.returncode == 1
    assert "it goes on" in result.stderr
    cli("cancel", job_id)
    assert cli("wait", job_id).returncode == 130


# -- the token ---------------------------------------------------------------------------------


def test_a_token_is_taken_from_a_file_or_the_environment_and_warned_of_in_arguments(
    cli: Cli, server: LiveServer, env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{server.token}\n")
    by_file = cli("status", "--url", server.url, "--token-file", "token")
    by_env = cli(
        "status", env=env | {"JUPYTER_TASKS_URL": server.url, "JUPYTER_TASKS_TOKEN": server.token}
    )
    assert (by_file.returncode, by_file.stderr) == (by_env.returncode, by_env.stderr) == (0, "")
    by_argument = cli("status", "--url", server.url, "--token", server.token)
    assert by_argument.returncode == 0
    assert "list of processes" in by_argument.stderr


# -- progress ----------------------------------------------------------------------------------


def test_a_script_reports_its_progress_from_inside_a_job(cli: Cli, client: Client) -> None:
    report = f"{sys.executable} -m jupyter_tasks.cli progress"
    script = f"{report} 3/12 -m 'fold 3' && {report} 6 12"
    job_id = submitted(cli, "--wait", script)
    told = [
        p.record.header for p in client.job(job_id).records() if p.record.header["k"] == "progress"
    ]
    assert [(t["value"], t["total"], t["message"]) for t in told] == [
        (3, 12, "fold 3"),
        (6, 12, ""),
    ]


def test_outside_a_job_progress_says_so_and_lets_the_script_go_on(cli: Cli) -> None:
    result = cli("progress", "40%")
    assert (result.returncode, result.stdout) == (0, "")
    assert "not inside a job" in result.stderr
    assert cli("progress").returncode == 2
    assert cli("progress", "soon").returncode == 2


# -- pipes, signals, terminals -----------------------------------------------------------------


def test_a_reader_that_leaves_early_is_no_trouble(cli: Cli, env: dict[str, str]) -> None:
    job_id = submitted(cli, "--wait", "seq 100000")
    words = " ".join([*COMMAND, "logs", job_id])
    result = subprocess.run(
        ["bash", "-c", f"{words} | head -n 1; echo ${{PIPESTATUS[0]}}"],
        env=env, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (result.stdout, result.stderr) == ("1\n141\n", "")


@pytest.mark.parametrize("stream", ["", "2"])
@pytest.mark.parametrize("target", [">/dev/full", ">&-"])
def test_what_cannot_be_written_is_told_in_a_sentence(
    cli: Cli, env: dict[str, str], stream: str, target: str
) -> None:
    job_id = submitted(cli, "--wait", "echo out")
    for words in ("list", "list --json", "status", f"logs {job_id}", "submit true", "show 0000"):
        result = subprocess.run(
            ["bash", "-c", f"{' '.join(COMMAND)} {words} {stream}{target}"],
            env=env, check=False, capture_output=True, text=True,
        )  # fmt: skip
        is_full = (stream, target) == ("", ">/dev/full") and words != "show 0000"
        assert result.returncode == (74 if is_full else 4 if words == "show 0000" else 0), result
        assert ("No space left" in result.stderr) == is_full
        assert "Traceback" not in result.stderr
        assert "Exception" not in result.stderr


def test_a_job_that_was_submitted_is_named_even_where_its_id_cannot_be_printed(
    env: dict[str, str],
) -> None:
    with Path("/dev/full").open("w") as full:
        words = [*COMMAND, "submit", "true"]
        result = subprocess.run(
            words, env=env, check=False, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert re.search(r"Job [0-9a-f]{16} was submitted", result.stderr)


@pytest.mark.parametrize("how", ["--wait", "-f"])
def test_why_a_job_could_not_be_started_is_told(cli: Cli, how: str) -> None:
    result = cli("submit", how, "--", "no-such-command-at-all")
    assert result.returncode == 126
    assert "'no-such-command-at-all' was not found on the PATH" in result.stderr


def test_ctrl_c_stops_the_following_alone_and_says_how_to_go_on(
    cli: Cli, env: dict[str, str], tmp_path: Path, client: Client
) -> None:
    job_id = submitted(cli, "i=0; while [ ! -e stop ]; do i=$((i+1)); echo $i; sleep 0.005; done")
    with (tmp_path / "seen").open("wb") as seen:
        following = subprocess.Popen(
            [*COMMAND, "logs", "-f", job_id],
            env=env,
            stdout=seen,
            stderr=subprocess.PIPE,
            text=True,
        )
        eventually(lambda: len((tmp_path / "seen").read_bytes()) > 20)
        following.send_signal(signal.SIGINT)
        _, told = following.communicate(timeout=20)
    assert following.returncode == 130
    assert f"jupyter tasks cancel {job_id[:8]}" in told
    again = re.search(r"jupyter tasks (logs -f \w+ --cursor [\d.]+)", told)
    assert again is not None
    assert client.job(job_id).wire["state"] == "running"
    (tmp_path / "stop").touch()
    rest = cli(*again[1].split()).stdout
    assert (tmp_path / "seen").read_text() + rest == client.job(job_id).wait(20).output().decode()


def test_ctrl_c_while_waiting_leaves_the_job_running(env: dict[str, str], client: Client) -> None:
    words = [*COMMAND, "submit", "--wait", "sleep 60"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, env=env, text=True, **pipes) as waiting:  # type: ignore[call-overload]
        job_id = waiting.stdout.readline().strip()
        handle = client.job(job_id)
        eventually(lambda: handle.refresh().state == "running")
        waiting.send_signal(signal.SIGINT)
        _, told = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    assert f"jupyter tasks wait {job_id[:8]}" in told
    assert handle.refresh().state == "running"
    handle.cancel().wait(20)


def test_output_goes_on_exactly_when_the_server_is_killed_and_started_again(
    own_server: LiveServer, tmp_path: Path
) -> None:
    own_server.start()
    env = own_server.env
    script = "for i in $(seq 400); do echo line $i; sleep 0.005; done; exit 9"
    with (tmp_path / "seen").open("wb") as seen:
        following = subprocess.Popen(
            [*COMMAND, "submit", "-f", script], env=env, stdout=seen, stderr=subprocess.DEVNULL
        )
        eventually(lambda: len((tmp_path / "seen").read_bytes()) > 200)
        own_server.restart()
        assert following.wait(50) == 9
    assert (tmp_path / "seen").read_text() == "".join(f"line {i}\n" for i in range(1, 401))


def test_what_happens_is_told_in_lines_where_there_is_no_terminal(
    cli: Cli, env: dict[str, str], tmp_path: Path
) -> None:
    with (tmp_path / "seen").open("wb") as seen:
        words = [*COMMAND, "watch", "--json", "--tag", "seen"]
        watching = subprocess.Popen(words, env=env, stdout=seen)
        eventually(lambda: b"live" in (tmp_path / "seen").read_bytes())
        job_id = submitted(cli, "--tag", "seen", "--wait", "true")
        eventually(lambda: b"succeeded" in (tmp_path / "seen").read_bytes())
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130
    events = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
    assert [event["job"]["state"] for event in events if "job" in event][-1] == "succeeded"
    assert {event["job_id"] for event in events if "job" in event} == {job_id}


class Terminal:
    """A command at a terminal of 120 columns; what it has drawn so far."""

    def __init__(self, words: list[str], env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        size = {
            "TERM": "xterm-256color",
            "COLUMNS": "120",
            "LINES": "30",
            "PYTHONIOENCODING": "utf-8",
        }
        self.process = subprocess.Popen(
            [*COMMAND, *words], env=env | size, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        os.set_blocking(self.master, False)
        self.drawn = b""

    def text(self) -> str:
        """What was drawn, without colours."""
        try:
            while data := os.read(self.master, 65536):
                self.drawn += data
        except OSError:  # nothing more at the moment, or the program has left
            pass
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.drawn.decode())

    def end(self) -> int:
        code = self.process.wait(20)
        self.text()
        os.close(self.master)
        self.master = -1  # its number will soon be somebody else's file, which is not ours to read
        return code


def test_at_a_terminal_a_list_has_icons_words_and_short_ids(cli: Cli, env: dict[str, str]) -> None:
    job_id = submitted(cli, "--tag", "tty", "--wait", "true")
    screen = Terminal(["list", "--tag", "tty"], env)
    assert screen.end() == 0
    assert f"{job_id[:8]}  ✓ succeeded" in screen.text()
    assert job_id not in screen.text()
    assert b"\x1b[32m" in screen.drawn


def test_no_color_is_honoured_and_the_words_remain(cli: Cli, env: dict[str, str]) -> None:
    submitted(cli, "--tag", "plain", "--wait", "true")
    screen = Terminal(["list", "--tag", "plain"], env | {"NO_COLOR": "1"})
    assert screen.end() == 0
    assert "✓ succeeded" in screen.text()
    assert not re.search(rb"\x1b\[[0-9;]*3[0-9]", screen.drawn)


def test_at_a_terminal_a_watch_draws_bars_until_ctrl_c(
    cli: Cli, env: dict[str, str], tmp_path: Path
) -> None:
    script = "echo 3/12 fold 3 > $JUPYTER_TASKS_REPORT; while [ ! -e stop ]; do sleep 0.02; done"
    job_id = submitted(cli, "--tag", "drawn", script)
    screen = Terminal(["watch", "--tag", "drawn"], env)
    eventually(lambda: "━━━━━╌╌╌" in screen.text() and "3/12 25% fold 3" in screen.text())
    assert job_id[:8] in screen.text()
    assert "● running" in screen.text()
    (tmp_path / "stop").touch()
    eventually(lambda: "✓ succeeded" in screen.text())
    screen.process.send_signal(signal.SIGINT)
    assert screen.end() == 130


def test_at_a_terminal_waiting_shows_the_job_and_ends_with_its_code(env: dict[str, str]) -> None:
    screen = Terminal(["submit", "--wait", "sleep 0.3; exit 6"], env)
    assert screen.end() == 6
    assert "✗ failed (exit 6)" in screen.text()


# -- speed -------------------------------------------------------------------------------------


def test_help_loads_neither_rich_nor_httpx() -> None:
    code = (
        "import sys; sys.argv = ['x', '--help']\n"
        "from jupyter_tasks.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'rich', 'httpx', 'msgspec', 'asyncio', 'tornado'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


# -- programs that run elsewhere -----------------------------------------------------------------


def test_a_script_reports_on_itself(cli: Cli, client: Client) -> None:
    job_id = submitted(cli, "--external", "--lease", "1m", "--program", "solve.sh")

    going = cli("report", job_id, "--progress", "3/12", "-m", "third", "--output", "-", input="a\n")
    handle = client.job(job_id)
    told = handle.progress
    handle.cancel()
    wish = cli("report", job_id)
    over = cli("report", job_id, "--end", "cancelled", "-m", "stopped", "--result", "[1]")

    assert going.stdout.split() == [job_id, "running"]
    assert (told.value, told.total, told.message) == (3, 12, "third")
    assert wish.stdout.split() == [job_id, "running", "cancel"]
    assert over.stdout.split() == [job_id, "cancelled"]
    assert client.job(job_id).output() == b"a\n"
    assert "solve.sh" in cli("show", job_id).stdout


def test_a_report_on_what_has_ended_or_runs_here_is_refused_in_words(cli: Cli) -> None:
    ended = submitted(cli, "--external")
    cli("report", ended, "--exit-code", "0")
    here = submitted(cli, "--wait", "true")

    late, wrong = cli("report", ended, "-m", "more"), cli("report", here)

    assert late.returncode == wrong.returncode == 5
    assert f"Job {ended} is succeeded" in late.stderr
    assert "$JUPYTER_TASKS_REPORT" in wrong.stderr


def test_a_program_elsewhere_is_given_no_command(cli: Cli) -> None:
    result = cli("submit", "--external", "--", "true")

    assert result.returncode == 2
    assert "--external starts nothing here" in result.stderr


# -- files that a job left -------------------------------------------------------------------------


def test_files_are_listed_shown_and_fetched(cli: Cli, tmp_path: Path) -> None:
    command = 'mkdir "$JUPYTER_TASKS_ARTIFACTS/d"; echo hello > "$JUPYTER_TASKS_ARTIFACTS/d/a.txt"'
    job_id = submitted(cli, "--wait", command)

    listed = cli("artifacts", job_id)
    told = cli("artifacts", job_id, "--show", "d/a.txt")
    fetched = cli("artifacts", job_id, "--get", "d/a.txt")
    again = cli("artifacts", job_id, "--get", "d/a.txt")
    packed = cli("artifacts", job_id, "--all", "zip", "--to", "all.zip")

    assert listed.stdout.splitlines()[1].split() == ["d/a.txt", "6", "B", "text"]
    assert told.stdout == "hello\n"
    assert (fetched.stdout, (tmp_path / "a.txt").read_text()) == ("a.txt\n", "hello\n")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert packed.returncode == 0
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.read(f"{job_id}/d/a.txt") == b"hello\n"
