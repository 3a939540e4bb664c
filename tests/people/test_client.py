"""The client against a real server: every method, both shells, and what happens when things break."""

import asyncio
import inspect
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks import errors
from jupyter_tasks.client import AsyncClient, AsyncJobHandle, Client, JobHandle
from jupyter_tasks.model import State
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.people.relay import LossyRelay

#: Prints lines with numbers, slowly enough to be interrupted and fast enough for a test.
COUNT = (
    "i=0; while [ $i -lt {n} ]; do i=$((i+1)); echo line $i; echo error $i >&2; sleep 0.005; done"
)


def running(handle: JobHandle) -> JobHandle:
    eventually(lambda: handle.refresh().state == State.RUNNING, what="the job runs")
    return handle


def counted(n: int, word: str) -> bytes:
    return b"".join(b"%b %d\n" % (word.encode(), i) for i in range(1, n + 1))


# -- submitting --------------------------------------------------------------------------------


def test_a_job_is_submitted_waited_for_and_its_bytes_are_read(client: Client) -> None:
    handle = client.submit(r"printf 'a\000\377b\n'; echo e >&2; exit 3").wait(20)
    assert (handle.state, handle.exit_code, handle.reason) == (State.FAILED, 3, "exit")
    assert handle.output("out") == b"a\x00\xffb\n"
    assert handle.output("err") == b"e\n"
    assert dict(handle.logs()) == {"out": b"a\x00\xffb\n", "err": b"e\n"}


def test_all_that_can_be_said_about_a_job_reaches_it(client: Client, tmp_path: Path) -> None:
    handle = client.submit(
        ["sh", "-c", 'cat; pwd; echo "$SECRET"; echo e >&2'],
        name="all of it",
        tags=["a", "b"],
        cwd=str(tmp_path),
        env={"SECRET": "s3cret"},
        stdin="given\n",
        merge_stderr=True,
        priority=7,
        timeout_s=50,
        memory_bytes=10**9,
        grace_s=1,
        max_output_bytes=10**6,
        on_lost="requeue",
    ).wait(20)
    assert handle.output() == f"given\n{tmp_path}\ns3cret\ne\n".encode()
    job = handle.job
    assert (job.name, job.tags, job.priority, job.timeout_s) == ("all of it", ("a", "b"), 7, 50)
    assert (job.memory_bytes, job.grace_s, job.on_lost) == (10**9, 1, "requeue")
    assert job.spec.env == {"SECRET": "***"}
    assert "s3cret" not in f"{handle!r} {job!r} {handle.wire}"


