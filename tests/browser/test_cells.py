"""Cells as jobs, as people see them in JupyterLab."""

from collections.abc import Callable

from tests.browser.site import Site

MIME = "application/vnd.jupyter-tasks.job+json"


def test_first(lab: Site) -> None:
    lab.write("%load_ext jupyter_tasks", "%%task hello\nprint('hello from a job')")
    lab.open()
    lab.run(0)
    lab.run(1)
    lab.cell(1).get_by_text("hello from a job").first.wait_for(timeout=30_000)
    lab.page.screenshot(path="/tmp/w/first.png")
