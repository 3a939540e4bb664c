"""The fork server: many supervisors from one warm process, and none of them bound to it."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_tasks import attempt
from tests import programs
from tests.eventually import eventually
from tests.supervised import a_fork_server, fork, of_this_test


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with a_fork_server() as server:
        yield server
    eventually(lambda: not of_this_test(), what="no process of the test is left")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_each_request_makes_another_supervisor(server: socket.socket, tmp_path: Path) -> None:
    pids = set()
    for number in range(3):
        supervised = fork(server, tmp_path)
        supervised.number = number
        supervised.run_to_end(["echo", "hello"])
        claim = attempt.probe(supervised.dir).claim
        assert claim is not None
        pids.add(claim.pid)
        assert supervised.text() == b"hello\n"
        supervised.channel.close()
    assert len(pids) == 3


def test_a_supervisor_has_a_session_of_its_own(server: socket.socket, tmp_path: Path) -> None:
    supervised = fork(server, tmp_path)
    supervised.run(["sleep", "300"])
    claim = attempt.probe(supervised.dir).claim
    assert claim is not None
    assert os.getsid(claim.pid) == claim.pid
    supervised.tell(do="kill", reason="user")
    supervised.end()
    supervised.channel.close()


def test_its_supervisors_outlive_it(server: socket.socket, tmp_path: Path) -> None:
    supervised = fork(server, tmp_path)
    supervised.run("sleep 0.5; echo on")
    claim = attempt.probe(supervised.dir).claim
    assert claim is not None
    os.kill(parent(claim.pid), signal.SIGKILL)
    assert supervised.end()["exit_code"] == 0
    supervised.channel.close()


def test_it_leaves_no_zombie(server: socket.socket, tmp_path: Path) -> None:
    supervised = fork(server, tmp_path)
    supervised.run(["sleep", "300"])
    claim = attempt.probe(supervised.dir).claim
    assert claim is not None
    os.kill(claim.pid, signal.SIGKILL)
    eventually(lambda: not os.path.exists(f"/proc/{claim.pid}"))
    assert attempt.end_tree(claim) == []
    supervised.channel.close()


def test_the_peak_of_a_short_job_is_its_own_or_unknown(
    server: socket.socket, tmp_path: Path
) -> None:
    supervised = fork(server, tmp_path)
    end = supervised.run_to_end(programs.python("held = b'x' * (60 << 20)"))
    assert 60 << 20 < end["peak_rss_bytes"] < 90 << 20
    assert supervised.run_to_end("true")["peak_rss_bytes"] is None
    supervised.channel.close()


def test_what_a_supervisor_takes_to_feed_a_job_is_not_called_the_jobs(
    server: socket.socket, tmp_path: Path
) -> None:
    supervised = fork(server, tmp_path)
    assert supervised.run_to_end("true", stdin="x" * (30 << 20))["peak_rss_bytes"] is None
    supervised.channel.close()
