"""A job's output over HTTP, from a real server."""

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks.follow import Slice
from jupyter_tasks.handlers.records import text_of
from jupyter_tasks.records import encode_record
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.stream_client import Pipe, get, payloads, submit, until


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer() as server:
        yield server


def body(server: LiveServer, path: str) -> tuple[bytes, dict[str, str]]:
    with get(server, path) as answer:
        return answer.read(), {name.lower(): value for name, value in answer.headers.items()}


def refusal(server: LiveServer, path: str) -> tuple[int, dict[str, Any]]:
    status, error = server.ask("GET", f"tasks/api/{path}")
    assert status >= 400
    return status, error


def test_text_is_the_programs_plain_bytes_by_stream(server: LiveServer) -> None:
    job = submit(
        server, "printf 'a\\000b'; sleep 0.1; printf 'oops' >&2; sleep 0.1; printf '\\377'"
    )
    until(server, job)
    url = f"jobs/{job}/output"

    assert body(server, url)[0] == b"a\0boops\xff"
    assert body(server, f"{url}?stream=out")[0] == b"a\0b\xff"
    assert body(server, f"{url}?stream=err")[0] == b"oops"
    assert body(server, url)[1]["content-type"] == "text/plain; charset=utf-8"


def test_records_are_the_files_bytes_between_the_cursors_in_the_headers(
    server: LiveServer,
) -> None:
    job = submit(server, "seq 3; sleep 0.1; seq 30000")
    until(server, job)
    data, headers = body(server, f"jobs/{job}/output?format=records")
    seq = b"".join(b"%d\n" % i for i in range(1, 30001))

    assert payloads(data) == b"1\n2\n3\n" + seq
    assert (headers["x-tasks-cursor"], headers["x-tasks-next"]) == ("1.0", f"1.{len(data)}")

    first = data.index(b"\n3\n\n") + 4
    rest, headers = body(server, f"jobs/{job}/output?format=records&cursor=1.{first}")
    assert (rest, headers["x-tasks-cursor"]) == (data[first:], f"1.{first}")


def test_json_lines_hold_what_is_no_utf8_as_b64_and_where_to_go_on(server: LiveServer) -> None:
    job = submit(server, "printf 'gr\\303\\274n'; sleep 0.1; printf '\\377\\376' >&2")
    until(server, job)
    data, headers = body(server, f"jobs/{job}/output?format=json")
    lines = [json.loads(line) for line in data.splitlines()]
    shown = [line for line in lines if line["k"] in ("out", "err")]

    assert (shown[0]["k"], shown[0]["text"]) == ("out", "grün")
    assert (shown[1]["k"], base64.b64decode(shown[1]["b64"])) == ("err", b"\xff\xfe")
    assert lines[-1]["cursor"] == headers["x-tasks-next"]
    rest = body(server, f"jobs/{job}/output?format=json&cursor={shown[0]['cursor']}")[0]
    assert json.loads(rest.splitlines()[0]) == lines[lines.index(shown[0]) + 1]


def test_a_tail_holds_at_most_that_many_bytes_of_the_file(server: LiveServer) -> None:
    job = submit(server, "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.03; done")
    until(server, job)
    whole, _ = body(server, f"jobs/{job}/output?format=records")
    tail, headers = body(server, f"jobs/{job}/output?format=records&tail=100")

    assert whole.endswith(tail)
    assert 0 < len(tail) <= 100
    assert headers["x-tasks-cursor"] == f"1.{len(whole) - len(tail)}"


def test_following_sends_at_once_and_ends_with_the_attempt(server: LiveServer, pipe: Pipe) -> None:
    job = submit(server, pipe.command)
    with get(server, f"jobs/{job}/output?follow=true") as answer:
        for word in (b"one\n", b"two\n", b"three\n"):
            pipe.write(word)
            assert answer.readline() == word
        pipe.close()
        assert answer.read() == b""
    assert until(server, job)["state"] == "succeeded"


def test_a_job_that_still_waits_can_be_followed_from_before_its_start(server: LiveServer) -> None:
    job = submit(server, "echo began")
    server.ask("POST", f"tasks/api/jobs/{job}/pause")
    held = submit(server, "sleep 600", priority=1)
    waiting = submit(server, "echo at last", name="waiting")
    with get(server, f"jobs/{waiting}/output?follow=true") as answer:
        server.ask("POST", f"tasks/api/jobs/{held}/cancel")
        assert answer.read() == b"at last\n"
    until(server, job, "succeeded", "paused")


def test_fifty_megabytes_go_through_whole(server: LiveServer) -> None:
    job = submit(server, "head -c 52428800 /dev/zero", max_output_bytes=10**9)
    with get(server, f"jobs/{job}/output?follow=true") as answer:
        size = 0
        while chunk := answer.read(1 << 20):
            assert not chunk.strip(b"\0")
            size += len(chunk)
    assert size == 52428800


def test_what_was_thrown_away_is_told_in_records_and_json(server: LiveServer) -> None:
    job = submit(server, "seq 200000", max_output_bytes=256 * 1024)
    until(server, job)
    lines = body(server, f"jobs/{job}/output?format=json")[0].splitlines()
    [gap] = [line for line in map(json.loads, lines) if line["k"] == "gap"]
    records, _ = body(server, f"jobs/{job}/output?format=records")

    assert set(gap) == {"k", "from", "to"}
    assert json.dumps(gap, separators=(",", ":")).encode() + b"\n" in records
    after, headers = body(server, f"jobs/{job}/output?format=records&cursor={gap['to']}")
    assert records.endswith(after)
    assert headers["x-tasks-cursor"] == gap["to"]


