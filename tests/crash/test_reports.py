"""Reports of programs elsewhere over crashes of the server: none is lost, none is doubled."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.crash.wreckage import all_ended
from tests.live_server import LiveServer
from tests.stream_client import until


@pytest.fixture
def server() -> Iterator[LiveServer]:
    with LiveServer() as server:
        yield server


def report(server: LiveServer, job_id: str, body: Any, key: str) -> dict[str, Any]:
    where = f"tasks/api/jobs/{job_id}/report"
    status, answer = server.ask("POST", where, body, **{"Idempotency-Key": key})
    assert status == 200, answer
    told: dict[str, Any] = answer
    return told


def test_a_report_that_was_answered_outlives_the_server_and_is_known_again(
    server: LiveServer,
) -> None:
    _, job = server.ask("POST", "tasks/api/jobs", {"spec": {"kind": "external"}})
    job_id = job["id"]
    for number in range(3):
        report(server, job_id, {"progress": f"{number}/4", "out": f"{number}\n"}, f"k{number}")
        server.kill()
        server.start()
        again = report(server, job_id, {"out": f"{number}\n"}, f"k{number}")
        assert again["is_new"] is False
        now = until(server, job_id, "running")
        assert now["progress"]["value"] == number

    report(server, job_id, {"exit_code": 0}, "end")
    server.kill()
    server.start()

    ended = all_ended(server)[job_id]
    assert (ended["state"], ended["attempt"]) == ("succeeded", 1)
    assert report(server, job_id, {"exit_code": 0}, "end")["is_new"] is False
    _, told = server.ask("GET", f"tasks/api/jobs/{job_id}/output")
    assert told == b"0\n1\n2\n"
