"""Many short calls of a function: each in a process of its own, and many in one worker."""

import multiprocessing
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from jupyter_tasks.client import Client
from tests.benchmarks.conftest import ROUNDS, Board, Row, percentile
from tests.live_server import REPOSITORY, LiveServer

pytestmark = pytest.mark.benchmark

SHARED, ISOLATED = 10_000, 1_000
OTHERS = REPOSITORY / ".venv-functions" / "bin" / "python"

_DASK = """
import time
from dask.distributed import Client, LocalCluster
with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
    client.gather(client.map(abs, range(10), pure=False))
    begin = time.perf_counter()
    client.gather(client.map(abs, range({count}), pure=False))
    print({count} / (time.perf_counter() - begin))
"""
_HUEY = """
import time
from huey import SqliteHuey
huey = SqliteHuey(filename={path!r}, fsync=True)
task = huey.task()(lambda x: x)
consumer = huey.create_consumer(workers=2, worker_type="thread", initial_delay=0.001, max_delay=0.01)
consumer.start()
begin = time.perf_counter()
results = [task(number) for number in range({count})]
for result in results:
    result.get(blocking=True, backoff=1, max_delay=0.002)
print({count} / (time.perf_counter() - begin))
consumer.stop(graceful=True)
"""


@pytest.fixture
def client() -> Iterator[Client]:
    with LiveServer() as server, Client(server.url, server.token) as client:
        client.map(abs, range(10)).results(60)
        yield client


def ours(client: Client, count: int, *, isolated: bool) -> float:
    """From the call of ``map`` to the last result, over REST, durable."""
    begin = time.perf_counter()
    results = client.map(abs, range(count), max_concurrent=2, isolated=isolated).results(600)
    assert results == list(range(count))
    return count / (time.perf_counter() - begin)


def process_pool(count: int) -> float:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        list(pool.map(abs, range(10)))
        begin = time.perf_counter()
        assert list(pool.map(abs, range(count))) == list(range(count))
        return count / (time.perf_counter() - begin)


def a_process_each(count: int) -> float:
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        begin = time.perf_counter()
        assert pool.map(abs, range(count), chunksize=1) == list(range(count))
        return count / (time.perf_counter() - begin)


def other(program: str) -> float | None:
    """A program of theirs, in their own environment; None where that is not there."""
    if not OTHERS.exists():
        return None
    command = [str(OTHERS), "-W", "ignore", "-c", program]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def in_turn(programs: dict[str, Callable[[], float | None]]) -> dict[str, float]:
    """The median rate of each, as far as it is here; they run in turn."""
    rates: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, program in programs.items():
            if (rate := program()) is not None:
                rates.setdefault(name, []).append(rate)
    return {name: percentile(found, 50) for name, found in rates.items()}


def test_many_calls_in_one_worker(client: Client, board: Board, tmp_path: Path) -> None:
    beside = in_turn(
        {
            "ours": lambda: ours(client, SHARED, isolated=False),
            "ProcessPoolExecutor": lambda: process_pool(SHARED),
            "dask": lambda: other(_DASK.format(count=2000)),
            "huey, SQLite, 2 threads": lambda: other(
                _HUEY.format(count=200, path=str(tmp_path / "huey.db"))
            ),
        }
    )
    mine = beside.pop("ours")
    board.add(
        Row(
            what="function no-ops, many in one worker, durable, over REST, with all results",
            unit="/s",
            ours=mine,
            goal="at least 10,000/s",
            is_met=mine >= 10_000,
            beside=beside,
        )
    )


def test_a_process_for_each_call(client: Client, board: Board) -> None:
    beside = in_turn(
        {
            "ours": lambda: ours(client, ISOLATED, isolated=True),
            "multiprocessing, maxtasksperchild=1": lambda: a_process_each(ISOLATED),
        }
    )
    mine = beside.pop("ours")
    board.add(
        Row(
            what="function no-ops, a process each, durable, over REST, with all results",
            unit="/s",
            ours=mine,
            goal="at least 400/s",
            is_met=mine >= 400,
            beside=beside,
        )
    )
