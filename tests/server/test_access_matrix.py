"""Each route, whoever asks: allowed, denied, not logged in; cookies, forged requests, foreign pages."""

from collections.abc import Callable, Iterator

import pytest

from jupyter_tasks.handlers.routes import ROUTES
from jupyter_tasks.openapi import Operation, Route
from tests.server.conftest import Answer, Server

ACTIONS = {"read", "write", "execute"}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Version": "13",
}
JOB = {"spec": {"command": "true"}}


def operations() -> Iterator[tuple[Route, str, Operation]]:
    for route in ROUTES:
        for method, operation in route.operations.items():
            yield route, method, operation


async def first_answer(
    server: Server, route: Route, method: str, job_id: str, *, token: bool = True
) -> Answer:
    """Status and headers of the route's answer; some answers never end."""
    path = route.path.format(job_id=job_id, path="none", name="none")
    body = b"" if method == "GET" else b'{"filter": {}}'
    headers = UPGRADE if route.path == "api/ws" else {}
    begun = await server.begin(method, path, body, token=token, **headers)
    answer = await begun.answer()
    begun.close()
    return answer


async def test_no_route_answers_who_is_not_logged_in(server: Server) -> None:
    job_id = (await server.submit())["id"]
    open_routes = []
    for route, method, _ in operations():
        answer = await first_answer(server, route, method, job_id, token=False)
        if answer.status != 403:
            open_routes.append((method, route.path, answer.status))
    assert open_routes == []


async def test_each_route_is_closed_to_who_lacks_its_action_alone(
    server: Server, allow: Callable[..., None]
) -> None:
    job_id = (await server.submit())["id"]
    open_routes = []
    for route, method, operation in operations():
        allow(*(ACTIONS - {operation.action}))
        answer = await first_answer(server, route, method, job_id)
        if answer.status != 403:
            open_routes.append((method, route.path, answer.status))
    assert open_routes == []


async def test_each_route_is_open_to_who_has_its_action_alone(
    server: Server, allow: Callable[..., None]
) -> None:
    closed_routes = []
    for route, method, operation in operations():
        allow("execute")
        job_id = (await server.submit())["id"]
        allow(operation.action)
        answer = await first_answer(server, route, method, job_id)
        if answer.status in (401, 403, 405) or answer.status >= 500:
            closed_routes.append((method, route.path, answer.status))
    assert closed_routes == []


async def test_a_method_of_the_table_is_a_method_of_the_handler(server: Server) -> None:
    for route in ROUTES:
        for method in {"GET", "POST", "PATCH", "DELETE"} - set(route.operations):
            answer = await first_answer(server, route, method, "0" * 16)
            assert answer.status == 405, (method, route.path)


# -- cookies


async def cookie(server: Server) -> str:
    """A browser's cookie, as it gets it by opening a page with the token."""
    answer = await server.ask("GET", f"api/status?token={server.token}", token=False)
    assert answer.status == 200
    name, _, value = answer.headers["Set-Cookie"].partition(";")[0].partition("=")
    return f"{name}={value}"


async def test_token_and_cookie_see_the_same_jobs(server: Server) -> None:
    job = await server.submit()
    answer = await server.ask("GET", "api/jobs", token=False, Cookie=await cookie(server))
    assert [one["id"] for one in answer.json["jobs"]] == [job["id"]]


async def test_a_cookie_alone_changes_nothing(server: Server) -> None:
    jar = await cookie(server)
    forged = []
    for route, method, operation in operations():
        if operation.action == "read":
            continue
        path = route.path.format(job_id="0" * 16, name="none")
        answer = await server.ask(method, path, b"{}", token=False, Cookie=jar)
        if answer.status != 403:
            forged.append((method, route.path, answer.status))
    assert forged == []


async def test_a_cookie_with_its_xsrf_token_does(server: Server) -> None:
    jar = f"{await cookie(server)}; _xsrf=abcdef"
    answer = await server.ask(
        "POST", "api/jobs", JOB, token=False, Cookie=jar, X_XSRFToken="abcdef"
    )
    assert answer.status == 201, answer.body


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
async def test_a_foreign_page_gets_nothing(server: Server, origin: str) -> None:
    jar = f"{await cookie(server)}; _xsrf=abcdef"
    headers = {"Cookie": jar, "X_XSRFToken": "abcdef", "Origin": origin}
    wrong = []
    for route, method, _ in operations():
        extra = UPGRADE if route.path == "api/ws" else {}
        path = route.path.format(job_id="0" * 16, path="none", name="none")
        begun = await server.begin(method, path, token=False, **headers, **extra)
        answer = await begun.answer()
        begun.close()
        if answer.status not in (403, 404) or "Access-Control-Allow-Origin" in answer.headers:
            wrong.append((method, route.path, answer.status))
    assert wrong == []


async def test_a_foreign_host_name_gets_nothing(server: Server) -> None:
    answer = await server.ask("GET", "api/jobs", Host="evil.example")
    assert answer.status == 403
    assert answer.json["code"] == "not_allowed"


# -- owners


async def test_the_owners_header_means_nothing_from_outside(server: Server) -> None:
    await server.submit()
    for owner in ("somebody", "*"):
        answer = await server.ask("GET", "api/jobs", X_Tasks_Owner=owner)
        assert len(answer.json["jobs"]) == 1
