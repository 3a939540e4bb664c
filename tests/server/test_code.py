"""Code in fresh kernels: real kernels, a real server, and what comes back."""

import json
import os
import re
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.wreckage import job_processes
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.stream_client import get, until

#: A kernel starts in half a second; on a busy machine in some.
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module", params=["cold", "warm"])
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """One whose kernels start cold, and one whose kernels start warm: nothing else may differ."""
    is_warm = request.param == "warm"
    with LiveServer(
        "--TasksExtension.max_running=4", f"--TasksExtension.warm_kernels={is_warm}"
    ) as server:
        if is_warm:
            ran(server, "1")
            eventually(lambda: " start warm " in server.log, within_s=60, what="it is warm")
        yield server


def submitted(server: LiveServer, source: str, *, job: Any = None, **spec: Any) -> str:
    """The id of a job that runs the code."""
    request = {"spec": {"kind": "code", "source": textwrap.dedent(source), **spec}, **(job or {})}
    status, answer = server.ask("POST", "tasks/api/jobs", request)
    assert status == 201, answer
    job_id: str = answer["id"]
    return job_id


def ran(server: LiveServer, source: str, **more: Any) -> dict[str, Any]:
    """The job that has run the code, with all that it printed as ``text``."""
    job_id = submitted(server, source, **more)
    job = until(server, job_id)
    return {**job, "text": text_of(server, job_id)}


def text_of(server: LiveServer, job_id: str, stream: str = "all") -> str:
    with get(server, f"jobs/{job_id}/output?stream={stream}") as answer:
        text: str = answer.read().decode()
    return text


def records_of(server: LiveServer, job_id: str) -> list[dict[str, Any]]:
    """What it has left, but how much it used: that comes where it took a second or more."""
    with get(server, f"jobs/{job_id}/output?format=json") as answer:
        records = [json.loads(line) for line in answer.read().splitlines()]
    return [record for record in records if record["k"] != "usage"]


def outputs_of(server: LiveServer, job_id: str) -> list[dict[str, Any]]:
    """The rich outputs, as nbformat has them."""
    return [json.loads(r["text"]) for r in records_of(server, job_id) if r["k"] == "display"]


def has_printed(server: LiveServer, job_id: str, words: str) -> None:
    eventually(lambda: words in text_of(server, job_id), within_s=60, what=f"it prints {words!r}")


def folder_of(server: LiveServer, job_id: str) -> Path:
    return server.state_dir / "attempts" / job_id[:2] / job_id / "1"


def supervisor_of(server: LiveServer, job_id: str) -> int:
    [attempt] = server.ask("GET", f"tasks/api/jobs/{job_id}/attempts")[1]["attempts"]
    pid: int = attempt["pid"]
    return pid


