"""What a live view shows: some jobs, kept up to date by events. Pure.

The view asks for jobs when a connection stands (again); from then on events tell. An older telling
of a job never replaces a newer one.
"""

from collections.abc import Iterable
from typing import Any

from jupyter_tasks.client import JobEvent
from jupyter_tasks.model import ENDED, State

Wire = dict[str, Any]

_ORDER = {State.RUNNING: 0, State.STARTING: 0, State.PAUSED: 1, State.QUEUED: 2, State.SCHEDULED: 3}
_ENDED_SHOWN = 5


class Board:
    """Jobs by id. ``news``: what has happened since the board was made is in there alone."""

    def __init__(self) -> None:
        """Start with none."""
        self.jobs: dict[str, Wire] = {}

    def put(self, jobs: Iterable[Wire]) -> None:
        """Take these jobs, where they are not older than what is known."""
        for job in jobs:
            known = self.jobs.get(job["id"])
            if known is None or job["version"] >= known["version"]:
                self.jobs[job["id"]] = job

    def apply(self, event: JobEvent) -> bool:
        """Take what the event tells; whether the jobs must be asked for instead."""
        if event.event in ("live", "reset"):
            return True
        if event.progress is not None:
            if job := self.jobs.get(event.job_id):
                self.jobs[event.job_id] = job | {"progress": event.progress}
        elif event.job is None:
            self.jobs.pop(event.job_id, None)
        else:
            self.put([event.job])
        return False

    def shown(self) -> list[Wire]:
        """What runs, then what waits in its order, then what has ended last."""
        ended = [job for job in self.jobs.values() if job["state"] in ENDED]
        open_ = [job for job in self.jobs.values() if job["state"] not in ENDED]
        open_.sort(key=lambda job: (_ORDER[State(job["state"])], -job["priority"], job["number"]))
        ended.sort(key=lambda job: job["ended_at"] or 0, reverse=True)
        return [*open_, *ended[:_ENDED_SHOWN]]

    @property
    def has_ended(self) -> bool:
        """Whether every job has ended."""
        return all(job["state"] in ENDED for job in self.jobs.values())
