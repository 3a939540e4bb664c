"""Where people are told apart, each has their own jobs; a stranger's job is as unknown as none."""

import sys
from typing import Any

import pytest
from jupyter_server.auth import IdentityProvider, User
from jupyter_server.auth.identity import PasswordIdentityProvider
from tornado import web
from traitlets.config import Config

from jupyter_tasks.handlers.base import TasksHandler, identifies_people
from jupyter_tasks.handlers.routes import ROUTES
from tests.server.conftest import Answer, Server


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


async def as_(name: str, server: Server, method: str, path: str, body: Any = None) -> Answer:
    return await server.ask(method, path, body, token=False, X_Test_User=name)


async def submitted_by(name: str, server: Server) -> str:
    answer = await as_(name, server, "POST", "api/jobs", {"spec": {"command": "exec sleep 600"}})
    assert (answer.status, answer.json["owner"]) == (201, name)
    job_id: str = answer.json["id"]
    return job_id


async def test_each_sees_their_own_jobs(server: Server) -> None:
    mine, other = await submitted_by("ada", server), await submitted_by("bob", server)
    assert [job["id"] for job in (await as_("ada", server, "GET", "api/jobs")).json["jobs"]] == [
        mine
    ]
    assert [job["id"] for job in (await as_("bob", server, "GET", "api/jobs")).json["jobs"]] == [
        other
    ]
    counts = (await as_("ada", server, "GET", "api/status")).json["counts"]
    assert sum(counts.values()) == 1
    await _end_all(server)


async def test_a_strangers_job_is_as_unknown_as_none(server: Server) -> None:
    job_id = await submitted_by("ada", server)
    known = []
    for route in ROUTES:
        if "{job_id}" not in route.path:
            continue
        for method in route.operations:
            body = {"version": 1} if method == "PATCH" else None
            path = route.path.format(job_id=job_id, path="x")
            theirs = await as_("bob", server, method, path, body)
            nobodys = await as_("bob", server, method, path.replace(job_id, "0" * 16), body)
            same = theirs.json["message"] == nobodys.json["message"].replace("0" * 16, job_id)
            if theirs.status != 404 or nobodys.status != 404 or not same:
                known.append((method, route.path, theirs.status, nobodys.status))
    assert known == []
    await _end_all(server)


async def test_a_bulk_action_reaches_ones_own_jobs_alone(server: Server) -> None:
    job_id = await submitted_by("ada", server)
    for wanted in ({}, {"ids": [job_id]}):
        answer = await as_("bob", server, "POST", "api/jobs/cancel", {"filter": wanted})
        assert answer.json["matched"] == 0
    await _end_all(server)


async def test_a_strangers_key_is_not_ones_own(server: Server) -> None:
    body = {"spec": {"command": "true"}}
    answers = [
        await server.ask(
            "POST", "api/jobs", body, token=False, X_Test_User=name, Idempotency_Key="k"
        )
        for name in ("ada", "bob")
    ]
    assert [answer.status for answer in answers] == [201, 201]
    await _end_all(server)


async def test_a_strangers_values_are_as_unknown_as_none(server: Server) -> None:
    said = await server.ask("POST", "api/inputs", b"x", token=False, X_Test_User="ada")
    spec = {"kind": "code", "source": "1", "python": sys.executable, "inputs": said.json["id"]}
    theirs = await as_("bob", server, "POST", "api/jobs", {"spec": spec})
    spec["inputs"] = "0" * 32
    nobodys = await as_("bob", server, "POST", "api/jobs", {"spec": spec})
    assert (theirs.status, nobodys.status) == (400, 400)
    assert theirs.json["message"].replace(said.json["id"], "0" * 32) == nobodys.json["message"]


async def _end_all(server: Server) -> None:
    for name in ("ada", "bob"):
        await as_(name, server, "POST", "api/jobs/cancel", {"filter": {}})


# -- which providers tell people apart


class _Handler:
    get_current_user = TasksHandler.get_current_user

    def __init__(self, provider: IdentityProvider) -> None:
        self.identity_provider = provider


class OwnLogin(web.RequestHandler):
    """A login handler of an older style, which knows its users."""

    @classmethod
    def get_user(cls, handler: Any) -> str:  # noqa: ARG003 - the older style
        return "ada"


@pytest.mark.parametrize("provider", [IdentityProvider, PasswordIdentityProvider])
def test_jupyters_own_providers_tell_nobody_apart(provider: type[IdentityProvider]) -> None:
    assert not identifies_people(_Handler(provider(token="x")))  # type: ignore[arg-type]  # noqa: S106


def test_a_provider_that_knows_its_users_tells_them_apart() -> None:
    assert identifies_people(_Handler(People(token="x")))  # type: ignore[arg-type]  # noqa: S106


def test_a_subclass_that_changes_nothing_about_users_tells_nobody_apart() -> None:
    class Renamed(PasswordIdentityProvider):
        pass

    assert not identifies_people(_Handler(Renamed(token="x")))  # type: ignore[arg-type]  # noqa: S106


def test_a_login_handler_that_knows_its_users_tells_them_apart() -> None:
    provider = PasswordIdentityProvider(token="x", login_handler_class=OwnLogin)  # noqa: S106
    assert identifies_people(_Handler(provider))  # type: ignore[arg-type]
