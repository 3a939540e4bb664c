"""What comes in may be anything: the right status, a sentence that helps, and the server goes on."""

import json
import os
from typing import Any

import psutil
import pytest

from tests.server.conftest import Server
from tests.server.test_error_shape import told

MIB = 1024 * 1024
SPEC = {"command": "true"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"spec": SPEC, "colour": "red"}, "colour"),
        ({"spec": {**SPEC, "shell": "bash"}}, "spec.shell"),
        ({"spec": SPEC, "timeout_s": -1}, "timeout_s"),
        ({"spec": SPEC, "timeout_s": "1h"}, "timeout_s"),
        ({"spec": SPEC, "priority": 10**30}, "priority"),
        ({"spec": {**SPEC, "cwd": "not/there"}}, "not/there is not there; make it"),
        ({"spec": {**SPEC, "cwd": "/etc/passwd"}}, "/etc/passwd is not there"),
        ({"spec": {**SPEC, "cwd": "x" * 300}}, "is not there"),
        ({"spec": {"command": ""}}, "spec.command"),
        (b"not json", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"spec": ' * 10_000, "nested too deeply"),
        (b"[" * 10_000, "[0]"),
        ([], "length >= 1"),
    ],
)
async def test_a_bad_submit_is_refused_in_words_that_help(
    server: Server, body: Any, says: str
) -> None:
    error = told(await server.ask("POST", "api/jobs", body), 400, "bad_message")
    assert says in error["message"]
    assert (await server.ask("GET", "api/jobs")).json["jobs"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("stat=running", "stat"),
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("state=done", "state[0]"),
    ],
)
async def test_a_bad_query_is_refused(server: Server, query: str, field: str) -> None:
    error = told(await server.ask("GET", f"api/jobs?{query}"), 400, "bad_message")
    assert error["details"]["field"] == field


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(
    server: Server,
) -> None:
    begun = await server.begin("POST", "api/jobs", Content_Length=str(100 * MIB))
    error = told(await begun.answer(), 413, "too_large")
    assert error["details"] == {"max_body_bytes": 16 * MIB}
    begun.close()


async def test_a_hundred_megabytes_are_refused_and_the_sender_gets_to_read_why(
    server: Server,
) -> None:
    answer = await server.ask("POST", "api/jobs", bytes(100 * MIB))
    told(answer, 413, "too_large")
    assert (await server.submit())["id"]


async def test_a_body_of_unknown_length_is_let_go_of_where_it_outgrows_its_bound(
    server: Server,
) -> None:
    begun = await server.begin("POST", "api/jobs", Transfer_Encoding="chunked")
    before = psutil.Process(os.getpid()).memory_info().rss
    chunk = b"%x\r\n%b\r\n" % (MIB, b"[" * MIB)
    for _ in range(100):
        await begun.stream.write(chunk)
    grown = psutil.Process(os.getpid()).memory_info().rss - before
    await begun.stream.write(b"0\r\n\r\n")
    told(await begun.answer(), 413, "too_large")
    begun.close()
    assert grown < 60 * MIB


async def test_a_body_just_below_the_bound_is_read(server: Server) -> None:
    body = json.dumps({"spec": {**SPEC, "stdin": "x" * (15 * MIB)}}).encode()
    assert (await server.ask("POST", "api/jobs", body)).status == 201


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing(
    server: Server,
) -> None:
    begun = await server.begin("POST", "api/jobs", Content_Length="1000")
    await begun.stream.write(b'{"spec"')
    begun.close()
    assert (await server.ask("GET", "api/jobs")).json["jobs"] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "api/jobs/0123456789abcdef", {"version": 1, "state": "queued"}),
        ("PATCH", "api/jobs/0123456789abcdef", None),
        ("POST", "api/jobs/0123456789abcdef/cancel", {"why": "x"}),
        ("POST", "api/jobs/cancel", {}),
        ("POST", "api/jobs/cancel", {"filter": {"owner": "x"}}),
        ("POST", "api/jobs/cancel", None),
    ],
)
async def test_every_body_is_checked(server: Server, method: str, path: str, body: Any) -> None:
    told(await server.ask(method, path, body), 400, "bad_message")
