"""What runs in a page and needs none: reading records, showing text, and the live connection."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_tasks import words
from jupyter_tasks.model import State
from tests.browser.node import FRONT_END, NODE, Viewer, node
from tests.live_server import LiveServer
from tests.stream_client import Pipe, submit, until


@pytest.mark.parametrize("path", sorted(FRONT_END.glob("tests/*.test.ts")), ids=lambda p: p.stem)
def test_the_front_ends_own_tests_pass(path: Path) -> None:
    done = node("--test", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass 0" not in done.stdout


# -- words ---------------------------------------------------------------------------------------

numbers = (
    st.floats(0, 1e9) | st.integers(0, 10**7).map(float) | st.integers(0, 800).map(lambda n: n / 8)
)
times = st.floats(1, 1e9)
jobs = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["train", "a\x1b[31mb\u202ec", " \x00 "]),
        "state": st.sampled_from([str(state) for state in State]),
        "reason": st.sampled_from(["", "user", "exit", "signal", "timeout", "slots"]),
        "exit_code": st.integers(0, 255),
        "signal": st.integers(1, 64),
        "cancel_requested_at": st.none() | times,
        "started_at": st.none() | times,
        "ended_at": st.none() | times,
        "progress": st.none()
        | st.fixed_dictionaries(
            {
                "value": st.none() | numbers,
                "total": st.none() | numbers,
                "message": st.sampled_from(["", "fold\n2"]),
                "source": st.just("report"),
            }
        ),
    }
)


def said(job: dict[str, Any], now: float) -> list[str]:
    """What Python says of the job."""
    return [
        words.plain(job["name"]),
        words.icon(job["state"]),
        words.state(job),
        words.progress(job),
        words.pace_words(job, now),
        words.took(job, now),
    ]


@pytest.fixture(scope="module")
def sayer() -> Iterator[subprocess.Popen[str]]:
    command = [NODE, "tests/words.ts"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=FRONT_END, stdin=pipe, stdout=pipe, text=True) as process:
        yield process


@given(job=jobs, now=times)
def test_a_cell_says_what_the_command_line_says(
    sayer: subprocess.Popen[str], job: dict[str, Any], now: float
) -> None:
    assert sayer.stdin is not None
    assert sayer.stdout is not None
    sayer.stdin.write(f"{json.dumps([job, now])}\n")
    sayer.stdin.flush()
    assert json.loads(sayer.stdout.readline()) == said(job, now)


# -- the live connection -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer() as server:
        yield server


def counted(start: int, end: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(start, end))


def shown(start: int, end: int) -> list[str]:
    return counted(start, end).decode().split()


def test_a_view_goes_on_when_the_server_was_killed(server: LiveServer, pipe: Pipe) -> None:
    job = submit(server, pipe.command)
    with Viewer(server, job) as viewer:
        pipe.write(counted(0, 10))
        viewer.until(last="9", live=True, state="running")
        server.kill()
        viewer.until(live=False)
        pipe.write(counted(10, 20))
        server.start()
        viewer.until(last="19", live=True)
        pipe.write(counted(20, 30))
        pipe.close()
        assert viewer.until(complete=True)["lines"] == shown(0, 30)
    assert {told["attempt"] for told in viewer.told} <= {None, 0, 1}


def test_progress_made_while_the_server_was_down_is_told(server: LiveServer, pipe: Pipe) -> None:
    (command,) = pipe.command[1:]
    job = submit(
        server, f'while read -r line; do echo "$line" >"$JUPYTER_TASKS_REPORT"; done <{command}'
    )
    with Viewer(server, job) as viewer:
        pipe.write(b"0.25\n")
        viewer.until(progress=0.25)
        server.kill()
        viewer.until(live=False)
        pipe.write(b"0.5\n")
        server.start()
        viewer.until(progress=0.5)
        pipe.close()
        viewer.until(state="succeeded")


def test_who_looks_away_reads_on_where_reading_stopped(server: LiveServer, pipe: Pipe) -> None:
    job = submit(server, pipe.command)
    with Viewer(server, job) as viewer:
        pipe.write(counted(0, 10))
        viewer.until(last="9")
        viewer.order("look away")
        viewer.until(looking=False)
        pipe.write(counted(10, 20))
        pipe.close()
        told = viewer.until(state="succeeded")
        assert told["last"] == "9"
        viewer.order("look")
        assert viewer.until(complete=True)["lines"] == shown(0, 20)


def test_a_restarted_job_goes_on_in_the_same_view(server: LiveServer) -> None:
    job = submit(server, "echo once; echo $JUPYTER_TASKS_ATTEMPT")
    with Viewer(server, job) as viewer:
        first = viewer.until(complete=True, attempt=1)
        server.ask("POST", f"tasks/api/jobs/{job}/restart")
        second = viewer.until(complete=True, attempt=2)
        assert len(first["lines"]) == len(second["lines"]) == 2


@pytest.mark.parametrize("is_rich", [False, True])
def test_a_flood_is_shown_by_its_end_and_fills_no_memory(server: LiveServer, is_rich: bool) -> None:
    bounds = {"floodBytes": 2**53} if is_rich else {}
    lines = 3_000_000
    job = submit(server, f"seq {lines}")
    with Viewer(server, job, **bounds) as viewer:
        told = viewer.until(complete=True)
    assert told["lines"][-400:] == shown(lines - 399, lines + 1)
    assert max(told["heap"] for told in viewer.told) < 200 * 2**20


def test_of_long_output_a_view_reads_the_end_alone(server: LiveServer) -> None:
    job = submit(server, "seq 1000000")
    until(server, job)
    with Viewer(server, job) as viewer:
        told = viewer.until(complete=True)
    assert told["lines"][0] == "[Earlier output is left out here.]"
    assert told["lines"][-1] == "1000000"
    assert told["received"] < 400_000


def test_a_job_that_the_server_does_not_know_is_said_to_be_unknown(server: LiveServer) -> None:
    with Viewer(server, "0123456789abcdef") as viewer:
        viewer.until(missing="never")


def test_a_job_that_is_deleted_is_said_to_be_so(server: LiveServer) -> None:
    job = submit(server, "true")
    until(server, job)
    with Viewer(server, job) as viewer:
        viewer.until(complete=True)
        server.ask("DELETE", f"tasks/api/jobs/{job}")
        viewer.until(missing="deleted")
