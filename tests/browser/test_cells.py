"""Cells as jobs, as people see them: live, through reloads, dead kernels and a dead server."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.site import KERNEL, Site
from tests.eventually import eventually
from tests.stream_client import until

MIME = "application/vnd.jupyter-tasks.job+json"
LOAD = "%load_ext jupyter_tasks"
#: A job that prints a line, waits for its gate, and prints another.
GATED = "%%task --shell gated\necho before the gate\ncat gate\necho after the gate"
WITHIN_MS = 60_000


class Gate:
    """What a job waits for: a named pipe in the notebook's folder."""

    def __init__(self, site: Site) -> None:
        self.path = site.folder / "gate"
        os.mkfifo(self.path)

    def open(self) -> None:
        """Let the job go on."""
        self.path.write_text("through the gate\n")


def begun(site: Site, *cells: str) -> tuple[Gate, Locator]:
    """Run the cells of a notebook, of which the last becomes a gated job; the job's view."""
    gate = Gate(site)
    site.write(LOAD, *cells)
    site.open()
    for number in range(len(cells) + 1):
        site.run(number)
    job = site.job
    expect(job).to_have_attribute("data-state", "running", timeout=WITHIN_MS)
    expect(job).to_contain_text("before the gate", timeout=WITHIN_MS)
    return gate, job


def ends_well(gate: Gate, job: Locator) -> None:
    """The job goes on, and its view with it; each line is there once."""
    gate.open()
    expect(job).to_have_attribute("data-state", "succeeded", timeout=WITHIN_MS)
    expect(job).to_contain_text("after the gate", timeout=WITHIN_MS)
    assert printed(job) == ["before the gate", "through the gate", "after the gate"]


def printed(job: Locator) -> list[str]:
    """The lines of the job's text, also those that are folded away."""
    return [line for line in job.locator("pre > div").all_text_contents() if line]


def id_of(job: Locator) -> str:
    return job.get_attribute("data-job") or ""


def test_a_cell_shows_its_job_live_to_the_end(lab: Site) -> None:
    gate, job = begun(lab, GATED)
    expect(job).to_contain_text("gated")
    expect(job).to_have_attribute("data-live", "true")
    expect(lab.page.locator(".jp-tasks-job")).to_have_count(1)
    ends_well(gate, job)
    expect(job).to_contain_text("succeeded")


def test_progress_has_a_rate_and_a_time_left(lab: Site) -> None:
    report = "sleep 0.2; echo 3/12 third of twelve > $JUPYTER_TASKS_REPORT; "
    _gate, job = begun(lab, GATED.replace("cat gate", f"{report}cat gate"))
    bar = job.get_by_role("progressbar")
    expect(bar).to_be_visible(timeout=WITHIN_MS)
    assert float(bar.get_attribute("value") or 0) == pytest.approx(0.25)
    for words in ("3/12", "25%", "third of twelve"):
        expect(job).to_contain_text(words)
    expect(job).to_contain_text(re.compile(r"[\d.]+/s.*left"))


def test_it_is_still_live_after_a_reload_and_nothing_is_doubled(lab: Site) -> None:
    gate, _ = begun(lab, GATED)
    lab.save()
    lab.page.reload()
    job = lab.job
    expect(job).to_have_attribute("data-live", "true", timeout=WITHIN_MS)
    expect(job).to_have_count(1)
    expect(job).to_contain_text("before the gate")
    ends_well(gate, job)


def test_it_is_still_live_without_its_kernel(lab: Site) -> None:
    gate, job = begun(lab, "import os\nprint(os.getpid())", GATED)
    pid = int(lab.cell(1).locator(".jp-OutputArea-output").inner_text())
    os.kill(pid, 9)
    eventually(lambda: not Path(f"/proc/{pid}").exists(), within_s=30)
    ends_well(gate, job)


def test_it_goes_on_by_itself_after_the_server_was_killed(open_site: Callable[..., Site]) -> None:
    lab = open_site()
    gate, job = begun(lab, GATED)
    lab.server.kill()
    expect(job).to_have_attribute("data-live", "false", timeout=WITHIN_MS)
    gate.open()
    lab.server.start(within_s=60)
    expect(job).to_have_attribute("data-state", "succeeded", timeout=WITHIN_MS)
    expect(job).to_have_attribute("data-live", "true")
    assert printed(job) == ["before the gate", "through the gate", "after the gate"]


def test_a_notebook_saved_after_the_end_says_so_on_disk(lab: Site) -> None:
    gate, job = begun(lab, GATED)
    job_id = id_of(job)
    lab.save()
    [output] = lab.read()["cells"][1]["outputs"]
    assert "running" in "".join(output["data"]["text/plain"])
    lab.page.goto("about:blank")
    gate.open()
    until(lab.server, job_id)
    lab.open()
    expect(lab.job).to_have_attribute("data-state", "succeeded", timeout=WITHIN_MS)
    lab.cell(0).locator(".cm-content").press("Control+End")
    lab.page.keyboard.type("  # looked at")
    lab.save()
    [output] = lab.read()["cells"][1]["outputs"]
    assert output["data"][MIME] == {"version": 1, "id": job_id}
    for kind in ("text/plain", "text/html"):
        told = "".join(output["data"][kind])
        assert "succeeded" in told
        assert "after the gate" in told


def test_the_buttons_cancel_restart_and_open(lab: Site) -> None:
    gate, job = begun(lab, GATED)
    job.get_by_role("button", name="Cancel").click()
    expect(job).to_have_attribute("data-state", "cancelled", timeout=WITHIN_MS)
    expect(job.get_by_role("button", name="Cancel")).to_be_hidden()
    job.get_by_role("button", name="Restart").click()
    expect(job).to_have_attribute("data-state", "running", timeout=WITHIN_MS)
    expect(job).to_contain_text("attempt 2")
    ends_well(gate, job)
    job.get_by_role("button", name="Open").click()
    full = lab.page.locator(".jp-tasks-job.jp-tasks-mod-full")
    expect(full).to_contain_text("after the gate", timeout=WITHIN_MS)
    assert printed(full) == ["before the gate", "through the gate", "after the gate"]


