"""Registered tasks: list, register, remove, run. No code of a task is loaded here, nothing unpickled."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from jupyter_server.utils import url_path_join
from tornado import web

from jupyter_tasks import messages
from jupyter_tasks.discovery import Discovery, Found
from jupyter_tasks.errors import NoSuchThing, NotConfirmed
from jupyter_tasks.feed import News
from jupyter_tasks.fields import parse
from jupyter_tasks.handlers.artifacts import FilesHandler
from jupyter_tasks.handlers.base import TasksHandler, authorized, changes
from jupyter_tasks.handlers.forward import is_set_within
from jupyter_tasks.handlers.submitting import SubmittingHandler
from jupyter_tasks.handlers.values import told
from jupyter_tasks.inputs import Inputs
from jupyter_tasks.messages import tasks as wire
from jupyter_tasks.model import DIRECT_QUEUE, Change, Job
from jupyter_tasks.registry import Registry, no_such_task, taken
from jupyter_tasks.tasks import Definition

_REGISTER: Final = messages.Decoder[wire.TaskRequest](wire.TaskRequest)
_RUN: Final = messages.Decoder[wire.TaskRunRequest](wire.TaskRunRequest)
_JOB: Final = messages.Decoder[wire.TaskJobRequest](wire.TaskJobRequest)


class _Shelf(TasksHandler):
    """Knows the tasks that this request may see: its owner's own, and those of modules."""

    @property
    def discovery(self) -> Discovery:
        """What finds the tasks of modules."""
        found: Discovery = self.settings["jupyter_tasks_discovery"]
        return found

    @property
    def registry(self) -> Registry:
        """What keeps the registered ones."""
        found: Registry = self.settings["jupyter_tasks_registry"]
        return found

    async def find(self, name: str) -> Definition:
        """The task of that name; raises NoSuchThing."""
        own = await asyncio.to_thread(self.registry.get, self.one_owner, name)
        one = own or (await self.discovery.found()).tasks.get(name)
        if one is None:
            raise no_such_task(name)
        return one

    async def reply_with_all(self, found: Found) -> None:
        """All that can be run, by name, with what went wrong."""
        own = await asyncio.to_thread(self.registry.tasks, self.one_owner)
        notes = [wire.TaskNote(note.place, note.error, note.where) for note in found.notes]
        notes += [_hidden(found.tasks[name]) for name in sorted(own.keys() & found.tasks.keys())]
        by_name: Mapping[str, Definition] = {**found.tasks, **own}
        told = [wire.from_definition(by_name[name]) for name in sorted(by_name)]
        self.reply(wire.Tasks(told, notes))


class TasksListHandler(_Shelf):
    """``tasks``: list, register."""

    @web.authenticated
    @authorized("read")
    async def get(self) -> None:
        """All tasks that can be run, and what went wrong with the others."""
        await self.reply_with_all(await self.discovery.found())

    @web.authenticated
    @authorized("execute")
    async def post(self) -> None:
        """Register a task; it is on disk before the answer is sent. 409 where its name is taken."""
        request = _REGISTER.decode(self.body())
        one = wire.to_definition(request)
        if known := (await self.discovery.found()).tasks.get(one.name):
            raise taken(one.name, known.place)
        owner, uploads = self.one_owner, self._uploads

        def lay(path: Path) -> None:
            uploads.lay(owner, request.upload or "", path)

        await asyncio.to_thread(self.registry.add, owner, one, lay if request.upload else None)
        place = url_path_join(self.base_url, "tasks/api/tasks", one.name)
        self.reply(wire.from_definition(one), 201, {"Location": place})

    @property
    def _uploads(self) -> Inputs:
        found: Inputs = self.settings["jupyter_tasks_inputs"]
        return found


class TasksRefreshHandler(_Shelf):
    """``tasks/refresh``."""

    @web.authenticated
    @authorized("execute")
    async def post(self) -> None:
        """Look for the tasks of modules anew: that runs their code."""
        await self.reply_with_all(await self.discovery.refresh())


class TaskHandler(_Shelf):
    """``tasks/{name}``: look, remove."""

    @web.authenticated
    @authorized("read")
    async def get(self, name: str) -> None:
        """The task, with its fields."""
        self.reply(wire.from_definition(await self.find(name)))

    @web.authenticated
    @authorized("write")
    async def delete(self, name: str) -> None:
        """Remove a registered task, this one alone; jobs that were made of it are not touched."""
        try:
            await asyncio.to_thread(self.registry.remove, self.one_owner, name)
        except NoSuchThing:
            one = (await self.discovery.found()).tasks.get(name)
            if one is None:
                raise
            raise NoSuchThing(
                f"The task {name!r} was not registered here: it is from {one.place}. Remove it there.",
                task=name,
            ) from None
        self.reply(None, 204)