def peak_bytes(pid: int) -> int:
    """The most memory that the process has had; 0 once it has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def put_kernel(server: LiveServer, name: str, argv: list[str], **more: Any) -> None:
    folder = server.home / "data" / "kernels" / name
    folder.mkdir(parents=True)
    spec = {"argv": argv, "display_name": name, "language": "python", **more}
    (folder / "kernel.json").write_text(json.dumps(spec))


def test_code_prints_and_its_last_value_is_kept(server: LiveServer) -> None:
    job = ran(
        server,
        """
        import sys
        print("one")
        print("two", file=sys.stderr)
        6 * 7
        """,
    )
    assert (job["state"], job["reason"], job["exit_code"], job["name"]) == (
        "succeeded",
        "",
        0,
        "import sys",
    )
    assert job["text"] == "one\ntwo\n42\n"
    assert text_of(server, job["id"], "out") == "one\n42\n"
    [result] = outputs_of(server, job["id"])
    assert (result["output_type"], result["data"]) == ("execute_result", {"text/plain": "42"})


def test_what_child_processes_print_is_there_once(server: LiveServer) -> None:
    job = ran(server, "import os; _ = os.system('echo from a child')")
    assert job["text"] == "from a child\n"


def test_children_that_heed_no_request_to_end_do_not_hold_up_the_end(server: LiveServer) -> None:
    job = ran(
        server,
        """
        import multiprocessing.resource_tracker, subprocess
        multiprocessing.resource_tracker.ensure_running()
        stubborn = subprocess.Popen(["sh", "-c", "trap '' TERM INT; echo $$; sleep 600; sleep 600"])
        print("done")
        """,
    )
    assert (job["state"], "done" in job["text"]) == ("succeeded", True)
    assert job["ended_at"] - job["started_at"] < 12  # ipykernel by itself waits for twice as long
    assert not job_processes([job["id"]])


def test_rich_outputs_are_kept_with_their_updates(server: LiveServer) -> None:
    job = ran(
        server,
        """
        from IPython.display import HTML, clear_output, display
        handle = display(HTML("<b>1</b>"), display_id=True)
        handle.update(HTML("<b>2</b>"))
        clear_output(wait=True)
        """,
    )
    display, update, clear = records_of(server, job["id"])
    assert [one["k"] for one in (display, update, clear)] == ["display", "update", "clear"]
    assert display["display_id"] == update["display_id"]
    assert json.loads(display["text"])["data"]["text/html"] == "<b>1</b>"
    assert json.loads(update["text"])["data"]["text/html"] == "<b>2</b>"
    assert clear["wait"] is True


def test_a_large_output_comes_through_whole(server: LiveServer) -> None:
    source = "from IPython.display import HTML, display; display(HTML('x' * 3_000_000))"
    job = ran(server, source)
    [output] = outputs_of(server, job["id"])
    assert output["data"]["text/html"] == "x" * 3_000_000


def test_an_error_is_the_jobs_message_and_its_traceback_an_output(server: LiveServer) -> None:
    job = ran(server, "print('before')\n{}['key']\nprint('after')")
    assert (job["state"], job["reason"], job["message"], job["exit_code"]) == (
        "failed",
        "error",
        "KeyError: 'key'",
        None,
    )
    assert text_of(server, job["id"], "out") == "before\n"
    assert "KeyError" in text_of(server, job["id"], "err")
    [error] = outputs_of(server, job["id"])
    assert (error["output_type"], error["ename"]) == ("error", "KeyError")


@pytest.mark.parametrize(
    ("source", "state", "code", "message"),
    [
        ("import sys; print('a'); sys.exit()", "succeeded", 0, ""),
        ("import sys; print('a'); sys.exit(0)", "succeeded", 0, ""),
        ("import sys; print('a'); sys.exit(3)", "failed", 3, ""),
        ("import sys; print('a'); sys.exit('no data')", "failed", 1, "no data"),
        ("print('a'); exit()", "succeeded", 0, ""),
    ],
)
def test_code_ends_with_the_exit_code_that_it_names(
    server: LiveServer, source: str, state: str, code: int, message: str
) -> None:
    job = ran(server, source)
    assert (job["state"], job["exit_code"], job["message"]) == (state, code, message)
    assert text_of(server, job["id"], "out") == "a\n"


def test_threads_that_outlive_the_last_line_are_waited_for(
    server: LiveServer, tmp_path: Path
) -> None:
    written = tmp_path / "written"
    job = ran(
        server,
        f"""
        import threading, time
        def late():
            time.sleep(1)
            open({str(written)!r}, "w").close()
        threading.Thread(target=late).start()
        """,
    )
    assert job["state"] == "succeeded"
    assert written.exists()


def test_a_message_that_makes_no_sense_is_told_and_the_rest_is_kept(server: LiveServer) -> None:
    job = ran(
        server,
        """
        kernel = get_ipython().kernel
        for kind, content in (("stream", {"name": {}, "text": "x"}), ("display_data", {"transient": "x"})):
            kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent())
        print("after")
        """,
    )
    assert (job["state"], job["text"]) == ("succeeded", "after\n")
    notes = [one for one in records_of(server, job["id"]) if one.get("code") == "message_dropped"]
    assert len(notes) == 2


def test_a_name_that_is_no_text_is_shown_as_well_as_it_can_be(server: LiveServer) -> None:
    """Python has such bytes of a file's name as half a character; its kernel sends them raw."""
    job = ran(
        server, "import os; name = os.fsdecode(b'caf\\xe9'); print(name)\nraise ValueError(name)"
    )
    assert (job["state"], job["message"]) == ("failed", "ValueError: caf\ufffd")
    assert job["text"].startswith("caf\ufffd\n")


