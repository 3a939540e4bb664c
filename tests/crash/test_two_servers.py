"""Two servers of one user on one state directory: one decides, the other does as well for everybody."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.crash.wreckage import is_there, starts
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.stream_client import events, get, job_of, payloads, socket, submit, until
from tests.values_client import code, result, uploaded

TAKE_OVER_S = 2.0
TICKS = "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); sleep 0.01; done"
NUMBERS = b"".join(b"%d\n" % number for number in range(300))


def role(server: LiveServer) -> str:
    _, status = server.ask("GET", "tasks/api/status")
    return str(status["role"])


@pytest.fixture
def first() -> Iterator[LiveServer]:
    with LiveServer() as server:
        yield server


@pytest.fixture
def second(first: LiveServer) -> Iterator[LiveServer]:
    server = LiveServer(home=first.home, base_url="/second/")
    join(first, server)
    yield server
    server.kill()


def join(first: LiveServer, second: LiveServer) -> None:
    eventually(lambda: role(first) == "active", what="the first decides")
    second.start()
    eventually(lambda: "Following the active server" in second.log, what="the second follows")


@pytest.fixture(scope="module")
def calm() -> Iterator[tuple[LiveServer, LiveServer]]:
    """Two servers that nobody kills: who decides, who follows."""
    with LiveServer() as first:
        second = LiveServer(home=first.home, base_url="/second/")
        join(first, second)
        yield first, second
        second.kill()


@pytest.fixture
def follower(calm: tuple[LiveServer, LiveServer]) -> LiveServer:
    return calm[1]


# -- while both are there --------------------------------------------------------------------------


def test_each_says_which_of_the_two_it_is(calm: tuple[LiveServer, LiveServer]) -> None:
    assert [role(server) for server in calm] == ["active", "following"]


def test_values_go_through_the_one_that_follows(follower: LiveServer) -> None:
    body = code("z = x + 1", inputs=uploaded(follower, x=1), outputs=["z"])
    status, job = follower.ask("POST", "tasks/api/jobs", body)
    assert status == 201
    assert until(follower, job["id"], within_s=40)["state"] == "succeeded"
    assert result(follower, job["id"]) == {"z": 2}


def test_a_job_given_to_the_one_that_follows_is_the_same_job_for_both(
    calm: tuple[LiveServer, LiveServer],
) -> None:
    first, second = calm
    body = {"spec": {"kind": "shell", "command": "pwd; exit 4"}}

    status, job = second.ask("POST", "tasks/api/jobs", body)

    assert status == 201
    assert until(second, job["id"])["exit_code"] == 4
    assert job_of(first, job["id"]) == job_of(second, job["id"])


def test_the_place_of_a_new_job_is_below_the_prefix_of_the_server_that_was_asked(
    follower: LiveServer,
) -> None:
    body = {"spec": {"kind": "shell", "command": "true"}}
    place = follower.headers_of("POST", "tasks/api/jobs", body)["Location"]
    assert place.startswith("/second/tasks/api/jobs/")
    assert follower.ask("GET", place)[0] == 200


def test_a_running_job_is_paused_resumed_and_cancelled_through_the_one_that_follows(
    follower: LiveServer,
) -> None:
    job_id = submit(follower, "exec sleep 600")
    until(follower, job_id, "running")
    for verb, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        status, _ = follower.ask("POST", f"tasks/api/jobs/{job_id}/{verb}")
        assert status == 202
        until(follower, job_id, state)


def test_a_job_is_edited_restarted_explained_and_deleted_through_the_one_that_follows(
    follower: LiveServer,
) -> None:
    job_id = submit(follower, "exit 2")
    until(follower, job_id)
    assert follower.ask("POST", f"tasks/api/jobs/{job_id}/restart")[0] == 202
    eventually(lambda: job_of(follower, job_id)["attempt"] == 2)
    until(follower, job_id)
    assert follower.ask("GET", f"tasks/api/jobs/{job_id}/explain")[1]["state"] == "failed"
    assert len(follower.ask("GET", f"tasks/api/jobs/{job_id}/attempts")[1]["attempts"]) == 2
    version = job_of(follower, job_id)["version"]
    edit = {"version": version, "name": "new"}
    assert (
        follower.ask("PATCH", f"tasks/api/jobs/{job_id}", edit)[1]["code"] == "illegal_transition"
    )

    assert follower.ask("DELETE", f"tasks/api/jobs/{job_id}")[0] == 204
    assert follower.ask("GET", f"tasks/api/jobs/{job_id}")[0] == 404


def test_a_waiting_job_is_edited_through_the_one_that_follows(follower: LiveServer) -> None:
    slots = follower.ask("GET", "tasks/api/status")[1]["max_running"]
    busy = [submit(follower, "exec sleep 600") for _ in range(slots)]
    for job_id in busy:
        until(follower, job_id, "running")
    waiting = job_of(follower, submit(follower, "true"))
    edit = {"version": waiting["version"], "name": "other"}
    status, job = follower.ask("PATCH", f"tasks/api/jobs/{waiting['id']}", edit)
    assert (status, job["name"]) == (200, "other")
    for job_id in busy:
        follower.ask("POST", f"tasks/api/jobs/{job_id}/cancel")
        until(follower, job_id)
    until(follower, waiting["id"], "succeeded")


def test_many_jobs_are_submitted_cancelled_and_deleted_through_the_one_that_follows(
    follower: LiveServer,
) -> None:
    body = [{"spec": {"kind": "shell", "command": "sleep 600"}, "tags": ["bulk"]}] * 5
    status, answer = follower.ask("POST", "tasks/api/jobs", body)
    assert status == 201
    chosen = {"filter": {"tags": ["bulk"]}}
    assert follower.ask("POST", "tasks/api/jobs/cancel", chosen)[1]["done"] == 5
    for job in answer["jobs"]:
        until(follower, job["id"], "cancelled")
    assert follower.ask("POST", "tasks/api/jobs/delete", chosen)[1]["done"] == 5


def test_output_is_followed_live_through_the_one_that_follows(follower: LiveServer) -> None:
    job_id = submit(follower, TICKS)
    with get(follower, f"jobs/{job_id}/output?follow=true") as answer:
        assert answer.read() == NUMBERS


def test_the_events_of_one_job_are_told_by_the_one_that_follows(follower: LiveServer) -> None:
    job_id = submit(follower, "echo hello; sleep 0.2")
    with get(follower, f"jobs/{job_id}/events") as answer:
        told = list(events(answer))
    assert [one["event"] for one in told if one["event"] != "job"][-1] == "end"
    assert told[-1]["data"]["state"] == "succeeded"


async def test_a_socket_to_the_one_that_follows_watches_and_reads_live(
    follower: LiveServer,
) -> None:
    async with socket(follower) as ws:
        await ws.send(type="watch", id="w", filter={"tags": ["live"]})
        await ws.until("live")
        job_id = submit(follower, TICKS, tags=["live"])
        await ws.send(type="read", id="r", job=job_id, cursor="1.0", follow=True)
        frames = await ws.until("end")

    assert b"".join(payloads(f["data"]) for f in frames if f["type"] == "output") == NUMBERS
    assert {f["job"]["state"] for f in frames if f["type"] == "job"} >= {"starting", "running"}


# -- when one goes ---------------------------------------------------------------------------------


async def test_the_second_takes_over_within_two_seconds_and_its_watchers_miss_nothing(
    first: LiveServer, second: LiveServer
) -> None:
    async with socket(second) as ws:
        await ws.send(type="watch", id="w", filter={})
        since = (await ws.until("live"))[-1]["seq"]
        job_id = submit(second, TICKS)
        until(second, job_id, "running")
        await ws.send(type="read", id="r", job=job_id, cursor="1.0", follow=True)

        after_s = seconds_until_accepted(second, first.kill)

        frames = await ws.until("end")
        newest = second.ask("GET", "tasks/api/jobs?limit=1")[1]["jobs"][0]
        while not {job_id, newest["id"]} <= succeeded(frames):
            frames += await ws.until("job")

    assert after_s <= TAKE_OVER_S
    assert b"".join(payloads(f["data"]) for f in frames if f["type"] == "output") == NUMBERS
    seqs = [f["seq"] for f in frames if f["type"] == "job"]
    assert sorted(set(seqs)) == list(range(since + 1, max(seqs) + 1))
    assert seqs == sorted(seqs)

    first.launch()
    eventually(lambda: is_there(first), within_s=30, what="the first is back")
    assert role(first) == "following"
    after_s = seconds_until_accepted(first, second.stop)
    assert after_s <= TAKE_OVER_S
    assert role(first) == "active"


async def test_while_the_active_server_is_stopped_the_other_says_so_and_shows_what_is_known(
    first: LiveServer, second: LiveServer
) -> None:
    """It is not superseded: it could wake at any moment, and it holds the lock."""
    assert first.process is not None
    job_id = submit(second, "sleep 1; echo done")
    until(second, job_id, "running")
    ended = submit(second, "echo before")
    until(second, ended)
    files = open_files(second)
    first.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        body = {"spec": {"kind": "shell", "command": "true"}}
        answers = [second.ask("POST", "tasks/api/jobs", body)]
        answers.append(second.ask("POST", f"tasks/api/jobs/{job_id}/cancel"))
        took_s = time.monotonic() - began
        for status, error in answers:
            assert (status, error["code"]) == (503, "manager_stalled")
            assert f"kill -CONT {first.process.pid}" in error["message"]
            assert error["details"] == {"pid": first.process.pid, "maybe_done": False}
        assert took_s < 10
        assert role(second) == "following"
        assert second.ask("GET", f"tasks/api/jobs/{ended}")[1]["state"] == "succeeded"
        assert len(second.ask("GET", "tasks/api/jobs")[1]["jobs"]) == 2
        assert second.ask("GET", f"tasks/api/jobs/{ended}/output")[1] == b"before\n"
        with get(second, f"jobs/{job_id}/output?follow=true") as answer:
            assert answer.read(5) == b"done\n"
        eventually(lambda: open_files(second) <= files, what="no connection is left open")
    finally:
        first.process.send_signal(signal.SIGCONT)

    assert until(second, job_id)["state"] == "succeeded"
    assert len(second.ask("GET", "tasks/api/jobs")[1]["jobs"]) == 2, "what was refused is not done"
    assert until(second, submit(second, "true"))["state"] == "succeeded"


def open_files(server: LiveServer) -> int:
    assert server.process is not None
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def succeeded(frames: list[dict[str, Any]]) -> set[str]:
    """The jobs that a watch has seen to their good end."""
    jobs = [frame["job"] for frame in frames if frame["type"] == "job"]
    return {job["id"] for job in jobs if job["state"] == "succeeded"}


def seconds_until_accepted(server: LiveServer, end_the_other: Any) -> float:
    """From just before the other's end to the first job that is accepted here."""
    body = {"spec": {"kind": "shell", "command": "true"}}
    began = time.monotonic()
    end_the_other()
    while server.ask("POST", "tasks/api/jobs", body)[0] != 201:
        assert time.monotonic() - began < 10 * TAKE_OVER_S
    took = time.monotonic() - began
    print(f"{end_the_other.__name__}: accepted again after {took:.3f} s")
    return took


def test_without_its_lock_file_the_former_steps_down_and_nothing_is_doubled(
    first: LiveServer,
) -> None:
    shared = first.home / "starts"
    mark = f'echo "$JUPYTER_TASKS_JOB" >> {shared}'
    before = submit(first, f"{mark}; sleep 3")
    until(first, before, "running")
    (first.state_dir / "manager.lock").unlink()
    _, status = first.ask("GET", "tasks/api/status")
    os.unlink(status["socket"])
    third = LiveServer(home=first.home, base_url="/third/")
    try:
        third.start()
        eventually(lambda: role(third) == "active", what="the third takes charge")

        through_former = submit(first, mark)

        eventually(lambda: role(first) == "following", what="the former follows")
        after = submit(third, mark)
        for job_id in (before, through_former, after):
            assert until(first, job_id)["state"] == "succeeded"
        assert starts(shared) == {f"{job_id}/1": 1 for job_id in (before, through_former, after)}
    finally:
        third.kill()
