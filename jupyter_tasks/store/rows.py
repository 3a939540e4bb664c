"""Rows to values of the model and back. The only place that knows how a value lies in a column.

It knows no connection. A row that this version cannot read (a kind of a later version, a damaged
spec) is reported and left out: it must not take a whole list with it.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter, itemgetter
from typing import Any, Final, get_args

import msgspec

from jupyter_tasks.model import (
    SPECS,
    Attempt,
    Change,
    CodeSpec,
    ExternalSpec,
    FunctionSpec,
    Job,
    Kind,
    Load,
    NotebookSpec,
    ShellSpec,
    Spec,
    State,
    folded,
)
from jupyter_tasks.store.columns import ATTEMPT, EDITABLE, EDITED, JOB, LIFE, NEW_AS_IS, UNLIVED

_log = logging.getLogger(__name__)

Row = Sequence[Any]
_of_job: Final = attrgetter(*JOB)
_of_attempt: Final = attrgetter(*ATTEMPT[1:])
_editable: Final = attrgetter("spec", *EDITABLE)
_life: Final = itemgetter(*LIFE)
_edited: Final = itemgetter(*EDITED)
_new_as_is: Final = attrgetter(*NEW_AS_IS)
_unlived: Final = attrgetter(*UNLIVED)
_UNLIVED: Final = tuple(UNLIVED.values())
KINDS: Final[tuple[str, ...]] = get_args(Kind)
#: The kinds that this version can read, as the JSON list that queries take.
KINDS_JSON: Final = msgspec.json.encode(KINDS).decode()
_EMPTY_SPECS: Final[dict[str, Callable[[], Spec]]] = {
    "shell": lambda: ShellSpec(command="", cwd=""),
    "code": lambda: CodeSpec(source="", cwd=""),
    "notebook": lambda: NotebookSpec(path="", root="", output="", cwd=""),
    "external": ExternalSpec,
    "function": lambda: FunctionSpec(task="", load=Load(), cwd=""),
}

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode: Final = msgspec.json.decode


def to_json(value: object) -> str:
    """The value as JSON text."""
    return _encode(value).decode()


def _values(job: Job) -> dict[str, Any]:
    values: dict[str, Any] = dict(zip(JOB, _of_job(job), strict=True))
    # Plain strings: sqlite3 looks for an adapter of every other class, slowly.
    values["state"] = job.state.value
    values["resume_to"] = None if job.resume_to is None else job.resume_to.value
    values["tags"] = _tags(job)
    values["progress"] = None if job.progress is None else to_json(job.progress)
    values["kind"] = job.kind
    values["folded"] = folded(job.name)
    return values


def _tags(job: Job) -> str:
    return to_json(job.tags) if job.tags else "[]"


def is_new(job: Job) -> bool:
    """Whether the job has not lived yet: ``new`` tells all about it."""
    return bool(_unlived(job) == _UNLIVED)


def new(job: Job, receipt: int | None) -> tuple[Any, ...]:
    """The job as parameters of add_new_job."""
    made = (job.state.value, _tags(job), job.kind, folded(job.name), receipt)
    return (*_new_as_is(job), *made)


def inserted(job: Job, receipt: int | None) -> tuple[Any, ...]:
    """The job as parameters of add_job."""
    return (*_values(job).values(), receipt)


def moved(after: Job, before: Job) -> tuple[Any, ...]:
    """The change as parameters of move_job."""
    return (*_life(_values(after)), before.id, before.version, after.version)


def edited(after: Job, before: Job) -> tuple[Any, ...]:
    """The change as parameters of edit_job."""
    return (*_edited(_values(after)), before.id, before.version, after.version)


def is_edit(after: Job, before: Job) -> bool:
    """Whether anything differs that only people change."""
    return bool(_editable(after) != _editable(before))


def number(jobs: Sequence[Job], first: int) -> None:
    """Number the new jobs. In place: copies would take a third of the time of a bulk submit."""
    for n, job in enumerate(jobs, first):
        object.__setattr__(job, "number", n)


def job_of(row: Row) -> Job | None:
    """The job of a row of {job}; None where this version cannot read it."""
    values = dict(zip(JOB, row[1:-1], strict=True))
    try:
        values["tags"] = _decode(values["tags"])
        if values["progress"] is not None:
            values["progress"] = _decode(values["progress"])
        values["spec"] = _decode(row[-1])
        if values["spec"].get("kind") != row[0]:
            raise msgspec.ValidationError("the kind of its spec is another")
        if row[0] not in SPECS:
            raise msgspec.ValidationError("its kind is of another version")
        values["spec"] = msgspec.convert(values["spec"], SPECS[row[0]])
        return msgspec.convert(values, Job)
    except msgspec.DecodeError as error:
        # No value is named: a spec can hold secrets.
        _log.warning("Left out job %s of kind %r: %s", values["id"], row[0], type(error).__name__)
        return None


def jobs_of(rows: Iterable[Row]) -> list[Job]:
    """The jobs of those rows that can be read."""
    return [job for row in rows if (job := job_of(row)) is not None]


def put(attempt: Attempt, job_number: int) -> tuple[Any, ...]:
    """The attempt as parameters of put_attempt."""
    number, state, *rest = _of_attempt(attempt)
    return (job_number, number, state.value, *rest)


def attempt_of(row: Row) -> Attempt:
    """The attempt of a row."""
    values = dict(zip(ATTEMPT, row, strict=True))
    values["state"] = State(values["state"])
    return Attempt(**values)


def was_values(job: Job) -> str:
    """What an event keeps of the job as it was: whatever a filter looks at."""
    return to_json(
        {
            "owner": job.owner,
            "kind": job.kind,
            "name": job.name,
            "tags": job.tags,
            "queue": job.queue,
            "state": job.state,
        }
    )


def change_of(row: Row) -> Change | None:
    """The change of an event's row; None where the job cannot be read."""
    seq, event, at, job_id, was, *now = row
    after = None if now[0] is None else job_of(now)
    if now[0] is not None and after is None:
        return None
    before = None if was is None else _before(job_id, _decode(was), after, at)
    if before is None and was is not None:
        return None
    return Change(event=event, at=at, before=before, after=after, seq=seq)


def _before(job_id: str, was: dict[str, Any], after: Job | None, at: float) -> Job | None:
    """The job as it was, as far as a filter looks; the rest is as it is now, or empty."""
    looks = {
        "name": was["name"],
        "tags": tuple(was["tags"]),
        "queue": was["queue"],
        "state": State(was["state"]),
    }
    if after is not None and after.kind == was["kind"]:
        return replace(after, **looks)
    if was["kind"] not in _EMPTY_SPECS:
        return None
    spec = _EMPTY_SPECS[was["kind"]]()
    return Job(
        id=job_id,
        owner=was["owner"],
        spec=spec,
        created_at=at,
        updated_at=at,
        **looks,
    )