def test_a_kernel_that_never_says_that_it_is_idle_does_not_keep_its_slot(
    server: LiveServer,
) -> None:
    source = "get_ipython().kernel._publish_status = lambda *_, **__: None; print('done')"
    job = ran(server, source)
    assert (job["state"], job["text"]) == ("succeeded", "done\n")


def test_what_comes_faster_than_it_is_kept_fills_no_memory(server: LiveServer) -> None:
    source = """
        from IPython.display import display
        for _ in range(1000):
            display({"text/plain": "y" * 1_000_000}, raw=True)
        print("end")
        """
    job_id = submitted(server, source, job={"max_output_bytes": 1_000_000})
    until(server, job_id, "running")
    eventually(lambda: supervisor_of(server, job_id), what="it is claimed")
    pid, peak = supervisor_of(server, job_id), 0
    while until(server, job_id, "running", "succeeded")["state"] == "running":
        peak = max(peak, peak_bytes(pid))
    assert peak < 500_000_000
    assert "end" in text_of(server, job_id)


def test_nobody_is_asked_for_input(server: LiveServer) -> None:
    job = ran(server, "input('Your name? ')")
    assert (job["state"], job["reason"]) == ("failed", "error")
    assert "does not support input" in job["message"]


def test_it_runs_in_its_folder_with_its_environment(server: LiveServer, tmp_path: Path) -> None:
    source = "import os; print(os.getcwd(), os.environ['WORD'], os.environ['JUPYTER_TASKS_JOB'])"
    job = ran(server, source, cwd=str(tmp_path), env={"WORD": "hello"})
    assert job["text"] == f"{tmp_path} hello {job['id']}/1\n"
    assert job["spec"]["env"] == {"WORD": "***"}


def test_progress_is_seen_in_what_code_prints(server: LiveServer) -> None:
    job = ran(server, "print('\\r 3/4', end='', flush=True)")
    assert (job["progress"]["value"], job["progress"]["total"]) == (3, 4)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os; os._exit(0)", "it ended with exit code 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it ended by signal 11"),
        ("import os; os.kill(os.getpid(), 9)", "Perhaps the machine ran out of memory."),
    ],
)
def test_a_kernel_that_dies_is_said_in_those_words(
    server: LiveServer, source: str, words: str
) -> None:
    job = ran(server, source)
    assert (job["state"], job["reason"]) == ("failed", "kernel_died")
    assert job["message"].startswith("The kernel 'python3' died while it ran the code")
    assert words in job["message"]


def test_cancel_interrupts_the_code_before_the_kernel_goes(server: LiveServer) -> None:
    job_id = submitted(
        server,
        """
        import time
        try:
            print("begun", flush=True)
            time.sleep(600)
        except KeyboardInterrupt:
            print("interrupted")
        """,
    )
    has_printed(server, job_id, "begun")
    server.ask("POST", f"tasks/api/jobs/{job_id}/cancel")
    job = until(server, job_id)
    assert (job["state"], job["reason"]) == ("cancelled", "user")
    assert text_of(server, job_id) == "begun\ninterrupted\n"


def test_code_that_hears_no_interrupt_is_killed_with_all_its_processes(server: LiveServer) -> None:
    job_id = submitted(
        server,
        """
        import subprocess, time
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        print("child", child.pid, flush=True)
        while True:
            try:
                time.sleep(600)
            except KeyboardInterrupt:
                pass
        """,
        job={"grace_s": 0.5},
    )
    has_printed(server, job_id, "child")
    server.ask("POST", f"tasks/api/jobs/{job_id}/cancel")
    assert until(server, job_id)["state"] == "cancelled"
    assert not job_processes([job_id])


