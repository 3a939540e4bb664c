"""The owner-only UNIX socket, and servers that have the active one do what changes anything."""

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyter_tasks import posix
from jupyter_tasks.errors import ManagerStalled, NoActiveManager
from jupyter_tasks.handlers import forward, unix_socket
from jupyter_tasks.handlers.forward import Forwarded
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.server.conftest import Server

CURL = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
peer.sendall(b"GET /tasks/api/status HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
sys.stdout.buffer.write(peer.recv(15))
"""


@pytest.fixture
def own_runtime_dir(_own_runtime_dir: Path) -> Path:
    return _own_runtime_dir


def socket_of(server: Server) -> Path:
    return Path(server.settings["jupyter_tasks_socket"])


async def ask(path: Path, method: str, route: str, body: Any = None, **headers: str) -> Any:
    """Status and JSON of a request through the socket."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = b"" if body is None else json.dumps(body).encode()
    answer = await forward.send(
        path, Forwarded(method=method, path=f"/tasks/{route}", headers=named, body=sent)
    )
    assert answer is not None
    return answer.code, json.loads(answer.body) if answer.body else None


# -- the socket


async def test_the_socket_is_its_owners_alone(server: Server) -> None:
    path = socket_of(server)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_the_socket_takes_no_token_and_sees_the_accounts_jobs(server: Server) -> None:
    job = await server.submit()
    status, page = await ask(socket_of(server), "GET", "api/jobs")
    assert (status, [one["id"] for one in page["jobs"]]) == (200, [job["id"]])


async def test_a_job_submitted_at_the_socket_is_seen_with_the_token(server: Server) -> None:
    status, job = await ask(socket_of(server), "POST", "api/jobs", {"spec": {"command": "true"}})
    assert status == 201
    assert (await server.until(job["id"]))["state"] == "succeeded"


async def test_at_the_socket_an_owner_may_be_named(server: Server) -> None:
    path, body = socket_of(server), {"spec": {"command": "true"}}

    _, job = await ask(path, "POST", "api/jobs", body, X_Tasks_Owner="ad%C3%A9")

    assert job["owner"] == "adé"
    assert (await ask(path, "GET", f"api/jobs/{job['id']}"))[0] == 404
    assert (await server.ask("GET", f"api/jobs/{job['id']}")).status == 404
    assert (await ask(path, "GET", f"api/jobs/{job['id']}", X_Tasks_Owner="*"))[0] == 200


async def test_nobody_submits_for_everybody(server: Server) -> None:
    body = {"spec": {"command": "true"}}
    status, error = await ask(socket_of(server), "POST", "api/jobs", body, X_Tasks_Owner="*")
    assert (status, error["code"]) == (403, "not_allowed")


async def test_a_folder_is_meant_below_the_root_of_the_server_that_was_asked(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "a b").mkdir()
    root = str(tmp_path).replace(" ", "%20")
    body = {"spec": {"command": "true", "cwd": "a b"}}

    _, job = await ask(socket_of(server), "POST", "api/jobs", body, X_Tasks_Root_Dir=root)

    assert job["spec"]["cwd"] == str(tmp_path / "a b")


async def test_errors_have_the_one_shape_at_the_socket(server: Server) -> None:
    status, error = await ask(socket_of(server), "GET", "nothing")
    assert (status, list(error)) == (404, ["code", "message", "details", "request_id"])


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as somebody else")
async def test_another_user_is_refused_even_where_the_folder_lets_him_in(server: Server) -> None:
    path = socket_of(server)

    def as_(user: int) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-I", "-S", "-c", CURL, str(path), str(user)]
        return subprocess.run(command, capture_output=True, check=False)

    loop = asyncio.get_running_loop()
    shut_out = await loop.run_in_executor(None, as_, 65534)
    path.chmod(0o666)
    path.parent.chmod(0o777)
    let_in = await loop.run_in_executor(None, as_, 65534)
    owner = await loop.run_in_executor(None, as_, 0)
    path.parent.chmod(0o700)

    assert b"PermissionError" in shut_out.stderr
    assert let_in.stdout == b""
    assert owner.stdout.startswith(b"HTTP/1.1 200")


async def test_the_socket_goes_with_its_server_and_replaces_what_is_left_over(
    server: Server, own_runtime_dir: Path
) -> None:
    path = own_runtime_dir / "other.sock"
    close_first = unix_socket.serve(path, server.settings)
    close_second = unix_socket.serve(path, server.settings)

    close_first()
    assert (await ask(path, "GET", "api/status"))[0] == 200
    close_second()
    assert not path.exists()


# -- forwarding


async def test_a_request_that_reaches_nobody_may_be_repeated(tmp_path: Path) -> None:
    request = Forwarded(method="GET", path="/tasks/api/status", headers={}, body=b"")
    assert await forward.send(tmp_path / "nobody.sock", request) is None


@pytest.mark.parametrize(("headers", "repeats"), [({}, False), ({"Idempotency-Key": "k"}, True)])
async def test_a_request_that_was_under_way_is_repeated_only_with_a_key(
    own_runtime_dir: Path, headers: dict[str, str], repeats: bool
) -> None:
    path = own_runtime_dir / "dying.sock"

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Show once that it lives, and go at the request itself."""
        if (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    request = Forwarded(method="POST", path="/tasks/api/jobs", headers=headers, body=b"{}")
    async with await asyncio.start_unix_server(die, path):
        if repeats:
            assert await forward.send(path, request) is None
        else:
            with pytest.raises(NoActiveManager, match="may have been done"):
                await forward.send(path, request)


async def test_a_request_whose_server_falls_silent_may_have_been_done(
    own_runtime_dir: Path,
) -> None:
    path = own_runtime_dir / "silent.sock"
    is_silent = asyncio.Event()
    over = asyncio.Event()

    async def fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not is_silent.is_set() and (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        else:
            is_silent.set()
            await over.wait()
        writer.close()

    request = Forwarded(
        method="POST", path="/tasks/api/jobs", headers={"Idempotency-Key": "k"}, body=b"{}"
    )
    async with await asyncio.start_unix_server(fall_silent, path):
        with pytest.raises(ManagerStalled, match=f"process {os.getpid()}, does not answer") as told:
            await forward.send(path, request)
        over.set()
    assert told.value.details["maybe_done"] is True


async def test_a_follower_waits_for_a_take_over_no_longer_than_it_may_last() -> None:
    assert sum(forward.delays()) == pytest.approx(2.0)


async def test_a_waiting_request_is_woken_by_the_take_over() -> None:
    taken_over = asyncio.Event()
    waiting = asyncio.ensure_future(forward.is_set_within(taken_over, 60))
    taken_over.set()
    assert await asyncio.wait_for(waiting, 1)
    assert not await forward.is_set_within(asyncio.Event(), 0.01)


@pytest.fixture
def pair() -> Iterator[tuple[LiveServer, LiveServer]]:
    """An active server, and one under another prefix that follows it."""
    with LiveServer() as active:
        eventually(lambda: role(active) == "active", what="the first server takes charge")
        with LiveServer(base_url="/a%40b/", home=active.home) as following:
            yield active, following


def role(server: LiveServer) -> str:
    word: str = server.ask("GET", "tasks/api/status")[1]["role"]
    return word


def test_a_following_server_has_the_active_one_do_all_that_changes_jobs(
    pair: tuple[LiveServer, LiveServer],
) -> None:
    active, following = pair
    assert (role(active), role(following)) == ("active", "following")

    status, job = following.ask("POST", "tasks/api/jobs", {"spec": {"command": "exec sleep 600"}})
    assert status == 201, job
    place = f"tasks/api/jobs/{job['id']}"
    edit = {"version": 0}
    assert following.ask("PATCH", place, edit)[0] == 400
    assert following.ask("DELETE", place)[0] == 409
    assert following.ask("POST", f"{place}/cancel", {"reason": "superseded"})[0] == 202
    eventually(lambda: active.ask("GET", place)[1]["state"] == "cancelled", what="it is cancelled")
    assert following.ask("GET", place)[1]["reason"] == "superseded"
    assert following.ask("POST", "tasks/api/jobs/delete", {"filter": {}})[1]["done"] == 1
    assert active.ask("GET", place)[0] == 404


def test_a_forwarded_answer_speaks_of_the_server_that_was_asked(
    pair: tuple[LiveServer, LiveServer],
) -> None:
    _, following = pair
    answer = httpx.post(
        f"{following.url}tasks/api/jobs",
        json={"spec": {"command": "true"}},
        headers={"Authorization": f"token {following.token}", "X-Request-Id": "mine"},
    )
    place = f"/a%40b/tasks/api/jobs/{answer.json()['id']}"
    assert (answer.headers["Location"], answer.headers["X-Request-Id"]) == (place, "mine")


def test_what_a_following_server_submits_runs_in_the_owners_name(
    pair: tuple[LiveServer, LiveServer],
) -> None:
    active, following = pair
    _, mine = active.ask("POST", "tasks/api/jobs", {"spec": {"command": "true"}})
    _, other = following.ask("POST", "tasks/api/jobs", {"spec": {"command": "true"}})
    assert mine["owner"] == other["owner"]
    assert mine["spec"]["cwd"] == other["spec"]["cwd"]


def test_a_change_that_is_asked_for_during_a_take_over_is_done(
    pair: tuple[LiveServer, LiveServer],
) -> None:
    active, following = pair
    active.kill()
    status, job = following.ask("POST", "tasks/api/jobs", {"spec": {"command": "true"}})
    assert status == 201, job
    assert role(following) == "active"
    eventually(
        lambda: following.ask("GET", f"tasks/api/jobs/{job['id']}")[1]["state"] == "succeeded",
        what="the job runs on the server that took over",
    )


def test_while_nobody_is_in_charge_a_change_is_refused_in_time_and_looking_goes_on(
    tmp_path: Path, own_runtime_dir: Path
) -> None:
    state_dir = posix.private_dir(tmp_path / "state")
    lock = posix.take_lock(state_dir / "manager.lock")
    assert lock is not None
    option = f"--TasksExtension.state_dir={state_dir}"
    with LiveServer(option, home=own_runtime_dir) as server:
        began = time.monotonic()
        status, error = server.ask("POST", "tasks/api/jobs", {"spec": {"command": "true"}})
        took_s = time.monotonic() - began

        assert (status, error["code"]) == (503, "no_active_manager")
        assert took_s == pytest.approx(2.0, abs=1.5)
        assert server.ask("GET", "tasks/api/jobs")[0] == 200

        posix.release_lock(lock)
        eventually(lambda: role(server) == "active", what="it takes charge once the lock is free")
