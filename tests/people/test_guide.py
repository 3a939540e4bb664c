"""The guide in notebooks/: each of them runs from its first cell to its last, in its own kernel."""

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests import stream_client
from tests.live_server import REPOSITORY, LiveServer
from tests.needed import r_or_missing

GUIDE = REPOSITORY / "notebooks"

pytestmark = pytest.mark.timeout(300)


def executed(server: LiveServer, name: str, folder: Path) -> Any:
    """The notebook after all its cells, in a kernel that knows what the server tells its own."""
    notebook = nbformat.read(GUIDE / name, as_version=4)
    _, told = server.ask("GET", "tasks/api/status")
    env = server.env | {"JUPYTER_TASKS_SOCKET": told["socket"]}
    client = NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(folder)}})
    client.execute(env=env)
    return notebook


def printed(notebook: Any) -> str:
    """All text of all cells."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(
        output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs
    )


def test_jobs_from_r(server: LiveServer, tmp_path: Path) -> None:
    r_or_missing()
    text = printed(executed(server, "05-other-languages.ipynb", tmp_path))
    assert "100000 classes: 0.5" in text
    assert "The job is over: succeeded.\nIts last word: chance 0.5" in text
    assert "Max." in text  # of the summary, by a kernel of its own
    assert "The job is over: cancelled." in text
    assert "birthdays succeeded" in " ".join(text.split())


def test_a_first_job(server: LiveServer, tmp_path: Path) -> None:
    text = printed(executed(server, "01-first-job.ipynb", tmp_path))
    assert "this kernel computes: 1.414214 is the root of two." in text
    assert "of the digits are told right." in text
    assert "learning rates" in text
    assert "succeeded" in text


def test_sweeps_and_groups(server: LiveServer, tmp_path: Path) -> None:
    text = printed(executed(server, "02-sweeps-and-groups.ipynb", tmp_path))
    assert "The area is about 1." in text
    assert "<Figure size" in text
    assert "CallFailed('call 1: ValueError: -9 has no root that is real')" in text
    assert "[2.0, 3.0, 4.0, 5.0] in attempt 2" in text
    assert "10000 results, with the sum 29994" in text
    assert "cancelled\n0 succeeded\n1 succeeded\n2 stopped\n3 stopped" in text


def test_whole_notebooks(server: LiveServer) -> None:
    folder = server.root_dir / "guide"
    shutil.copytree(GUIDE / "reports", folder / "reports")
    before = (folder / "reports" / "growth.ipynb").read_bytes()
    notebook = executed(server, "03-whole-notebooks.ipynb", folder)
    text = printed(notebook)
    assert "succeeded after 5 of 5 cells" in text
    assert "After 40 years there are 0.656 of what there is room for." in text
    assert "1.5 succeeded\n3.2 succeeded\n3.5 succeeded\n3.9 succeeded" in text
    assert "Cell 4 of 5 (if not 0 <= rate <= 4:): ValueError: a rate of 5" in text
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert {path.name for path in folder.glob("growth-*")} == {
        f"growth-{rate}.ipynb" for rate in (1.5, 2.9, 3.2, 3.5, 3.9, 5)
    }
    assert (folder / "reports" / "growth.ipynb").read_bytes() == before


def test_tasks_and_forms(server: LiveServer, tmp_path: Path) -> None:
    text = printed(executed(server, "04-tasks-and-forms.ipynb", tmp_path))
    assert "26.0 from job a long walk" in text
    assert "steps  `steps` must be at least 1, not 0." in text
    assert "Walk at random (walk): steps: int, on: str, seed: int" in text
    assert "Form for the task walk" in text
    assert "/etc/passwd" in text
    assert "The task 'forget' is dangerous: forgets all that was walked." in text
    assert "Nobody has walked.\n[]" in text


def test_surviving_a_restart(server: LiveServer, tmp_path: Path) -> None:
    text = printed(executed(server, "06-surviving-a-restart.ipynb", tmp_path))
    assert "The server has gone. The job goes on: True" in text
    assert "running in attempt 1" in text
    assert "Nothing lost, nothing doubled: True" in text
    assert "succeeded with exit code 0" in text
    assert "outlive a crash" in text


def test_the_lines_for_a_shell_run_as_they_stand_in_the_docs(server: LiveServer) -> None:
    """In a job of bash itself: it finds the socket that it needs."""
    page = (REPOSITORY / "docs" / "other-languages.md").read_text("utf-8")
    block = page.split("```")[1]
    submit, follow, cancel = block.strip().splitlines()[-3:]
    script = f"""
{block.partition("ask ")[0]}
{block[block.index("ask()") :].splitlines()[0]}
JOB=$({submit.replace("make all", "echo built; sleep 600")} | sed -E 's/.*"id": ?"([0-9a-f]+)".*/\\1/')
until [ -n "$({follow.replace("?follow=true", "")})" ]; do sleep 0.1; done
{cancel} >/dev/null
{follow}
ask "$api/jobs/$JOB" | grep -oE '"state": ?"[a-z]+"'
"""
    job = stream_client.submit(server, ["bash", "-euc", script])
    ended = stream_client.until(server, job, within_s=60)
    with stream_client.get(server, f"jobs/{job}/output") as answer:
        text = answer.read().decode()
    assert ended["state"] == "succeeded", text
    assert text.startswith("built\n"), text
    assert '"cancelled"' in text, text
