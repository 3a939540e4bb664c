"""Cells as jobs: real notebook kernels, a real server, and what front ends are told."""

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.stream_client import socket, until

pytestmark = pytest.mark.timeout(120)
MIME = "application/vnd.jupyter-tasks.job+json"
_WITHIN_S = 60


class Notebook:
    """One kernel, and all that it has published."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client
        self.published: list[dict[str, Any]] = []

    def run(self, source: str) -> list[dict[str, Any]]:
        """Run a cell; returns what was published until it had ended."""
        start = len(self.published)
        request = self._client.execute(source)
        while True:
            message = self._take()
            is_idle = message["content"].get("execution_state") == "idle"
            if is_idle and message["parent_header"].get("msg_id") == request:
                return self.published[start:]

    def completed(self, source: str) -> list[str]:
        """What may stand at the end of that source."""
        request = self._client.complete(source)
        while True:
            reply = self._client.get_shell_msg(timeout=_WITHIN_S)
            if reply["parent_header"]["msg_id"] == request:
                return list(reply["content"]["matches"])

    def text(self, source: str) -> str:
        """What a cell prints."""
        return "".join(m["content"]["text"] for m in self.run(source) if m["msg_type"] == "stream")

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first message, of those still to come, that is wanted."""
        while not wanted(message := self._take()):
            pass
        return message

    def end(self) -> None:
        """Let the kernel leave, and wait until it has."""
        self._client.shutdown()
        eventually(lambda: not self._client.is_alive(), within_s=_WITHIN_S)

    def _take(self) -> dict[str, Any]:
        message: dict[str, Any] = self._client.get_iopub_msg(timeout=_WITHIN_S)
        self.published.append(message)
        return message


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer("--TasksExtension.max_running=4") as server:
        yield server


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[LiveServer], Notebook]]:
    kernels: list[tuple[KernelManager, BlockingKernelClient]] = []

    def started(server: LiveServer) -> Notebook:
        manager = KernelManager(connection_file=str(tmp_path / f"{len(kernels)}.json"))
        manager.start_kernel(env=server.env, cwd=str(tmp_path))
        client: BlockingKernelClient = manager.client()
        kernels.append((manager, client))
        client.start_channels()
        client.wait_for_ready(timeout=_WITHIN_S)
        notebook = Notebook(client)
        notebook.run("%load_ext jupyter_tasks")
        return notebook

    yield started
    for manager, client in kernels:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        manager.context.term()


@pytest.fixture
def notebook(server: LiveServer, start: Callable[[LiveServer], Notebook]) -> Notebook:
    return start(server)


def shown(messages: list[dict[str, Any]]) -> dict[str, Any]:
    [data] = [m["content"]["data"] for m in messages if m["msg_type"] == "display_data"]
    return dict(data)


def error_of(messages: list[dict[str, Any]]) -> str:
    return "".join(m["content"]["text"] for m in messages if m["content"].get("name") == "stderr")


def is_update(words: str) -> Callable[[dict[str, Any]], bool]:
    def wanted(message: dict[str, Any]) -> bool:
        data = message["content"].get("data", {})
        return message["msg_type"] == "update_display_data" and words in data["text/plain"]

    return wanted


def test_a_cell_becomes_a_job_and_is_shown_until_its_end(
    server: LiveServer, notebook: Notebook, tmp_path: Path
) -> None:
    go_on = tmp_path / "go on"
    os.mkfifo(go_on)
    cell = (
        f"%%task my sweep --tag fit --timeout 5m\nprint('one')\nopen({str(go_on)!r}).read()\n6 * 7"
    )
    told = shown(notebook.run(cell))

    assert told[MIME] == {"version": 1, "id": told[MIME]["id"]}
    assert "my sweep" in told["text/html"]
    assert told["text/plain"].startswith(f"Job {told[MIME]['id'][:8]} 'my sweep': ")
    notebook.until(is_update("one"))
    assert notebook.text("print('free')") == "free\n"  # the kernel is not busy
    go_on.write_text("now")
    last = notebook.until(is_update("succeeded"))["content"]["data"]
    assert "42" in last["text/html"]
    job = until(server, told[MIME]["id"])
    assert (job["tags"], job["timeout_s"]) == (["fit"], 300)
    assert job["spec"]["cwd"] == str(tmp_path)


def test_it_runs_in_the_same_python_or_in_the_shell(notebook: Notebook) -> None:
    notebook.run("%%task --wait\nimport sys; print(sys.executable)")
    assert notebook.text("import sys; print(_.logs() == sys.executable + '\\n')") == "True\n"
    notebook.run("%%task --shell --wait --env WORD=hello\necho $WORD; exit 3")
    printed = notebook.text("print(_.logs(), _.state, _.handle.exit_code)")
    assert printed == "hello\n failed 3\n"
    notebook.run("%%task --shell --cwd ~\necho at home")
    assert notebook.text("print(_.handle.wire['spec']['cwd'])") == f"{Path.home()}\n"


def test_the_job_can_be_awaited_cancelled_and_asked(notebook: Notebook) -> None:
    notebook.run("%%task\nprint('x' * 3)")
    assert notebook.text("job = await _\nprint(job.state, job.logs())") == "succeeded xxx\n\n"
    notebook.run("%%task\nimport time; time.sleep(600)")
    assert notebook.text("print(_.cancel().wait().state)") == "cancelled\n"


