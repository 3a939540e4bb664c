"""Server-sent events from a real server: all jobs' events, and one job's output and state."""

import urllib.error
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from tests.live_server import LiveServer
from tests.stream_client import ENDED, Pipe, events, get, submit, until


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer() as server:
        yield server


def up_to_the_end(stream: Iterator[dict[str, Any]], job: str) -> list[dict[str, Any]]:
    """What is told of the job, up to the event after which it has ended."""
    told = []
    for event in stream:
        if event["data"].get("job_id") == job:
            told.append(event)
            if event["event"] == "job" and event["data"]["job"]["state"] in ENDED:
                return told
    raise AssertionError("the stream ended")


def test_every_event_is_told_in_order_with_its_number(server: LiveServer) -> None:
    with get(server, "events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.headers["Content-Encoding"] is None
        job = submit(server, "sleep 0.1", name="told")
        told = [one for one in up_to_the_end(events(answer), job) if one["event"] == "job"]

    assert [one["data"]["event"] for one in told][-2:] == ["claimed", "ended"]
    assert all(int(one["id"]) == one["data"]["seq"] for one in told)
    assert [one["data"]["seq"] for one in told] == sorted({one["data"]["seq"] for one in told})
    assert told[-1]["data"]["job"]["name"] == "told"
    assert told[-1]["data"]["at"] > 0


@pytest.mark.parametrize("by_header", [True, False])
def test_who_comes_back_goes_on_exactly_after_the_last_event(
    server: LiveServer, by_header: bool
) -> None:
    with get(server, "events") as answer:
        job = submit(server, "true")
        told = [one for one in up_to_the_end(events(answer), job) if one["event"] == "job"]
    for at, last in enumerate(told[:-1]):
        path = f"events?id={job}" + ("" if by_header else f"&after={last['id']}")
        headers = {"Last-Event-ID": last["id"]} if by_header else {}
        with get(server, path, **headers) as answer:
            again = list(islice(events(answer), len(told) - at - 1))
        assert [one["id"] for one in again] == [one["id"] for one in told[at + 1 :]]
        # What has happened is told as it was, the job as it is now.
        assert {one["data"]["job"]["state"] for one in again} == {"succeeded"}


def test_a_filter_tells_only_of_its_jobs_and_of_those_that_leave_it(server: LiveServer) -> None:
    with get(server, "events?tag=mine&state=running") as answer:
        submit(server, "true", tags=["other"])
        job = submit(server, "sleep 0.1", tags=["mine"])
        told = up_to_the_end(events(answer), job)

    states = [one["data"]["job"]["state"] for one in told if one["event"] == "job"]
    assert states == ["running", "succeeded"]


def test_progress_is_told_without_an_event_number(server: LiveServer, pipe: Pipe) -> None:
    command = 'echo 40% half way > "$JUPYTER_TASKS_REPORT"; ' + " ".join(pipe.command)
    with get(server, "events") as answer:
        job = submit(server, command)
        told = next(one for one in events(answer) if one["event"] == "progress")

    assert (told["id"], told["data"]["job_id"]) == (None, job)
    assert told["data"]["progress"]["message"] == "half way"
    pipe.write(b"")
    pipe.close()
    until(server, job)


def test_an_event_number_of_the_future_is_answered_by_a_reset(server: LiveServer) -> None:
    with get(server, "events?after=999999999") as answer:
        stream = events(answer)
        first = next(stream)
        job = submit(server, "true")
        told = up_to_the_end(stream, job)

    assert first["event"] == "reset"
    assert first["id"] == str(first["data"]["seq"])
    assert int(told[0]["id"]) == first["data"]["seq"] + 1


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("events?after=-1", {}),
        ("events?after=x", {}),
        ("events?colour=red", {}),
        ("events", {"Last-Event-ID": "x"}),
    ],
)
def test_what_makes_no_sense_is_refused(
    server: LiveServer, path: str, headers: dict[str, str]
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused, get(server, path, **headers):
        pass
    with refused.value as answer:
        assert answer.code == 400


def test_a_jobs_stream_shows_its_output_its_state_and_its_end(
    server: LiveServer, pipe: Pipe
) -> None:
    job = submit(server, pipe.command)
    with get(server, f"jobs/{job}/events") as answer:
        stream = events(answer)
        assert next(stream)["event"] == "job"
        pipe.write("grün\n".encode())
        output = next(one for one in stream if one["event"] == "output")
        pipe.close()
        *between, end = list(stream)

    record = output["data"]["records"][-1]
    assert (record["k"], record["text"]) == ("out", "grün\n")
    assert output["id"] == output["data"]["cursor"]
    assert end["event"] == "end"
    assert end["data"]["state"] == "succeeded"
    jobs = [one["data"] for one in between if one["event"] == "job"]
    assert jobs[-1]["state"] == "succeeded"


def test_after_a_jobs_end_a_reconnect_gets_nothing_more(server: LiveServer) -> None:
    job = submit(server, "echo x")
    with get(server, f"jobs/{job}/events") as answer:
        told = list(events(answer))
    with get(server, f"jobs/{job}/events", **{"Last-Event-ID": told[-1]["id"]}) as answer:
        assert (answer.status, answer.read()) == (204, b"")


def test_a_reconnect_in_the_middle_goes_on_at_the_cursor(server: LiveServer) -> None:
    job = submit(server, "for i in 1 2 3 4 5 6; do echo $i; sleep 0.05; done")
    with get(server, f"jobs/{job}/events") as answer:
        whole = [one for one in events(answer) if one["event"] == "output"]
    until(server, job)
    with get(server, f"jobs/{job}/events", **{"Last-Event-ID": whole[0]["id"]}) as answer:
        rest = [one for one in events(answer) if one["event"] == "output"]

    def text(told: list[dict[str, Any]]) -> str:
        return "".join(r.get("text", "") for one in told for r in one["data"]["records"])

    assert text(whole) == "1\n2\n3\n4\n5\n6\n"
    assert text(whole[:1]) + text(rest) == text(whole)
    assert rest[0]["data"]["from"] == whole[0]["id"]


def test_an_attempt_that_is_awaited_and_never_comes_ends_with_its_job(server: LiveServer) -> None:
    job = submit(server, "true")
    until(server, job)
    held = [submit(server, "sleep 600", priority=9) for _ in range(8)]
    server.ask("POST", f"tasks/api/jobs/{job}/restart")
    with get(server, f"jobs/{job}/events?cursor=2.0") as answer:
        stream = events(answer)
        assert next(stream)["data"]["state"] == "queued"
        server.ask("POST", f"tasks/api/jobs/{job}/pause")
        server.ask("POST", f"tasks/api/jobs/{job}/cancel")
        ends = list(stream)
    assert ends[-1]["event"] == "end"
    assert ends[-1]["data"]["state"] == "cancelled"
    for one in held:
        server.ask("POST", f"tasks/api/jobs/{one}/cancel")


def test_a_silent_stream_shows_signs_of_life() -> None:
    quick = "--ServerApp.websocket_ping_interval=1"
    with LiveServer(quick) as server, get(server, "events") as answer:
        lines = [answer.readline() for _ in range(6)]
    assert lines == [b"id: 0\n", b"\n"] + [b": \n", b"\n"] * 2