def test_a_job_that_ran_too_long_is_interrupted(server: LiveServer) -> None:
    job = ran(server, "import time; time.sleep(600)", job={"timeout_s": 3})
    assert (job["state"], job["reason"], job["message"]) == ("failed", "timeout", "")
    assert "KeyboardInterrupt" in job["text"]


def test_code_goes_on_without_the_server_and_nothing_is_lost(tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    os.mkfifo(go_on)
    with LiveServer() as server:
        job_id = submitted(server, f"print('one')\nopen({str(go_on)!r}).read()\nprint('two')")
        has_printed(server, job_id, "one")
        server.kill()
        go_on.write_text("now")
        server.start()
        job = until(server, job_id)
        assert (job["state"], job["attempt"]) == ("succeeded", 1)
        assert text_of(server, job_id) == "one\ntwo\n"


def test_nothing_of_a_kernel_is_left(server: LiveServer) -> None:
    job = ran(server, "1")
    assert not list(server.runtime_dir.glob("*.kernel*"))
    assert not (folder_of(server, job["id"]) / "kernel.json").exists()


def test_the_key_to_a_kernel_is_its_owners_alone(server: LiveServer) -> None:
    job_id = submitted(server, "print('begun'); import time; time.sleep(600)")
    has_printed(server, job_id, "begun")
    assert (folder_of(server, job_id) / "kernel.json").stat().st_mode & 0o077 == 0
    assert server.runtime_dir.stat().st_mode & 0o077 == 0
    server.ask("POST", f"tasks/api/jobs/{job_id}/cancel")
    until(server, job_id)


def test_code_that_prints_without_end_can_be_cancelled(server: LiveServer) -> None:
    source = """
        import sys
        while True:
            print("x" * 1000)
            sys.stdout.flush()
        """
    job_id = submitted(server, source, job={"max_output_bytes": 1_000_000})
    has_printed(server, job_id, "xxx")
    server.ask("POST", f"tasks/api/jobs/{job_id}/cancel")
    assert until(server, job_id, within_s=60)["state"] == "cancelled"


# -- kernels ---------------------------------------------------------------------------------------


def test_a_kernel_that_is_not_there_is_refused_with_those_that_are(server: LiveServer) -> None:
    request = {"spec": {"kind": "code", "source": "1", "kernel": "nope"}}
    status, error = server.ask("POST", "tasks/api/jobs", request)
    assert (status, error["details"]["field"]) == (400, "spec.kernel")
    assert "'nope'" in error["message"]
    assert "python3" in error["message"]


@pytest.mark.parametrize(
    "spec",
    [
        "[]",
        "{}",
        '{"argv": []}',
        '{"argv": ["python", 5, "{connection_file}"]}',
        '{"argv": ["python"]}',
        '{"argv": ["python", "{connection_file}"], "env": {"A": 5}}',
        '{"argv": ["python", "{connection_file}"], "metadata": []}',
        '{"argv": ["python", "{connection_file}"], "metadata": {"kernel_provisioner": "x"}}',
        '{"argv": ["python", "{connection_file}"], "interrupt_mode": "shout"}',
    ],
)
def test_a_kernelspec_that_cannot_be_used_is_refused(server: LiveServer, spec: str) -> None:
    folder = server.home / "data" / "kernels" / "odd"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.json").write_text(spec)
    request = {"spec": {"kind": "code", "source": "1", "kernel": "odd"}}
    status, error = server.ask("POST", "tasks/api/jobs", request)
    assert (status, error["details"]["field"]) == (400, "spec.kernel"), error
    assert "'odd'" in error["message"]


@pytest.mark.parametrize("source", ["", " \n", "#" * (1024 * 1024 + 1)])
def test_code_that_is_none_is_refused(server: LiveServer, source: str) -> None:
    request = {"spec": {"kind": "code", "source": source}}
    status, error = server.ask("POST", "tasks/api/jobs", request)
    assert (status, error["details"]["field"]) == (400, "spec.source")


def test_a_kernel_that_ends_at_once_says_why(server: LiveServer) -> None:
    argv = [sys.executable, "-c", "raise SystemExit('no licence')", "{connection_file}"]
    put_kernel(server, "broken", argv)
    job = ran(server, "1", kernel="broken")
    assert (job["state"], job["reason"]) == ("failed", "start")
    assert "ended with exit code 1 before it was ready" in job["message"]
    assert job["text"] == "no licence\n"


def test_a_kernel_whose_program_is_gone_does_not_start(server: LiveServer) -> None:
    put_kernel(server, "gone", ["/nowhere/python", "{connection_file}"])
    job = ran(server, "1", kernel="gone")
    assert (job["state"], job["reason"]) == ("failed", "start")
    assert "'/nowhere/python' cannot be started" in job["message"]


def test_code_runs_in_the_python_that_was_named(server: LiveServer, tmp_path: Path) -> None:
    job = ran(server, "import sys; print(sys.executable)", python=sys.executable)
    assert job["text"] == f"{sys.executable}\n"
    nowhere = ran(server, "1", python=str(tmp_path / "python"))
    assert (nowhere["state"], nowhere["reason"]) == ("failed", "start")
    assert "cannot be started" in nowhere["message"]


@pytest.mark.parametrize("more", [{"python": "python3"}, {"python": "/x", "kernel": "python3"}])
def test_a_python_is_named_by_its_path_and_alone(server: LiveServer, more: Any) -> None:
    status, error = server.ask(
        "POST", "tasks/api/jobs", {"spec": {"kind": "code", "source": "1", **more}}
    )
    assert (status, error["details"]["field"]) == (400, "spec.python")


def test_a_kernel_that_takes_messages_is_interrupted_by_one(server: LiveServer) -> None:
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    put_kernel(server, "by-message", argv, interrupt_mode="message")
    job_id = submitted(server, "print('begun'); import time; time.sleep(600)", kernel="by-message")
    has_printed(server, job_id, "begun")
    server.ask("POST", f"tasks/api/jobs/{job_id}/cancel")
    assert until(server, job_id)["state"] == "cancelled"
    assert "KeyboardInterrupt" in text_of(server, job_id)


def test_the_environment_of_a_kernelspec_is_given_with_its_references(server: LiveServer) -> None:
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    put_kernel(server, "with-env", argv, env={"WHERE": "${HOME}/there", "WHOSE": "kernelspec"})
    source = "import os; print(os.environ['WHERE'], os.environ['WHOSE'])"
    job = ran(server, source, kernel="with-env", env={"WHOSE": "job"})
    assert job["text"] == f"{os.environ['HOME']}/there job\n"


def test_source_text_is_in_no_log_and_no_command_line(server: LiveServer) -> None:
    secret = "hunter2source"  # noqa: S105 - a word to look for
    job_id = submitted(server, f"print('begun'); import time; time.sleep(600)  # {secret}")
    has_printed(server, job_id, "begun")
    assert not [words for words in server.processes().values() if secret in words]
    server.ask("POST", f"tasks/api/jobs/{job_id}/cancel")
    until(server, job_id)
    assert secret not in server.log


def test_a_supervisor_that_dies_takes_its_kernel_along(server: LiveServer) -> None:
    job_id = submitted(server, "import os, time; print('kernel', os.getpid()); time.sleep(600)")
    has_printed(server, job_id, "kernel")
    [attempt] = server.ask("GET", f"tasks/api/jobs/{job_id}/attempts")[1]["attempts"]
    os.kill(attempt["pid"], signal.SIGKILL)
    job = until(server, job_id)
    assert (job["state"], job["reason"]) == ("lost", "supervisor_died")
    assert not job_processes([job_id])
    assert not (folder_of(server, job_id) / "kernel.json").exists()
