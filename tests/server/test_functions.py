"""Functions by value: real worker processes below a real server."""

import ctypes
import json
import os
import signal
import sys
import threading
import venv
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks.client import AsyncClient, Client
from jupyter_tasks.client.handles import JobHandle
from jupyter_tasks.errors import BadValue, CallFailed
from jupyter_tasks.worker.calling import Result
from tests.live_server import LiveServer
from tests.values_client import by_value, packed, upload

pytestmark = pytest.mark.timeout(120)
WITHIN_S = 60


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer("--TasksExtension.max_running=4") as server:
        yield server


def told(server: LiveServer, job: JobHandle) -> dict[str, Any]:
    """The job's result as JSON."""
    status, answer = server.ask("GET", f"tasks/api/jobs/{job.id}/result")
    assert status == 200, answer
    return dict(answer)


def failure(job: JobHandle) -> CallFailed:
    with pytest.raises(CallFailed) as failed:
        job.result(WITHIN_S)
    return failed.value


def test_a_function_goes_by_value_and_its_value_comes_back(client: Client) -> None:
    factor = 7

    @by_value
    def times(x: int, *, and_add: int = 0) -> tuple[int, set[int]]:
        print("at work")
        return factor * x + and_add, {x}

    job = client.submit(times, 6, and_add=3)
    assert job.result(WITHIN_S) == (45, {6})
    assert (job.kind, job.name, job.output()) == (
        "function",
        "times",
        b"at work\n",
    )


def test_a_generator_reports_progress_and_words(client: Client, server: LiveServer) -> None:
    @by_value
    def steps(count: int) -> Any:
        yield "loading"
        for step in range(count):
            yield step + 1, count, f"step {step + 1}"
        yield {"value": 1, "total": 2}
        return "done"

    job = client.submit(steps, count=3)
    assert job.result(WITHIN_S) == "done"
    assert job.progress is not None
    assert (job.progress.value, job.progress.total) == (1, 2)
    recorded = [p.record.header for p in job.records() if p.record.header["k"] == "progress"]
    assert recorded[-1]["value"] == 1
    assert told(server, job)["logs"] == ["loading"]


def test_a_result_tells_all_that_is_known_of_it(client: Client, server: LiveServer) -> None:
    @by_value
    def with_words() -> Result:
        return Result(data={"a": [1]}, summary="all well", tags=["good"], logs=["one line"])

    job = client.submit(with_words)
    assert job.result(WITHIN_S) == {"a": [1]}
    answer = told(server, job)
    assert answer.pop("started_at") > 0
    assert answer.pop("elapsed_s") >= 0
    assert answer == {
        "success": True,
        "data": {"a": [1]},
        "note": "",
        "summary": "all well",
        "tags": ["good"],
        "logs": ["one line"],
        "error": None,
    }


def test_what_is_no_json_is_told_in_words(client: Client, server: LiveServer) -> None:
    job = client.submit(by_value(lambda: float("nan")))
    assert job.result(WITHIN_S) != job.result(WITHIN_S)  # as it is with that value
    answer = told(server, job)
    assert answer["data"] == "nan"
    assert "repr" in answer["note"]


def test_an_error_comes_back_with_its_traceback(client: Client, server: LiveServer) -> None:
    class Unlucky(Exception):
        def __init__(self) -> None:
            super().__init__("no luck")
            self.lock = threading.Lock()  # so that it cannot be pickled

    @by_value
    def raises() -> None:
        raise Unlucky

    error = failure(job := client.submit(raises))
    assert "Unlucky: no luck" in error.message
    assert "in raises" in error.__notes__[0]
    assert "jupyter_tasks/worker" not in error.__notes__[0]
    assert (job.state, job.reason) == ("failed", "error")
    assert job.message.endswith("Unlucky: no luck")
    assert told(server, job)["error"]["type"].endswith("Unlucky")
    assert b"Unlucky: no luck" in job.output("err")


