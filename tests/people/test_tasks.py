"""Tasks as people use them: the client registers and runs, the command line lists and calls."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks import AsyncClient, Client, CommandTask, Field, task
from jupyter_tasks.errors import (
    BadFields,
    BadValue,
    CallFailed,
    NameTaken,
    NoSuchThing,
    NotConfirmed,
)
from tests.live_server import LiveServer
from tests.values_client import by_value

pytestmark = pytest.mark.timeout(120)
WITHIN_S = 60
MODULE = """
from jupyter_tasks import task

@task(category="Sums", title="Add up")
def add_up(numbers: list[int], scale: float = 1.0):
    "Add numbers."
    return sum(numbers) * scale

@task(dangerous="may lock tables")
def vacuum():
    return "done"

@task
def fails():
    raise ValueError("not today")
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with tempfile.TemporaryDirectory(prefix="jt-tasks-") as folder:
        file = Path(folder, "sums.py")
        file.write_text(MODULE)
        with LiveServer(f"--TasksExtension.task_modules={file}") as server:
            yield server


def test_tasks_are_listed_with_their_fields(client: Client) -> None:
    assert {"add_up", "vacuum", "fails"} <= {one["name"] for one in client.tasks()}
    assert client.task("add_up")["title"] == "Add up"
    assert client.task_notes() == []
    with pytest.raises(NoSuchThing, match="no task 'nothing'"):
        client.task("nothing")


def test_a_job_of_a_task_has_its_options_and_its_value(client: Client) -> None:
    job = client.submit_task("add_up", {"numbers": (1, 2)}, tags=["x"], name="sum")
    assert (job.wire["name"], job.wire["tags"]) == ("sum", ["x"])
    assert job.result(WITHIN_S) == 3.0


def test_a_run_returns_what_the_task_returned_or_raises_what_it_raised(client: Client) -> None:
    assert client.run("add_up", {"numbers": [1], "scale": 2}, wait_s=WITHIN_S) == 2.0
    with pytest.raises(CallFailed, match="ValueError: not today"):
        client.run("fails", wait_s=WITHIN_S)


def test_every_bad_field_is_named(client: Client) -> None:
    with pytest.raises(BadFields) as caught:
        client.submit_task("add_up", {"numbers": ["a"], "scale": "b", "c": 1})
    assert set(caught.value.details["fields"]) == {"numbers", "scale", "c"}


def test_a_dangerous_task_is_confirmed_or_not_run(client: Client) -> None:
    with pytest.raises(NotConfirmed, match="may lock tables"):
        client.run("vacuum")
    assert client.run("vacuum", confirmed=True, wait_s=WITHIN_S) == "done"


def test_a_function_of_a_notebook_becomes_a_task(client: Client) -> None:
    offset = 100

    @task(title="Year", name="year.of")
    @by_value
    def year(when: datetime, path: Path | None = None) -> list[Any]:
        """Tell the year."""
        return [when.year + offset, type(path).__name__]

    told = client.register(year)
    assert (told["name"], told["title"], told["source"]) == ("year.of", "Year", "value")
    when = datetime(2030, 1, 1)  # noqa: DTZ001 - as people write it
    assert client.run("year.of", {"when": when}, wait_s=WITHIN_S) == [2130, "NoneType"]
    with pytest.raises(NameTaken, match="exists already"):
        client.register(year)
    client.unregister("year.of")
    with pytest.raises(NoSuchThing):
        client.unregister("year.of")


def test_a_function_that_cannot_be_carried_is_not_registered(client: Client) -> None:
    lock = threading.Lock()

    def broken() -> bool:
        return lock.locked()

    with pytest.raises(BadValue, match="`function` cannot be carried"):
        client.register(by_value(broken))
    assert "broken" not in {one["name"] for one in client.tasks()}


def test_a_command_is_registered_from_python(client: Client) -> None:
    echo = CommandTask(
        name="echo", command=["echo", "{what}"], fields=[Field(name="what", type="str")]
    )
    client.register(echo)
    job = client.submit_task("echo", {"what": "a  b"}).wait(WITHIN_S)
    assert job.output() == b"a  b\n"
    client.unregister("echo")


def test_all_of_it_can_be_awaited(server: LiveServer) -> None:
    async def work() -> Any:
        async with AsyncClient(server.url, server.token) as client:
            await client.register(by_value(lambda n: n + 1), name="next")
            job = await client.submit_task("next", {"n": 1})
            told = [await job.result(WITHIN_S), await client.run("next", {"n": 2}, wait_s=WITHIN_S)]
            await client.unregister("next")
            return told, {one["name"] for one in await client.tasks()}

    told, names = asyncio.run(work())
    assert told == [2, 3]
    assert "next" not in names


# -- the command line ------------------------------------------------------------------------------


def cli(server: LiveServer, *argv: str) -> "subprocess.CompletedProcess[str]":
    environment = {"JUPYTER_TASKS_URL": server.url, "JUPYTER_TASKS_TOKEN": server.token}
    command = [sys.executable, "-m", "jupyter_tasks.cli", *argv]
    return subprocess.run(
        command,
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_the_command_line_lists_shows_and_calls(server: LiveServer) -> None:
    listed = cli(server, "tasks")
    assert "add_up  Sums      Add up\n" in listed.stdout, listed
    shown = cli(server, "tasks", "add_up").stdout
    assert "numbers  list of int" in shown
    assert "scale    float; default 1.0" in shown
    called = cli(server, "call", "add_up", "numbers=1", "numbers=2", "scale=0.5", "--wait")
    assert (called.stdout, called.returncode) == ("1.5\n", 0), called
    job_id = cli(server, "call", "add_up", "numbers=[]").stdout.strip()
    assert cli(server, "wait", job_id).returncode == 0


def test_the_command_line_names_every_bad_field(server: LiveServer) -> None:
    called = cli(server, "--json", "call", "add_up", "numbers=x", "what=1")
    assert called.returncode != 0
    assert set(json.loads(called.stderr)["details"]["fields"]) == {"numbers", "what"}
    assert cli(server, "call", "add_up", "numbers").returncode != 0


def test_the_command_line_does_what_is_dangerous_only_where_it_is_told(server: LiveServer) -> None:
    refused = cli(server, "call", "vacuum", "--wait")
    assert refused.returncode != 0
    assert "may lock tables" in refused.stderr
    assert cli(server, "call", "vacuum", "--wait", "--yes").stdout == "done\n"
