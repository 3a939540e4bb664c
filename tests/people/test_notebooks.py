"""Whole notebooks as jobs: from the client, the command line and a cell."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import v4

from jupyter_tasks import AsyncClient, Client
from jupyter_tasks.client.notebooks import parameters_from
from jupyter_tasks.errors import BadMessage
from tests.live_server import LiveServer

pytestmark = pytest.mark.timeout(120)
_IN_A_CELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "jupyter_tasks")
job = shell.run_line_magic("task", "notebook n.ipynb x=[1,2] --output mine.ipynb y='a b' --name ours")
job.wait(60)
print(job.state, job.handle.wire["name"], job.handle.wire["spec"]["output"], job.logs())
"""


@pytest.fixture
def folder(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's root folder, with a notebook; and the current one."""
    cell = v4.new_code_cell("x = y = 0", metadata={"tags": ["parameters"]})
    notebook = v4.new_notebook(cells=[cell, v4.new_code_cell("print(repr(x), repr(y))")])
    nbformat.write(notebook, server.root_dir / "n.ipynb")
    monkeypatch.chdir(server.root_dir)
    return server.root_dir


def printed(server: LiveServer, job: Any) -> str:
    """What the last cell has put out, by the output notebook."""
    notebook = nbformat.read(server.root_dir / job["spec"]["output"], as_version=4)
    text: str = notebook.cells[-1].outputs[0].text
    return text


def test_the_client_runs_a_notebook_with_parameters(server: LiveServer, folder: Path) -> None:
    with Client(server.url, server.token) as client:
        job = client.submit_notebook("n.ipynb", {"x": "é", "y": None}, name="mine").wait()
        assert (job.state, job.name, job.spec.path) == ("succeeded", "mine", "n.ipynb")
        assert printed(server, job.wire) == "'é' None\n"
        spec = {"kind": "notebook", "path": "n.ipynb"}
        assert client.submit(spec).wait().spec.cwd == str(folder)


async def test_the_awaited_client_does_the_same(server: LiveServer, folder: Path) -> None:
    async with AsyncClient(server.url, server.token) as client:
        job = await client.submit_notebook(folder / "n.ipynb", output="by-async.ipynb")
        assert (await job.wait()).spec.output == "by-async.ipynb"
        assert printed(server, job.wire) == "0 0\n"


def test_the_command_line_runs_a_notebook(server: LiveServer, folder: Path) -> None:
    env = {**server.env, "JUPYTER_TASKS_URL": server.url, "JUPYTER_TASKS_TOKEN": server.token}

    def cli(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jupyter_tasks.cli", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    result = cli("notebook", "-f", "n.ipynb", "-p", 'x={"a": [1]}', "-r", "y=5", "--tag", "t")
    assert (result.returncode, result.stdout) == (0, "{'a': [1]} '5'\n"), result.stderr
    [job] = [json.loads(line) for line in cli("list", "--json", "--tag", "t").stdout.splitlines()]
    assert (job["kind"], job["name"]) == ("notebook", "n.ipynb")
    assert job["spec"]["output"] in cli("show", job["id"]).stdout
    refused = cli("notebook", "/nowhere.ipynb")
    assert refused.returncode != 0
    assert "outside of the root folder" in refused.stderr


def test_a_cell_runs_a_notebook(server: LiveServer, folder: Path) -> None:
    env = {**server.env, "JUPYTER_TASKS_URL": server.url, "JUPYTER_TASKS_TOKEN": server.token}
    result = subprocess.run(
        [sys.executable, "-c", _IN_A_CELL], env=env, capture_output=True, text=True, check=False
    )
    assert "succeeded ours mine.ipynb [1, 2] 'a b'" in result.stdout, result.stderr


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("x=1", 1),
        ("x=1e-3", 0.001),
        ("x=true", True),
        ("x=True", True),
        ("x=None", None),
        ('x="5"', "5"),
        ("x=a=b", "a=b"),
        ("x=", ""),
        ("x=NaN", "NaN"),
        ("x=[1, {}]", [1, {}]),
    ],
)
def test_what_is_typed_is_a_value_where_it_is_one(word: str, value: Any) -> None:
    assert parameters_from([word]) == {"x": value}


def test_what_is_typed_without_a_value_is_refused() -> None:
    with pytest.raises(BadMessage, match="NAME=VALUE"):
        parameters_from(["x"])
