"""Who is looking: how many live views of a job this server feeds at the moment.

A kernel that keeps the text of a cell true need not do so while a browser shows the job itself.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tornado import web

from jupyter_tasks import messages
from jupyter_tasks.handlers.base import TasksHandler, authorized


class Viewers:
    """Counts live views, apart for each owner: nobody can make another's cells rest."""

    def __init__(self) -> None:
        """Nobody looks yet."""
        self._count: Counter[tuple[str | None, str]] = Counter()

    def of(self, owner: str | None, job_id: str) -> int:
        """How many look at that job."""
        return self._count[owner, job_id]

    @contextmanager
    def looking(self, owner: str | None, job_ids: Iterable[str]) -> Iterator[None]:
        """Somebody looks at these jobs, inside the block."""
        seen = {(owner, job_id) for job_id in job_ids}
        self._count.update(seen)
        try:
            yield
        finally:
            self._count.subtract(seen)
            for one in seen:
                if not self._count[one]:
                    del self._count[one]


class ViewersHandler(TasksHandler):
    """``jobs/{job_id}/viewers``."""

    @web.authenticated
    @authorized("read")
    async def get(self, job_id: str) -> None:
        """How many live views of the job there are."""
        job = await self.manager.get(job_id, self.owner)
        viewers: Viewers = self.settings["jupyter_tasks_viewers"]
        self.reply(messages.ViewersMessage(viewers.of(self.owner, job.id)))
