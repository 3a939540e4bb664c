"""Warm kernels: nobody can tell them from cold ones, and what they do without is not missed."""

import json
import os
import re
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.server.test_code import has_printed, put_kernel, ran, submitted, text_of
from tests.stream_client import until

pytestmark = pytest.mark.timeout(120)

PROBE = Path(__file__).with_name("kernel_probe.py").read_text()
#: Addresses are drawn when a program is started: who was forked has those of its parent.
IS_WARM = """\
import os as _os
print(open("/proc/self/auxv", "rb").read() == open(f"/proc/{_os.getppid()}/auxv", "rb").read())
del _os
"""
ARGV = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture(scope="module")
def shared() -> Iterator[LiveServer]:
    with LiveServer("--TasksExtension.max_running=4") as server:
        yield server


@pytest.fixture
def server(shared: LiveServer) -> LiveServer:
    """A server whose kernels start warm; other tests may have crowded out ours."""
    eventually(lambda: is_warm(shared), within_s=60, what="a kernel starts warm")
    return shared


def warmed(server: LiveServer, python: str = sys.executable, times: int = 1) -> LiveServer:
    """The server, once kernels of that interpreter start warm."""
    ran(server, "1", python=python)
    words = f"Kernels of {python} start warm"
    eventually(lambda: server.log.count(words) >= times, within_s=60, what=words)
    return server


def is_warm(server: LiveServer, **more: Any) -> bool:
    return bool(ran(server, IS_WARM, **more)["text"] == "True\n")


def an_environment(folder: Path, *, has_ipykernel: bool = True) -> tuple[str, Path]:
    """A new virtual environment's interpreter and site-packages."""
    venv.create(folder, symlinks=True, with_pip=False)
    [packages] = folder.glob("lib/python*/site-packages")
    if has_ipykernel:
        give_ipykernel(packages)
    return str(folder / "bin" / "python"), packages


def give_ipykernel(packages: Path) -> None:
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "others.pth").write_text(f"{ours}\n")


def fork_server_of(server: LiveServer, python: str = sys.executable) -> int:
    """The one process in whose place kernels of the interpreter begin."""
    pids = [
        pid
        for pid, words in server.processes().items()
        if words.startswith(f"{python} -c")
        and "kernelserver" in words
        and server.process
        and parent(pid) == server.process.pid
    ]
    [pid] = pids
    return pid


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# -- nobody can tell -------------------------------------------------------------------------------


def probed(server: LiveServer, **more: Any) -> dict[str, Any]:
    """What a kernel finds out about itself; what is each job's own is made the same."""
    source = f"import sys\nmodules = sorted(sys.modules)\n{PROBE}\nprint(probe(modules))"
    job = ran(server, source, **more)
    assert job["state"] == "succeeded", job["text"]
    text = re.sub(rf"{job['id'][:2]}/{job['id']}", "JOB", job["text"])
    text = re.sub(rf"{job['id']}/1|sockets/[0-9-]+\.report", "MARK", text)
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_warm_kernel_finds_itself_as_a_cold_one_does(tmp_path: Path) -> None:
    env = {"TZ": "Asia/Tokyo", "MPLBACKEND": "agg", "SOMETHING": "else"}
    with LiveServer("--TasksExtension.max_running=4") as server:
        startup = server.home / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "first.py").write_text("started = __name__")
        cold = probed(server, env=env, cwd=str(tmp_path))
        warmed(server)
        assert is_warm(server)
        warm = probed(server, env=env, cwd=str(tmp_path))
    assert "started" in warm["names"][0]
    assert (warm["environment"]["TZ"], warm["time_zone"][2]) == ("Asia/Tokyo", 9)
    assert set(cold["modules"]) == set(warm["modules"])
    assert warm == cold


