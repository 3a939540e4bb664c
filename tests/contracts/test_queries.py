"""Every statement that people wait for is served by an index, however many jobs there are."""

import itertools
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jupyter_tasks.model import Filter, State
from jupyter_tasks.store import SqliteStore, find, queries
from jupyter_tasks.store.files import connect
from tests.builders import a_job

OWNERS = ("ada", "bob")
OFFERED: dict[str, tuple[object, ...]] = {
    "owner": (None, "ada", "nobody"),
    "states": ((), (State.QUEUED,), (State.QUEUED, State.CANCELLED)),
    "kinds": ((), ("shell",)),
    "queues": ((), ("gpu",), ("gpu", "default")),
    "tags": ((), ("a",), ("a", "b")),
    "text": ("", "no", "some"),
}
EVERY_FILTER = [
    Filter(**dict(zip(OFFERED, values, strict=True)))  # type: ignore[arg-type]
    for values in itertools.product(*OFFERED.values())
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with jobs of every sort."""
    import asyncio

    async def fill(path: Path) -> None:
        store = SqliteStore.open(path)
        await store.take_over()
        sorts = itertools.product(OWNERS, ("default", "gpu", "io"), ((), ("a",), ("a", "b")))
        jobs = [
            a_job(owner=owner, queue=queue, tags=tags, name=f"some name {queue}")
            for owner, queue, tags in sorts
        ]
        ended = [
            a_job(owner=owner, state=State.CANCELLED, ended_at=2000.0, queue=queue)
            for owner, queue in itertools.product(OWNERS, ("default", "gpu"))
        ]
        await store.add([*jobs, *ended])
        await store.close()

    path = tmp_path_factory.mktemp("queries") / "jobs.db"
    with asyncio.Runner() as runner:
        runner.run(fill(path))
    return path


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(path, read_only=True)) as opened:
        yield opened


def bad_steps(connection: sqlite3.Connection, sql: str) -> list[str]:
    """Steps of the statement's plan that look at a whole table, or sort."""
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", zeros(sql))]
    assert steps
    return [step for step in steps if is_bad(step)]


def zeros(sql: str) -> list[int] | dict[str, int]:
    """A value for each parameter of the statement."""
    return [0] * sql.count("?") if "?" in sql else dict.fromkeys(re.findall(r":(\w+)", sql), 0)


def is_bad(step: str) -> bool:
    if "TEMP B-TREE" in step:
        return True
    if not step.startswith("SCAN"):
        return False
    # The merged ranges, lists given as JSON, the index of names, and indexes that hold no more than
    # what is asked for are read from one end, up to a limit.
    harmless = ("candidate", "VIRTUAL TABLE", "CONSTANT ROW", "(subquery", "sqlite_sequence")
    partial = ("USING INDEX job_queued", "USING INDEX job_scheduled", "USING INDEX job_live")
    return not any(word in step for word in (*harmless, *partial))


def test_every_filter_that_is_offered_is_served_by_an_index(
    connection: sqlite3.Connection,
) -> None:
    asked: set[str] = set()
    connection.set_trace_callback(asked.add)
    for wanted in EVERY_FILTER:
        find.find(connection, wanted, 10, None)
    connection.set_trace_callback(None)

    lists = {sql for sql in asked if "candidate" in sql or "number DESC" in sql}
    assert len(lists) > len(EVERY_FILTER) / 4
    assert {sql: bad for sql in lists if (bad := bad_steps(connection, sql))} == {}


@pytest.mark.parametrize(
    "name",
    [
        *("get", "get_many", "head", "due", "live", "position", "attempts", "changes", "numbers"),
        *("receipt", "version_of", "move_job", "edit_job", "delete_job"),
        *("forget_events", "forget_receipts", "forgotten"),
    ],
)
def test_every_other_statement_is_served_by_an_index(
    connection: sqlite3.Connection, name: str
) -> None:
    assert bad_steps(connection, queries.query(name)) == []


def test_a_scan_and_a_sort_would_be_found(connection: sqlite3.Connection) -> None:
    assert bad_steps(connection, "SELECT * FROM job WHERE name = ?") == ["SCAN job"]
    assert bad_steps(connection, "SELECT * FROM job WHERE id > ? ORDER BY name") == [
        "USE TEMP B-TREE FOR ORDER BY"
    ]


def test_every_statement_says_what_it_is_and_can_be_prepared(
    connection: sqlite3.Connection,
) -> None:
    fragments = ("range_", "rest_", "page", "looked_at", "size")
    text = (Path(queries.__file__).parent / "queries.sql").read_text("utf-8")
    names = [line.removeprefix("-- name: ") for line in text.splitlines() if "-- name: " in line]

    assert len(names) == len(set(names))
    for name in names:
        sql = queries.query(name)
        if not name.startswith(fragments):
            connection.execute(f"EXPLAIN {sql}", zeros(sql)).fetchall()


def test_a_page_looks_at_a_bounded_number_of_jobs(path: Path) -> None:
    """A search that finds nothing among many is answered in parts, and tells where to go on."""
    with closing(connect(path, read_only=True)) as connection:
        wanted = Filter(text="x")
        page = find.find(connection, wanted, 10, None, looks=3)
        pages = [page]
        while page.after is not None:
            page = find.find(connection, wanted, 10, page.after, looks=3)
            pages.append(page)

    assert len(pages) > 5
    assert not any(page.jobs for page in pages)
