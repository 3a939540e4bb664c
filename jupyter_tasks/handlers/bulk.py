"""The same for many jobs at once: all that a filter accepts."""

from typing import Final

from tornado import web

from jupyter_tasks import lifecycle, messages
from jupyter_tasks.handlers.base import TasksHandler, authorized, changes
from jupyter_tasks.lifecycle import Event
from jupyter_tasks.messages import BulkRequest
from jupyter_tasks.model import Filter

_BULK: Final = messages.Decoder[BulkRequest](BulkRequest)


class _BulkHandler(TasksHandler):
    """Asks one thing of every job that the filter in the body accepts."""

    event: Event | None = None

    def wanted(self) -> Filter:
        """Which of the owner's jobs."""
        return messages.to_filter(_BULK.decode(self.body()).filter, self.owner)

    async def ask_all(self) -> None:
        """Ask it of all, and answer how many could."""
        assert self.event is not None
        counts = await self.manager.ask_all(self.wanted(), self.event)
        self.reply(messages.Counts(**counts), 202)


class _WriteAllHandler(_BulkHandler):
    """What only ends or holds up what somebody was allowed to start."""

    @web.authenticated
    @authorized("write")
    @changes
    async def post(self) -> None:
        """Ask it of all."""
        await self.ask_all()


class _ExecuteAllHandler(_BulkHandler):
    """What starts something."""

    @web.authenticated
    @authorized("execute")
    @changes
    async def post(self) -> None:
        """Ask it of all."""
        await self.ask_all()


class CancelAllHandler(_WriteAllHandler):
    """``jobs/cancel``."""

    event = lifecycle.CancelAsked()


class PauseAllHandler(_WriteAllHandler):
    """``jobs/pause``."""

    event = lifecycle.PauseAsked()


class ResumeAllHandler(_WriteAllHandler):
    """``jobs/resume``."""

    event = lifecycle.ResumeAsked()


class RestartAllHandler(_ExecuteAllHandler):
    """``jobs/restart``."""

    event = lifecycle.RestartAsked()


class RunAllHandler(_ExecuteAllHandler):
    """``jobs/run``."""

    event = lifecycle.RunAsked()


class DeleteAllHandler(_BulkHandler):
    """``jobs/delete``."""

    @web.authenticated
    @authorized("write")
    @changes
    async def post(self) -> None:
        """Delete all of them that have ended."""
        counts = await self.manager.delete_all(self.wanted())
        self.reply(messages.Counts(**counts), 202)
