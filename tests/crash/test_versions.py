"""Server and supervisor of different releases: an upgrade under running jobs harms none of them."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks import attempt
from jupyter_tasks import lifecycle as lc
from jupyter_tasks.model import State
from tests.builders import a_change, a_job
from tests.crash.wreckage import is_there
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.office import Office, an_office
from tests.stream_client import job_of, submit, until

A_SPEC = {"kind": "shell", "command": "true"}

#: A supervisor of a release to come: it says and writes more than we know, in an order of its own.
NEWER = """
import json, os, socket, sys
from jupyter_tasks import attempt, posix
directory, job, control = sys.argv[1:]
me = {"protocol": 7, "version": 2, "job": job, "attempt": 1, "pid": os.getpid(),
      "start_time": posix.start_time(os.getpid()), "boot_id": posix.boot_id(),
      "machine_id": posix.machine_id(), "pid_namespace": posix.pid_namespace(),
      "host": posix.host(), "control": control, "report": "", "started_at": 4.0}
claim = attempt.Claim(**{name: me[name] for name in attempt.Claim._fields if name in me})
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(control)
listener.listen()
fd = attempt.take_claim(directory, claim)
os.pwrite(fd, json.dumps(me).encode() + b"\\n", 0)
os.ftruncate(fd, len(json.dumps(me)) + 1)
print("ready", flush=True)
peer, _ = listener.accept()
say = lambda **words: peer.send(json.dumps(words).encode())
while words := json.loads(peer.recv(65536)):
    print(words["do"], flush=True)
    if words["do"] == "hello":
        say(say="mood", mood="good")
        say(say="state", job=job, attempt=1, paused=False, progress={"value": 1, "colour": "red"}, size=0)
    if words["do"] == "cancel":
        break
end = {"outcome": "signalled", "signal": 15, "exit_code": None, "started_at": 4.0, "ended_at": 5.0,
       "stopped_by": "cancel", "stop_reason": words["reason"], "carbon_g": 3, "output_bytes": 0,
       "message": "", "peak_rss_bytes": 1, "cpu_s": 0.1, "leftover_pids": [], "progress": None}
attempt.write_end(fd, end)
say(say="ended", dir=directory, job=job, attempt=1, end=end)
"""


@pytest.fixture
def place(tmp_path: Path, _own_runtime_dir: Path) -> tuple[Path, Path]:
    return tmp_path, _own_runtime_dir


@contextmanager
def a_newer_supervisor(state: Path, runtime: Path, job_id: str) -> Iterator[Any]:
    directory = attempt.create(state, job_id, 1)
    command = [sys.executable, "-c", NEWER, directory, job_id, str(runtime / "newer.control")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


async def test_a_newer_supervisors_attempt_is_followed_cancelled_and_booked(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place) as office:
        job = await a_job_that_starts(office)
    with a_newer_supervisor(*place, job.id) as process:
        async with an_office(*place) as office:
            found = await office.until(job, State.RUNNING)
            assert process.stdout.readline() == "hello\n"

            await office.manager.ask(job.id, None, lc.CancelAsked(reason="because"))

            ended = await office.ended(found)
            assert process.stdout.readline() == "cancel\n"
    assert (ended.state, ended.reason, ended.signal, ended.attempt) == (
        State.CANCELLED,
        "because",
        15,
        1,
    )


async def a_job_that_starts(office: Office) -> Any:
    """A job whose start is committed, and not yet made: its server died there."""
    job = a_job(command="true")
    job = (await office.store.add([job]))[0].job
    change = await office.store.commit(a_change(job, lc.SlotGiven(), at=time.time()))
    return change.job


async def test_a_supervisor_that_does_not_know_a_word_says_so_and_goes_on(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place) as office:
        job = await office.submit("sleep 1; exit 6")
        job = await office.until(job, State.RUNNING)
        claim = attempt.probe(office.executor.dir_of(job)).claim
        assert claim is not None
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.connect(claim.control)
            peer.send(json.dumps({"do": "teleport", "to": "the moon"}).encode())
            assert json.loads(peer.recv(65536))["say"] == "error"

        assert (await office.ended(job)).exit_code == 6


async def test_a_job_is_followed_by_its_end_alone_where_its_supervisor_says_nothing_known(
    place: tuple[Path, Path],
) -> None:
    async with an_office(*place) as office:
        job = await a_job_that_starts(office)
    with a_newer_supervisor(*place, job.id) as process:
        async with an_office(*place) as office:
            await office.until(job, State.RUNNING)
            end = {"outcome": "vaporised", "exit_code": 4, "stopped_by": "a word to come"}
            with (Path(office.executor.dir_of(job)) / "claim").open("a") as file:
                file.write(json.dumps(end | {"ended_at": 5.0}) + "\n")
            os.kill(process.pid, signal.SIGKILL)

            ended = await office.ended(job)
    assert (ended.state, ended.exit_code) == (State.FAILED, 4)
    eventually(lambda: process.poll() is not None)


def test_a_server_that_meets_a_newer_schema_reads_and_changes_nothing_and_says_so() -> None:
    with LiveServer() as server:
        job_id = submit(server, "echo hello")
        until(server, job_id)
        server.kill()
        database = server.state_dir / "tasks.sqlite"
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA user_version = 99")
        server.launch()
        eventually(lambda: is_there(server), within_s=30)

        _, status = server.ask("GET", "tasks/api/status")
        refused, answer = server.ask("POST", "tasks/api/jobs", {"spec": A_SPEC})

        assert (status["role"], status["read_only"]) == ("following", True)
        assert job_of(server, job_id)["state"] == "succeeded"
        assert server.ask("GET", f"tasks/api/jobs/{job_id}/output")[1] == b"hello\n"
        assert (refused, answer["code"]) == (503, "no_active_manager")
        assert "99" in server.log
        assert "Traceback" not in server.log
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (99,)
            assert connection.execute("SELECT count(*) FROM job").fetchone() == (1,)
