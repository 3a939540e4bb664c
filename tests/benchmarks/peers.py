"""What stands beside us: programs of others, run as their users would run them."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

from tests.eventually import eventually
from tests.live_server import LiveServer

_C_SPAWN = r"""
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
extern char **environ;
int main(int argc, char **argv) {
    int count = atoi(argv[1]), wide = atoi(argv[2]), running = 0, status;
    for (int i = 0; i < count; i++) {
        pid_t pid;
        if (running == wide) { wait(&status); running--; }
        if (posix_spawn(&pid, argv[3], 0, 0, argv + 3, environ)) return 1;
        running++;
    }
    while (running--) wait(&status);
    return 0;
}
"""


def c_spawner(folder: Path) -> list[str] | None:
    """The limit: a C program that spawns, two at a time; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    source, program = folder / "spawn.c", folder / "spawn"
    source.write_text(_C_SPAWN)
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return [str(program)]


def rate(command: list[str], count: int, *, text: str | None = None) -> float:
    """How many jobs a second the whole command comes to."""
    begin = time.perf_counter()
    subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)
    return count / (time.perf_counter() - begin)


def no_ops(folder: Path, count: int) -> dict[str, list[str]]:
    """The commands that run ``/bin/echo x`` so many times, two at a time, as far as they are here."""
    numbers = folder / "numbers"
    numbers.write_text("".join(f"{i}\n" for i in range(count)))
    found: dict[str, list[str]] = {}
    if (c := c_spawner(folder)) is not None:
        found["C posix_spawn"] = [*c, str(count), "2", "/bin/echo", "x"]
    if shutil.which("xargs"):
        found["xargs -P2"] = ["sh", "-c", f"xargs -P2 -n1 /bin/echo < {numbers}"]
    if shutil.which("tsp"):
        once = f"for i in $(cat {numbers}); do tsp /bin/echo x; done; tsp -w; while tsp | grep -qE 'queued|running'; do :; done; tsp -C"
        found["task-spooler"] = [
            "sh",
            "-c",
            f"export TS_SOCKET={folder}/tsp TMPDIR={folder}; tsp -S 2; {once}; tsp -K",
        ]
    if shutil.which("parallel"):
        found["GNU parallel"] = ["sh", "-c", f"parallel -j2 --will-cite /bin/echo < {numbers}"]
    return found


class Scheduler:
    """jupyter-scheduler in a server of its own."""

    def __init__(self, server: LiveServer) -> None:
        """Use a server that has the extension, with a notebook of one cell in its folder."""
        self._server = server
        cell = nbformat.v4.new_code_cell("print('x')")
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        notebook = nbformat.v4.new_notebook(cells=[cell], metadata=kernel)
        nbformat.write(notebook, server.root_dir / "one.ipynb")

    def until_output_ms(self) -> float:
        """From the submit to the notebook's end: its output cannot be had before."""
        wanted = {
            "name": "one",
            "input_uri": "one.ipynb",
            "runtime_environment_name": "python",
            "output_formats": ["ipynb"],
        }
        begin = time.perf_counter()
        _, job = self._server.ask("POST", "scheduler/jobs", wanted)
        # (Not until it is over: a fresh job reads STOPPED for some seconds.)
        eventually(lambda: self._status(job["job_id"]) == "COMPLETED", within_s=60)
        return (time.perf_counter() - begin) * 1000

    def _status(self, job_id: str) -> str:
        status: str = self._server.ask("GET", f"scheduler/jobs/{job_id}")[1]["status"]
        return status


@contextmanager
def scheduler() -> Iterator[Scheduler | None]:
    """jupyter-scheduler, as ``make bench`` installs it into an environment apart; None without that."""
    python = Path(".venv-scheduler/bin/python").absolute()
    if not python.exists():
        yield None
        return
    with LiveServer(extension=False, python=str(python)) as server:
        yield Scheduler(server)