def test_a_job_runs_where_its_caller_is(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert client.submit("pwd").wait(20).output() == f"{tmp_path}\n".encode()


def test_many_jobs_are_submitted_in_one_request_in_their_order(client: Client) -> None:
    handles = client.submit_many([f"exit {n}" for n in range(5)], tags=["many"])
    assert [handle.wait(20).exit_code for handle in handles] == [0, 1, 2, 3, 4]
    assert [handle.number for handle in handles] == sorted(handle.number for handle in handles)


def test_a_bad_job_in_a_list_lets_none_of_it_through(client: Client) -> None:
    with pytest.raises(errors.BadMessage):
        client.submit_many(["true", ""], tags=["none of it"])
    assert not [*client.jobs(tags=["none of it"])]


def test_the_same_key_stands_for_the_same_job(client: Client) -> None:
    first = client.submit("true", idempotency_key="only once")
    assert client.submit("true", idempotency_key="only once").id == first.id
    with pytest.raises(errors.DuplicateKey):
        client.submit("false", idempotency_key="only once")


# -- handles -----------------------------------------------------------------------------------


def test_a_handle_knows_the_fields_of_a_job_and_nothing_else(client: Client) -> None:
    handle = client.submit("true").wait(20)
    assert {"state", "exit_code", "has_ended", "progress"} <= set(dir(handle))
    assert handle.has_ended
    assert repr(handle) == f"<JobHandle {handle.id} 'true' succeeded>"
    with pytest.raises(AttributeError, match="colour"):
        _ = handle.colour


def test_a_job_can_be_stopped_let_go_on_and_ended(client: Client) -> None:
    handle = running(client.submit("sleep 60"))
    eventually(lambda: handle.pause().refresh().state == State.PAUSED)
    handle.resume()
    eventually(lambda: handle.refresh().state == State.RUNNING)
    assert handle.cancel("enough").cancel_reason == "enough"
    assert handle.wait(20).state == State.CANCELLED
    with pytest.raises(errors.IllegalTransition):
        handle.cancel()


def test_an_ended_job_can_be_started_again_and_deleted(client: Client) -> None:
    handle = client.submit("echo again").wait(20)
    handle.restart().wait(20)
    assert [attempt.number for attempt in handle.attempts()] == [1, 2]
    assert handle.output(attempt=1) == handle.output() == b"again\n"
    handle.delete()
    with pytest.raises(errors.NoSuchThing, match=handle.id):
        handle.refresh()


def test_a_waiting_job_can_be_changed_and_put_first(client: Client) -> None:
    blockers = client.submit_many(["sleep 60"] * client.status()["max_running"])
    waiting = client.submit("echo old", env={"KEPT": "k"})
    assert waiting.explain()["reason"] == "slots"
    waiting.edit(name="new name", priority=5, timeout_s=30)
    waiting.edit('echo "$KEPT"')
    assert (waiting.name, waiting.priority, waiting.timeout_s) == ("new name", 5, 30)
    waiting.edit(timeout_s=None)
    assert waiting.timeout_s is None
    other = client.job(waiting.id)
    waiting.edit(priority=6)
    with pytest.raises(errors.StaleVersion):
        other.edit(priority=7)
    assert waiting.run().wait(20).output() == b"k\n"
    assert client.cancel_all(ids=[blocker.id for blocker in blockers])["done"] == len(blockers)
    assert {blocker.wait(20).state for blocker in blockers} == {State.CANCELLED}


def test_waiting_gives_up_in_time_and_the_job_goes_on(client: Client) -> None:
    handle = running(client.submit("sleep 60"))
    with pytest.raises(TimeoutError, match="it goes on"):
        handle.wait(0.2)
    assert handle.refresh().state == State.RUNNING
    handle.cancel().wait(20)


def test_files_that_a_job_left_can_be_fetched(client: Client, tmp_path: Path) -> None:
    script = 'mkdir -p "$JUPYTER_TASKS_ARTIFACTS/a b"; printf "\\001\\002" > "$JUPYTER_TASKS_ARTIFACTS/a b/c%d"'
    handle = client.submit(script).wait(20)
    assert [(file["path"], file["size_bytes"]) for file in handle.artifacts()] == [("a b/c%d", 2)]
    assert handle.download("a b/c%d") == b"\x01\x02"
    assert handle.download("a b/c%d", tmp_path / "c") == tmp_path / "c"
    assert (tmp_path / "c").read_bytes() == b"\x01\x02"
    assert handle.download("./a b//c%d") == b"\x01\x02"
    for outside in ("../../spec.json", "..", "a b/../..", "", "/etc/passwd"):
        with pytest.raises(errors.NoSuchThing):
            handle.download(outside)


def test_a_download_that_fails_leaves_what_was_there(client: Client, tmp_path: Path) -> None:
    handle = client.submit("true").wait(20)
    (tmp_path / "mine").write_text("kept")
    for there in ("mine", "new"):
        with pytest.raises(errors.NoSuchThing):
            handle.download("nothing", tmp_path / there)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("mine", "kept")]


def test_a_file_whose_name_is_no_text_is_fetched_by_what_the_list_tells(client: Client) -> None:
    script = 'cd "$JUPYTER_TASKS_ARTIFACTS" && printf x > "$(printf "a\\377")"'
    handle = client.submit(script).wait(20)
    [file] = handle.artifacts()
    assert file["path"] == "a\N{REPLACEMENT CHARACTER}"
    assert handle.download(file) == handle.download(os.fsdecode(b"a\xff")) == b"x"


# -- many --------------------------------------------------------------------------------------


def test_jobs_are_found_by_filter_over_pages(client: Client) -> None:
    handles = client.submit_many([f"exit {n % 2}" for n in range(12)], tags=["pages"])
    for handle in handles:
        handle.wait(20)
    assert [h.id for h in client.jobs(tags=["pages"])] == [h.id for h in reversed(handles)]
    assert len([*client.jobs(tags=["pages"], states=["failed"])]) == 6
    assert len([*client.jobs(tags=["pages"], limit=5)]) == 5
    assert client.delete_all(tags=["pages"]) == {"matched": 12, "done": 12, "refused": 0}
    assert not [*client.jobs(tags=["pages"])]


def test_a_short_id_is_enough(client: Client) -> None:
    handle = client.submit("true")
    assert client.job(handle.id[:10]).id == handle.id


# -- watching and following --------------------------------------------------------------------


def test_a_watch_tells_the_whole_life_of_a_job_with_its_progress(client: Client) -> None:
    seen, handle = [], None
    for event in client.watch(tags=["watched"], timeout_s=20):
        if event.event == "live":
            script = "echo 1/2 > $JUPYTER_TASKS_REPORT; sleep 0.2"
            handle = client.submit(script, tags=["watched"])
            continue
        seen.append(event)
        if event.job is not None and event.job["state"] == "succeeded":
            break
    states = [event.job["state"] for event in seen if event.job]
    assert states == ["queued", "starting", "running", "succeeded"]
    assert [event.progress["value"] for event in seen if event.progress] == [1]
    assert handle is not None
    assert {event.job_id for event in seen} == {handle.id}
    numbers = [event.seq for event in seen if event.seq]
    assert numbers == sorted(numbers)


