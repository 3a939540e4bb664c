"""Code in kernels that are none of ours: bash's, and ipykernel of another age in another environment."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.needed import r_or_missing
from tests.server.test_code import (
    has_printed,
    outputs_of,
    ran,
    submitted,
    text_of,
)
from tests.stream_client import job_of, until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("bash")
    install = [sys.executable, "-m", "bash_kernel.install", "--prefix", str(folder)]
    subprocess.run(install, check=True, capture_output=True)
    with LiveServer("--TasksExtension.max_running=4") as server:
        (server.home / "data").mkdir(exist_ok=True)
        kernels = folder / "share" / "jupyter" / "kernels"
        (server.home / "data" / "kernels").symlink_to(kernels)
        yield server


def test_bash_runs_and_prints(server: LiveServer) -> None:
    job = ran(server, "for i in 1 2 3; do echo line $i; done\necho oops >&2", kernel="bash")
    assert job["state"] == "succeeded", job["message"]
    assert "line 1\nline 2\nline 3\n" in job["text"]
    assert "oops" in job["text"]


def test_bash_says_how_far_it_is_through_the_pipe(server: LiveServer) -> None:
    job = ran(server, 'echo "3/12 fold 3" >"$JUPYTER_TASKS_REPORT"', kernel="bash")
    assert job["state"] == "succeeded", job["message"]
    told = job["progress"]
    assert (told["value"], told["total"], told["message"]) == (3, 12, "fold 3")


def test_bash_is_interrupted_with_all_that_it_started(server: LiveServer, tmp_path: Path) -> None:
    job_id = submitted(
        server, f"echo begun\nsleep 600 & echo $! > {tmp_path}/pid; wait", kernel="bash"
    )
    pid_file = tmp_path / "pid"
    eventually(lambda: pid_file.exists() and pid_file.read_text().strip(), within_s=60)
    pid = int(pid_file.read_text())
    assert server.ask("POST", f"tasks/api/jobs/{job_id}/cancel")[0] == 202
    assert until(server, job_id)["state"] == "cancelled"
    assert not Path(f"/proc/{pid}").exists()


def test_bash_goes_on_while_the_server_is_killed(server: LiveServer, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    job_id = submitted(server, f"echo before; cat '{gate}'; echo after", kernel="bash")
    has_printed(server, job_id, "before")
    server.kill()
    gate.write_text("through the gate\n")
    server.start()
    assert until(server, job_id)["state"] == "succeeded"
    assert text_of(server, job_id).split("\n")[:3] == ["before", "through the gate", "after"]


def test_a_notebook_in_bash_takes_its_parameters(server: LiveServer) -> None:
    cell = v4.new_code_cell("x=0", metadata={"tags": ["parameters"]})
    notebook = v4.new_notebook(cells=[cell, v4.new_code_cell('echo "<$x> $n"')])
    notebook.metadata["kernelspec"] = {"name": "bash", "display_name": "Bash"}
    nbformat.write(notebook, server.root_dir / "n.ipynb")
    spec = {"kind": "notebook", "path": "n.ipynb", "parameters": {"x": "$(date) 'é'", "n": 3}}
    _, job = server.ask("POST", "tasks/api/jobs", {"spec": spec})
    job = until(server, job["id"])
    assert job["state"] == "succeeded", job["message"]
    output = nbformat.read(server.root_dir / job["spec"]["output"], as_version=4)
    nbformat.validate(output)
    assert output.cells[2].outputs[0].text == "<$(date) 'é'> 3\n"


def test_a_notebook_in_r_takes_its_parameters(server: LiveServer) -> None:
    r_or_missing()
    cells = [
        v4.new_code_cell('x <- ""; n <- 0', metadata={"tags": ["parameters"]}),
        v4.new_code_cell('cat(x, n * 2, wanted, is.null(none), length(many), "\\n")'),
        v4.new_code_cell("stop('too ' , x)"),
    ]
    notebook = v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "ir", "display_name": "R", "language": "R"}
    nbformat.write(notebook, server.root_dir / "r.ipynb")
    parameters = {"x": 'é "q" \\n', "n": 2.5, "wanted": True, "none": None, "many": [1, 2, 3]}
    spec = {"kind": "notebook", "path": "r.ipynb", "parameters": parameters}
    _, job = server.ask("POST", "tasks/api/jobs", {"spec": spec})
    job = until(server, job["id"], within_s=60)
    assert (job["state"], job["reason"]) == ("failed", "error"), job["message"]
    assert "Cell 4 of 4" in job["message"]
    assert "too é" in job["message"]
    output = nbformat.read(server.root_dir / job["spec"]["output"], as_version=4)
    nbformat.validate(output)
    assert output.cells[2].outputs[0].text == 'é "q" \\n 5 TRUE TRUE 3 \n'


def test_an_old_ipykernel_prints_shows_and_fails(server: LiveServer, oldest: str) -> None:
    job = ran(
        server,
        """
        import ipykernel, os
        print(ipykernel.version_info[0])
        _ = os.system("echo from a child")
        from IPython.display import HTML, display
        display(HTML("<b>rich</b>"))
        """,
        python=oldest,
    )
    assert job["state"] == "succeeded", job["message"]
    assert "6\n" in job["text"]
    assert job["text"].count("from a child\n") == 1
    assert [one["data"]["text/html"] for one in outputs_of(server, job["id"])] == ["<b>rich</b>"]
    failed = ran(server, "print('first')\n1 / 0", python=oldest)
    assert (failed["state"], failed["reason"]) == ("failed", "error")
    assert "ZeroDivisionError" in failed["message"]
    assert failed["text"].startswith("first\n")


def test_an_old_ipykernel_is_cancelled_by_an_interrupt(server: LiveServer, oldest: str) -> None:
    source = (
        "try:\n    print('in')\n    import time; time.sleep(600)\nfinally:\n    print('tidied up')"
    )
    job_id = submitted(server, source, python=oldest)
    has_printed(server, job_id, "in")
    server.ask("POST", f"tasks/api/jobs/{job_id}/cancel")
    until(server, job_id)
    assert job_of(server, job_id)["state"] == "cancelled"
    assert "tidied up" in text_of(server, job_id)


def test_an_old_ipykernel_refuses_input_and_says_when_it_dies(
    server: LiveServer, oldest: str
) -> None:
    asked = ran(server, "input('name? ')", python=oldest)
    assert asked["state"] == "failed"
    assert "StdinNotImplementedError" in asked["message"]
    dead = ran(server, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", python=oldest)
    assert (dead["state"], dead["reason"]) == ("failed", "kernel_died")