def test_text_tells_what_was_thrown_away_in_a_header_or_in_a_line_where_it_is_wanted(
    server: LiveServer,
) -> None:
    job = submit(server, "seq 200000", max_output_bytes=256 * 1024)
    until(server, job)
    lines = body(server, f"jobs/{job}/output?format=json")[0].splitlines()
    [gap] = [line for line in map(json.loads, lines) if line["k"] == "gap"]
    pure, headers = body(server, f"jobs/{job}/output")
    marked, _ = body(server, f"jobs/{job}/output?losses=true")
    size = int(gap["to"].split(".")[1]) - int(gap["from"].split(".")[1])

    assert headers["x-tasks-gaps"] == f"{gap['from']}-{gap['to']}"
    before, mark, after = re.split(rb"\n(\[jupyter_tasks: .*\])\n", marked)
    assert before + after == pure
    assert f"{size} bytes of records ({gap['from']} to {gap['to']})" in mark.decode()
    assert "x-tasks-gaps" not in body(server, f"jobs/{job}/output?cursor={gap['to']}")[1]


def test_text_tells_what_a_full_disk_could_not_take_where_it_is_wanted() -> None:
    note = encode_record("note", 1.0, b"9 bytes were lost", code="output_lost", bytes=9)
    other = encode_record("note", 1.0, b"something else", code="other")
    data = b"".join(map(bytes, [*encode_record("out", 0.5, b"a"), *note, *other]))
    piece = Slice(0, len(data), data)

    assert text_of(piece, "all") == b"a"
    assert text_of(piece, "out", losses=True) == b"a\n[jupyter_tasks: 9 bytes were lost]\n"


def test_proxies_are_asked_to_pass_on_at_once_what_is_followed(server: LiveServer) -> None:
    job = submit(server, "true")
    until(server, job)
    for path in (f"jobs/{job}/output?follow=true", f"jobs/{job}/events"):
        headers = body(server, path)[1]
        assert headers["x-accel-buffering"] == "no"
        assert "no-cache" in headers["cache-control"]
    assert "x-accel-buffering" not in body(server, f"jobs/{job}/output")[1]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("cursor=1.1", 416, "No record starts at byte 1; the next is"),
        ("cursor=1.99999999", 416, "No record starts at byte 99999999; the output goes to"),
        ("cursor=7.0", 416, "has no attempt 7; its newest is 1"),
        ("cursor=one", 400, "'one' is no cursor"),
        ("cursor=1.0&tail=5", 400, "a cursor or a tail, not both"),
        ("cursor=1.0&attempt=2", 400, "belongs to attempt 1, not to 2"),
        ("attempt=7", 404, "has no attempt 7; its newest is 1"),
        ("format=xml", 400, "format"),
        ("stream=both", 400, "stream"),
        ("tail=-1", 400, "tail"),
        ("from=1", 400, "no field `from`"),
    ],
)
def test_what_cannot_be_is_refused_with_a_helpful_word(
    server: LiveServer, query: str, status: int, words: str
) -> None:
    job = submit(server, "echo x")
    until(server, job)
    found, error = refusal(server, f"jobs/{job}/output?{query}")

    assert (found, set(error)) == (status, {"code", "message", "details", "request_id"})
    assert words in error["message"]


def test_a_job_that_is_not_there_is_not_found(server: LiveServer) -> None:
    status, error = refusal(server, "jobs/0123456789abcdef/output")
    assert (status, error["code"]) == (404, "not_found")


def test_each_attempt_has_its_own_output(server: LiveServer, tmp_path: Path) -> None:
    job = submit(server, f"cat {tmp_path}/word")
    until(server, job)
    (tmp_path / "word").write_text("found")
    server.ask("POST", f"tasks/api/jobs/{job}/restart")
    eventually(lambda: until(server, job)["attempt"] == 2)

    assert body(server, f"jobs/{job}/output")[0] == b"found"
    assert b"No such file" in body(server, f"jobs/{job}/output?attempt=1")[0]
    assert b"No such file" in body(server, f"jobs/{job}/output?cursor=1.0")[0]


def test_a_reader_that_goes_away_is_let_go_at_once(server: LiveServer, pipe: Pipe) -> None:
    job = submit(server, pipe.command)
    until(server, job, "running")

    def control_sockets() -> int:
        assert server.process is not None
        links = Path(f"/proc/{server.process.pid}/fd").iterdir()
        return sum(1 for link in links if _target(link).endswith("/output"))

    pipe.write(b"x\n")
    with get(server, f"jobs/{job}/output?follow=true") as answer:
        assert answer.readline() == b"x\n"
        assert control_sockets() == 1
    began = time.monotonic()
    eventually(lambda: control_sockets() == 0, within_s=5)
    assert time.monotonic() - began < 2


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def test_a_slow_reader_costs_no_memory_and_misses_nothing(server: LiveServer) -> None:
    def memory() -> int:
        assert server.process is not None
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    job = submit(server, "head -c 200000000 /dev/zero", max_output_bytes=10**9)
    with get(server, f"jobs/{job}/output?follow=true") as answer:
        answer.read(1)
        before = memory()
        until(server, job)
        assert memory() - before < 20_000_000
        size = 1
        while chunk := answer.read(1 << 20):
            size += len(chunk)
    assert size == 200_000_000
