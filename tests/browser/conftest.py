"""A real browser in front of a real JupyterLab or Notebook, with real kernels.

Without a browser these tests are skipped, and say how to get one; with JUPYTER_TASKS_BROWSER=required
that is a failure. JUPYTER_TASKS_OLDEST names the interpreter of an environment with the oldest
JupyterLab, Notebook and ipykernel that are supported (``make .venv-oldest/.ready``).
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.site import Site

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
#: What a browser says of pages that are nobody's fault here.
_HARMLESS = (
    "favicon",
    "ERR_CONNECTION_REFUSED",
    "WebSocket connection to",
    "Failed to load resource",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A page takes its time on a machine that does other things, too."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(180))


def missing(what: str, remedy: str) -> None:
    """Skip the test, or fail where everything has to be there."""
    words = f"There is no {what} here. {remedy}"
    if os.environ.get("JUPYTER_TASKS_BROWSER") == "required":
        pytest.fail(words)
    pytest.skip(words)


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """None of Jupyter's for tests: the browser's own loop runs as long as a module's tests do."""


@pytest.fixture(autouse=True)
def jp_server_cleanup() -> None:
    """Nothing of that kind was made."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        missing("browser", "Install Chromium: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page of its own; what goes wrong in it and nobody catches is the test's failure."""
    context = chromium.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert not [words for words in wrong if not any(one in words for one in _HARMLESS)]


@pytest.fixture(scope="session")
def oldest() -> str:
    python = os.environ.get("JUPYTER_TASKS_OLDEST") or str(
        Path(".venv-oldest/bin/python").absolute()
    )
    if not Path(python).exists():
        missing("environment with the oldest JupyterLab", "Make it: make .venv-oldest/.ready")
    return python


@pytest.fixture
def open_site(page: Page) -> Iterator[Callable[..., Site]]:
    """Starts a server of the test's own, and opens notebooks in the page."""
    sites: list[Site] = []

    def opened(app: str = "jupyterlab", python: str = sys.executable) -> Site:
        sites.append(Site(page, app, python))
        return sites[-1]

    yield opened
    for site in sites:
        site.close()


@pytest.fixture
def lab(open_site: Callable[..., Site]) -> Site:
    return open_site()
