"""What stands beside us: programs of others, run as their users would run them."""

import shutil
import subprocess
import time
from pathlib import Path

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
