"""A program that changes a store and says what was acknowledged, until it is killed or full.

``store_child.py write DATABASE``: endless bulks and single commits, one line for each answer.
``store_child.py fill DATABASE``: meets a full disk, says what happened, and goes on after it.
"""

import asyncio
import json
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyter_tasks.errors import StoreUnavailable
from jupyter_tasks.lifecycle import CancelAsked, SlotGiven
from jupyter_tasks.store import SqliteStore
from tests.builders import a_change, a_job

BULK = 7


def say(**words: Any) -> None:
    print(json.dumps(words), flush=True)


async def write(path: Path) -> None:
    store = SqliteStore.open(path)
    say(epoch=await store.take_over())
    await asyncio.gather(*(one_writer(store) for _ in range(4)))


async def one_writer(store: SqliteStore) -> None:
    while True:
        bulk = [a_job(name="bulk", tags=("bulk",)) for _ in range(BULK)]
        jobs = [change.job for change in await store.add(bulk)]
        say(added=[job.id for job in jobs])
        started = (await store.commit(a_change(jobs[0], SlotGiven()))).job
        say(id=started.id, version=started.version)
        cancelled = (await store.commit(a_change(jobs[1], CancelAsked()))).job
        say(id=cancelled.id, version=cancelled.version)


async def fill(path: Path) -> None:
    store = SqliteStore.open(path)
    await store.take_over()
    [first] = await store.add([a_job(name="before")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{path}-wal").stat().st_size + 8192, hard))
    large = [a_job(name="while full", stdin="x" * 100_000) for _ in range(20)]
    results = await asyncio.gather(*(store.add([job]) for job in large), return_exceptions=True)
    say(refused=sum(isinstance(result, StoreUnavailable) for result in results))
    say(words=str(results[0]), still_there=await store.get(first.job.id) == first.job)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    again = [replace(job, name="after") for job in large]
    say(added=len(await store.add(again)))
    await store.close()


if __name__ == "__main__":
    asyncio.run({"write": write, "fill": fill}[sys.argv[1]](Path(sys.argv[2])))
