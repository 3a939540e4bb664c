"""Jupyter events: the schema knows all that can happen, and nothing of what a job runs."""

import asyncio
import json
from typing import Any

from jupyter_events import EventLogger

from jupyter_tasks import events, lifecycle
from jupyter_tasks.model import Change, Job, ShellSpec, State

SECRET = "hunter2"  # noqa: S105 - a word to look for


def schema() -> dict[str, Any]:
    logger = EventLogger()
    events.register(logger)
    found: dict[str, Any] = logger.schemas.get(events.JOB_SCHEMA_ID)._schema
    return found


def test_the_schema_knows_every_event_of_the_life_cycle() -> None:
    possible = {
        lifecycle.event_name(event.__new__(event))
        for row in lifecycle.TABLE.values()
        for event in row
    }
    known = set(schema()["properties"]["event"]["enum"])
    assert known == possible | {"submitted", "deleted"}


def test_the_schema_knows_every_state() -> None:
    assert set(schema()["properties"]["state"]["enum"]) == set(State)


async def test_an_event_reaches_its_listener_without_what_the_job_runs() -> None:
    logger = EventLogger()
    events.register(logger)
    events.register(logger)
    heard: list[dict[str, Any]] = []

    async def listen(logger: EventLogger, schema_id: str, data: dict[str, Any]) -> None:
        heard.append(data)

    logger.add_listener(schema_id=events.JOB_SCHEMA_ID, listener=listen)
    spec = ShellSpec(command=SECRET, cwd=f"/{SECRET}", env={"A": SECRET}, stdin=SECRET)
    job = Job(id="ab", owner=SECRET, name=SECRET, spec=spec, created_at=1, updated_at=1)
    events.emit(logger, Change(event="submitted", at=1.5, before=None, after=job, seq=7))
    await asyncio.gather(*logger._active_listeners)

    assert heard[0]["event"] == "submitted"
    assert (heard[0]["seq"], heard[0]["job"], heard[0]["state"]) == (7, "ab", "queued")
    assert SECRET not in json.dumps(heard)
