"""One server with a front end, and what a person does there: open a notebook, run cells, look."""

import json
import sys
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page

from tests.live_server import LiveServer

_NEWS = "@jupyterlab/apputils-extension:announcements"
_EXPOSED = {
    "jupyterlab": "--LabApp.expose_app_in_browser=True",
    "notebook": "--JupyterNotebookApp.expose_app_in_browser=True",
}
#: What a notebook says of its kernel; else one is asked for which.
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
_TREES = {"jupyterlab": "lab/tree/", "notebook": "notebooks/"}
#: The toolbar says "idle" before the session is connected, and a cell that is run then is dropped.
_CONNECTED = """async () => {
  while (!window.jupyterapp?.shell?.currentWidget?.context) await new Promise(requestAnimationFrame);
  const context = window.jupyterapp.shell.currentWidget.context;
  await context.ready;
  await context.sessionContext.ready;
  await context.sessionContext.session.kernel.info;
}"""
_SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"


def front_end(app: str = "jupyterlab", python: str = sys.executable) -> LiveServer:
    """A server with that front end, without pop-ups; not started yet."""
    server = LiveServer(_EXPOSED[app], app=app, python=python)
    config = Path(server.env["JUPYTER_CONFIG_DIR"]) / "labconfig"
    config.mkdir()
    (config / "page_config.json").write_text(json.dumps({"disabledExtensions": {_NEWS: True}}))
    return server


class Site:
    """A folder of a server, and the page that shows it."""

    def __init__(self, page: Page, server: LiveServer, folder: str) -> None:
        """Begin with an empty folder, and nothing on the page."""
        self.page = page
        self.server = server
        self.folder = server.root_dir / folder
        self.folder.mkdir()

    def close(self) -> None:
        """Leave the page, and end the kernels."""
        self.page.goto("about:blank")
        for kernel in self.server.ask("GET", "api/kernels")[1]:
            self.server.ask("DELETE", f"api/kernels/{kernel['id']}")

    def write(self, *cells: str, name: str = "nb.ipynb") -> None:
        """A notebook with those cells."""
        made = [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=KERNEL), self.folder / name)

    def read(self, name: str = "nb.ipynb") -> Any:
        """The notebook as it is on disk."""
        return json.loads((self.folder / name).read_text())

    def open(self, name: str = "nb.ipynb") -> None:
        """Open a notebook and wait until its kernel is connected."""
        tree = f"{self.server.url}{_TREES[self.server.app]}{self.folder.name}/{name}"
        self.page.goto(f"{tree}?token={self.server.token}&reset")
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
        self.page.evaluate(_CONNECTED)

    def cell(self, number: int) -> Locator:
        """A cell, from 0."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def run(self, number: int) -> None:
        """Run a cell as people do, and wait until the kernel has answered."""
        editor = self.cell(number).locator(".cm-content")
        editor.click()
        editor.press("Control+Enter")
        self.cell(number).locator(".jp-InputPrompt", has_text="]:").filter(
            has_not_text="*"
        ).wait_for(timeout=60_000)

    def save(self) -> None:
        """Save the notebook."""
        self.page.evaluate(_SAVE)

    def execute(self, command: str, **args: Any) -> None:
        """Execute a command of the application."""
        self.page.evaluate(
            "([command, args]) => window.jupyterapp.commands.execute(command, args)",
            [command, args],
        )

    @property
    def job(self) -> Locator:
        """The view of a job."""
        return self.page.locator(".jp-tasks-job")
