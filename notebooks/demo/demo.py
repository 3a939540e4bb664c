"""The first notebook; then a sweep of trainings as jobs, in the middle of which the server is killed.

Run by `make demo`. Everything lies in a temporary folder and is gone at the end.
"""

import contextlib
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import first_job
import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from jupyter_tasks import Client
from jupyter_tasks.client import JobHandle
from jupyter_tasks.errors import NoServer, TasksError
from jupyter_tasks.model import ENDED

HERE = Path(__file__).parent
RATES = (0.0003, 0.001, 0.003, 0.01)
HIDDEN = (16, 64)
SWEEP = [(rate, hidden) for hidden in HIDDEN for rate in RATES]
MAX_RUNNING = 2
#: The server is killed when so many jobs have ended, and those that run are young enough to outlive it.
KILL_AFTER, YOUNG = 2, 0.4
#: … at the latest now.
KILL_AT_LAST = 5
START_WITHIN_S = 30
MARK = "JUPYTER_TASKS_RUNTIME_DIR"

console = Console(highlight=False)


class Server:
    """A real Jupyter server with the extension, on a free port and in folders of its own."""

    def __init__(self, home: Path) -> None:
        """Start nothing yet."""
        self.home = home
        self.token = secrets.token_hex(16)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self.process is not None
        return self.process.pid

    @property
    def env(self) -> dict[str, str]:
        """The environment of the server, and of whoever shall find it by itself."""
        folders = {
            f"JUPYTER_{kind}_DIR": str(self.home / kind.lower())
            for kind in ("CONFIG", "DATA", "RUNTIME")
        }
        return {**os.environ, **folders, MARK: str(self.home / "sockets")}

    def start(self) -> None:
        """Start it, and return when it answers."""
        # The token goes through the environment: anybody can read a process's arguments.
        env = self.env | {"JUPYTER_TOKEN": self.token}
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(), env=env, cwd=HERE, stdout=log, stderr=log
            )
        with Client(self.url, self.token, patience_s=0) as client:
            self._wait_for(client)

    def _wait_for(self, client: Client) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            try:
                client.status()
            except TasksError as error:
                has_left = self.process is None or self.process.poll() is not None
                if has_left or not isinstance(error, NoServer) or time.monotonic() > deadline:
                    raise RuntimeError(
                        f"{error}\n{(self.home / 'server.log').read_text()}"
                    ) from error
                time.sleep(0.1)
            else:
                return

    def _command(self) -> list[str]:
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": HERE,
            "TasksExtension.max_running": MAX_RUNNING,
        }
        start = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"]
        return [*start, *(f"--{name}={value}" for name, value in options.items())]

    def end(self, number: signal.Signals) -> None:
        """Send it that signal and wait until it has gone."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None


class Board:
    """What the terminal shows: a bar for each job; where there is no terminal, plain lines."""

    def __init__(self, labels: dict[str, str]) -> None:
        """Know the jobs by their ids."""
        self.labels = labels
        self.states = dict.fromkeys(labels, "queued")
        self.fractions = dict.fromkeys(labels, 0.0)
        columns = (
            "{task.description}",
            BarColumn(28),
            "{task.percentage:>3.0f} %",
            "{task.fields[said]}",
        )
        texts = [TextColumn(one) if isinstance(one, str) else one for one in columns]
        self.bars = Progress(
            *texts, TimeElapsedColumn(), console=console, disable=not console.is_terminal
        )
        self.rows: dict[str, TaskID] = {
            job_id: self.bars.add_task(label, total=1.0, start=False, said="queued")
            for job_id, label in labels.items()
        }

    def show(self, wire: dict[str, object]) -> None:
        """Show the job as it is now."""
        job_id, state = str(wire["id"]), str(wire["state"])
        if state != self.states[job_id]:
            self.states[job_id] = state
            self._changed(job_id, state)
        if isinstance(wire["progress"], dict):
            self.advance(job_id, wire["progress"])

    def advance(self, job_id: str, progress: dict[str, object]) -> None:
        """Show how far the job is."""
        fraction = float(str(progress["value"] or 0)) / float(str(progress["total"] or 1))
        self.bars.update(self.rows[job_id], completed=fraction, said=progress["message"])
        if not console.is_terminal and int(4 * fraction) > int(4 * self.fractions[job_id]):
            console.print(f"  {self.labels[job_id]}  {fraction:4.0%}  {progress['message']}")
        self.fractions[job_id] = fraction

    def _changed(self, job_id: str, state: str) -> None:
        if state == "running":
            self.bars.start_task(self.rows[job_id])
            self.bars.update(self.rows[job_id], said="running")
        elif state not in ("queued", "starting"):
            self.bars.stop_task(self.rows[job_id])
        if not console.is_terminal and state != "starting":
            console.print(f"  {self.labels[job_id]}  {state}")

    @property
    def ended(self) -> int:
        """How many jobs have ended."""
        return sum(state in ENDED for state in self.states.values())

    @property
    def is_in_the_middle(self) -> bool:
        """Whether this is the moment for something bad to happen."""
        running = [f for job, f in self.fractions.items() if self.states[job] == "running"]
        all_young = len(running) == MAX_RUNNING and all(0 < f < YOUNG for f in running)
        return self.ended >= KILL_AT_LAST or (self.ended >= KILL_AFTER and all_young)


def main() -> int:
    """Show it; 0 where everything went as promised."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(
        prefix="jt-demo-", dir="/tmp"
    ) as folder:  # a short path for sockets
        home = Path(folder)
        server = Server(home)
        try:
            went_well = show(server)
        except KeyboardInterrupt:
            went_well = False
            console.print("Stopped by you.")
        finally:
            clean_up(server)
    if went_well:
        say_where_to_look_next(time.monotonic() - began)
    return 0 if went_well else 1


