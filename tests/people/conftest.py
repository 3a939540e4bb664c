"""One real server for all tests of this folder, under a base URL that needs quoting."""

from collections.abc import Iterator

import pytest

from tests.live_server import LiveServer


@pytest.fixture(scope="session")
def server() -> Iterator[LiveServer]:
    with LiveServer(base_url="/a%40b/") as live:
        yield live


@pytest.fixture
def own_server() -> Iterator[LiveServer]:
    """A server of the test's own, to be killed; not started yet."""
    live = LiveServer()
    yield live
    live.close()


@pytest.fixture
def at_home(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has the same Jupyter folders as the server, and nothing else that points to one."""
    point_to(server, monkeypatch)


def point_to(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "JUPYTER_TASKS_URL",
        "JUPYTER_TASKS_TOKEN",
        "JUPYTER_TASKS_SOCKET",
        "JPY_PARENT_PID",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in server.env.items():
        if name.startswith("JUPYTER"):
            monkeypatch.setenv(name, value)
