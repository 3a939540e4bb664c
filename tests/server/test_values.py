"""Values into a job's kernel and out of it: real kernels, a real server, files on a real disk."""

import json
import os
import platform
import re
import socket
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.stream_client import Pipe, get, submit, until
from tests.values_client import code, files_below, packed, result, upload, uploaded

pytestmark = pytest.mark.timeout(120)
SLOTS = 4
LARGEST = 40 * 1024 * 1024
DAY_S = 24 * 3600


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    options = (
        f"--TasksExtension.max_running={SLOTS}",
        f"--TasksExtension.max_inputs_bytes={LARGEST}",
    )
    with LiveServer(*options) as server:
        yield server


def ran(server: LiveServer, source: str, **spec: Any) -> dict[str, Any]:
    """The job that has run the code."""
    status, job = server.ask("POST", "tasks/api/jobs", code(source, **spec))
    assert status == 201, job
    return until(server, job["id"], within_s=60)


def inputs_of(server: LiveServer) -> Path:
    return server.state_dir / "inputs"


def no_result(server: LiveServer, job_id: str, query: str = "") -> str:
    """Why there is none."""
    status, answer = server.ask("GET", f"tasks/api/jobs/{job_id}/result{query}")
    assert (status, answer["code"]) == (404, "no_result")
    return str(answer["message"])


def test_values_go_in_and_come_out(server: LiveServer) -> None:
    factor = 7

    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

        def times(self) -> int:
            return self.x * factor

    loop: list[Any] = []
    loop.append(loop)
    inputs = uploaded(server, point=Point(6), loop=loop, f=lambda a: a + factor)
    job = ran(
        server,
        "out = point.times(); same = loop[0] is loop; f = f(1); n = None",
        inputs=inputs,
        outputs=["out", "same", "f", "n", "out"],
    )
    assert (job["state"], job["spec"]["inputs"]) == ("succeeded", inputs)
    assert job["spec"]["outputs"] == ["out", "same", "f", "n"]
    assert result(server, job["id"]) == {"out": 42, "same": True, "f": 8, "n": None}


def test_nothing_shows_that_values_were_carried(server: LiveServer) -> None:
    source = "z = 1; print(sorted(globals()), In, Out, _, __, get_ipython().execution_count)\nz"
    plain, carried = (
        ran(server, source, **more)
        for more in ({}, {"inputs": uploaded(server, _=""), "outputs": ["z"]})
    )
    shown = []
    for job in (plain, carried):
        with get(server, f"jobs/{job['id']}/output?format=json") as answer:
            records = [json.loads(line) for line in answer.read().splitlines()]
        shown.append([(record["k"], record.get("text")) for record in records])
    assert shown[0] == shown[1]


