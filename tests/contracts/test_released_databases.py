"""Every database that was ever released loads, and holds what it held."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks.model import Filter, State
from jupyter_tasks.store import SqliteStore
from jupyter_tasks.store.migrate import migrate
from jupyter_tasks.store.queries import migrations
from tests.builders import a_job, a_receipt
from tests.examples.released.make_database import HERE, everything

RELEASED = sorted(HERE.glob("schema-*.db"))


@pytest.fixture(params=RELEASED, ids=lambda path: path.stem)
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a released database."""
    return Path(shutil.copy(request.param, tmp_path))


def is_kept(old: Any, new: Any) -> bool:
    """Whether all that was told is told still; later versions may tell more."""
    if isinstance(old, dict):
        return all(key in new and is_kept(value, new[key]) for key, value in old.items())
    if isinstance(old, list):
        return len(old) == len(new) and all(map(is_kept, old, new))
    return bool(old == new)


async def test_a_released_database_holds_what_it_held(released: Path) -> None:
    held = json.loads((HERE / f"{released.stem}.json").read_text("utf-8"))
    store = SqliteStore.open(released)
    found = json.loads(json.dumps(await everything(store)))
    await store.close()

    assert {job["state"] for job in held["jobs"]} == set(State)
    for what in held:
        assert is_kept(held[what], found[what]), what


async def test_a_released_database_can_be_written_on(released: Path) -> None:
    held = json.loads((HERE / f"{released.stem}.json").read_text("utf-8"))
    store = SqliteStore.open(released)
    await store.take_over()

    repeated = await store.add([a_job()], a_receipt())
    [change] = await store.add([a_job(name="written later")])

    assert [found.seq for found in repeated] == [0] * len(held["jobs"])
    assert (await store.find(Filter(text="LATER"), limit=5)).jobs == (change.job,)
    await store.close()


def test_the_newest_schema_was_released_and_its_migrations_have_not_changed(tmp_path: Path) -> None:
    newest = HERE / f"schema-{max(migrations())}.db"
    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as fresh:
        migrate(fresh, tmp_path / "jobs.db", migrations())

    def tables(path: Path) -> dict[str, str]:
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
            return {name: sql for name, sql in rows if not name.startswith("name_text")}

    assert tables(newest) == tables(tmp_path / "jobs.db")
