"""What a job's view does beside being live: tabs of its own, and words for what is not there."""

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.site import Site

LOAD = "%load_ext jupyter_tasks"
WITHIN_MS = 60_000


def shown(site: Site, cell: str) -> None:
    """Run the cell and wait until its job has ended and all is shown."""
    site.write(LOAD, cell)
    site.open()
    site.run(0)
    site.run(1)
    expect(site.job).to_have_attribute("data-complete", "true", timeout=WITHIN_MS)


def test_notebook_7_opens_a_job_in_a_tab_of_its_file_browser(
    open_site: Callable[..., Site],
) -> None:
    site = open_site("notebook")
    shown(site, "%%task --shell opened\necho in the tab")
    with site.page.context.expect_page() as opened:
        site.job.get_by_role("button", name="Open").click()
    full = opened.value.locator(".jp-tasks-job.jp-tasks-mod-full")
    expect(full).to_contain_text("in the tab", timeout=WITHIN_MS)


def test_a_server_without_jupyter_tasks_is_said_to_be_one(open_site: Callable[..., Site]) -> None:
    site = open_site()
    shown(site, "%%task --shell alone\necho hello")
    site.server.kill()
    site.server.extension = False
    site.server.start(used=False, within_s=60)
    expect(site.job).to_contain_text(
        "jupyter_tasks is not running on this server", timeout=WITHIN_MS
    )
    site.server.extension = True
    site.server.restart()
    expect(site.job).to_have_attribute("data-live", "true", timeout=WITHIN_MS)
    expect(site.job).not_to_contain_text("is not running")


def test_what_cannot_be_drawn_is_said_in_its_place(lab: Site) -> None:
    odd = "display({'foo/bar': 'x'}, raw=True)"
    shown(lab, f"%%task odd\nprint('first')\n{odd}\nprint('last')")
    expect(lab.job).to_contain_text("This page cannot show an output of foo/bar.")
    assert lab.job.locator("pre > div").all_text_contents() == ["first", "last"]


def test_a_long_text_waits_behind_a_line_once_the_job_has_ended(lab: Site) -> None:
    shown(lab, "%%task --shell long\nseq 1000")
    summary = lab.job.locator("summary")
    expect(summary).to_have_text("The last 500 lines of output: 1000")
    expect(lab.job.locator("pre")).to_be_hidden()
    summary.click()
    expect(lab.job.locator("pre > div").last).to_be_visible()


def test_a_view_of_its_own_hides_no_text(lab: Site) -> None:
    shown(lab, "%%task --shell long\nseq 1000")
    lab.job.get_by_role("button", name="Open").click()
    full = lab.page.locator(".jp-tasks-mod-full")
    expect(full).to_have_attribute("data-complete", "true", timeout=WITHIN_MS)
    expect(full.locator("pre > div").last).to_be_visible()


def test_the_keyboard_scrolls_a_text_to_its_end_and_only_then_leaves_it(lab: Site) -> None:
    shown(lab, "%%task --shell long\nseq 1000; exit 1")
    lab.job.get_by_role("button", name="Open").focus()
    lab.page.keyboard.press("Tab")
    text = lab.job.locator("pre")
    expect(text).to_be_focused()
    lab.page.keyboard.press("Home")
    lab.page.wait_for_function("text => text.scrollTop === 0", arg=text.element_handle())
    lab.page.keyboard.press("ArrowDown")
    lab.page.wait_for_function("text => text.scrollTop > 0", arg=text.element_handle())
    expect(text).to_be_focused()
    lab.page.keyboard.press("End")
    lab.page.wait_for_function(
        "text => text.scrollTop + text.clientHeight >= text.scrollHeight - 1",
        arg=text.element_handle(),
    )
    lab.page.keyboard.press("ArrowDown")
    expect(text).not_to_be_focused()


def test_the_time_of_a_job_is_the_servers_whatever_the_pages_clock_says(lab: Site) -> None:
    lab.page.add_init_script(
        "{ const now = Date.now.bind(Date); Date.now = () => now() + 86_400_000; }"
    )
    lab.write(LOAD, "%%task --shell timed\nmkfifo gate; cat gate")
    lab.open()
    lab.run(0)
    lab.run(1)
    expect(lab.job).to_have_attribute("data-state", "running", timeout=WITHIN_MS)
    expect(lab.job.locator(".jp-tasks-head-took")).to_have_text(re.compile(r"^(\d+m)?[\d.]+s$"))


def test_the_keyboard_alone_cancels_and_kills(lab: Site) -> None:
    lab.write(LOAD, "%%task --shell stubborn\ntrap '' INT TERM\necho ready\nsleep 600\nsleep 600")
    lab.open()
    lab.run(0)
    lab.run(1)
    expect(lab.job).to_contain_text("ready", timeout=WITHIN_MS)
    lab.job.get_by_role("button", name="Cancel").focus()
    lab.page.keyboard.press("Enter")
    expect(lab.job.get_by_role("button", name="Kill")).to_be_focused()
    lab.page.keyboard.press("Enter")
    expect(lab.job).to_have_attribute("data-state", "cancelled", timeout=WITHIN_MS)
    expect(lab.job.locator(".jp-tasks-head-id")).to_be_focused()