def show(server: Server) -> bool:
    """The demo itself, from the first start of the server to the table of results."""
    server.start()
    console.print(f"A Jupyter server with jupyter_tasks runs at {server.url} (pid {server.pid}).")
    # The one who watches goes through the crash, too; who kills has a connection of its own.
    with Client(server.url, server.token) as client, Client(server.url, server.token) as another:
        console.rule("A cell as a job", align="left")
        if not first_job.run(client, server.home, server.env, console):
            return False
        console.rule("A server that is killed", align="left")
        jobs = submit(client)
        console.print(f"{len(jobs)} trainings are on disk as jobs; {MAX_RUNNING} may run at once.")
        crash = threading.Thread(target=kill_and_start_again, args=(server, another, jobs))
        watch(client, jobs, crash)
        crash.join()
        return tell_results([job.refresh() for job in jobs])


def submit(client: Client) -> list[JobHandle]:
    """One job for each configuration, all in one request."""
    program = [sys.executable, str(HERE / "train_digits.py")]
    commands = [[*program, f"--rate={rate}", f"--hidden={hidden}"] for rate, hidden in SWEEP]
    # Two trainings share two cores: each should use one.
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return client.submit_many(
        [shlex.join(command) for command in commands], tags=["demo"], env=one_thread
    )


def watch(client: Client, jobs: list[JobHandle], crash: threading.Thread) -> None:
    """Show the jobs until all have ended; have the server killed in the middle."""
    labels = {
        job.id: f"rate {rate:<6} hidden {hidden}"
        for job, (rate, hidden) in zip(jobs, SWEEP, strict=True)
    }
    board = Board(labels)
    with board.bars:
        for event in client.watch(ids=list(labels)):
            if event.event in ("live", "reset"):
                for job in client.jobs(ids=list(labels)):
                    board.show(job.wire)
            elif event.job is not None:
                board.show(event.job)
            elif event.progress is not None:
                board.advance(event.job_id, event.progress)
            if board.is_in_the_middle and crash.ident is None:
                crash.start()
            if board.ended == len(jobs):
                return


