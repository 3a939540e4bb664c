"""One server with a front end, and what a person does there: open a notebook, run cells, look."""

import json
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


class Site:
    """A server and the page that shows it. ``jobs`` are the views of jobs that our renderer made."""

    def __init__(self, page: Page, app: str, python: str) -> None:
        """Start the server."""
        self.page = page
        self.app = app
        self.server = LiveServer(_EXPOSED[app], app=app, python=python)
        self._settle()
        self.server.start(within_s=60)

    def close(self) -> None:
        """End the server and all that it started."""
        self.page.goto("about:blank")
        self.server.close()

    def write(self, *cells: str, name: str = "nb.ipynb") -> Path:
        """A notebook with those cells."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            },
        )
        path = self.server.root_dir / name
        nbformat.write(notebook, path)
        return path

    def read(self, name: str = "nb.ipynb") -> Any:
        """The notebook as it is on disk."""
        return json.loads((self.server.root_dir / name).read_text())

    def open(self, name: str = "nb.ipynb") -> None:
        """Open a notebook and wait until its kernel is connected."""
        self.page.goto(f"{self.server.url}{_TREES[self.app]}{name}?token={self.server.token}")
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

    def _settle(self) -> None:
        """No pop-up with news, and no tour, in a test."""
        config = Path(self.server.env["JUPYTER_CONFIG_DIR"]) / "labconfig"
        config.mkdir()
        (config / "page_config.json").write_text(json.dumps({"disabledExtensions": {_NEWS: True}}))