def test_others_see_a_warm_kernel_as_what_it_is(server: LiveServer) -> None:
    shown = "from jupyter_tasks import posix; import sys; sys.exit(not posix.show_as(['a'], {}))"
    if subprocess.run([sys.executable, "-c", shown], check=False).returncode:
        pytest.skip("This Linux was built without CONFIG_CHECKPOINT_RESTORE.")
    source = """
import sys
from pathlib import Path
process = Path("/proc/self")
print((process / "cmdline").read_text().split(chr(0)) == [*sys.orig_argv, ""])
variables = (process / "environ").read_text().split(chr(0))
print(f"JUPYTER_TASKS_JOB={os.environ['JUPYTER_TASKS_JOB']}" in variables, "ANY=schön" in variables)
"""
    job = ran(server, f"{IS_WARM}import os\n{source}", env={"ANY": "schön"})
    assert job["text"] == "True\nTrue\nTrue True\n"


def test_what_is_not_a_kernels_own_is_not_loaded(server: LiveServer) -> None:
    source = f"{IS_WARM}import sys\nprint([m for m in ('numpy', 'pandas', 'matplotlib', 'jupyter_tasks', 'jupyter_server') if m in sys.modules])"
    assert ran(server, source)["text"] == "True\n[]\n"


def test_two_warm_kernels_draw_other_random_numbers(server: LiveServer) -> None:
    source = f"{IS_WARM}import random, secrets, tempfile, uuid\nprint(random.random(), secrets.token_hex(), uuid.uuid4(), uuid.uuid1(), tempfile.mktemp())"
    first, second = (ran(server, source)["text"] for _ in range(2))
    assert first.startswith("True\n")
    assert second.startswith("True\n")
    assert not set(first.split()[1:]) & set(second.split()[1:])


def test_a_warm_kernel_starts_processes_and_threads_of_every_kind(
    server: LiveServer, tmp_path: Path
) -> None:
    (tmp_path / "work.py").write_text("def double(n):\n    return 2 * n\n")
    source = f"""{IS_WARM}
import asyncio, multiprocessing.resource_tracker, subprocess, sys, threading
from concurrent.futures import ProcessPoolExecutor
from work import double
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
            print(pool.submit(double, 21).result())
print(subprocess.run([sys.executable, "-c", "print('child')"], capture_output=True, text=True).stdout.strip())
thread = threading.Thread(target=print, args=["thread"]); thread.start(); thread.join()
await asyncio.sleep(0)
print((await asyncio.create_subprocess_exec("true")).pid > 0)
# It hears no SIGTERM: ipykernel would wait for it for 14 s.
multiprocessing.resource_tracker._resource_tracker._stop()
"""
    job = ran(server, source, cwd=str(tmp_path))
    assert job["text"] == "True\n42\n42\nchild\nthread\nTrue\n"


def test_a_warm_kernel_ends_as_a_python_does(server: LiveServer, tmp_path: Path) -> None:
    """Exit functions run, and what was written but not closed is written."""
    written, exited = tmp_path / "written", tmp_path / "exited"
    source = f"{IS_WARM}import atexit, pathlib\natexit.register(pathlib.Path({str(exited)!r}).touch)\nfile = open({str(written)!r}, 'w'); _ = file.write('all of it')"
    assert ran(server, source)["text"] == "True\n"
    assert written.read_text() == "all of it"
    assert exited.exists()


# -- when it is cold -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTHONHASHSEED", "7"),
        ("PYTHONPATH", "/nowhere"),
        ("PYTHONUTF8", "1"),
        ("LD_LIBRARY_PATH", "/nowhere"),
        ("OMP_NUM_THREADS", "3"),
        ("LC_ALL", "C"),
        ("LANG", "C"),
        ("HOME", "/nowhere"),
        ("USER", "somebody"),
        ("JUPYTER_PLATFORM_DIRS", "0"),
        ("OPENSSL_CONF", "/nowhere"),
        ("SSL_CERT_FILE", "/nowhere"),
        ("LOCPATH", "/nowhere"),
    ],
)
def test_what_was_looked_at_before_must_be_the_same(
    server: LiveServer, name: str, value: str
) -> None:
    source = f"{IS_WARM}import os, sys\nprint(os.environ[{name!r}], hash('a'))"
    job = ran(server, source, env={name: value})
    assert job["text"].startswith(f"False\n{value} "), job
    assert is_warm(server)
    if name == "PYTHONHASHSEED":
        assert ran(server, source, env={name: value})["text"] == job["text"]


