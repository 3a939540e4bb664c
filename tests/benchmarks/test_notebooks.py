"""Notebooks of one cell, two at a time, beside nbclient and papermill as their users run them."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import v4

from tests.benchmarks.conftest import ROUNDS, Board, Row, interleaved
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.stream_client import until

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

GOAL = 20
OURS, THEIRS = 60, 8
_NBCLIENT = """
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook).execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[LiveServer]:
    with LiveServer("--TasksExtension.max_running=2") as server:
        cell = v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})
        notebook = v4.new_notebook(cells=[v4.new_code_cell("print('x')")])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, server.root_dir / "n.ipynb")
        notebook.cells.insert(0, cell)
        nbformat.write(notebook, server.root_dir / "p.ipynb")
        submit(server, 1)
        eventually(lambda: " start warm " in server.log, within_s=60, what="it is warm")
        yield server


def submit(server: LiveServer, count: int, **more: Any) -> list[str]:
    spec = {"kind": "notebook", "path": "n.ipynb", **more}
    status, answer = server.ask("POST", "tasks/api/jobs", [{"spec": spec}] * count)
    assert status == 201, answer
    ids = [job["id"] for job in answer["jobs"]]
    assert all(until(server, job_id)["state"] == "succeeded" for job_id in ids)
    return ids


def ours(server: LiveServer, **more: Any) -> float:
    begin = time.perf_counter()
    submit(server, OURS, **more)
    return OURS / (time.perf_counter() - begin)


def theirs(*command: str) -> float:
    """Two at a time, each in a process of its own."""

    def run(_number: int) -> None:
        subprocess.run(command, check=True, capture_output=True)

    begin = time.perf_counter()
    with ThreadPoolExecutor(2) as two:
        list(two.map(run, range(THEIRS)))
    return THEIRS / (time.perf_counter() - begin)


def test_notebooks_of_one_cell(warm: LiveServer, board: Board, tmp_path: Path) -> None:
    path, out = str(warm.root_dir / "n.ipynb"), str(tmp_path / "out.ipynb")
    plain, with_parameters, nbclient, papermill = interleaved(
        lambda: ours(warm),
        lambda: ours(warm, path="p.ipynb", parameters={"x": 2}),
        lambda: theirs(sys.executable, "-c", _NBCLIENT, path, out),
        lambda: theirs(sys.executable, "-m", "papermill", path, out),
        rounds=ROUNDS,
    )
    board.add(
        Row(
            what="one-cell notebooks, two at a time, over REST, durable",
            unit="/s",
            ours=plain,
            goal=f"at least {GOAL}/s",
            is_met=plain >= GOAL,
            beside={
                "ours, two cells and parameters": with_parameters,
                "nbclient": nbclient,
                "papermill": papermill,
            },
        )
    )