def test_a_second_press_kills(lab: Site) -> None:
    stubborn = (
        "%%task --shell stubborn\ntrap '' INT TERM\necho before the gate\ncat gate\nsleep 600"
    )
    gate, job = begun(lab, stubborn)
    gate.open()
    expect(job).to_contain_text("through the gate", timeout=WITHIN_MS)
    job.get_by_role("button", name="Cancel").click()
    job.get_by_role("button", name="Kill").click()
    expect(job).to_have_attribute("data-state", "cancelled", timeout=8000)


def with_outputs(path: Path, *bundles: dict[str, Any]) -> None:
    """A notebook with a cell that shows what somebody has put there."""
    outputs = [nbformat.v4.new_output("display_data", bundle) for bundle in bundles]
    cell = nbformat.v4.new_code_cell("%%task", outputs=outputs)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=KERNEL), path)


def test_a_job_that_this_server_does_not_know_is_said_to_be_so(lab: Site) -> None:
    unknown = {MIME: {"version": 1, "id": "0123456789abcdef"}, "text/plain": "Job"}
    with_outputs(lab.folder / "nb.ipynb", unknown)
    lab.open()
    expect(lab.page.get_by_text("This server does not know job 0123456789abcdef")).to_be_visible(
        timeout=WITHIN_MS
    )


def test_an_address_in_the_document_is_ignored(lab: Site) -> None:
    asked: list[str] = []
    lab.page.on("request", lambda request: asked.append(request.url))
    told = {
        "version": 1,
        "id": "0123456789abcdef",
        "url": "http://elsewhere.invalid/",
        "baseUrl": "http://elsewhere.invalid/",
    }
    with_outputs(lab.folder / "nb.ipynb", {MIME: told})
    lab.open()
    expect(lab.page.locator("text=does not know job")).to_be_visible(timeout=WITHIN_MS)
    assert not [url for url in asked if "elsewhere" in url]


def test_an_untrusted_copy_is_live_and_runs_no_script(lab: Site) -> None:
    page = (
        "%%task rich\n"
        "from IPython.display import HTML, display\n"
        "display(HTML('<b>bold</b><script>window.wasRun = true</script>'))\n"
        "print('before the gate', flush=True)\nprint(open('gate').read())"
    )
    gate, job = begun(lab, page)
    lab.save()
    copy = lab.read()
    copy["cells"][0]["source"] = "# somebody else's"
    (lab.folder / "copy.ipynb").write_text(json.dumps(copy))
    lab.open("copy.ipynb")
    job = lab.job
    expect(job).to_have_attribute("data-live", "true", timeout=WITHIN_MS)
    expect(job.locator("b", has_text="bold")).to_be_visible(timeout=WITHIN_MS)
    gate.open()
    expect(job).to_have_attribute("data-state", "succeeded", timeout=WITHIN_MS)
    assert lab.page.evaluate("window.wasRun") is None


def never_lands_in_another_cell(site: Site) -> None:
    gate, job = begun(site, GATED)
    site.execute("notebook:insert-cell-below")
    editor = site.cell(2).locator(".cm-content")
    editor.click()
    editor.press_sequentially("for n in range(3): print('mine', n)")
    gate.open()
    site.run(2)
    expect(job).to_have_attribute("data-state", "succeeded", timeout=WITHIN_MS)
    printed_there = site.cell(2).locator(".jp-OutputArea-output").inner_text()
    assert printed_there.split("\n")[:3] == ["mine 0", "mine 1", "mine 2"]
    assert site.cell(2).locator(".jp-tasks-job").count() == 0
    assert site.cell(2).locator(".jp-OutputArea-output").count() == 1


def test_what_a_job_shows_never_lands_in_another_cell(lab: Site) -> None:
    never_lands_in_another_cell(lab)


def test_a_plot_and_an_error_are_shown_as_in_a_cell(lab: Site) -> None:
    source = (
        "%%task plot\n"
        "from IPython.display import SVG, display\n"
        'display(SVG(\'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">'
        '<circle cx="20" cy="20" r="18"/></svg>\'))\n'
        "print('before the gate', flush=True)\nopen('gate').read()\n1 / 0"
    )
    gate, job = begun(lab, source)
    expect(job.locator("img, svg").first).to_be_visible(timeout=WITHIN_MS)
    gate.open()
    expect(job).to_have_attribute("data-state", "failed", timeout=WITHIN_MS)
    expect(job).to_contain_text("ZeroDivisionError: division by zero", timeout=WITHIN_MS)


def test_notebook_7_shows_it_live(open_site: Callable[..., Site]) -> None:
    site = open_site("notebook")
    gate, job = begun(site, GATED)
    ends_well(gate, job)


def test_the_oldest_jupyterlab_and_ipykernel_show_it_live(
    open_site: Callable[..., Site], oldest: str
) -> None:
    site = open_site("jupyterlab", oldest)
    gate, job = begun(site, GATED)
    site.server.kill()
    site.server.start(within_s=60)
    ends_well(gate, job)


def test_nor_does_it_with_the_oldest_ipykernel(open_site: Callable[..., Site], oldest: str) -> None:
    never_lands_in_another_cell(open_site("jupyterlab", oldest))


def test_the_oldest_notebook_shows_it_live(open_site: Callable[..., Site], oldest: str) -> None:
    gate, job = begun(open_site("notebook", oldest), GATED)
    ends_well(gate, job)
