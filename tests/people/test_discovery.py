"""How a client finds its server: every way, their order, and what it says where there is none."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_server.auth import passwd

from jupyter_tasks.client import Client
from jupyter_tasks.client.core import Server
from jupyter_tasks.client.discovery import find, live_servers, split_url
from jupyter_tasks.errors import NoServer
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.people.conftest import point_to
from tests.stream_client import get, submit, until


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Jupyter runtime folder."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def living() -> Iterator[int]:
    """The id of a process that is no relative of ours."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as process:
        yield process.pid


def runtime_file(folder: Path, pid: int, *, age: float = 0.0, **fields: Any) -> str:
    """Write what a server writes about itself; its URL."""
    url = f"http://localhost:{pid}/"
    info = {"pid": pid, "base_url": "/", "url": url, "token": f"t{pid}", "sock": ""} | fields
    path = folder / f"jpserver-{pid}.json"
    path.write_text(json.dumps(info))
    os.utime(path, (1e9 - age, 1e9 - age))
    return str(info["url"])


def urls(environ: dict[str, str], url: str | None = None, token: str | None = None) -> list[str]:
    return [server.url for server in find(environ, url, token)]


# -- where to look -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "base", "token"),
    [
        ("http://h:1/", "http://h:1/", None),
        ("http://h:1", "http://h:1/", None),
        ("h:1", "http://h:1/", None),
        ("https://h/user/ann/lab?token=abc", "https://h/user/ann/", "abc"),
        ("http://h:1/a%40b/lab/tree/x.ipynb", "http://h:1/a%40b/", None),
        ("http://h:1/labs/", "http://h:1/labs/", None),
        ("http://h:1/tree?token=t#x", "http://h:1/", "t"),
    ],
)
def test_a_url_may_be_given_as_the_browser_shows_it(
    typed: str, base: str, token: str | None
) -> None:
    assert split_url(typed) == (base, token)


def test_what_is_named_is_asked_alone_and_arguments_come_before_the_environment(
    runtime: Path,
) -> None:
    runtime_file(runtime, os.getppid())
    environ = {"JUPYTER_TASKS_URL": "http://env/", "JUPYTER_TASKS_TOKEN": "te"}
    assert find(environ, "http://arg/", "ta") == [Server(url="http://arg/", token="ta")]  # noqa: S106
    [named] = find(environ, None, None)
    assert (named.url, named.token) == ("http://env/", "te")


def test_a_url_without_a_token_finds_it_in_the_runtime_folder(runtime: Path, living: int) -> None:
    url = runtime_file(runtime, living)
    assert [server.token for server in find({}, url, None)] == [f"t{living}"]


@pytest.mark.parametrize("typed", ["localhost:{0}", "127.0.0.1:{0}", "http://[::1]:{0}/lab"])
def test_a_servers_token_is_found_under_each_name_of_this_machine_and_goes_to_its_own(
    runtime: Path, living: int, typed: str
) -> None:
    url = runtime_file(runtime, living)
    [server] = find({}, typed.format(living), None)
    assert (server.url, server.token) == (url, f"t{living}")
    for other in (f"https://localhost:{living}", f"http://h:{living}", f"localhost:{living}/b"):
        assert find({}, other, None)[0].token is None


@pytest.mark.parametrize(
    "typed",
    [
        "http://ann:secret@127.0.0.1:1/?token=secret",
        "ann:secret@127.0.0.1:1/lab?token=secret",
        "http://ann:secret@[::1",
        "http://ann:sec@ret@127.0.0.1:x/?token=secret",
        "ftp://ann:secret@127.0.0.1:1/#secret",
        "ht tp://ann:secret@127.0.0.1:1/?token=secret",
    ],
)
def test_a_password_or_a_token_in_a_url_is_never_shown(runtime: Path, typed: str) -> None:
    assert runtime.exists()
    with pytest.raises(NoServer) as refused, Client(typed, patience_s=0) as client:
        client.status()
    told = f"{refused.value} {refused.value.details}"
    assert "127.0.0.1" in told or "[::1" in told
    assert "sec" not in told
    assert "secret" not in repr(Server(url="http://ann:secret@h/"))


