"""Jupyter events: what happened to jobs, for whoever listens on the server's event system.

Everybody who may listen sees the events of all owners: so they say nothing of what a job runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from jupyter_events import EventLogger

if TYPE_CHECKING:  # every server loads this module, and few the model
    from jupyter_tasks.model import Change

JOB_SCHEMA_ID: Final = "https://events.jupyter.org/jupyter_tasks/job/v1"
JOB_SCHEMA_PATH: Final = Path(__file__).parent / "event_schemas" / "job" / "v1.yaml"


def register(event_logger: EventLogger) -> None:
    """Make our schemas known; once for each event logger."""
    if JOB_SCHEMA_ID not in event_logger.schemas:
        event_logger.register_event_schema(JOB_SCHEMA_PATH)


def emit(event_logger: EventLogger, change: "Change") -> None:
    """Tell that this has happened."""
    job = change.job
    event_logger.emit(
        schema_id=JOB_SCHEMA_ID,
        data={
            "event": change.event,
            "at": change.at,
            "seq": change.seq,
            "job": job.id,
            "kind": job.kind,
            "state": str(job.state),
            "reason": job.reason,
            "attempt": job.attempt,
        },
    )
