"""A real Jupyter server with the extension, in this process, and ways to ask it."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.auth import Authorizer
from tornado.httpclient import HTTPResponse
from tornado.httputil import HTTPHeaders
from tornado.iostream import IOStream
from tornado.tcpclient import TCPClient
from traitlets.config import Config

from jupyter_tasks.manager import Manager
from tests.eventually import eventually, eventually_async

ENDED = {"succeeded", "failed", "cancelled", "lost"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: HTTPHeaders
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class OnlyAllows(Authorizer):
    """Allows the actions on tasks that a test names."""

    actions: frozenset[str] = frozenset({"read", "write", "execute"})

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:  # noqa: ARG002
        return resource != "tasks" or action in type(self).actions


class Server:
    """The server, seen from outside."""

    def __init__(self, app: Any, client: Any, token: str, base_url: str) -> None:
        self.app = app
        self.client = client
        self.token = token
        self.base_url = base_url
        self.settings: dict[str, Any] = app.web_app.settings

    @property
    def manager(self) -> Manager:
        manager: Manager = self.settings["jupyter_tasks_manager"]
        return manager

    @property
    def port(self) -> int:
        port: int = self.client.get_http_port()
        return port

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: bool = True, **headers: str
    ) -> Answer:
        """One request below ``tasks/``; bytes are sent as they are, everything else as JSON."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        answer: HTTPResponse = await self.client.fetch(
            f"{self.base_url}tasks/{path}",
            method=method,
            body=sent,
            headers=self._headers(token, headers),
            allow_nonstandard_methods=True,
            raise_error=False,
            follow_redirects=False,
        )
        return Answer(status=answer.code, headers=answer.headers, body=answer.body or b"")

    async def begin(
        self, method: str, path: str, body: bytes = b"", *, token: bool = True, **headers: str
    ) -> "Begun":
        """Send a request by hand; for answers that do not end, or bodies that are never sent."""
        stream = await TCPClient().connect("127.0.0.1", self.port)
        named = {"Host": f"127.0.0.1:{self.port}", **self._headers(token, headers)}
        if body:
            named["Content-Length"] = str(len(body))
        lines = [f"{method} {self.base_url}tasks/{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in named.items()]
        await stream.write("\r\n".join([*lines, "", ""]).encode() + body)
        return Begun(stream)

    def _headers(self, token: bool, headers: Mapping[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return named | ({"Authorization": f"token {self.token}"} if token else {})

    # -- jobs

    async def submit(self, command: Any = "true", **fields: Any) -> dict[str, Any]:
        """A job that was accepted."""
        spec = fields.pop("spec", {})
        answer = await self.ask(
            "POST", "api/jobs", {"spec": {"command": command, **spec}, **fields}
        )
        assert answer.status == 201, answer.body
        job: dict[str, Any] = answer.json
        return job

    async def job(self, job_id: str) -> dict[str, Any]:
        """The job as it is now."""
        answer = await self.ask("GET", f"api/jobs/{job_id}")
        assert answer.status == 200, answer.body
        job: dict[str, Any] = answer.json
        return job

    async def until(self, job_id: str, *states: str) -> dict[str, Any]:
        """The job, once it is in one of the states (ended, by default)."""
        wanted = set(states) or ENDED

        async def reached() -> dict[str, Any] | None:
            job = await self.job(job_id)
            return job if job["state"] in wanted else None

        job = await eventually_async(reached, what=f"job {job_id} becomes {wanted}")
        assert job is not None
        return job


class Begun:
    """A request that was sent by hand, and its answer as far as one wants to read."""

    def __init__(self, stream: IOStream) -> None:
        self.stream = stream

    async def answer(self) -> Answer:
        """Status and headers, and the body where its length is told."""
        head = (await self.stream.read_until(b"\r\n\r\n")).decode("latin-1")
        first, _, rest = head.partition("\r\n")
        headers = HTTPHeaders.parse(rest.strip())
        length = int(headers.get("Content-Length", "0"))
        body = await self.stream.read_bytes(length) if length else b""
        return Answer(status=int(first.split()[1]), headers=headers, body=body)

    def close(self) -> None:
        self.stream.close()


@pytest.fixture
def state_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jt-state-"))
    yield folder

    def is_removed() -> bool:
        # A supervisor that has just found its attempt cancelled may still be taking back its files.
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    eventually(is_removed, what="the state directory is removed")


@pytest.fixture
def jp_server_config(state_dir: Path) -> Config:
    return Config(
        {
            "ServerApp": {
                "jpserver_extensions": {"jupyter_tasks": True, "jupyter_server_terminals": False},
                "authorizer_class": OnlyAllows,
            },
            "TasksExtension": {"state_dir": str(state_dir), "max_running": 2},
        }
    )


@pytest.fixture
def server(
    jp_serverapp: Any,
    http_server_client: Any,
    jp_asyncio_loop: Any,
    jp_base_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Server]:
    """The server, once it is in charge of its jobs.

    Supervisors outlive a server by design; those of a test's server must not outlive the test.
    """
    found = Server(
        jp_serverapp, http_server_client, jp_serverapp.identity_provider.token, jp_base_url
    )
    monkeypatch.setattr(OnlyAllows, "actions", OnlyAllows.actions)

    async def start() -> None:
        await jp_serverapp.extension_manager.start_all_extensions()

        async def is_active() -> bool:
            await found.ask("GET", "api/status")  # a server that nobody asks sleeps
            return found.manager.is_active and Path(found.settings["jupyter_tasks_socket"]).exists()

        await eventually_async(is_active, what="the server takes charge of its jobs")

    async def end_all_jobs() -> None:
        monkeypatch.setattr(OnlyAllows, "actions", frozenset({"read", "write", "execute"}))
        for _ in range(2):
            await found.ask("POST", "api/jobs/cancel", {"filter": {}})

        async def none_runs() -> bool:
            return found.manager.running == 0

        await eventually_async(none_runs, what="all jobs have ended")

    jp_asyncio_loop.run_until_complete(start())
    yield found
    jp_asyncio_loop.run_until_complete(end_all_jobs())


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Allow these actions alone from now on."""

    def only(*actions: str) -> None:
        monkeypatch.setattr(OnlyAllows, "actions", frozenset(actions))

    return only
