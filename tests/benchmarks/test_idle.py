"""What it costs when nothing, or little, is done: memory, start-up, wake-ups."""

import time
from pathlib import Path

import pytest

from tests.benchmarks.conftest import Board, Row, cpu_s, interleaved, percentile
from tests.eventually import eventually
from tests.live_server import LiveServer

pytestmark = pytest.mark.benchmark

SLEEPERS = 20
#: What is put off until after the first answer is counted too.
_SETTLES_S = 1.5


def _pss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(pid)


def _switches(pid: int) -> int:
    """How often the process's threads have gone to sleep by themselves so far."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def test_memory_for_each_running_job(board: Board) -> None:
    options = (f"--TasksExtension.max_running={SLEEPERS}", "--ServerApp.log_level=ERROR")
    with LiveServer(*options) as server:
        spec = {"kind": "shell", "command": "exec sleep 600", "cwd": "/"}
        server.ask("POST", "tasks/api/jobs", [{"spec": spec}] * SLEEPERS)
        eventually(
            lambda: server.ask("GET", "tasks/api/status")[1]["counts"]["running"] == SLEEPERS
        )
        own = [pid for pid, words in server.processes().items() if "forkserver" in words]
        fork_server = min(own)
        supervisors = [pid for pid in own if pid != fork_server]
        assert len(supervisors) == SLEEPERS
        mine = sum(map(_pss_bytes, supervisors)) / len(supervisors) / 1e6
        board.add(
            Row(
                what="memory for each running shell job (PSS of its supervisor)",
                unit="MB",
                ours=mine,
                goal="at most 1 MB",
                is_met=mine <= 1,
                beside={"the fork server itself": _pss_bytes(fork_server) / 1e6},
            )
        )


def test_what_a_server_pays_that_does_not_use_it(board: Board) -> None:
    memory: dict[bool, list[float]] = {True: [], False: []}
    cpu: dict[bool, list[float]] = {True: [], False: []}

    def start_s(*, extension: bool) -> float:
        server = LiveServer("--ServerApp.log_level=ERROR", extension=extension)
        try:
            begin = time.perf_counter()
            server.start(used=False)
            took = time.perf_counter() - begin
            assert server.process is not None
            pid = server.process.pid
            settled = time.monotonic() + _SETTLES_S
            eventually(lambda: time.monotonic() > settled)
            memory[extension].append(_pss_bytes(pid) / 1e6)
            cpu[extension].append(cpu_s(pid) * 1000)
        finally:
            server.close()
        return took * 1000

    ours, plain = interleaved(
        lambda: start_s(extension=True), lambda: start_s(extension=False), rounds=7
    )
    board.add(
        Row(
            "start-up time that the extension adds",
            "ms",
            ours - plain,
            "at most 30 ms",
            ours - plain <= 30,
            {"a plain start": plain},
        )
    )
    cpu_added = percentile(cpu[True], 50) - percentile(cpu[False], 50)
    board.add(
        Row(
            "CPU time of a start that the extension adds, settled",
            "ms",
            cpu_added,
            "at most 30 ms",
            cpu_added <= 30,
            {"a plain start": percentile(cpu[False], 50)},
        )
    )
    added = percentile(memory[True], 50) - percentile(memory[False], 50)
    board.add(
        Row(
            "memory that the extension adds",
            "MB",
            added,
            "at most 6 MB",
            added <= 6,
            {"a plain server": percentile(memory[False], 50)},
        )
    )


def _switches_in(pid: int, seconds: float) -> int:
    before = _switches(pid)
    deadline = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > deadline, within_s=seconds + 5)
    return _switches(pid) - before


@pytest.mark.parametrize("used", [False, True], ids=["never used", "used"])
def test_an_idle_server_sleeps(board: Board, used: bool) -> None:
    seconds = 20
    woken = {}
    for extension in (True, False):
        server = LiveServer("--ServerApp.log_level=ERROR", extension=extension)
        try:
            server.start(used=used)
            assert server.process is not None
            pid = server.process.pid
            _switches_in(
                pid, _SETTLES_S
            )  # the end of its start, or of the last commit's checkpoint
            woken[extension] = _switches_in(pid, seconds)
        finally:
            server.close()
    words = "was used" if used else "nobody uses"
    board.add(
        Row(
            what=f"wake-ups in {seconds} s of a settled server that {words}",
            unit="wake-ups",
            ours=woken[True],
            goal="as many as a plain Jupyter server",
            is_met=woken[True] <= woken[False],
            beside={"a plain Jupyter server": woken[False]},
        )
    )