def test_a_variable_that_nobody_looked_at_keeps_it_warm(server: LiveServer) -> None:
    job = ran(server, f"{IS_WARM}import os; print(os.environ['ANY'])", env={"ANY": "schön"})
    assert job["text"] == "True\nschön\n"


def test_whoever_wants_no_warm_kernels_has_none() -> None:
    with LiveServer("--TasksExtension.warm_kernels=False") as server:
        ran(server, "1")
        assert not is_warm(server)
        assert not [words for words in server.processes().values() if "kernelserver" in words]


def test_an_interpreter_needs_nothing_of_ours_and_new_packages_are_seen(
    server: LiveServer, tmp_path: Path
) -> None:
    python, packages = an_environment(tmp_path / "env")
    warmed(server, python)
    assert is_warm(server, python=python)
    (packages / "brand_new.py").write_text("here = 'one'")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "from_afar.py").write_text("here = 'two'")
    (packages / "more.pth").write_text(f"{elsewhere}\n")
    source = "import brand_new, from_afar; print(brand_new.here, from_afar.here)"
    assert ran(server, source, python=python)["text"] == "one two\n"
    warmed(server, python, times=2)
    assert ran(server, IS_WARM + source, python=python)["text"] == "True\none two\n"


def test_what_comes_and_goes_in_a_folder_of_the_path_keeps_it_warm(tmp_path: Path) -> None:
    with LiveServer() as server:
        server.env["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
        server.restart()
        warmed(server)
        (tmp_path / "result.py").write_text("here = True")
        job = ran(server, f"{IS_WARM}import result; print(result.here)")
        assert job["text"] == "True\nTrue\n"


def test_what_is_edited_in_place_is_seen(server: LiveServer, tmp_path: Path) -> None:
    python, packages = an_environment(tmp_path / "env")
    settings = packages / "sitecustomize.py"
    settings.write_text("import builtins\nbuiltins.edited = 'before'")
    warmed(server, python)
    assert ran(server, IS_WARM + "print(edited)", python=python)["text"] == "True\nbefore\n"
    settings.write_text("import builtins\nbuiltins.edited = 'after'")
    assert ran(server, "print(edited)", python=python)["text"] == "after\n"
    warmed(server, python, times=2)
    assert is_warm(server, python=python)
    (tmp_path / "developed.py").write_text("here = 'developed'")
    with (packages / "others.pth").open("a") as links:
        links.write(f"{tmp_path}\n")
    source = "import developed; print(developed.here)"
    assert ran(server, source, python=python)["text"] == "developed\n"


def test_the_first_package_of_a_users_own_is_seen(tmp_path: Path) -> None:
    with LiveServer() as server:
        server.env["PYTHONUSERBASE"] = str(tmp_path / "base")
        server.restart()
        venv.create(tmp_path / "env", symlinks=True, system_site_packages=True)
        give_ipykernel(next((tmp_path / "env").glob("lib/python*/site-packages")))
        python = str(tmp_path / "env" / "bin" / "python")
        own = ran(server, "import site; print(site.getusersitepackages())", python=python)["text"]
        warmed(server, python)
        assert is_warm(server, python=python)
        Path(own.strip()).mkdir(parents=True)
        (Path(own.strip()) / "of_ones_own.py").write_text("here = True")
        source = "import of_ones_own; print(of_ones_own.here)"
        assert ran(server, source, python=python)["text"] == "True\n"


def test_an_interpreter_without_ipykernel_says_so_until_it_has_it(
    server: LiveServer, tmp_path: Path
) -> None:
    python, packages = an_environment(tmp_path / "env", has_ipykernel=False)
    for _ in range(2):
        job = ran(server, "1", python=python)
        assert (job["state"], job["reason"]) == ("failed", "start")
        assert "No module named ipykernel_launcher" in job["text"]
        words = f"Kernels of {python} start cold: No module named 'ipykernel'"
        eventually(lambda: words in server.log, within_s=60, what=words)  # noqa: B023
    assert server.log.count(words) == 1
    give_ipykernel(packages)
    warmed(server, python)
    assert is_warm(server, python=python)


def test_an_interpreter_that_reads_its_packages_from_the_jobs_folder_is_cold(
    tmp_path: Path,
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "nearby.py").write_text("here = True")
    with LiveServer() as server:
        server.env["PYTHONPATH"] += f"{os.pathsep}lib"
        server.restart()
        warmed(server)
        job = ran(server, f"{IS_WARM}import nearby; print(nearby.here)", cwd=str(tmp_path))
        assert job["text"] == "False\nTrue\n"


# -- what can go wrong -----------------------------------------------------------------------------


def test_an_option_that_ipykernel_does_not_take_is_said(server: LiveServer) -> None:
    argv = [sys.executable, *ARGV, "--profile=absent", "--IPKernelApp.transport=5"]
    put_kernel(server, "odd-option", argv)
    job = ran(server, "1", kernel="odd-option")
    assert (job["state"], job["reason"]) == ("failed", "start")
    assert "before it was ready" in job["message"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_fork_server_that_dies_or_hangs_is_not_missed(number: int) -> None:
    with LiveServer() as server:
        warmed(server)
        pid = fork_server_of(server)
        os.kill(pid, number)
        assert ran(server, "print('on')")["text"] == "on\n"
        warmed(server, times=2)
        assert is_warm(server)
        eventually(lambda: not Path(f"/proc/{pid}").exists(), what="the former one has gone")


def test_a_warm_kernel_that_takes_too_much_memory_is_ended(server: LiveServer) -> None:
    source = f"{IS_WARM}held = b'x' * (300 << 20)\nimport time; time.sleep(600)"
    job = ran(server, source, job={"memory_bytes": 200 << 20})
    assert (job["state"], job["reason"]) == ("failed", "memory")
    assert text_of(server, job["id"], "out") == "True\n"
    assert job["peak_rss_bytes"] > 300 << 20


def test_a_warm_kernel_stands_still_and_goes_on(server: LiveServer, tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    os.mkfifo(go_on)
    source = f"{IS_WARM}import os; print(os.getpid()); open({str(go_on)!r}).read()\nprint('on')"
    job_id = submitted(server, source)
    pid = int(eventually(lambda: text_of(server, job_id).split()[1:], within_s=60)[0])
    for verb, state in (("pause", "paused"), ("resume", "running")):
        server.ask("POST", f"tasks/api/jobs/{job_id}/{verb}")
        until(server, job_id, state)
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        assert (letter == "T") == (verb == "pause")
    go_on.write_text("now")
    assert until(server, job_id)["state"] == "succeeded"
    assert text_of(server, job_id) == f"True\n{pid}\non\n"


def test_a_supervisor_that_dies_takes_its_warm_kernel_along(server: LiveServer) -> None:
    job_id = submitted(server, IS_WARM + "import os, time; print(os.getpid()); time.sleep(600)")
    has_printed(server, job_id, "True")
    pid = int(eventually(lambda: text_of(server, job_id).split()[1:], within_s=60)[0])
    [attempt] = server.ask("GET", f"tasks/api/jobs/{job_id}/attempts")[1]["attempts"]
    os.kill(attempt["pid"], signal.SIGKILL)
    assert until(server, job_id)["state"] == "lost"
    eventually(lambda: not Path(f"/proc/{pid}").exists(), what="the kernel has gone")


def test_a_warm_kernel_goes_on_without_the_server(tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    os.mkfifo(go_on)
    with LiveServer() as server:
        warmed(server)
        job_id = submitted(server, f"{IS_WARM}open({str(go_on)!r}).read(); print('two')")
        has_printed(server, job_id, "True")
        server.kill()
        go_on.write_text("now")
        server.start()
        job = until(server, job_id)
        assert (job["state"], job["attempt"]) == ("succeeded", 1)
        assert text_of(server, job_id) == "True\ntwo\n"


def test_a_server_that_closes_leaves_no_warm_process_behind() -> None:
    with LiveServer() as server:
        warmed(server)
        server.stop()
        eventually(lambda: not server.processes(), what="nothing of it runs")


def test_few_interpreters_are_kept_warm(tmp_path: Path) -> None:
    with LiveServer() as server:
        for n in range(5):
            warmed(server, an_environment(tmp_path / f"env{n}")[0])

        def burning() -> int:
            return sum("kernelserver" in words for words in server.processes().values())

        eventually(lambda: burning() == 4, what="four are left")
