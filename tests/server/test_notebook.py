"""Notebooks as jobs: real kernels, a real server, and the output notebook that is left."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import v4

from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.server.test_code import outputs_of, text_of
from tests.stream_client import until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module", params=["cold", "warm"])
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """One whose kernels start cold, and one whose kernels start warm: nothing else may differ."""
    is_warm = request.param == "warm"
    with LiveServer(
        "--TasksExtension.max_running=4", f"--TasksExtension.warm_kernels={is_warm}"
    ) as server:
        if is_warm:
            written(server, "first.ipynb", "1")
            ran(server, "first.ipynb")
            eventually(lambda: " start warm " in server.log, within_s=60, what="it is warm")
        yield server


@pytest.fixture
def folder(server: LiveServer, request: pytest.FixtureRequest) -> Path:
    """A folder of the test's own, below the server's root."""
    folder = server.root_dir / request.node.name.partition("[")[0]
    folder.mkdir()
    return folder


def tagged(source: str, *tags: str) -> Any:
    return v4.new_code_cell(source, metadata={"tags": [*tags]})


def written(server: LiveServer, path: str, *cells: Any, **metadata: Any) -> Path:
    """A notebook of these cells, or sources of code cells, at the path below the root."""
    notebook = v4.new_notebook(metadata=metadata)
    notebook.cells = [v4.new_code_cell(one) if isinstance(one, str) else one for one in cells]
    place = server.root_dir / path
    place.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, place)
    return place


def asked(server: LiveServer, path: str, *, job: Any = None, **spec: Any) -> tuple[int, Any]:
    request = {"spec": {"kind": "notebook", "path": path, **spec}, **(job or {})}
    return server.ask("POST", "tasks/api/jobs", request)


def submitted(server: LiveServer, path: str, **more: Any) -> dict[str, Any]:
    status, answer = asked(server, path, **more)
    assert status == 201, answer
    job: dict[str, Any] = answer
    return job


def refused(server: LiveServer, path: str, **more: Any) -> str:
    """The words with which it is refused; the server goes on."""
    status, answer = asked(server, path, **more)
    assert (status, answer["code"]) == (400, "bad_message"), answer
    assert server.ask("GET", "tasks/api/status")[0] == 200
    words: str = answer["message"]
    return words


def ran(server: LiveServer, path: str, **more: Any) -> dict[str, Any]:
    return until(server, submitted(server, path, **more)["id"])


def output_of(server: LiveServer, job: dict[str, Any]) -> Any:
    """The output notebook, which is valid at any moment."""
    notebook = nbformat.read(server.root_dir / job["spec"]["output"], as_version=4)
    nbformat.validate(notebook)
    return notebook


def text_in(cell: Any) -> str:
    return "".join(one["text"] for one in cell.outputs if one.output_type == "stream")


def test_cells_run_one_after_another_and_the_output_notebook_has_what_they_put_out(
    server: LiveServer, folder: Path
) -> None:
    rich = "import os\nfrom IPython.display import HTML, display\n_ = os.system('echo from a child')\ndisplay(HTML('<b>x</b>'))\n6 * 7"
    cells = ["a = 1", v4.new_markdown_cell("# Words"), "", "print('one', a)", rich]
    source = written(server, f"{folder.name}/all.ipynb", *cells)
    before = source.read_bytes()
    job = ran(server, f"{folder.name}/all.ipynb")
    assert (job["state"], job["name"], job["exit_code"]) == ("succeeded", "all.ipynb", 0)
    assert job["spec"]["output"] == f"{folder.name}/all.{job['id']}.ipynb"
    notebook = output_of(server, job)
    assert [one.source for one in notebook.cells] == [getattr(one, "source", one) for one in cells]
    assert [one.get("execution_count") for one in notebook.cells] == [1, None, None, 2, 3]
    assert text_in(notebook.cells[3]) == "one 1\n"
    child, display, result = notebook.cells[4].outputs
    assert child.text == "from a child\n"
    assert display.data["text/html"] == "<b>x</b>"
    assert (result.output_type, result.data["text/plain"]) == ("execute_result", "42")
    assert source.read_bytes() == before
    assert sorted(os.listdir(folder)) == sorted([source.name, Path(job["spec"]["output"]).name])
    assert text_of(server, job["id"]).splitlines()[:2] == ["one 1", "from a child"]
    assert [one["output_type"] for one in outputs_of(server, job["id"])] == [
        "display_data",
        "execute_result",
    ]


def test_a_parameters_cell_is_followed_by_the_injected_one(
    server: LiveServer, folder: Path
) -> None:
    path = f"{folder.name}/p.ipynb"
    written(server, path, "import sys", tagged("x, y = 1, 2", "parameters"), "print(x, y)")
    values = {"x": 'é"$x\n', "y": [1, {"k": None, "t": True}]}
    job = ran(server, path, parameters=values)
    notebook = output_of(server, job)
    assert [one.metadata.get("tags") for one in notebook.cells] == [
        None,
        ["parameters"],
        ["injected-parameters"],
        None,
    ]
    assert text_in(notebook.cells[3]) == f"{values['x']} {values['y']}\n"
    assert notebook.metadata.jupyter_tasks.parameters == values
    again = ran(server, job["spec"]["output"], parameters={"x": 5})
    assert len(output_of(server, again).cells) == 4