@pytest.mark.parametrize("secret", ["s3cret\nx", "s3crét", "s3cret\udcff"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(runtime: Path, secret: str) -> None:
    for arguments in (({}, None, secret), ({"JUPYTER_TASKS_TOKEN": secret}, "localhost:1", None)):
        with pytest.raises(NoServer, match="token") as refused:
            find(*arguments)
        assert "s3cr" not in str(refused.value)


def test_the_end_of_the_line_that_held_a_token_is_none_of_it(runtime: Path) -> None:
    [server, *_] = find({"JUPYTER_TASKS_TOKEN": "t\n"}, "localhost:1", None)
    assert server.token == "t"  # noqa: S105 - a test's own


def test_a_running_servers_token_that_cannot_be_sent_is_left_out(
    runtime: Path, living: int
) -> None:
    runtime_file(runtime, living, token="té")  # noqa: S106 - a test's own
    assert [server.token for server in find({}, None, None) if not server.socket] == [None]


def test_the_server_that_started_this_process_comes_before_newer_ones(
    runtime: Path, living: int
) -> None:
    ours = runtime_file(runtime, os.getppid(), age=100)
    other = runtime_file(runtime, living)
    assert urls({})[:2] == [ours, other]
    assert urls({"JPY_PARENT_PID": str(living)})[0] == other


def test_what_a_server_has_started_finds_that_server(runtime: Path, living: int) -> None:
    """A job's processes are no children of the server; another server is newer."""
    with LiveServer() as server:
        job = submit(server, ["sh", "-c", 'echo "$JUPYTER_TASKS_SOCKET"'])
        until(server, job)
        with get(server, f"jobs/{job}/output") as answer:
            path = answer.read().decode().strip()
        runtime_file(runtime, living)
        assert find({"JUPYTER_TASKS_SOCKET": path}, None, None)[0].socket == path
    assert urls({"JUPYTER_TASKS_SOCKET": path})[0] == f"http://localhost:{living}/"  # it has gone


def test_on_a_hub_its_token_opens_the_users_own_server(runtime: Path, living: int) -> None:
    url = f"http://127.0.0.1:{living}/user/ann/"
    runtime_file(runtime, living, base_url="/user/ann/", url=url, token="")
    environ = {"JUPYTERHUB_SERVICE_PREFIX": "/user/ann/", "JUPYTERHUB_API_TOKEN": "hub"}
    assert (find(environ, None, None)[0].url, find(environ, None, None)[0].token) == (url, "hub")
    elsewhere = environ | {"JUPYTERHUB_SERVICE_PREFIX": "/user/bob/"}
    assert find(elsewhere, None, None)[0].token is None


def test_what_is_dead_broken_or_half_written_is_passed_over(runtime: Path, living: int) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    runtime_file(runtime, ended.pid)
    for name, text in (("a", ""), ("b", "{"), ("c", "[]"), ("d", "{}"), ("e", '{"pid": "x"}')):
        (runtime / f"jpserver-{name}.json").write_text(text)
    url = runtime_file(runtime, living)
    assert [file.server.url for file in live_servers()] == [url]


def test_a_socket_is_used_where_somebody_listens_and_no_other_account_can_have_put_it_there(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(os.environ["JUPYTER_TASKS_RUNTIME_DIR"])
    path = str(folder / "server-0123456789ab.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        assert find({}, None, None) == []
        listener.listen()
        assert [server.socket for server in find({}, None, None)] == [path]
        folder.chmod(0o777)
        assert find({}, None, None) == []


# -- with real servers -------------------------------------------------------------------------


@pytest.mark.usefixtures("at_home")
def test_without_arguments_the_running_server_is_found(server: LiveServer) -> None:
    with Client() as client:
        assert client.locate().url == server.url
        assert client.submit("true").wait(20).exit_code == 0


@pytest.mark.usefixtures("at_home")
def test_a_token_alone_is_for_the_server_that_is_found(server: LiveServer) -> None:
    with Client(token="wrong") as client:  # noqa: S106 - on purpose
        assert client.locate().socket is not None
    with Client(token=server.token) as client:
        assert client.locate().url == server.url


def test_a_wrong_token_is_told_with_the_remedy(server: LiveServer) -> None:
    with (
        Client(server.url, "wrong") as client,
        pytest.raises(NoServer, match=r"refuses the token: .*JUPYTER_TASKS_TOKEN") as caught,
    ):
        client.status()
    assert "wrong" not in caught.value.message


def test_where_nothing_runs_one_is_told_what_to_start(runtime: Path) -> None:
    with Client() as client, pytest.raises(NoServer, match=r"`jupyter lab` or `jupyter server`"):
        client.status()


def test_a_port_where_nobody_listens_is_told(server: LiveServer) -> None:
    with Client("http://127.0.0.1:1/") as client, pytest.raises(NoServer, match="does not answer"):
        client.status()


@pytest.mark.parametrize("url", ["http://", "ftp://x/", "http://[x/", "http://127.0.0.1:99999/"])
def test_what_is_no_url_is_told(url: str) -> None:
    with Client(url) as client, pytest.raises(NoServer):
        client.status()


def test_a_server_without_the_extension_is_told_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LiveServer(extension=False) as bare:
        point_to(bare, monkeypatch)
        with Client() as client, pytest.raises(NoServer, match="install it into that server's"):
            client.status()


def test_with_a_password_and_no_token_the_owners_socket_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    password = f"--PasswordIdentityProvider.hashed_password={passwd('a password')}"
    with LiveServer(password, token="") as closed:
        point_to(closed, monkeypatch)
        assert closed.ask("GET", "tasks/api/status")[0] == 403
        with Client() as client:
            handle = client.submit("echo by the back door").wait(20)
            assert handle.output() == b"by the back door\n"
            assert b"".join(data for _, data in handle.logs(follow=True)) == b"by the back door\n"
            assert client.locate().socket is not None


class SocketServer(LiveServer):
    """A Jupyter server that listens on a UNIX socket alone."""

    @property
    def path(self) -> str:
        return f"{self.home}/j.sock"

    def _command(self) -> list[str]:
        command = [word for word in super()._command() if not word.startswith("--ServerApp.port")]
        return [*command, f"--ServerApp.sock={self.path}"]

    def _answers(self) -> bool:
        """It listens before it has written the file by which it is found; an answer comes after."""
        assert self.process is not None
        assert self.process.poll() is None, self.log
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(20)
            if probe.connect_ex(self.path) != 0:
                return False
            probe.sendall(b"GET /api HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return b" 200 " in probe.recv(64)


def test_a_server_that_listens_on_a_unix_socket_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with SocketServer() as hidden:
        point_to(hidden, monkeypatch)
        with Client() as client:
            assert client.locate().socket == hidden.path
            assert client.submit("echo x").wait(20).output() == b"x\n"


def test_a_kernel_finds_the_server_that_started_it_though_a_newer_one_runs(
    server: LiveServer,
) -> None:
    with LiveServer() as newer:
        _, kernel = server.ask("POST", "api/kernels", {"name": "python3"})
        file = server.home / "runtime" / f"kernel-{kernel['id']}.json"
        for path in (newer.home / "runtime").glob("jpserver-*.json"):
            (server.home / "runtime" / path.name).write_bytes(path.read_bytes())
        try:
            assert in_kernel(file, "import jupyter_tasks as j; print(j.Client().locate().url)") == (
                f"{server.url}\n"
            )
            command = "!{__import__('sys').executable} -m jupyter_tasks.cli status | head -1"
            assert server.url in in_kernel(file, command)
        finally:
            server.ask("DELETE", f"api/kernels/{kernel['id']}")


def in_kernel(connection_file: Path, code: str) -> str:
    """What the code prints in a running kernel."""
    kernel = BlockingKernelClient(connection_file=str(connection_file))
    kernel.load_connection_file()
    kernel.start_channels()
    printed: list[str] = []
    try:
        kernel.wait_for_ready(timeout=30)
        kernel.execute_interactive(
            code,
            timeout=30,
            output_hook=lambda message: printed.append(message["content"].get("text", "")),
        )
    finally:
        kernel.stop_channels()
    return "".join(printed)


def test_when_its_server_dies_the_client_goes_over_to_the_users_other_one(
    own_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_server.start()
    point_to(own_server, monkeypatch)
    second = LiveServer(home=own_server.home)
    with Client() as client:
        assert client.locate().url == own_server.url
        handle = client.submit(
            "while [ ! -e go ]; do echo tick; sleep 0.01; done; echo end", cwd="."
        )
        printed, lines = b"", 0
        for _, data in handle.logs(follow=True):
            printed += data
            lines += data.count(b"\n")
            if second.process is None and lines >= 3:
                second.start()
                own_server.kill()
                (own_server.root_dir / "go").touch()
        assert client.locate().url == second.url
        assert handle.refresh().exit_code == 0
        assert printed == handle.output()
        assert printed.endswith(b"tick\nend\n")
    second.close()
    eventually(lambda: not second.processes())