def test_a_restart_begins_with_the_same_values_and_each_attempt_keeps_its_own(
    server: LiveServer, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    source = f"x.append(1); open({str(count)!r}, 'a').write('x'); z = x, len(open({str(count)!r}).read())"
    job = ran(server, source, inputs=uploaded(server, x=[]), outputs=["z"])
    server.ask("POST", f"tasks/api/jobs/{job['id']}/restart")
    assert until(server, job["id"], within_s=60)["attempt"] == 2
    assert result(server, job["id"], "?attempt=1") == {"z": ([1], 1)}
    assert result(server, job["id"]) == {"z": ([1], 2)}


def test_jobs_may_share_an_upload_and_the_last_of_them_takes_it_along(server: LiveServer) -> None:
    inputs = uploaded(server, x=1)
    body = [code("x", inputs=inputs), code("x", inputs=inputs)]
    status, answer = server.ask("POST", "tasks/api/jobs", body)
    assert status == 201
    first, second = (until(server, job["id"], within_s=60) for job in answer["jobs"])
    assert {first["state"], second["state"]} == {"succeeded"}

    assert server.ask("DELETE", f"tasks/api/jobs/{first['id']}")[0] == 204
    assert any(inputs in name for name in files_below(inputs_of(server)))
    assert server.ask("DELETE", f"tasks/api/jobs/{second['id']}")[0] == 204
    assert not any(inputs in name for name in files_below(inputs_of(server)))
    left = files_below(server.state_dir / "attempts")
    assert not [name for name in left if first["id"] in name or second["id"] in name]


def test_who_submits_again_with_the_same_key_has_the_same_job(server: LiveServer) -> None:
    body = code("x", inputs=uploaded(server, x=1))
    key = {"Idempotency-Key": "values, once"}
    statuses, ids = zip(
        *(
            (status, job["id"])
            for status, job in (server.ask("POST", "tasks/api/jobs", body, **key) for _ in "ab")
        ),
        strict=True,
    )
    assert statuses == (201, 200)
    assert len(set(ids)) == 1
    assert until(server, ids[0], within_s=60)["state"] == "succeeded"
    assert not any(name.startswith("taken/") for name in files_below(inputs_of(server)))


@pytest.mark.parametrize("inputs", ["0" * 32, "../../tasks.sqlite", "x", "ü" * 32])
def test_values_that_nobody_uploaded_are_refused_and_nothing_is_queued(
    server: LiveServer, inputs: str
) -> None:
    taken = uploaded(server, x=1)
    before = server.ask("GET", "tasks/api/jobs?limit=1")[1]["jobs"]
    body = [code("x", inputs=taken), code("x", inputs=inputs)]
    status, answer = server.ask("POST", "tasks/api/jobs", body)
    assert (status, answer["details"]["field"]) == (400, "spec.inputs")
    assert "There are no uploaded values" in answer["message"]
    assert server.ask("GET", "tasks/api/jobs?limit=1")[1]["jobs"] == before
    assert not any(name.startswith("taken/") for name in files_below(inputs_of(server)))


def test_values_of_another_python_are_refused_in_words(server: LiveServer) -> None:
    header = {"python": "3.2.1", "implementation": "cpython", "names": ["x"]}
    status, taken = upload(server, json.dumps(header).encode() + b"\ncboom\nboom\n.")
    assert status == 201
    job = ran(server, "x", inputs=taken["id"])
    assert (job["state"], job["reason"]) == ("failed", "error")
    assert "written by cpython 3.2.1" in job["message"]
    assert f"this is cpython {platform.python_version()}" in job["message"]


@pytest.mark.parametrize("body", [b"\x80\x05nonsense", b"{}\n", b"[1]\n", b"x" * 100_000])
def test_what_is_no_file_of_values_fails_the_job_in_words(server: LiveServer, body: bytes) -> None:
    job = ran(server, "print('never')", inputs=upload(server, body)[1]["id"])
    assert (job["state"], job["reason"]) == ("failed", "error")
    assert "no file of values" in job["message"]


def test_values_whose_module_is_not_there_fail_the_job_and_name_both(
    server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here_xyz.py").write_text("class Model: pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here_xyz  # type: ignore[import-not-found]

    job = ran(server, "model", inputs=uploaded(server, model=only_here_xyz.Model()))
    assert job["state"] == "failed"
    assert "`model` cannot be brought into the job" in job["message"]
    assert "No module named 'only_here_xyz'" in job["message"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("y = 1", "`z` is not set at the end of the code."),
        (
            "import threading; z = threading.Lock()",
            "`z` cannot be carried out of the job: TypeError",
        ),
        ("z = (i for i in 'ab')", "cannot pickle 'generator' object"),
        ("z = open('/dev/null', 'w')", "`z` cannot be carried out of the job"),
        (
            "class Z:\n    def __reduce__(self): raise SystemError('mine')\nz = Z()",
            "`z` cannot be carried out of the job: SystemError: mine",
        ),
        (
            "import os\nclass Z:\n    def __reduce__(self): os._exit(3)\nz = Z()",
            "ended with exit code 3 while keeping `z`",
        ),
    ],
)
def test_a_value_that_cannot_be_kept_fails_the_job_and_is_named(
    server: LiveServer, source: str, message: str
) -> None:
    job = ran(server, source, outputs=["z"])
    assert (job["state"], message in job["message"]) == ("failed", True), job["message"]
    assert not (server.state_dir / "attempts" / job["id"][:2] / job["id"] / "1/result.pkl").exists()
    assert "it failed (" in no_result(server, job["id"])


def test_code_that_leaves_early_and_well_leaves_its_values(server: LiveServer) -> None:
    for source in ("z = 1; exit()", "z = 1\nimport sys; sys.exit()"):
        job = ran(server, source, outputs=["z"])
        assert (job["state"], result(server, job["id"])) == ("succeeded", {"z": 1})


def test_a_job_without_a_result_says_why(server: LiveServer, tmp_path: Path) -> None:
    assert "was not asked for any values" in no_result(server, ran(server, "1")["id"])
    job = ran(server, "1 / 0", outputs=["z"])
    assert "it failed (ZeroDivisionError: division by zero)" in no_result(server, job["id"])
    go_on = tmp_path / "go on"
    os.mkfifo(go_on)
    _, waiting = server.ask(
        "POST", "tasks/api/jobs", code(f"z = 1; open({str(go_on)!r}).read()", outputs=["z"])
    )
    assert "has no result yet: it is " in no_result(server, waiting["id"])
    server.ask("POST", f"tasks/api/jobs/{waiting['id']}/cancel")
    until(server, waiting["id"], within_s=60)
    assert "it was cancelled (user)" in no_result(server, waiting["id"])


def test_a_python_that_lacks_what_carries_values_is_told_the_remedy(
    server: LiveServer, tmp_path: Path
) -> None:
    hidden = "raise ModuleNotFoundError(\"No module named 'cloudpickle'\")"
    (tmp_path / "cloudpickle.py").write_text(hidden)
    path = os.pathsep.join([str(tmp_path), server.env["PYTHONPATH"]])
    job = ran(server, "z = 1", outputs=["z"], env={"PYTHONPATH": path})
    assert job["state"] == "failed"
    assert "lacks what does: No module named 'cloudpickle'" in job["message"]
    assert "Install jupyter_tasks there" in job["message"]


@pytest.mark.parametrize("where", ["in", "out"])
def test_a_job_can_be_cancelled_while_its_values_are_carried(
    server: LiveServer, tmp_path: Path, where: str
) -> None:
    begun = tmp_path / "begun"
    slow = f"(open({str(begun)!r}, 'w').close(), __import__('time').sleep(600))"
    if where == "in":

        class Slow:
            def __reduce__(self) -> Any:
                return eval, (slow,)

        body = code("print('never')", inputs=uploaded(server, x=Slow()))
    else:
        source = f"class Z:\n    def __reduce__(self): return {slow}\nz = Z()"
        body = code(source, outputs=["z"])
    _, job = server.ask("POST", "tasks/api/jobs", body)
    eventually(begun.exists, within_s=60, what="the value is being carried")
    assert server.ask("POST", f"tasks/api/jobs/{job['id']}/cancel")[0] == 202
    job = until(server, job["id"], within_s=60)
    assert (job["state"], job["reason"]) == ("cancelled", "user")
    assert not list((server.state_dir / "attempts").glob(f"*/{job['id']}/1/result*"))


def test_only_a_python_is_given_values(server: LiveServer) -> None:
    folder = server.home / "data" / "kernels" / "fish"
    folder.mkdir(parents=True)
    spec = {"argv": ["/bin/cat", "{connection_file}"], "display_name": "f", "language": "fish"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    for more in ({"inputs": uploaded(server, x=1)}, {"outputs": ["z"]}):
        body = {"spec": {"kind": "code", "source": "1", "kernel": "fish", **more}}
        status, answer = server.ask("POST", "tasks/api/jobs", body)
        assert (status, answer["details"]["field"]) == (400, "spec.kernel")
        assert "'fish' is no Python" in answer["message"]
    body["spec"]["kernel"] = "python3"
    status, job = server.ask("POST", "tasks/api/jobs", body)
    assert status == 201, job


def test_a_waiting_job_keeps_its_values_through_edits(server: LiveServer, tmp_path: Path) -> None:
    with all_slots_held(server, tmp_path):
        spec = {"inputs": uploaded(server, x=2), "outputs": ["z"]}
        _, job = server.ask("POST", "tasks/api/jobs", code("z = x", **spec))
        path = f"tasks/api/jobs/{job['id']}"
        other = {"version": job["version"], "spec": {**job["spec"], "inputs": "0" * 32}}
        status, answer = server.ask("PATCH", path, other)
        assert (status, answer["details"].get("field")) == (400, "spec.inputs"), answer
        same = {"version": job["version"], "spec": {**job["spec"], "source": "z = x + 1"}}
        status, answer = server.ask("PATCH", path, same)
        assert status == 200, answer
    until(server, job["id"])
    assert result(server, job["id"]) == {"z": 3}


@contextmanager
def all_slots_held(server: LiveServer, tmp_path: Path) -> Iterator[None]:
    """Whatever is submitted meanwhile waits."""
    pipes = [Pipe(tmp_path / str(number)) for number in range(SLOTS)]
    holders = [submit(server, pipe.command) for pipe in pipes]
    try:
        for holder in holders:
            until(server, holder, "running")
        yield
    finally:
        for holder in holders:
            server.ask("POST", f"tasks/api/jobs/{holder}/cancel")


# -- uploads ---------------------------------------------------------------------------------------


def test_half_an_upload_leaves_nothing(server: LiveServer) -> None:
    before = files_below(inputs_of(server))
    address = urllib.parse.urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as sock:
        head = (
            f"POST /tasks/api/inputs HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Authorization: token {server.token}\r\nContent-Length: 30000000\r\n\r\n"
        )
        sock.sendall(head.encode() + b"x" * 5_000_000)
        eventually(
            lambda: any(name.endswith(".part") for name in files_below(inputs_of(server))),
            what="the upload has begun",
        )
    eventually(lambda: files_below(inputs_of(server)) == before, what="it has left nothing")


def test_what_is_too_large_is_refused_whether_it_says_so_or_not(server: LiveServer) -> None:
    before = files_below(inputs_of(server))
    status, answer = upload(server, b"x" * (LARGEST + 1))
    assert (status, answer["code"]) == (413, "too_large")
    assert f"more than the {LARGEST} bytes" in answer["message"]
    pieces = (b"x" * 1_000_000 for _ in range(60))  # without a length: chunked
    status, answer = server.ask_bytes("POST", "tasks/api/inputs", pieces)  # type: ignore[arg-type]
    assert (status, answer["code"]) == (413, "too_large")
    assert files_below(inputs_of(server)) == before


def test_an_empty_upload_is_refused(server: LiveServer) -> None:
    status, answer = upload(server, b"")
    assert (status, answer["code"]) == (400, "bad_message")


def test_an_upload_is_the_owners_alone(server: LiveServer) -> None:
    inputs = uploaded(server, x=1)
    [path] = inputs_of(server).glob(f"*/{inputs}")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_what_no_job_took_is_removed_a_day_later_and_what_one_took_stays_its_own(
    server: LiveServer,
) -> None:
    old, used, young = (uploaded(server, x=n) for n in range(3))
    job = ran(server, "z = x", inputs=used, outputs=["z"])
    for inputs in (old, used):
        [path] = inputs_of(server).glob(f"*/{inputs}")
        long_ago = path.stat().st_mtime - DAY_S - 1
        os.utime(path, (long_ago, long_ago))
    newest = uploaded(server, x=4)
    there = {name.rpartition("/")[2] for name in files_below(inputs_of(server))}
    assert there & {old, used, young, newest} == {young, newest}
    server.ask("POST", f"tasks/api/jobs/{job['id']}/restart")
    until(server, job["id"], within_s=60)
    assert result(server, job["id"]) == {"z": 1}


def peak_bytes(pid: int) -> int:
    """The most memory that the process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_server_never_holds_what_it_carries() -> None:
    size = 200_000_000
    with LiveServer() as server:
        ran(server, "z = 1", inputs=uploaded(server, x=1), outputs=["z"])
        assert server.process is not None
        before = peak_bytes(server.process.pid)
        inputs = uploaded(server, x=os.urandom(1000) * (size // 1000))
        job = ran(server, "z = x", inputs=inputs, outputs=["z"])
        assert len(result(server, job["id"])["z"]) == size
        assert peak_bytes(server.process.pid) - before < 40_000_000


def test_no_value_reaches_the_log_the_events_or_the_jobs_fields(server: LiveServer) -> None:
    secret = "hunter2secret"  # noqa: S105 - a word to look for
    assert secret.encode() in packed(x=secret)
    job = ran(server, "z = x", inputs=uploaded(server, x=secret), outputs=["z"])
    assert secret not in json.dumps(job)
    assert secret not in server.log