@pytest.mark.parametrize(
    ("end", "reason", "words"),
    [
        (lambda: os._exit(3), "exit", "with exit code 3 before the function had returned"),
        (lambda: os._exit(0), "error", "with exit code 0 before the function had returned"),
        (lambda: ctypes.string_at(0), "signal", f"by signal {int(signal.SIGSEGV)}"),
        (lambda: sys.exit("words"), "exit", "SystemExit: words"),
        (threading.Lock, "error", "`result` cannot be carried out of the job"),
    ],
)
def test_what_a_function_does_to_its_process_is_told_in_words(
    client: Client, server: LiveServer, end: Any, reason: str, words: str
) -> None:
    error = failure(job := client.submit(by_value(end)))
    assert words in error.message
    assert job.reason == reason
    answer = told(server, job)
    assert (answer["success"], answer["data"]) == (False, None)
    assert words in answer["error"]["message"] or words.startswith(answer["error"]["type"])
    assert client.submit(by_value(lambda: 1)).result(WITHIN_S) == 1


def test_leaving_without_a_word_is_a_success_without_a_value(client: Client) -> None:
    assert client.submit(sys.exit).result(WITHIN_S) is None


def test_what_cannot_be_carried_is_named_before_anything_is_queued(client: Client) -> None:
    count = len(list(client.jobs()))
    lock = threading.Lock()
    for args, kwargs, name in [((1, lock), {}, "argument 2"), ((), {"x": lock}, "x")]:
        with pytest.raises(BadValue, match=f"`{name}` cannot be carried into the job"):
            client.submit(print, *args, **kwargs)
    assert len(list(client.jobs())) == count


def test_a_function_of_a_file_is_called_with_arguments_of_json(
    client: Client, server: LiveServer, tmp_path: Path
) -> None:
    (tmp_path / "beside.py").write_text("FACTOR = 3\n")
    (tmp_path / "work.py").write_text(
        "import beside\nclass A:\n    @staticmethod\n    def f(x, y=1): return beside.FACTOR * x + y\n"
    )
    load = {"file": str(tmp_path / "work.py"), "name": "A.f"}
    body = {"spec": {"kind": "function", "load": load, "arguments": {"x": 5}}}
    status, job = server.ask("POST", "tasks/api/jobs", json.loads(json.dumps(body)))
    assert status == 201, job
    assert client.job(job["id"]).result(WITHIN_S) == 16


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ({"module": "no_such_module", "name": "f"}, "No module named 'no_such_module'"),
        ({"module": "json", "name": "no_such_function"}, "There is no 'no_such_function' in json"),
        ({"module": "json", "name": "__doc__"}, "is none: str"),
        ({"file": "/no/such.py", "name": "f"}, "cannot be loaded"),
    ],
)
def test_a_function_that_is_not_there_is_told_in_words(
    client: Client, server: LiveServer, load: dict[str, str], words: str
) -> None:
    _, job = server.ask("POST", "tasks/api/jobs", {"spec": {"kind": "function", "load": load}})
    assert words in failure(client.job(job["id"])).message


async def test_an_asynchronous_client_does_the_same(server: LiveServer) -> None:
    async with AsyncClient(server.url, server.token) as client:
        job = await client.submit(pow, 2, 5)
        assert await job.result(WITHIN_S) == 32
        group = await client.map(pow, [(2, 3), (2, 4), (2, "x")])
        assert (await group.results(WITHIN_S, return_errors=True))[:2] == [8, 16]
        assert [call["index"] async for call in group.calls("failed")] == [2]
        assert (await (await group.retry()).wait(WITHIN_S)).attempt == 2
        with pytest.raises(CallFailed, match="TypeError"):
            await (await client.job(job.id[:8])).result() and await group.result()


def test_an_interpreter_that_has_nothing_of_ours_will_do(client: Client, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    seen = by_value(lambda: (sys.executable, find_spec("jupyter_server")))
    assert client.submit_call(seen, python=python).result(WITHIN_S) == (python, None)
    assert client.map(seen, [()], python=python, isolated=True).results(WITHIN_S) == [
        (python, None)
    ]


def test_what_was_written_by_another_python_is_refused_in_words(
    server: LiveServer, client: Client
) -> None:
    body = packed(function=pow, args=(2, 3)).replace(b'"python": "3.', b'"python": "2.')
    _, taken = upload(server, body)
    spec = {"spec": {"load": {"upload": taken["id"]}}}
    _, job = server.ask("POST", "tasks/api/jobs", spec)
    assert "same minor version only" in failure(client.job(job["id"])).message


def test_an_upload_that_is_not_there_is_refused(server: LiveServer) -> None:
    body = {"spec": {"load": {"upload": "0" * 32}}}
    status, answer = server.ask("POST", "tasks/api/jobs", body)
    assert (status, answer["details"]["field"]) == (400, "spec.load.upload")
