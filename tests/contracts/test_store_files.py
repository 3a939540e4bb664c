"""The database as a file: its modes, its schema, what happens where it cannot be used."""

import asyncio
import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from jupyter_tasks import lifecycle as lc
from jupyter_tasks.errors import StoreUnavailable
from jupyter_tasks.model import Filter, Job
from jupyter_tasks.store import SqliteStore, files
from jupyter_tasks.store.queries import migrations
from tests.builders import a_change, a_deletion, a_job
from tests.contracts.stores import added
from tests.eventually import eventually

NEXT = {**migrations(), 2: ("ALTER TABLE job ADD COLUMN colour TEXT;",)}
BROKEN = {**migrations(), 2: ("ALTER TABLE job ADD COLUMN colour TEXT;", "SELECT nonsense;")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "jobs.db"


async def with_a_job(path: Path, **given: object) -> Job:
    """A database that holds one job, closed again."""
    store = SqliteStore.open(path)
    await store.take_over()
    [job] = await added(store, a_job(**given))
    await store.close()
    return job


def execute(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


async def test_every_file_is_the_owners_alone_whatever_the_umask(path: Path) -> None:
    umask = os.umask(0)
    try:
        store = SqliteStore.open(path)
        await store.take_over()
        await added(store, a_job())
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        await store.close()
    finally:
        os.umask(umask)

    assert modes == {"jobs.db": 0o600, "jobs.db-wal": 0o600, "jobs.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


SECRET = "0penSesame" * 2000


def files_with(secret: str, path: Path) -> list[str]:
    """The names of the files in the folder that hold the secret."""
    return [
        file.name for file in path.parent.iterdir() if secret[:100].encode() in file.read_bytes()
    ]


@pytest.mark.parametrize("secret", [SECRET[:100], SECRET], ids=["short", "long"])
async def test_a_deleted_jobs_environment_leaves_every_file(path: Path, secret: str) -> None:
    store = SqliteStore.open(path)
    await store.take_over()
    [job, _] = await added(store, a_job(env={"KEY": secret}), a_job())
    ended = (await store.commit(a_change(job, lc.CancelAsked()))).job
    assert await store.get(job.id) == ended
    assert files_with(secret, path)

    await store.commit(a_deletion(ended))

    eventually(lambda: not files_with(secret, path), within_s=5)
    await store.close()


async def test_an_environment_that_was_edited_away_leaves_every_file(path: Path) -> None:
    store = SqliteStore.open(path)
    await store.take_over()
    [job] = await added(store, a_job(env={"KEY": SECRET}))
    await store.commit(a_change(job, lc.Edited(spec=a_job().spec)))
    eventually(lambda: not files_with(SECRET, path), within_s=5)
    await store.close()


async def test_what_was_deleted_is_erased_though_somebody_read_meanwhile(path: Path) -> None:
    store = SqliteStore.open(path)
    await store.take_over()
    [job] = await added(store, a_job(env={"KEY": SECRET}))
    ended = (await store.commit(a_change(job, lc.CancelAsked()))).job
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM job").fetchall()
        await store.commit(a_deletion(ended))
        # A commit is not kept waiting by what cannot be erased yet.
        await asyncio.wait_for(added(store, a_job()), 2)
        assert files_with(SECRET, path)
        reader.execute("COMMIT")
        eventually(lambda: not files_with(SECRET, path), within_s=15)
    await store.close()


async def test_what_a_killed_server_was_about_to_erase_the_next_one_erases(path: Path) -> None:
    store = SqliteStore.open(path)
    await store.take_over()
    [job] = await added(store, a_job(env={"KEY": SECRET}))
    ended = (await store.commit(a_change(job, lc.CancelAsked()))).job
    await store.commit(a_deletion(ended))
    killed = path.parent / "killed"
    killed.mkdir()
    for end in ("", "-wal"):
        (killed / f"{path.name}{end}").write_bytes(Path(f"{path}{end}").read_bytes())
    await store.close()
    assert files_with(SECRET, killed / path.name)

    after = SqliteStore.open(killed / path.name)
    await after.take_over()
    eventually(lambda: not files_with(SECRET, killed / path.name), within_s=5)
    await after.close()


async def test_it_says_what_kind_of_database_it_is(path: Path) -> None:
    store = SqliteStore.open(path)
    await store.close()

    info = store.info
    assert (info.journal_mode, info.schema, info.read_only) == ("wal", 1, False)
    assert info.sqlite == sqlite3.sqlite_version


async def test_nothing_is_accepted_into_a_file_that_nobody_will_find_again(path: Path) -> None:
    store = SqliteStore.open(path)
    await store.take_over()
    away = path.with_name("away")
    path.rename(away)
    with pytest.raises(StoreUnavailable, match="was removed or replaced while this server used it"):
        await added(store, a_job())
    path.touch()
    with pytest.raises(StoreUnavailable, match="Put it back, or end this server"):
        await added(store, a_job())
    away.rename(path)
    [job] = await added(store, a_job())
    assert await store.get(job.id) == job
    await store.close()


async def test_closing_leaves_no_thread_and_no_descriptor(path: Path) -> None:
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    store = SqliteStore.open(path)
    await store.take_over()
    await added(store, a_job())
    await asyncio.gather(*(store.last_seq() for _ in range(20)))
    assert threading.active_count() > threads
    await store.close()

    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors


async def test_opening_starts_no_thread(path: Path) -> None:
    threads = threading.active_count()
    store = SqliteStore.open(path)
    assert threading.active_count() == threads
    await store.close()


async def test_a_store_that_is_opened_to_read_changes_nothing(path: Path) -> None:
    job = await with_a_job(path)
    store = SqliteStore.open(path, read_only=True)

    assert await store.get(job.id) == job
    with pytest.raises(StoreUnavailable, match="for reading only"):
        await store.take_over()
    with pytest.raises(StoreUnavailable, match="for reading only"):
        await store.add([a_job()])
    await store.close()


def test_reading_needs_a_database_that_is_there(path: Path) -> None:
    with pytest.raises(
        StoreUnavailable, match=r"jobs\.db cannot be opened: check that it is there"
    ):
        SqliteStore.open(path, read_only=True)
    assert not path.parent.exists()


async def test_a_database_without_wal_serves_as_well(path: Path) -> None:
    job = await with_a_job(path)
    execute(path, "PRAGMA journal_mode = delete")
    # The trial cannot be made where its name is taken by a folder: WAL is not to be had.
    (path.parent / f"jobs.db.trial-{threading.get_native_id()}").mkdir()

    store = SqliteStore.open(path)
    assert store.info.journal_mode == "truncate"
    await store.take_over()
    results = await asyncio.gather(*(store.add([a_job()]) for _ in range(20)), store.get(job.id))
    assert results[-1] == job
    assert (await store.find(Filter(), limit=50)).jobs[-1] == job
    await store.close()


# -- schema ---------------------------------------------------------------------------------------


async def test_a_migration_keeps_the_jobs_and_a_backup_from_before(path: Path) -> None:
    job = await with_a_job(path)

    store = SqliteStore.open(path, schema=NEXT)

    assert store.info.schema == 2
    assert await store.get(job.id) == job
    await store.close()
    backup = path.with_name("jobs.backup-0001.db")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert execute(backup, "SELECT id FROM job") == [(job.id,)]
    assert execute(backup, "PRAGMA user_version") == [(1,)]
    assert not list(path.parent.glob("*.part*"))


async def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    job = await with_a_job(path)

    with pytest.raises(StoreUnavailable, match="no such column: nonsense"):
        SqliteStore.open(path, schema=BROKEN)

    store = SqliteStore.open(path)
    assert (store.info.schema, await store.get(job.id)) == (1, job)
    await store.close()


async def test_a_new_database_needs_no_backup(path: Path) -> None:
    store = SqliteStore.open(path, schema=NEXT)
    await store.close()

    assert store.info.schema == 2
    assert not list(path.parent.glob("*backup*"))


async def test_a_newer_schema_is_read_and_never_written(path: Path) -> None:
    job = await with_a_job(path)
    await SqliteStore.open(path, schema=NEXT).close()

    store = SqliteStore.open(path)

    assert await store.get(job.id) == job
    assert store.info.read_only
    assert "has schema 2, this version of jupyter_tasks knows 1" in store.info.message
    with pytest.raises(StoreUnavailable, match="Update jupyter_tasks"):
        await store.take_over()
    await store.close()


async def test_a_server_of_the_former_schema_is_fenced_by_the_migration(path: Path) -> None:
    old = SqliteStore.open(path)
    await old.take_over()
    new = SqliteStore.open(path, schema=NEXT)

    with pytest.raises(StoreUnavailable):
        await old.add([a_job()])
    with pytest.raises(StoreUnavailable, match="start this server anew"):
        await old.take_over()
    assert await new.last_seq() == 0
    await old.close()
    await new.close()


async def test_servers_that_start_at_once_make_one_database(path: Path) -> None:
    opened = await asyncio.gather(*(asyncio.to_thread(SqliteStore.open, path) for _ in range(4)))

    assert {store.info.schema for store in opened} == {1}
    for store in opened:
        await store.close()
    await asyncio.get_running_loop().shutdown_default_executor()


# -- damage ---------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_named_with_the_remedy(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database, " * 1000)

    with pytest.raises(
        StoreUnavailable, match=r"jobs\.db is damaged\. Stop every server .* backup"
    ):
        SqliteStore.open(path)


def test_somebody_elses_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    execute(path, "CREATE TABLE recipes (name)")

    with pytest.raises(StoreUnavailable, match=r"jobs\.db is a database of something else"):
        SqliteStore.open(path)

    assert execute(path, "SELECT name FROM sqlite_master") == [("recipes",)]


async def test_damage_inside_is_told_by_who_meets_it(path: Path) -> None:
    await with_a_job(path)
    [(page,)] = execute(path, "SELECT rootpage FROM sqlite_master WHERE name = 'job'")
    with path.open("r+b") as file:
        file.seek(4096 * (int(str(page)) - 1))
        file.write(b"\xff" * 4096)

    store = SqliteStore.open(path)
    with pytest.raises(StoreUnavailable, match=r"jobs\.db is damaged"):
        await store.find(Filter(), limit=5)
    await store.close()


async def test_a_row_of_an_unknown_kind_is_left_out_and_reported(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqliteStore.open(path)
    await store.take_over()
    one, strange, three = await added(store, a_job(), a_job(), a_job())
    live = (await store.commit(a_change(three, lc.SlotGiven()))).job
    execute(path, f"UPDATE job SET kind = 'dream' WHERE id = '{strange.id}'")  # noqa: S608 - our id

    assert (await store.find(Filter(), limit=5)).jobs == (live, one)
    assert await store.head(limit=1) == [one]
    assert await store.get(strange.id) is None
    changes = await store.changes(0, limit=1)
    assert changes is not None
    later = await store.changes(1, limit=1)
    assert [(change.seq, change.job.id) for change in later or []] == [(3, three.id)]
    assert f"Left out job {strange.id} of kind 'dream'" in caplog.text
    await store.close()


# -- the index of names ---------------------------------------------------------------------------


async def test_searches_work_without_the_index_of_names_and_it_is_made_anew(path: Path) -> None:
    job = await with_a_job(path, name="Training 7")
    execute(path, "UPDATE text_index SET is_whole = 0")
    execute(path, f"UPDATE job SET name = 'Renamed 8', folded = 'renamed 8' WHERE id = '{job.id}'")  # noqa: S608

    store = SqliteStore.open(path)
    for _ in range(2):
        found = [(await store.find(Filter(text=t), limit=5)).jobs for t in ("RENAMED", "training")]
        assert [[each.id for each in jobs] for jobs in found] == [[job.id], []]
        await store.take_over()
    assert execute(path, "SELECT is_whole FROM text_index") == [(1,)]
    await store.close()


async def test_what_is_deleted_or_renamed_leaves_the_index_of_names(path: Path) -> None:
    store = SqliteStore.open(path)
    await store.take_over()
    gone, renamed = await added(store, a_job(name="abc"), a_job(name="abc"))
    gone = (await store.commit(a_change(gone, lc.CancelAsked()))).job
    await store.commit(a_deletion(gone))
    await store.commit(a_change(renamed, lc.Edited(name="xyz")))

    matches = "SELECT count(*) FROM name_text WHERE name_text MATCH "
    assert execute(path, matches + "'abc'") == [(0,)]
    assert execute(path, matches + "'xyz'") == [(1,)]
    await store.close()


# -- where it lies --------------------------------------------------------------------------------


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:5 / /shared rw,nosuid shared:2 - nfs4 server:/shared rw
31 30 0:6 / /shared/ada/my\\040disk rw - xfs /dev/vdb rw
32 22 0:7 / /mnt rw - ext4 /dev/vdc rw
33 22 0:8 / /mnt rw - fuse.sshfs far:/ rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/jobs.db", "ext4"),
        ("/shared/ada/jobs.db", "nfs4"),
        ("/sharedly/jobs.db", "ext4"),
        ("/shared/ada/my disk/jobs.db", "xfs"),
        ("/mnt/jobs.db", "fuse.sshfs"),
    ],
)
def test_the_nearest_mount_says_what_file_system_it_is(path: str, kind: str) -> None:
    assert files.file_system_of(Path(path), MOUNTS) == kind


def test_a_local_folder_is_told_from_a_shared_one(tmp_path: Path) -> None:
    assert not files.is_on_network(tmp_path / "not" / "there")
