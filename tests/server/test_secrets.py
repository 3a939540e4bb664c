"""What must not be known does not get about: not in logs, not in events, not in process arguments."""

import json
import logging
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_tasks import events
from tests.eventually import eventually_async
from tests.server.conftest import Server

SECRET = "hunter2secret"  # noqa: S105 - a word to look for


async def test_no_secret_reaches_the_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    spec = {"command": f"cat; exit 3 # {SECRET}", "env": {"TOKEN": SECRET}, "stdin": SECRET}
    answer = await server.ask("POST", "api/jobs", {"spec": spec}, X_My_Header=SECRET)
    await server.until(answer.json["id"])
    for wrong in ({"env": {"TOKEN": f"{SECRET}\0"}}, {"cwd": "gone", "stdin": SECRET}):
        await server.ask("POST", "api/jobs", {"spec": {**spec, **wrong}}, X_My_Header=SECRET)
    await server.ask("POST", "api/jobs", f'{{"spec": {SECRET}'.encode())
    assert caplog.records
    assert SECRET not in caplog.text


async def test_no_secret_reaches_process_arguments(server: Server) -> None:
    spec = {"env": {"TOKEN": SECRET}, "stdin": SECRET}
    job = await server.submit("exec sleep 600", spec=spec)
    await server.until(job["id"], "running")
    seen = [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
    assert any("sleep 600" in line for line in seen)
    assert not any(SECRET in line for line in seen)


async def test_state_directory_and_files_are_the_owners_alone(
    server: Server, state_dir: Path
) -> None:
    job = await server.submit("echo hi", spec={"env": {"TOKEN": SECRET}})
    await server.until(job["id"])
    files = [path for path in state_dir.rglob("*") if not path.is_dir()]
    attempt = next(path for path in files if path.name == "spec.json").parent
    open_ = [str(path) for path in [state_dir, attempt, *files] if path.stat().st_mode & 0o077]
    assert open_ == []


async def test_jupyters_events_tell_what_happens_and_no_secret(server: Server) -> None:
    heard: list[dict[str, Any]] = []

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        heard.append(data)

    server.app.event_logger.add_listener(schema_id=events.JOB_SCHEMA_ID, listener=listen)
    job = await server.submit(f"sleep 0.1 # {SECRET}", spec={"env": {"TOKEN": SECRET}})

    async def told() -> bool:
        return len(heard) >= 4

    await eventually_async(told, what="four events are heard")
    assert [one["event"] for one in heard] == ["submitted", "slot_given", "claimed", "ended"]
    assert {one["job"] for one in heard} == {job["id"]}
    assert SECRET not in json.dumps(heard)
