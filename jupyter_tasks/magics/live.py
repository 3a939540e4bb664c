"""Keeps what cells show of jobs true: one thread, with an event loop, for all jobs of a kernel."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any

from jupyter_tasks.client import AsyncClient, AsyncJobHandle, JobEvent
from jupyter_tasks.errors import TasksError
from jupyter_tasks.model import ENDED
from jupyter_tasks.records import Ending, ending

_log = logging.getLogger(__name__)
#: As often as people notice, however much happens.
_EVERY_S = 0.5
#: Each takes three connections, and code needs descriptors, too. The others wait for a place.
_AT_ONCE = 50
TEXT_BYTES = 8192
#: At its end a job is shown with its pictures, too.
_ENDED_BYTES = 4 * 1024 * 1024

MakeClient = Callable[[], AsyncClient]
#: Finds jobs, and shows them.
Fetch = Callable[[AsyncClient], Awaitable[list[dict[str, Any]]]]
Draw = Callable[[list[dict[str, Any]]], None]
#: Takes a job as it is now, and the end of its output.
Show = Callable[[dict[str, Any], Ending], None]


def tail_bytes(job: Mapping[str, Any]) -> int:
    """How much of the job's output is looked at to show its end."""
    return _ENDED_BYTES if job["state"] in ENDED else TEXT_BYTES


class Live:
    """Shows jobs again and again until they end; the thread begins with the first."""

    def __init__(self) -> None:
        """Begin nothing yet."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore(_AT_ONCE)

    def keep(
        self, job_id: str, show: Show, *, client: MakeClient = AsyncClient, rests: bool = True
    ) -> Future[None]:
        """Call ``show`` from the thread, after each change and whatever is printed, to the end.

        ``rests``: not while a browser shows the job by itself. Cancel what is returned to stop it.
        """
        return self._run(self._keep_in_turn(job_id, show, client, rests=rests))

    def keep_list(self, fetch: Fetch, draw: Draw, *, client: MakeClient) -> Future[None]:
        """Call ``draw`` from the thread with what ``fetch`` finds, after whatever happens to jobs."""
        return self._run(_keep_list(fetch, draw, client))

    def _run(self, keeping: Coroutine[Any, Any, None]) -> Future[None]:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="tasks", daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(keeping, self._loop)
        future.add_done_callback(_ended)
        return future

    async def _keep_in_turn(
        self, job_id: str, show: Show, client: MakeClient, *, rests: bool
    ) -> None:
        async with self._places:
            await _keep(job_id, show, client, rests=rests)


def _ended(keeping: Future[None]) -> None:
    """A bug is told where a kernel tells such things, and never lost."""
    if not keeping.cancelled() and (error := keeping.exception()) is not None:
        _log.error("Failed to show a job", exc_info=error)


class _News:
    """What has come since it was last looked at."""

    def __init__(self) -> None:
        self.version = 0
        self._rings = asyncio.Event()

    async def wait(self) -> None:
        """Wait until something has come."""
        await self._rings.wait()
        self._rings.clear()

    async def hear(self, stream: AsyncIterator[object]) -> None:
        """Take whatever comes, and no more than is looked at; a stream's end is news, too."""
        try:
            async for one in stream:
                if isinstance(one, JobEvent) and one.job is not None:
                    self.version = one.job["version"]
                self._rings.set()
                await asyncio.sleep(_EVERY_S)  # what comes meanwhile is looked at together
        finally:
            self._rings.set()


async def _keep(job_id: str, show: Show, make: MakeClient, *, rests: bool) -> None:
    async with make() as client:
        try:
            handle = await client.job(job_id)
            news = _News()
            streams = (client.watch(ids=[job_id]), handle.records(follow=True, tail=0))
            hearing = [asyncio.ensure_future(news.hear(stream)) for stream in streams]
            try:
                await _show_news(handle, news, show, rests=rests)
            finally:
                for task in hearing:
                    task.cancel()
                await asyncio.gather(*hearing, return_exceptions=True)
        except TasksError:
            return  # what is shown stays as it was; a cell that asks is told what is wrong


async def _show_news(handle: AsyncJobHandle, news: _News, show: Show, *, rests: bool) -> None:
    """Show each of the job's states, and what it prints while no browser does that."""
    while True:
        await handle.refresh()
        pieces = handle.records(tail=tail_bytes(handle.wire))
        show(handle.wire, ending([piece.record async for piece in pieces], TEXT_BYTES))
        if handle.wire["state"] in ENDED:
            return
        await asyncio.sleep(_EVERY_S)  # nobody would see more
        await news.wait()
        while rests and news.version <= handle.wire["version"] and await handle.viewers():
            await news.wait()


async def _keep_list(fetch: Fetch, draw: Draw, make: MakeClient) -> None:
    """Nothing of a filter is watched: what leaves it is to be seen, too."""
    async with make() as client:
        try:
            news = _News()
            hearing = asyncio.ensure_future(news.hear(client.watch()))
            try:
                while not hearing.done():
                    draw(await fetch(client))
                    await asyncio.sleep(_EVERY_S)  # nobody would see more
                    await news.wait()
                hearing.result()
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
        except TasksError:
            return  # as above