def test_following_begins_before_the_job_does_and_ends_with_it(client: Client) -> None:
    handle = client.submit(COUNT.format(n=20))
    streams: dict[str, bytes] = {"out": b"", "err": b""}
    for name, data in handle.logs(follow=True):
        streams[name] += data
    assert streams == {"out": counted(20, "line"), "err": counted(20, "error")}
    assert handle.refresh().has_ended


def test_reading_goes_on_from_any_cursor_and_from_the_end(client: Client) -> None:
    handle = client.submit(COUNT.format(n=10), merge_stderr=True).wait(20)
    pieces = [*handle.records()]
    middle = pieces[len(pieces) // 2]
    rest = [*handle.records(cursor=middle.cursor)]
    assert [piece.cursor for piece in rest] == [p.cursor for p in pieces[len(pieces) // 2 + 1 :]]
    assert [*handle.records(tail=1)] == []
    with pytest.raises(errors.BadCursor):
        [*handle.records(cursor="1.1")]


# -- both shells -------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "other"), [(Client, AsyncClient), (JobHandle, AsyncJobHandle)])
def test_both_shells_have_the_same_methods_with_the_same_arguments(one: Any, other: Any) -> None:
    def methods(cls: Any) -> dict[str, list[str]]:
        found = inspect.getmembers(cls, inspect.isfunction)
        return {n: [*inspect.signature(m).parameters] for n, m in found if not n.startswith("_")}

    assert methods(one) == methods(other)


def test_options_are_spelled_out_for_help_and_completion() -> None:
    parameters = inspect.signature(Client.submit).parameters
    assert {"command", "name", "tags", "cwd", "timeout_s", "on_lost"} <= set(parameters)


def test_the_awaited_client_does_all_the_same(server: LiveServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with AsyncClient(server.url, server.token) as client:
            assert (await client.locate()).url == server.url
            assert (await client.status())["version"]
            handle = await client.submit(COUNT.format(n=5), tags=["awaited"])
            assert b"".join([data async for _, data in handle.logs(follow=True)])
            await handle.wait(20)
            assert await handle.output("out") == counted(5, "line")
            assert (await (await client.job(handle.id[:12])).refresh()).exit_code == 0
            assert [job.id async for job in client.jobs(tags=["awaited"])] == [handle.id]
            assert (await handle.explain())["job"] == handle.id
            assert len(await handle.attempts()) == 1
            assert await handle.artifacts() == []
            await _awaited_changes(client, handle, tmp_path)

    asyncio.run(scenario())


async def _awaited_changes(client: AsyncClient, handle: AsyncJobHandle, tmp_path: Path) -> None:
    await (await handle.restart()).wait(20)
    await handle.delete()
    paused = [await (await client.submit("true", tags=["still"])).refresh() for _ in range(2)]
    assert len(paused) == 2
    many = await client.submit_many(["sleep 60", "sleep 60"], tags=["awaited"])
    async for event in client.watch(tags=["awaited"], timeout_s=20):
        if event.event == "live":
            await many[0].cancel("enough")
        if event.job and event.job["state"] == "cancelled":
            break
    assert (await client.cancel_all(tags=["awaited"], states=["queued", "starting", "running"]))[
        "refused"
    ] == 0
    await many[1].wait(20)
    with pytest.raises(errors.IllegalTransition):
        await many[1].pause()
    with pytest.raises(errors.NoSuchThing):
        await many[1].download("x", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert (await client.delete_all(tags=["awaited"]))["done"] == 2


def test_an_async_client_serves_one_event_loop_after_another(server: LiveServer) -> None:
    client = AsyncClient(server.url, server.token)

    async def ask() -> str:
        role: str = (await client.status())["role"]
        return role

    with asyncio.Runner() as one, asyncio.Runner() as other:
        assert [runner.run(ask()) for runner in (one, other, one)] == ["active"] * 3
        for runner in (one, other):
            runner.run(client.close())
    with asyncio.Runner() as third:
        assert third.run(ask()) == "active"
        third.run(client.close())


# -- when things break -------------------------------------------------------------------------


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_submit_whose_answer_is_lost_makes_one_job(server: LiveServer) -> None:
    path = "POST /a%40b/tasks/api/jobs "
    with LossyRelay(server.url, path, losses=2) as relay, Client(relay.url, server.token) as client:
        handle = client.submit("true", tags=["lost answer"])
        assert relay.lost == 2
        assert [job.id for job in client.jobs(tags=["lost answer"])] == [handle.id]


def test_a_cancel_whose_answer_is_lost_is_not_sent_twice_for_that_would_kill(
    server: LiveServer, client: Client
) -> None:
    handle = client.submit(
        "trap 'sleep 0.3; echo tidy; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    )
    assert next(iter(handle.logs(follow=True)))[1] == b"up\n"
    path = f"POST /a%40b/tasks/api/jobs/{handle.id}/cancel"
    with LossyRelay(server.url, path) as relay, Client(relay.url, server.token) as distant:
        distant.job(handle.id).cancel()
        assert relay.lost == 1
    assert handle.wait(20).state == State.CANCELLED
    assert handle.output("out") == b"up\ntidy\n"


def test_following_goes_on_exactly_where_it_was_when_the_server_is_killed(
    own_server: LiveServer,
) -> None:
    own_server.start()
    streams: dict[str, bytes] = {"out": b"", "err": b""}
    with Client(own_server.url, own_server.token) as client:
        handle = client.submit(COUNT.format(n=400))
        crash: threading.Thread | None = None
        for name, data in handle.logs(follow=True):
            streams[name] += data
            if crash is None and streams["out"].count(b"\n") >= 30:
                crash = in_thread(own_server.restart)
        assert crash is not None
        crash.join()
        assert handle.refresh().state == State.SUCCEEDED
    assert streams == {"out": counted(400, "line"), "err": counted(400, "error")}


def test_waiting_outlives_two_crashes_of_the_server_in_both_shells(own_server: LiveServer) -> None:
    own_server.start()

    async def scenario() -> None:
        async with AsyncClient(own_server.url, own_server.token) as client:
            handle = await client.submit(
                "while [ ! -e done ]; do sleep 0.02; done; exit 4", cwd="."
            )
            waiting = asyncio.ensure_future(handle.wait(50))
            for _ in range(2):
                await asyncio.to_thread(own_server.restart)
            assert not waiting.done()
            (own_server.root_dir / "done").touch()
            assert (await waiting).exit_code == 4

    asyncio.run(scenario())


def test_a_client_that_leaves_in_the_middle_is_no_trouble_for_the_server(
    server: LiveServer, client: Client
) -> None:
    watching = client.watch()
    assert next(watching).event == "live"
    handle = client.submit("echo x; sleep 60")
    following = handle.logs(follow=True)
    assert next(following) == ("out", b"x\n")
    for stream in (watching, following):
        stream.close()  # type: ignore[attr-defined]
    handle.cancel().wait(20)
    assert "StreamClosedError" not in server.log


def test_a_server_that_stays_away_is_told_with_what_to_do(own_server: LiveServer) -> None:
    own_server.start()
    with Client(own_server.url, own_server.token, patience_s=0.2) as client:
        client.status()
        own_server.kill()
        with pytest.raises(errors.NoServer, match="start the server again"):
            client.status()


# -- programs that run elsewhere -----------------------------------------------------------------


def test_a_program_elsewhere_reports_through_the_client(client: Client) -> None:
    handle = client.submit_external(program="solver", host="cluster", lease_s=60, name="solve")

    told = handle.report(progress=(1, 4, "first"), out=b"\xff\n", err="oops\n")
    handle.report(progress="2/4")
    handle.report(result={"x": 1}, end="failed", exit_code=3, message="no licence")

    assert (told["cancel"], told["pause"], told["lease_s"]) == (False, False, 60)
    assert handle.output("out") == b"\xff\n"
    assert handle.output("err") == b"oops\n"
    job = handle.refresh()
    assert (job.name, job.state, job.exit_code) == ("solve", State.FAILED, 3)
    assert (job.message, job.progress.value) == ("no licence", 2)
    assert job.spec.program == "solver"


def test_what_is_reported_is_kept_once_though_its_answer_is_lost(
    server: LiveServer, client: Client
) -> None:
    handle = client.submit_external()
    path = f"POST /a%40b/tasks/api/jobs/{handle.id}/report"
    with LossyRelay(server.url, path) as relay, Client(relay.url, server.token) as distant:
        distant.job(handle.id).report(out="once\n")
        assert relay.lost == 1
    handle.report(exit_code=0)

    assert handle.output() == b"once\n"


def test_a_program_elsewhere_reports_through_the_async_client(server: LiveServer) -> None:
    async def go() -> tuple[str, bytes]:
        async with AsyncClient(server.url, server.token) as tasks:
            handle = await tasks.submit_external()
            await handle.report(progress=0.5, out="x")
            told = await handle.report(exit_code=0)
            return told["state"], await handle.output()

    assert asyncio.run(go()) == ("succeeded", b"x")