class _StartHandler(_Shelf, SubmittingHandler):
    """Makes a job of a task."""

    async def start(
        self, name: str, request: wire.TaskJobRequest, *, queue: str | None = None
    ) -> tuple[Job, bool]:
        """The new job, on disk; False: the idempotency key stands for it. Raises BadFields."""
        one = await self.find(name)
        is_group = request.argument_sets is not None
        values = {} if is_group else parse(one.fields, request.arguments)
        if one.dangerous and not request.confirmed:
            raise NotConfirmed(
                f"The task {one.name!r} is dangerous: {one.dangerous}. Send `confirmed` as true where "
                "that is meant.",
                task=one.name,
                dangerous=one.dangerous,
            )
        group = await self._lay_sets(request, one) if is_group else None
        asked = wire.to_job_request(request, one, values, queue=queue, group=group)
        await self._lay_function(one)
        [job], is_new = await self.accept([asked], self.body())
        return job, is_new

    async def _lay_sets(self, request: wire.TaskJobRequest, one: Definition) -> wire.Group:
        """Many sets of arguments would burden every list of jobs: they go the way of an upload."""
        sets = await asyncio.to_thread(wire.checked_sets, request, one)
        uploads: Inputs = self.settings["jupyter_tasks_inputs"]
        upload = await uploads.begin(self.one_owner)
        await asyncio.to_thread(upload.write, messages.encode(sets))
        taken = await asyncio.to_thread(upload.finish)
        assert taken is not None
        return wire.Group(taken.id, len(sets))

    async def _lay_function(self, one: Definition) -> None:
        """A function by value goes the way of every upload: the job has its own link to it."""
        if one.source != "value":
            return
        uploads: Inputs = self.settings["jupyter_tasks_inputs"]
        owner, upload = self.one_owner, one.load["upload"]
        function = self.registry.function(owner, one.name)
        try:
            await asyncio.to_thread(uploads.lay_back, owner, upload, function)
        except FileNotFoundError:
            raise no_such_task(one.name) from None


class TaskJobsHandler(_StartHandler):
    """``tasks/{name}/jobs``."""

    @web.authenticated
    @authorized("execute")
    @changes
    async def post(self, name: str) -> None:
        """Run the task as a job: its arguments are checked, the job is on disk with the answer."""
        job, is_new = await self.start(name, _JOB.decode(self.body()))
        place = url_path_join(self.base_url, "tasks/api/jobs", job.id)
        self.reply(messages.from_job(job), 201 if is_new else 200, {"Location": place})


class TaskRunHandler(_StartHandler, FilesHandler):
    """``tasks/{name}/run``."""

    @web.authenticated
    @authorized("execute")
    @changes
    async def post(self, name: str) -> None:
        """Run the task and wait for its end: 200 with the result, 202 where it takes longer."""
        request = _RUN.decode(self.body())
        job, _ = await self.start(name, request, queue=DIRECT_QUEUE)
        job = await self._ended(job.id, request.wait_s)
        place = {"Location": url_path_join(self.base_url, "tasks/api/jobs", job.id)}
        if not job.has_ended:
            self.reply(wire.TaskRun(messages.from_job(job), None), 202, place)
            return
        result = await asyncio.to_thread(told, self.directory(job, None), job)
        self.reply(wire.TaskRun(messages.from_job(job), result), 200, place)

    async def _ended(self, job_id: str, wait_s: float) -> Job:
        """The job once it has ended, or as it is when the time is over."""
        ended = asyncio.Event()

        def listen(news: News) -> None:
            if isinstance(news, Change) and news.job.id == job_id and news.job.has_ended:
                ended.set()

        unsubscribe = self.manager.feed.subscribe(listen)
        try:
            job = await self.manager.get(job_id, self.owner)
            if not job.has_ended:
                await is_set_within(ended, wait_s)
        finally:
            unsubscribe()
        return await self.manager.get(job_id, self.owner)


def _hidden(one: Definition) -> wire.TaskNote:
    words = f"`{one.name}` is hidden by the registered task of the same name"
    return wire.TaskNote(one.place, words, "")
