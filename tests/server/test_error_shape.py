"""Whatever goes wrong below tasks/, the answer has one shape."""

from typing import Any

import pytest

from tests.server.conftest import Answer, Server

NOBODY = "0123456789abcdef"


def told(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The error, if it is one in our shape."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    error: dict[str, Any] = answer.json
    assert list(error) == ["code", "message", "details", "request_id"]
    assert error["code"] == code
    assert error["message"]
    assert error["request_id"] == answer.headers["X-Request-Id"]
    return error


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "", 404, "not_found"),
        ("GET", "api", 404, "not_found"),
        ("GET", "api/nothing", 404, "not_found"),
        ("POST", "api/nothing", 404, "not_found"),
        ("GET", "api/jobs/", 404, "not_found"),
        ("GET", f"api/jobs/{NOBODY}", 404, "not_found"),
        ("DELETE", f"api/jobs/{NOBODY}", 404, "not_found"),
        ("POST", f"api/jobs/{NOBODY}/cancel", 404, "not_found"),
        ("GET", f"api/jobs/{NOBODY}/artifacts", 404, "not_found"),
        ("GET", "api/jobs/%00", 404, "not_found"),
        ("GET", "api/jobs/%FF", 400, "bad_request"),
        ("PUT", "api/jobs", 405, "method_not_allowed"),
        ("DELETE", "api/jobs", 405, "method_not_allowed"),
        ("GET", "api/jobs/cancel", 405, "method_not_allowed"),
        ("POST", "api/status", 405, "method_not_allowed"),
        ("GET", "api/jobs?after=nonsense", 400, "bad_message"),
        ("POST", "api/jobs", 400, "bad_message"),
    ],
)
async def test_an_error_has_the_one_shape(
    server: Server, method: str, path: str, status: int, code: str
) -> None:
    told(await server.ask(method, path), status, code)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "api/jobs"), ("POST", "api/jobs"), ("GET", "x")]
)
async def test_who_is_not_logged_in_is_told_how(server: Server, method: str, path: str) -> None:
    error = told(await server.ask(method, path, token=False), 403, "not_allowed")
    assert "Authorization: token" in error["message"]


async def test_a_method_that_is_not_there_is_told_which_are(server: Server) -> None:
    error = told(await server.ask("PUT", "api/jobs"), 405, "method_not_allowed")
    assert error["message"] == "PUT cannot be done here; these can: GET, POST."
    assert (await server.ask("PUT", "api/jobs")).headers["Allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Upgrade": "websocket"}, 400),
        ({"Upgrade": "websocket", "Connection": "Upgrade"}, 426),
    ],
)
async def test_what_is_no_websocket_is_refused_in_that_shape(
    server: Server, headers: dict[str, str], status: int
) -> None:
    told(await server.ask("GET", "api/ws", **headers), status, "bad_request")


async def test_a_name_that_is_none_of_this_machine_is_told_and_not_taken_for_a_wrong_token(
    server: Server,
) -> None:
    error = told(await server.ask("GET", "api/status", Host="evil.example"), 403, "not_allowed")
    assert "evil.example" in error["message"]
    assert error["details"] == {"host": "evil.example"}


async def test_a_missing_job_is_named(server: Server) -> None:
    error = told(await server.ask("GET", f"api/jobs/{NOBODY}"), 404, "not_found")
    assert NOBODY in error["message"]
    assert error["details"] == {"job": NOBODY}


async def test_a_callers_request_id_comes_back(server: Server) -> None:
    answer = await server.ask("GET", "api/nothing", X_Request_Id="mine-1")
    assert told(answer, 404, "not_found")["request_id"] == "mine-1"


@pytest.mark.parametrize("bad", ["x" * 101, "a b", "ä"])
async def test_a_request_id_that_could_do_harm_is_replaced(server: Server, bad: str) -> None:
    answer = await server.ask("GET", "api/nothing", X_Request_Id=bad)
    assert told(answer, 404, "not_found")["request_id"] != bad


async def test_every_answer_names_its_request(server: Server) -> None:
    answer = await server.ask("GET", "api/jobs")
    assert answer.headers["X-Request-Id"]
    assert answer.headers["Cache-Control"] == "no-store"
