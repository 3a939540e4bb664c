"""A real Jupyter server with the extension, in a subprocess and in folders of its own.

``kill()`` is SIGKILL to the server alone: fork server, supervisors and jobs stay. ``close()`` ends
whatever is left of all that, found by the mark that every process inherits.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from tests.eventually import eventually
from tests.measured import PYTHON

REPOSITORY = Path(__file__).parent.parent
_MARK = "JUPYTER_TASKS_RUNTIME_DIR"


#: Below those that the system gives away; each worker of a test run has a range of its own.
_FIRST_PORT, _PORTS = 20_000, 2_000


#: Extensions that are here for some tests alone; the first two start programs of their own.
_NEVER = ("jupyter_lsp", "jupyter_server_terminals")
_OTHERS = (*_NEVER, "jupyterlab", "notebook", "notebook_shim")


def free_port() -> int:
    """Return a loopback port that nobody listens on at the moment, and no other worker will take."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 5
    while True:
        port = _FIRST_PORT + worker * _PORTS + random.randrange(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class LiveServer:
    """One server at a fixed port; it can be killed and started again on the same state.

    ``options`` are further command-line options of Jupyter Server. ``env`` is what a client process
    needs to find this server by its runtime files; it holds neither URL nor token.
    """

    def __init__(
        self,
        *options: str,
        base_url: str = "/",
        token: str = "a-token-for-tests",  # noqa: S107 - a test's own
        extension: bool = True,
        home: Path | None = None,
        app: str = "jupyter_server",
        python: str = sys.executable,
    ) -> None:
        """Prepare folders (or share those of another server by its ``home``); starts nothing.

        ``app``: the module that is run, ``jupyterlab`` for example, by that interpreter.
        """
        self._owns_home = home is None
        # Short: a UNIX socket's path may have 107 characters.
        self.home = home or Path(tempfile.mkdtemp(prefix="jt-"))
        self.base_url, self.token, self.options, self.extension = (
            base_url,
            token,
            options,
            extension,
        )
        self.app, self.python = app, python
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{base_url}"
        self.root_dir = self._folder("root")
        self.runtime_dir = self.home / "sockets"
        self.log_path = self.home / f"server-{self.port}.log"
        self.env = self._environment()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, within_s: float = 30.0, used: bool = True) -> Self:
        """Start the server and return when it answers; where not ``used``, ask nothing of ours."""
        self.launch()
        answers = self._answers if used else self._is_up
        try:
            eventually(answers, within_s=within_s, what=f"{self.url} answers")
        except BaseException as error:
            self.kill()
            error.add_note(f"The server's log:\n{self.log}")
            raise
        return self

    def launch(self) -> None:
        """Start the server and do not wait for it."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                env=self.env,
                cwd=self.root_dir,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def __enter__(self) -> Self:
        """Start it where it does not run yet."""
        try:
            return self if self.process else self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""
        self.close()

    def kill(self) -> None:
        """End the server by SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def kill_group(self) -> None:
        """End the server and all else in its process group by SIGKILL, as a terminal's end would."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
            self.process = None

    def stop(self) -> None:
        """End the server as a person would."""
        self._end(signal.SIGTERM)

    def restart(self) -> Self:
        """Kill it and start it again at the same address."""
        self.kill()
        return self.start()

    def close(self) -> None:
        """End the server and everything that it left running; remove its folders."""
        self.kill()
        eventually(self._none_is_left, what="every process of the server has ended")
        if self._owns_home:
            shutil.rmtree(self.home)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send one request without any of our own client code; return status and JSON (or bytes)."""
        sent = None if body is None else json.dumps(body).encode()
        return self.ask_bytes(method, path, sent, **headers)

    def ask_bytes(
        self, method: str, path: str, body: bytes | None, **headers: str
    ) -> tuple[int, Any]:
        """As ``ask``, with a body as it is."""
        request = self._request(method, path, body, **headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own URL
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    def headers_of(self, method: str, path: str, body: Any) -> Mapping[str, str]:
        """The headers of an answer."""
        request = self._request(method, path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own URL
            return dict(answer.headers)

    def processes(self) -> dict[int, str]:
        """Every living process that descends from this server, jobs too: pid and command line."""
        marks = (f"{_MARK}={self.runtime_dir}", f"JUPYTER_TASKS_ARTIFACTS={self.state_dir}/")
        return dict(_marked(tuple(mark.encode() for mark in marks)))

    @property
    def log(self) -> str:
        """What the server has written so far."""
        return self.log_path.read_text(errors="replace")

    def _request(
        self, method: str, path: str, body: bytes | None, **headers: str
    ) -> urllib.request.Request:
        return urllib.request.Request(  # noqa: S310 - our own URL
            urllib.parse.urljoin(self.url, path),
            method=method,
            data=body,
            headers={"Authorization": f"token {self.token}", **headers},
        )

    def _folder(self, name: str) -> Path:
        folder = self.home / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _environment(self) -> dict[str, str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")}
        path = [str(REPOSITORY), *filter(None, [env.get("PYTHONPATH")])]
        return env | {
            "PYTHONPATH": os.pathsep.join(path),
            "JUPYTER_PLATFORM_DIRS": "1",
            "JUPYTER_CONFIG_DIR": str(self._folder("config")),
            "JUPYTER_DATA_DIR": str(self._folder("data")),
            "JUPYTER_RUNTIME_DIR": str(self._folder("runtime")),
            "IPYTHONDIR": str(self._folder("ipython")),
            _MARK: str(self.runtime_dir),
        }

    @property
    def state_dir(self) -> Path:
        """Where the extension keeps its jobs."""
        return self.home / "data" / "jupyter_tasks"

    def _command(self) -> list[str]:
        others = _OTHERS if self.app == "jupyter_server" else _NEVER
        extensions = {"jupyter_tasks": self.extension, **dict.fromkeys(others, False)}
        return [
            *(self.python, "-m", self.app, "--no-browser", "--allow-root"),
            f"--ServerApp.jpserver_extensions={extensions}",
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.base_url={self.base_url}",
            f"--ServerApp.root_dir={self.root_dir}",
            f"--IdentityProvider.token={self.token}",
            *(f"--TasksExtension.python_command={part}" for part in PYTHON or ()),
            *self.options,
        ]

    def _is_up(self) -> bool:
        asked = self._asked("api")
        return asked is not None and asked[0] == 200

    def _asked(self, path: str) -> tuple[int, Any] | None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the server left with {self.process.returncode}:\n{self.log}")
        try:
            return self.ask("GET", path)
        except (urllib.error.URLError, ConnectionError):
            return None

    def _answers(self) -> bool:
        asked = self._asked("tasks/api/status")
        if asked is None:
            return False
        status, told = asked
        if not self.extension:
            return True
        assert status != 404, f"the extension was not loaded:\n{self.log}"
        if status in (401, 403):
            return any(self.runtime_dir.glob("server-*.sock"))
        return status == 200 and (told["role"] == "active" or not self._owns_home)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def _none_is_left(self) -> bool:
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body


def _marked(marks: tuple[bytes, ...]) -> Iterator[tuple[int, str]]:
    """Processes with a variable in their environment that begins so."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            variables = (entry / "environ").read_bytes().split(b"\0")
            if not any(variable.startswith(marks) for variable in variables):
                continue
            if (entry / "stat").read_bytes().rpartition(b") ")[2][:1] != b"Z":
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                yield int(entry.name), command.decode(errors="replace").strip()
