"""A real browser in front of a real JupyterLab or Notebook, with real kernels.

Without a browser these tests are skipped, and say how to get one; with JUPYTER_TASKS_BROWSER=required
that is a failure. JUPYTER_TASKS_OLDEST names the interpreter of an environment with the oldest
JupyterLab, Notebook and ipykernel that are supported (``make .venv-oldest/.ready``).
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.site import Site, front_end
from tests.live_server import LiveServer
from tests.needed import missing

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A page takes its time on a machine that does other things, too."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(180))


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
    """A page of its own; what goes wrong in our code there and nobody catches is the test's failure."""
    context = chromium.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"{error}\n{error.stack}"))
    yield page
    context.close()
    assert not [words for words in wrong if "labextensions/jupyter-tasks" in words]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """JupyterLab, for all tests of a module that let it live."""
    with front_end() as server:
        yield server


@pytest.fixture
def lab(page: Page, server: LiveServer, request: pytest.FixtureRequest) -> Iterator[Site]:
    site = Site(page, server, request.node.name)
    yield site
    site.close()


@pytest.fixture
def open_site(page: Page) -> Iterator[Callable[..., Site]]:
    """Starts a server of the test's own, with whichever front end."""
    servers: list[LiveServer] = []

    def opened(*which: str) -> Site:
        servers.append(front_end(*which))
        servers[-1].start(within_s=60)
        return Site(page, servers[-1], "own")

    yield opened
    page.goto("about:blank")
    for server in servers:
        server.close()
