"""Every answer in every form: by the query string, by the header, and none that cannot be had."""

import csv
import io
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from jupyter_tasks.formats import FORMATS, MEDIA_TYPES
from tests.server.conftest import Server

#: What no form may stumble over.
ODD = "=1+1 <&>\x1b é\n]]>"
READERS: dict[str, Any] = {
    "csv": lambda text: next(csv.DictReader(io.StringIO(text, newline=""))),
    "xml": ET.fromstring,
    "yaml": yaml.safe_load,
    "text": str,
}


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "json"])
async def test_lists_and_single_things_come_in_every_form(server: Server, form: str) -> None:
    job = await server.submit(["printf", ODD], tags=["-odd"])
    await server.until(job["id"])
    for path in (
        "jobs",
        "jobs/{id}",
        "jobs/{id}/attempts",
        "tasks",
        "status",
        "jobs/{id}/artifacts",
    ):
        told = await server.ask("GET", f"api/{path.format(**job)}?format={form}")
        assert told.status == 200, told.body
        media = MEDIA_TYPES[form]  # type: ignore[index]
        assert told.headers["Content-Type"] == f"{media}; charset=utf-8"
        assert told.headers["X-Content-Type-Options"] == "nosniff"
    told = await server.ask("GET", f"api/jobs/{job['id']}?format={form}")
    read = READERS[form](told.body.decode())
    if form == "yaml":
        assert read == (await server.job(job["id"]))
    elif form == "csv":
        assert (read["id"], read["state"]) == (job["id"], "succeeded")
    elif form == "xml":
        assert read.findtext("state") == "succeeded"
    else:
        assert f"id: {job['id']}\n" in read
        assert "\x1b" not in read


async def test_a_page_of_jobs_as_csv_tells_where_it_goes_on(server: Server) -> None:
    for name in ("one", "two"):
        await server.submit(name=name)
    told = await server.ask("GET", "api/jobs?limit=1&format=csv")
    assert [row["name"] for row in csv.DictReader(io.StringIO(told.body.decode()))] == ["two"]
    after = told.headers["X-Tasks-Next"]
    told = await server.ask("GET", f"api/jobs?limit=1&format=csv&after={after}")
    assert [row["name"] for row in csv.DictReader(io.StringIO(told.body.decode()))] == ["one"]


async def test_the_header_says_it_too(server: Server) -> None:
    told = await server.ask("GET", "api/jobs", Accept="application/yaml")
    assert yaml.safe_load(told.body) == {"jobs": [], "next": None}


async def test_an_error_is_json_whatever_was_asked_for(server: Server) -> None:
    told = await server.ask("GET", "api/jobs/0000?format=xml")
    assert (told.status, told.json["code"]) == (404, "not_found")


async def test_an_unknown_format_is_refused_with_those_that_there_are(server: Server) -> None:
    told = await server.ask("GET", "api/jobs?format=toml")
    assert told.status == 400
    assert told.json["details"]["allowed"] == list(FORMATS)


async def test_what_cannot_be_answered_is_not_done(server: Server) -> None:
    body = {"spec": {"command": "true"}}
    told = await server.ask("POST", "api/jobs", body, Accept="image/png")
    assert (told.status, told.json["code"]) == (406, "not_acceptable")
    told = await server.ask("POST", "api/jobs?format=toml", body)
    assert told.status == 400
    assert (await server.ask("GET", "api/jobs")).json["jobs"] == []


async def test_a_page_in_a_browser_is_json_as_ever(server: Server) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert (await server.ask("GET", "api/jobs", Accept=accept)).json["jobs"] == []
