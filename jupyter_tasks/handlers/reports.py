"""``jobs/{job_id}/report``: what a program says of itself that runs elsewhere."""

from typing import Final

from tornado import web

from jupyter_tasks import messages
from jupyter_tasks.handlers.base import TasksHandler, authorized, changes
from jupyter_tasks.messages import ReportRequest

_REPORT: Final = messages.Decoder[ReportRequest](ReportRequest)


class ReportHandler(TasksHandler):
    """Takes reports on jobs of kind ``external``."""

    @web.authenticated
    @authorized("write")
    @changes
    async def post(self, job_id: str) -> None:
        """Keep the report; on disk before the answer is sent, which says what the program should do."""
        body = self.body()
        request = _REPORT.decode(body) if body.strip() else ReportRequest()
        report = messages.to_report(request, self.idempotency_key)
        job, is_new = await self.manager.report(job_id, self.owner, report)
        self.reply(messages.from_report(job, is_new=is_new))