def test_jobs_are_listed_shown_and_attached_by_id(server: LiveServer, notebook: Notebook) -> None:
    told = shown(notebook.run("%%task --wait the long way\nprint('hello')"))
    job_id = told[MIME]["id"]
    assert re.search(
        rf"^{job_id[:8]}  succeeded .*the long way$", notebook.text("%tasks"), re.MULTILINE
    )
    assert "Kernel" not in notebook.text(f"%task show {job_id[:8]}")
    assert "the long way" in notebook.text(f"%task show {job_id[:8]}")
    assert notebook.text(f"%task logs {job_id}") == "hello\n\n"
    assert "succeeded" in notebook.text(f"%task explain {job_id}")
    assert "has ended already" in notebook.text(f"%task cancel {job_id}")
    assert shown(notebook.run(f"%task attach {job_id}"))[MIME]["id"] == job_id
    assert until(server, job_id)["attempt"] == 1


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%task\n  ", "The cell is empty"),
        ("%%task --timeout soon\n1", "'soon' is no duration"),
        ("%%task --colour red\n1", "unrecognized arguments: --colour"),
        ("%%task --shell --kernel ir\n1", "exclude each other"),
        ("%%task --env NOWHERE_SET\n1", "--env NOWHERE_SET has no value"),
        ("%%task --kernel nope\n1", "There is no kernel 'nope' here"),
        ("%%task 'open\n1", "look at the quotes"),
        ("%task dance", "Write %task show | logs | explain | cancel | attach"),
        ("%task show 0123456789abcdef", "no job"),
    ],
)
def test_wrong_usage_is_said_in_a_line(notebook: Notebook, cell: str, words: str) -> None:
    messages = notebook.run(cell)
    told = error_of(messages)
    assert words in told
    assert "Traceback" not in told
    assert not [m for m in messages if m["msg_type"] in ("display_data", "error")]


def test_where_no_server_runs_it_says_what_to_do(
    start: Callable[[LiveServer], Notebook],
) -> None:
    with LiveServer() as server:
        notebook = start(server)
        server.stop()
        told = error_of(notebook.run("%%task\n1"))
    assert "No running Jupyter server" in told
    assert "Traceback" not in told


def test_help_tells_every_option(notebook: Notebook) -> None:
    told = notebook.text("print(get_ipython().find_cell_magic('task').__doc__)")
    for option in (
        "--shell",
        "--kernel",
        "--timeout",
        "--memory",
        "--env",
        "--in",
        "--out",
        "--wait",
    ):
        assert option in told


def test_a_job_outlives_the_kernel_that_made_it(
    server: LiveServer, start: Callable[[LiveServer], Notebook], tmp_path: Path
) -> None:
    kernel = start(server)
    go_on = tmp_path / "go on"
    os.mkfifo(go_on)
    job_id = shown(kernel.run(f"%%task\nopen({str(go_on)!r}).read()\nprint('late')"))[MIME]["id"]
    until(server, job_id, "running")
    kernel.end()
    go_on.write_text("now")
    assert until(server, job_id)["state"] == "succeeded"


def test_a_cell_rests_while_a_browser_shows_the_job_live(
    server: LiveServer, notebook: Notebook, tmp_path: Path
) -> None:
    go_on = tmp_path / "go on"
    os.mkfifo(go_on)
    lines = "for number in 1 2 3 4; do sleep 0.4; echo line $number; done"
    job_id = shown(notebook.run(f"%%task --shell\ncat '{go_on}'; {lines}"))[MIME]["id"]
    until(server, job_id, "running")
    notebook.until(is_update("running"))

    async def viewed() -> None:
        async with socket(server) as browser:
            await browser.send(type="watch", id="v", filter={"ids": [job_id]}, view=True)
            await browser.until("live")
            await asyncio.to_thread(go_on.write_text, "now\n")
            await asyncio.to_thread(until, server, job_id)

    start = len(notebook.published)
    asyncio.run(viewed())
    last = notebook.until(is_update("succeeded"))["content"]["data"]["text/plain"]
    assert "line 4" in last
    told = [m["content"]["data"]["text/plain"] for m in notebook.published[start:]]
    assert not [text for text in told if "running" in text and "line" in text]


def test_many_waiting_jobs_leave_the_kernel_its_descriptors(
    start: Callable[[LiveServer], Notebook],
) -> None:
    with LiveServer("--TasksExtension.max_running=1") as server:
        used = "len(os.listdir('/proc/self/fd'))"
        submit = "get_ipython().run_cell_magic('task', '--shell', 'sleep 600')"
        told = start(server).text(
            f"import os\nbefore = {used}\nfor _ in range(100):\n    {submit}._ipython_display_()\nprint({used} - before < 170)"
        )
    assert told == "True\n"


def test_options_kernels_words_and_jobs_are_completed(notebook: Notebook) -> None:
    assert "--timeout" in notebook.completed("%%task --ti")
    assert "--shell" in notebook.completed("%%task my job --")
    assert "python3" in notebook.completed("%%task --kernel pyt")
    assert notebook.completed("%task ex") == ["explain"]
    job_id = shown(notebook.run("%%task --wait\n1"))[MIME]["id"]
    assert job_id[:8] in notebook.completed(f"%task logs {job_id[:4]}")
    assert "--timeout" not in notebook.completed("%%task --kernel pyt")


def test_at_the_end_a_cell_keeps_the_pictures_of_its_job(notebook: Notebook) -> None:
    picture = "display({'image/png': 'AAAA', 'text/plain': '<Figure>'}, raw=True)"
    notebook.run(f"%%task\nfrom IPython.display import display\n{picture}")
    last = notebook.until(is_update("succeeded"))["content"]["data"]
    assert '<img src="data:image/png;base64,AAAA"' in last["text/html"]
