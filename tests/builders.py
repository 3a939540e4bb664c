"""Values for tests: valid by default, with what a test is about given by name."""

import secrets
from dataclasses import fields, replace
from typing import Any

from jupyter_tasks.lifecycle import Event, attempt_after, event_name, step
from jupyter_tasks.model import Change, Job, Receipt, ShellSpec

_SPEC_FIELDS = {field.name for field in fields(ShellSpec)}


def a_spec(**given: Any) -> ShellSpec:
    """A command that succeeds."""
    values: dict[str, Any] = {"command": "true", "cwd": "/tmp", "env": {"LANG": "C"}}
    return ShellSpec(**(values | given))


def a_job(**given: Any) -> Job:
    """A queued shell job of ``ada``; ``command``, ``cwd``, ``env`` and the like go to its spec."""
    spec = a_spec(**{name: given.pop(name) for name in _SPEC_FIELDS & given.keys()})
    values: dict[str, Any] = {
        "id": secrets.token_hex(8),
        "owner": "ada",
        "spec": spec,
        "name": "make all",
        "created_at": 1000.0,
        "updated_at": 1000.0,
        "queued_at": 1000.0,
    }
    return Job(**(values | given))


def a_change(job: Job, event: Event, *, at: float = 2000.0, **also: Any) -> Change:
    """What the manager would commit after the event; ``also`` replaces fields of the job after."""
    after, _ = step(job, event, at)
    after = replace(after, **also)
    return Change(
        event=event_name(event),
        at=at,
        before=job,
        after=after,
        attempt=attempt_after(after, job, event),
    )


def a_deletion(job: Job, *, at: float = 3000.0) -> Change:
    """What the manager would commit to delete an ended job."""
    return Change(event="deleted", at=at, before=job, after=None)


def a_receipt(*jobs: Job, **given: Any) -> Receipt:
    """The receipt of a request that made those jobs."""
    values: dict[str, Any] = {
        "owner": "ada",
        "key": "key-1",
        "body_hash": "hash-1",
        "job_ids": tuple(job.id for job in jobs),
        "created_at": 1000.0,
    }
    return Receipt(**(values | given))
