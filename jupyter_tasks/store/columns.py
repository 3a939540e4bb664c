"""Which fields of the model lie in which columns, and the lists of them that queries.sql needs.

It knows neither a value nor a connection.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final

from jupyter_tasks.model import Attempt, Job

#: A job's fields with a column of that name, in their order; the spec lies in a table of its own.
JOB: Final = tuple(field.name for field in fields(Job) if field.name != "spec")
#: What never changes.
_FIXED: Final = ("id", "owner", "number", "created_at")
#: What only people change, besides the spec.
EDITABLE: Final = (
    *("name", "tags", "queue", "priority", "timeout_s", "memory_bytes", "grace_s"),
    *("max_output_bytes", "on_lost"),
)
#: What its life changes.
LIFE: Final = tuple(name for name in JOB if name not in {*_FIXED, *EDITABLE})
#: Columns that are made of others for the sake of queries, and the receipt of the request.
_MADE: Final = ("kind", "folded")
INSERTED: Final = (*JOB, *_MADE, "receipt")
#: Of its life: what is known of a job when it is submitted. Of the rest, what stands there until then.
_AT_BIRTH: Final = ("state", "reason", "updated_at", "due_at", "queued_at")
UNLIVED: Final[dict[str, Any]] = {
    field.name: field.default
    for field in fields(Job)
    if field.name in LIFE and field.name not in _AT_BIRTH
}
_ENCODED: Final = ("state", "tags")
#: The other columns of a new job: first those that hold a field's value as it is.
NEW_AS_IS: Final = tuple(name for name in JOB if name not in {*UNLIVED, *_ENCODED})
NEW: Final = (*NEW_AS_IS, *_ENCODED, *_MADE, "receipt")
EDITED: Final = (*LIFE, *EDITABLE, *_MADE)
#: Where a job's number stands in a row of {job}.
NUMBER: Final = 1 + JOB.index("number")

ATTEMPT: Final = tuple(field.name for field in fields(Attempt))
#: Where an attempt runs: told once, then kept.
_PLACE: Final = ("host", "pid")
_OUTCOME: Final = tuple(name for name in ATTEMPT[2:] if name not in _PLACE)


def _sets(names: Iterable[str], value: str = "?") -> str:
    return ", ".join(f"{name} = {value.format(name)}" for name in names)


def _marks(names: Iterable[str]) -> str:
    return ", ".join("?" for _ in names)


def _literal(value: object) -> str:
    return "NULL" if value is None else repr(value)


#: What stands for {…} in queries.sql.
LISTS: Final = {
    "job": ", ".join(["job.kind", *(f"job.{name}" for name in JOB), "spec.json"]),
    "inserted": ", ".join(INSERTED),
    "inserted_marks": _marks(INSERTED),
    "new": ", ".join(NEW),
    "new_marks": _marks(NEW),
    "unlived": ", ".join(UNLIVED),
    "unlived_values": ", ".join(map(_literal, UNLIVED.values())),
    "life": _sets(LIFE),
    "edited": _sets(EDITED),
    "attempt": ", ".join(ATTEMPT),
    "attempt_marks": _marks(ATTEMPT),
    "attempt_sets": ", ".join(
        [
            _sets(_OUTCOME, "excluded.{0}"),
            _sets(_PLACE, "coalesce(nullif(excluded.{0}, ''), {0})"),
        ]
    ),
    "of_attempt": ", ".join(f"attempt.{name}" for name in ATTEMPT[1:]),
}