def kill_and_start_again(server: Server, client: Client, jobs: list[JobHandle]) -> None:
    """SIGKILL, a look at what goes on without a server, and a new server on the same folders."""
    ids = [job.id for job in jobs]
    running = {pid_of(job): job.id for job in client.jobs(ids=ids, states=["running"])}
    processes = [psutil.Process(pid) for pid in running if psutil.pid_exists(pid)]
    console.print(
        f"\n[bold]kill -9 {server.pid}[/]: the server. Jobs that run: pids {listed(running)}."
    )
    server.end(signal.SIGKILL)
    time.sleep(2)  # long enough for people to see that nothing answers now
    alive = [process.pid for process in processes if process.is_running()]
    console.print(f"No server for two seconds. Jobs that run without it: pids {listed(alive)}.")
    server.start()
    found = [pid_of(job) for job in client.jobs(ids=list(running.values()), states=["running"])]
    console.print(f"A new server (pid {server.pid}) has found them again: pids {listed(found)}.\n")


def pid_of(job: JobHandle) -> int:
    """The job's own process, as its program printed it first."""
    found = re.match(rb"pid (\d+)", b"".join(text for _, text in job.logs()))
    return int(found[1]) if found else 0


def listed(pids: Iterable[int]) -> str:
    """The process ids as text."""
    return ", ".join(map(str, sorted(pids)))


def tell_results(jobs: list[JobHandle]) -> bool:
    """The table of results; whether each job ran once, ended well, and kept every line once."""
    table = Table(
        title="Accuracy on 540 handwritten digits that were not learnt", title_justify="left"
    )
    columns = ("rate", "hidden", "accuracy", "state", "exit", "attempts", "bytes", "epochs")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    all_well = True
    for job, (rate, hidden) in zip(jobs, SWEEP, strict=True):
        output = job.output("out")
        epochs = re.findall(rb"^epoch (\d+) of (\d+):.*accuracy ([\d.]+)$", output, re.MULTILINE)
        total = int(epochs[0][1]) if epochs else 0
        is_whole = total > 0 and [int(n) for n, _, _ in epochs] == list(range(1, total + 1))
        attempts = len(job.attempts())
        all_well &= is_whole and (job.state, attempts) == ("succeeded", 1)
        accuracy = epochs[-1][2].decode() if epochs else "-"
        kept = f"{len(epochs)}/{total}"
        facts = (rate, hidden, accuracy, job.state, job.exit_code, attempts, len(output), kept)
        table.add_row(*map(str, facts))
    console.print(table)
    if all_well:
        console.print("Each job ran once; every line that it printed is there, once and in order.")
    else:
        console.print("[bold red]This is not what was promised.[/]")
    return all_well


def clean_up(server: Server) -> None:
    """Leave nothing running."""
    with contextlib.suppress(TasksError), Client(server.url, server.token, patience_s=1) as client:
        if server.process is not None:
            client.cancel_all(states=["scheduled", "queued", "starting", "running", "paused"])
    server.end(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while (left := ours(server)) and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=0.2)
    for process in left:
        console.print(f"Left behind, killed now: {process}")
        with contextlib.suppress(psutil.Error):
            process.kill()


def ours(server: Server) -> list[psutil.Process]:
    """Every process that the server or one of its jobs has left."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == str(server.home / "sockets"):
                found.append(process)
    return found


def say_where_to_look_next(took_s: float) -> None:
    """What to do now."""
    console.print(f"\nThis took {took_s:.0f} s, and nothing of it is left. Where to look next:")
    console.print("  make lab                        the notebook of the first part, to play with")
    console.print("  notebooks/demo/train_digits.py  the program; one line tells its progress")
    console.print("  notebooks/demo/demo.py          this demo: the Python client at work")
    console.print("  README.md                       first steps: terminal, Python, curl")
    console.print("  .venv/bin/jupyter tasks --help  beside a .venv/bin/jupyter server")


def free_port() -> int:
    """A loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
