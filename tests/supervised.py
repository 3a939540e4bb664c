"""Plays the manager for one supervisor: the other end of its channel, and a look at its files."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_tasks import attempt
from jupyter_tasks.output import segments
from jupyter_tasks.records import Record, read_records
from tests.measured import PYTHON

#: Another one in each run, so that runs beside each other do not see each other's processes.
JOB = secrets.token_hex(8)


_LEAVES_WITHIN_S = 5.0


class Supervised:
    """A supervisor with its channel; ``run`` gives it attempts of one job, one after the other."""

    def __init__(self, state: Path, channel: socket.socket, pid: int | None) -> None:
        """Talk over the channel; ``pid`` is known where we are the supervisor's parent."""
        self.state = state
        self.channel = channel
        self.pid = pid
        self.number = 0
        self.dir = ""
        self.heard: list[dict[str, Any]] = []

    def prepare(self, command: Any, **fields: Any) -> str:
        """Write the next attempt's directory."""
        self.number += 1
        self.dir = attempt.create(self.state, JOB, self.number)
        attempt.write_spec(self.dir, a_spec(self.number, command, **fields))
        return self.dir

    def run(self, command: Any, **fields: Any) -> str:
        """Have the next attempt run; returns its directory when it is claimed."""
        self.prepare(command, **fields)
        self.tell(do="run", dir=self.dir)
        self.hear("claimed")
        return self.dir

    def run_to_end(self, command: Any, within_s: float = 20, **fields: Any) -> dict[str, Any]:
        """Run the next attempt; returns its end."""
        self.run(command, **fields)
        return self.end(within_s)

    def tell(self, **message: Any) -> None:
        """Say something to it."""
        self.channel.send(json.dumps(message).encode())

    def hear(self, say: str, within_s: float = 20) -> dict[str, Any]:
        """The next message of that kind; the others are kept in ``heard``."""
        deadline = time.monotonic() + within_s
        while True:
            self.channel.settimeout(max(0.001, deadline - time.monotonic()))
            datagram = self.channel.recv(65536)
            if not datagram:
                raise EOFError(f"the supervisor left before it said {say}")
            message: dict[str, Any] = json.loads(datagram)
            self.heard.append(message)
            if message["say"] == say:
                return message

    def end(self, within_s: float = 20) -> dict[str, Any]:
        """How the attempt ended, as said; what is written must say the same."""
        said: dict[str, Any] = self.hear("ended", within_s)["end"]
        assert attempt.probe(self.dir).end == said
        return said

    def wait_for(self, text: bytes, within_s: float = 20) -> None:
        """Wait until the program has printed that; by the doorbell, not by looking."""
        while text not in self.text():
            self.tell(do="bell", size=output_size(self.dir))
            self.hear("bell", within_s)

    def records(self) -> list[Record]:
        """All whole records of the attempt that are there."""
        return records(self.dir)

    def text(self, kind: str = "out") -> bytes:
        """What the program printed, as far as kept."""
        return b"".join(r.payload or b"" for r in self.records() if r.header["k"] == kind)

    def notes(self) -> list[str]:
        """The codes of the supervisor's notes."""
        return [r.header["code"] for r in self.records() if r.header["k"] == "note"]


def a_spec(number: int, command: Any, **fields: Any) -> dict[str, Any]:
    """What spec.json holds; what belongs to the command goes into ``spec``."""
    own = {
        name: fields.pop(name)
        for name in ("env", "stdin", "tty", "merge_stderr", "cwd")
        if name in fields
    }
    return {
        "version": 1,
        "job": JOB,
        "attempt": number,
        "name": "a job",
        "spec": {
            "kind": "shell",
            "command": command,
            "cwd": "/",
            "env": {},
            "stdin": None,
            "tty": False,
            "merge_stderr": False,
        }
        | own,
        "timeout_s": None,
        "memory_bytes": None,
        "grace_s": 2.0,
        "max_output_bytes": 64 << 20,
        "umask": 0o022,
        "runtime_dir": os.environ["JUPYTER_TASKS_RUNTIME_DIR"],
    } | fields


def records(directory: str) -> list[Record]:
    """All whole records of an attempt's output."""
    found: list[Record] = []
    for start, path in segments(directory):
        found.extend(read_records(Path(path).read_bytes(), start))
    return found


def output_size(directory: str) -> int:
    """The logical end of an attempt's output."""
    found = segments(directory)
    return found[-1][0] + os.path.getsize(found[-1][1]) if found else 0


def of_this_test() -> list[tuple[int, str]]:
    """Living supervisors and fork servers (by this test's folder) and jobs (by their mark)."""
    folder = f"JUPYTER_TASKS_RUNTIME_DIR={os.environ['JUPYTER_TASKS_RUNTIME_DIR']}\0".encode()
    mark = f"JUPYTER_TASKS_JOB={JOB}/".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            environ = Path(f"/proc/{name}/environ").read_bytes()
            stat = Path(f"/proc/{name}/stat").read_text()
        except OSError:
            continue
        is_ours = folder in environ or mark in environ
        if is_ours and stat.rpartition(")")[2].split()[0] not in "ZX":
            found.append((int(name), stat.split("(")[1].split(")")[0]))
    return found


def bare(module: str, fd: int) -> list[str]:
    """The command line that runs the module's ``main`` with the standard library alone."""
    root = str(Path(__file__).parent.parent)
    code = f"import sys; sys.path.append({root!r}); from jupyter_tasks.{module} import main; main({fd})"
    return [*(PYTHON or [sys.executable]), "-I", "-S", "-c", code]


@contextmanager
def a_plain_supervisor(state: Path, *prefix: str) -> Iterator[Supervised]:
    """A supervisor as a process of its own; it leaves when the channel is closed.

    ``prefix`` is a command that becomes the supervisor.
    """
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [*prefix, *bare("supervisor", its.fileno())]
    process = subprocess.Popen(command, pass_fds=[its.fileno()], start_new_session=True, cwd="/")
    its.close()
    supervised = Supervised(state, ours, process.pid)
    try:
        yield supervised
    finally:
        ours.close()
        _see_it_leave(process, supervised)


def _see_it_leave(process: subprocess.Popen[bytes], supervised: Supervised) -> None:
    """Wait for it; a test that failed half-way has left it with a job: end both, and say so."""
    try:
        process.wait(timeout=_LEAVES_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        claim = attempt.probe(supervised.dir).claim if supervised.dir else None
        if claim is not None:
            attempt.end_tree(claim)
        raise AssertionError("The supervisor did not leave when its channel closed.") from None


@contextmanager
def a_fork_server() -> Iterator[socket.socket]:
    """A fork server's control socket; it leaves when that is closed."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with subprocess.Popen(
        bare("forkserver", its.fileno()), pass_fds=[its.fileno()], cwd="/"
    ) as process:
        its.close()
        try:
            yield ours
        finally:
            ours.close()
            process.wait(timeout=10)


def fork(server: socket.socket, state: Path) -> Supervised:
    """Have a supervisor forked; whoever calls closes its channel."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    socket.send_fds(server, [b'{"do": "fork"}'], [its.fileno()])
    its.close()
    return Supervised(state, ours, None)
