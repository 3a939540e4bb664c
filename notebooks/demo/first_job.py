"""The first notebook, executed from its first cell to its last, while its job is shown live here."""

import threading
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from jupyter_tasks import Client
from jupyter_tasks.model import ENDED

NOTEBOOK = Path(__file__).parent.parent / "01-first-job.ipynb"
#: What the notebook calls its job.
TAG = "first-job"
CELL_WITHIN_S = 100


class Execution(threading.Thread):
    """Executes the notebook in a kernel of its own; ``error`` says what went wrong."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """Read the notebook; ``env`` is what the kernel finds its server by."""
        super().__init__()
        self.error = ""
        self._env = dict(env)
        self._notebook = nbformat.read(NOTEBOOK, as_version=4)
        place = {"metadata": {"path": str(folder)}}
        self._client = NotebookClient(self._notebook, timeout=CELL_WITHIN_S, resources=place)

    def run(self) -> None:
        """Execute all cells."""
        try:
            self._client.execute(env=self._env)
        except CellExecutionError as error:
            self.error = str(error)

    @property
    def printed(self) -> list[str]:
        """What the notebook's own cells have printed, line by line."""
        outputs = [output for cell in self._notebook.cells for output in cell.get("outputs", [])]
        text = "".join(output.text for output in outputs if output.output_type == "stream")
        return text.splitlines()


def run(client: Client, folder: Path, env: Mapping[str, str], console: Console) -> bool:
    """Execute the notebook and show its job until the end; whether all went well."""
    console.print(f"{NOTEBOOK.name} is executed cell by cell; its cell `%%task` becomes a job.")
    execution = Execution(folder, env)
    execution.start()
    state = follow(client, console, execution)
    execution.join()
    for line in execution.printed:
        console.print(f"  {line}", markup=False)
    if execution.error:
        console.print(execution.error, markup=False)
    return state == "succeeded" and not execution.error


def follow(client: Client, console: Console, execution: Execution) -> str:
    """Show the job's progress until it has ended; the state in which it then is."""
    columns = (TextColumn("{task.description}"), BarColumn(28), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task("  learning rates", total=1.0, said="")
        quarter = 0
        for event in client.watch(tags=[TAG], timeout_s=CELL_WITHIN_S):
            if not execution.is_alive():
                break
            told = event.progress or (event.job or {}).get("progress")
            if told:
                part = told["value"] / told["total"]
                bars.update(bar, completed=part, said=told["message"])
                if not console.is_terminal and int(4 * part) > quarter:
                    quarter = int(4 * part)
                    console.print(f"  learning rates  {part:4.0%}  {told['message']}")
            if event.job is not None and event.job["state"] in ENDED:
                bars.update(bar, completed=1.0, said=event.job["state"])
                return str(event.job["state"])
    return "not seen to its end"
