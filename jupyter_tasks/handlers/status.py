"""What there is to know about the server itself: its status and its OpenAPI document."""

import msgspec
from tornado import web

from jupyter_tasks import messages, openapi
from jupyter_tasks.handlers.base import TasksHandler, authorized


class StatusHandler(TasksHandler):
    """``status``."""

    @web.authenticated
    @authorized("read")
    async def get(self) -> None:
        """How this server is, and how many of the owner's jobs are in which state."""
        facts = self.settings["jupyter_tasks_facts"]()
        counts = await self.manager.store.counts(self.owner)
        self.reply(msgspec.convert({**facts, "counts": counts}, messages.Status))


class OpenApiHandler(TasksHandler):
    """``openapi.json``; the routes are given to it by the table that it is itself in."""

    routes: tuple[openapi.Route, ...] = ()

    @web.authenticated
    @authorized("read")
    async def get(self) -> None:
        """The document of all routes, with this server's prefix."""
        self.reply(openapi.document(self.routes, self.base_url))
