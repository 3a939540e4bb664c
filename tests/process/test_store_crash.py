"""What was acknowledged survives SIGKILL, and what was not is there whole or not at all."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks.model import Filter, Job
from jupyter_tasks.store import SqliteStore
from tests.builders import a_job
from tests.process.store_child import BULK

CHILD = Path(__file__).with_name("store_child.py")
ROOT = CHILD.parents[2]


@contextlib.contextmanager
def a_child(what: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(CHILD), what, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            yield child
        finally:
            child.kill()


def killed_after(lines: int, path: Path) -> list[dict[str, Any]]:
    """What a writer had acknowledged when it was killed, right after so many answers."""
    with a_child("write", path) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        said += child.stdout.readlines()
    return [json.loads(line) for line in said if line.endswith("\n")]


async def everything(store: SqliteStore) -> dict[str, Job]:
    found: dict[str, Job] = {}
    after = None
    while True:
        page = await store.find(Filter(), limit=500, after=after)
        found |= {job.id: job for job in page.jobs}
        after = page.after
        if after is None:
            return found


@pytest.mark.parametrize("lines", [1, 2, 17, 60, 150])
async def test_what_was_acknowledged_survives_sigkill(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "jobs.db"
    said = killed_after(lines, path)

    store = SqliteStore.open(path)
    jobs = await everything(store)

    acknowledged = {job_id for words in said for job_id in words.get("added", ())}
    assert acknowledged <= jobs.keys()
    for words in said:
        if "version" in words:
            assert jobs[words["id"]].version >= words["version"]
    assert len(jobs) % BULK == 0
    await store.close()


async def test_everything_that_is_kept_beside_the_jobs_agrees_after_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    for _ in range(3):
        killed_after(40, path)

    store = SqliteStore.open(path)
    jobs = await everything(store)
    counts = {state: n for state, n in (await store.counts(None)).items() if n}
    moves = sum(job.version - 1 for job in jobs.values())

    assert counts == Counter(job.state for job in jobs.values())
    assert await store.last_seq() == len(jobs) + moves
    for wanted in (Filter(tags=("bulk",)), Filter(text="bulk")):
        assert len((await store.find(wanted, limit=len(jobs) + 1)).jobs) == len(jobs)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    await store.take_over()
    [change] = await store.add([a_job()])
    assert change.job.number == len(jobs) + 1
    await store.close()


async def test_a_reader_sees_each_bulk_whole_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with a_child("write", path) as child:
        assert child.stdout is not None
        child.stdout.readline()
        reader = SqliteStore.open(path)
        for _ in range(30):
            words = json.loads(child.stdout.readline())
            if "added" in words:
                found = await reader.get_many(words["added"])
                assert [job.id for job in found] == words["added"]
            assert sum((await reader.counts(None)).values()) % BULK == 0
        await reader.close()


async def test_a_full_disk_fails_what_was_asked_changes_nothing_and_passes(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with a_child("fill", path) as child:
        assert child.stdout is not None
        refused, words, added = map(json.loads, child.stdout)

    assert refused == {"refused": 20}
    assert words["still_there"]
    assert str(path) in words["words"]
    assert added == {"added": 20}
    store = SqliteStore.open(path)
    names = Counter(job.name for job in (await everything(store)).values())
    assert names == {"before": 1, "after": 20}
    await store.close()
