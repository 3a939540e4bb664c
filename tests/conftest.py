"""What all tests share: Jupyter's fixtures, and folders of their own for everything Jupyter writes."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from jupyter_tasks.client import Client
from tests.live_server import LiveServer
from tests.needed import missing
from tests.stream_client import Pipe

os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
# What a terminal can do is said by the tests that are about it, not by where they run.
os.environ["TERM"] = "xterm-256color"
for _name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
    os.environ.pop(_name, None)

# The same examples in every run, so that a failure comes from a change; new ones with HYPOTHESIS_PROFILE=explore.
settings.register_profile("repeat", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

# A runner in the background ignores Ctrl-C, and every program that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["pytest_jupyter.jupyter_server"]


@pytest.fixture
def client(server: LiveServer) -> Iterator[Client]:
    """A client of the server that the test's file or folder has."""
    with Client(server.url, server.token) as client:
        yield client


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    """What a job prints, in the test's hands."""
    pipe = Pipe(tmp_path / "pipe")
    yield pipe
    pipe.close()


@pytest.fixture(scope="session")
def oldest() -> str:
    """An interpreter with the oldest JupyterLab, Notebook and ipykernel that are supported."""
    python = os.environ.get("JUPYTER_TASKS_OLDEST", ".venv-oldest/bin/python")
    if not Path(python).exists():
        missing("environment with the oldest JupyterLab", "Make it: make .venv-oldest/.ready")
    return str(Path(python).absolute())


@pytest.fixture(autouse=True)
def _own_runtime_dir(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Sockets and pipes of every test lie in a short folder of its own (paths end at 108 bytes)."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="jt-", dir="/tmp"))
    folder.chmod(0o700)
    monkeypatch.setenv("JUPYTER_TASKS_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)
