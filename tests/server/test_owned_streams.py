"""Streams show nobody another one's jobs, and open for nobody who may not read."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from jupyter_server.auth import IdentityProvider, User
from tornado import web
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect
from traitlets.config import Config

from tests.server.conftest import Server
from tests.stream_client import Socket, closed


class People(IdentityProvider):
    """Takes whoever the test says."""

    def get_user(self, handler: web.RequestHandler) -> User | None:
        name = handler.request.headers.get("X-Test-User")
        return User(username=name) if name else None

    def is_token_authenticated(self, handler: web.RequestHandler) -> bool:  # noqa: ARG002
        return True


@pytest.fixture
def jp_server_config(jp_server_config: Config) -> Config:
    jp_server_config.ServerApp.identity_provider_class = People
    return jp_server_config


@asynccontextmanager
async def socket_of(name: str, server: Server) -> AsyncIterator[Socket]:
    url = f"ws://127.0.0.1:{server.port}{server.base_url}tasks/api/ws"
    connection = await websocket_connect(HTTPRequest(url, headers={"X-Test-User": name}))
    try:
        yield Socket(connection)
    finally:
        await closed(connection)


async def submitted_by(name: str, server: Server) -> str:
    body = {"spec": {"command": "echo a secret"}}
    answer = await server.ask("POST", "api/jobs", body, token=False, X_Test_User=name)
    assert answer.status == 201
    job_id: str = answer.json["id"]
    return job_id


async def test_a_watch_shows_only_ones_own_jobs(server: Server) -> None:
    async with socket_of("bob", server) as ws:
        before = await submitted_by("ada", server)
        await ws.send(type="watch", id=1, filter={})
        snapshot, _ = await ws.until("live")
        await submitted_by("ada", server)
        await ws.send(type="watch", id=2, filter={"ids": [before]})
        named, _ = await ws.until("live")
        own = await submitted_by("bob", server)
        frame = await ws.frame()

    assert (snapshot["jobs"], named["jobs"]) == ([], [])
    assert (frame["id"], frame["job"]["id"], frame["job"]["owner"]) == (1, own, "bob")


async def test_the_past_of_other_peoples_jobs_is_not_told_either(server: Server) -> None:
    await submitted_by("ada", server)
    own = await submitted_by("bob", server)
    await submitted_by("ada", server)
    async with socket_of("bob", server) as ws:
        await ws.send(type="watch", id=1, filter={}, after=0)
        told = (await ws.until("live"))[:-1]
    assert {frame["job"]["id"] for frame in told} == {own}


async def test_a_strangers_output_is_as_unknown_as_none(server: Server) -> None:
    job = await submitted_by("ada", server)
    async with socket_of("bob", server) as ws:
        await ws.send(type="read", id=1, job=job)
        theirs = await ws.frame()
        await ws.send(type="read", id=1, job="0" * 16)
        nobodys = await ws.frame()
    assert (theirs["type"], theirs["code"]) == ("error", "not_found")
    assert theirs["message"].replace(job, "0" * 16) == nobodys["message"]


async def test_who_may_not_read_gets_no_socket(server: Server, allow: Callable[..., None]) -> None:
    allow("write", "execute")
    with pytest.raises(HTTPClientError) as refused:
        async with socket_of("ada", server):
            pass
    assert refused.value.code == 403


async def test_events_tell_only_of_ones_own_jobs(server: Server) -> None:
    begun = await server.begin("GET", "api/events", token=False, X_Test_User="bob")
    await begun.answer()
    await submitted_by("ada", server)
    own = await submitted_by("bob", server)
    told = b""
    while b'"owner":"bob"' not in told:
        told += await begun.stream.read_bytes(65536, partial=True)
    begun.close()
    assert own.encode() in told
    assert b"ada" not in told
