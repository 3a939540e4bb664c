"""One job, and lists of jobs: submit, look, edit, delete, and what can be asked of a job."""

from typing import Final

from jupyter_server.utils import url_path_join
from msgspec import UNSET
from tornado import web

from jupyter_tasks import inputs, lifecycle, messages
from jupyter_tasks.errors import BadMessage
from jupyter_tasks.handlers.base import TasksHandler, authorized, changes
from jupyter_tasks.handlers.notebooks import look_at_notebooks
from jupyter_tasks.handlers.submitting import (
    SubmittingHandler,
    choose_kernels,
    must_be_folders,
)
from jupyter_tasks.lifecycle import Event
from jupyter_tasks.messages import JobEdit, JobRequest, ListQuery
from jupyter_tasks.model import Job, Spec

_SUBMIT: Final = messages.Decoder[JobRequest | list[JobRequest]](
    messages.SubmitRequest, messages.complete
)
_EDIT: Final = messages.Decoder[JobEdit](JobEdit, messages.complete)
_CANCEL: Final = messages.Decoder[messages.CancelRequest](messages.CancelRequest)


class JobsHandler(SubmittingHandler):
    """``jobs``: submit, list."""

    @web.authenticated
    @authorized("read")
    async def get(self) -> None:
        """The newest jobs that the query string accepts."""
        query = self.query(ListQuery)
        wanted = messages.to_filter(query, self.owner)
        page = await self.manager.store.find(wanted, limit=query.limit, after=query.after)
        jobs = self.manager.with_progress(page.jobs)
        self.reply(messages.JobsPage([messages.from_job(job) for job in jobs], page.after))

    @web.authenticated
    @authorized("execute")
    @changes
    async def post(self) -> None:
        """Accept a job, or a list of jobs all or none; on disk before the answer is sent."""
        body = self.body()
        submitted = _SUBMIT.decode(body)
        requests = submitted if isinstance(submitted, list) else [submitted]
        known, is_new = await self.accept(requests, body)
        self._answer(known, is_new=is_new, is_list=isinstance(submitted, list))

    def _answer(self, jobs: list[Job], *, is_new: bool, is_list: bool) -> None:
        status = 201 if is_new else 200
        answers = [messages.from_job(job) for job in self.manager.with_progress(jobs)]
        if is_list:
            self.reply(messages.Jobs(answers), status)
        else:
            place = url_path_join(self.base_url, "tasks/api/jobs", jobs[0].id)
            self.reply(answers[0], status, {"Location": place})


class JobHandler(TasksHandler):
    """``jobs/{job_id}``: look, edit, delete."""

    @web.authenticated
    @authorized("read")
    async def get(self, job_id: str) -> None:
        """The job as it is now."""
        self.reply(messages.from_job(await self.manager.get(job_id, self.owner)))

    @web.authenticated
    @authorized("write")
    @changes
    async def patch(self, job_id: str) -> None:
        """Change what still waits; 409 where it has moved on."""
        edit = _EDIT.decode(self.body())
        if edit.spec is not UNSET:
            await choose_kernels(self.settings, [edit.spec])
            await look_at_notebooks(self.settings, self.root_dir, [edit.spec])
        former = await self.manager.get(job_id, self.owner)
        event = lifecycle.Edited(**messages.to_edit(edit, former, self.root_dir))
        if event.spec is not None:
            must_be_folders({event.spec.cwd})
            must_keep_inputs(event.spec, former.spec)
        job = await self.manager.edit(job_id, self.owner, edit.version, event)
        self.reply(messages.from_job(job))

    @web.authenticated
    @authorized("write")
    @changes
    async def delete(self, job_id: str) -> None:
        """Remove an ended job, its history and its files."""
        await self.manager.delete(job_id, self.owner)
        self.reply(None, 204)


class _AskHandler(TasksHandler):
    """``jobs/{job_id}/…``: ask something of a job."""

    def event(self) -> Event:
        """What is asked."""
        raise NotImplementedError

    async def ask(self, job_id: str) -> None:
        """Ask it, and answer with the job as it then is."""
        job = await self.manager.ask(job_id, self.owner, self.event())
        self.reply(messages.from_job(job), 202)


class _WriteHandler(_AskHandler):
    """What only ends or holds up what somebody was allowed to start."""

    @web.authenticated
    @authorized("write")
    @changes
    async def post(self, job_id: str) -> None:
        """Ask it of the job."""
        await self.ask(job_id)


class _ExecuteHandler(_AskHandler):
    """What starts something."""

    @web.authenticated
    @authorized("execute")
    @changes
    async def post(self, job_id: str) -> None:
        """Ask it of the job."""
        await self.ask(job_id)


class CancelHandler(_WriteHandler):
    """End the job; asked a second time, at once. The body may say why."""

    def event(self) -> Event:
        """The wish to cancel, with its reason."""
        body = self.body()
        request = _CANCEL.decode(body) if body.strip() else messages.CancelRequest()
        return lifecycle.CancelAsked(reason=request.reason or "user")


class PauseHandler(_WriteHandler):
    """Let the job stand still."""

    def event(self) -> Event:
        """The wish to pause."""
        return lifecycle.PauseAsked()


class ResumeHandler(_WriteHandler):
    """Let the job go on."""

    def event(self) -> Event:
        """The wish to go on."""
        return lifecycle.ResumeAsked()


class RestartHandler(_ExecuteHandler):
    """Another attempt of a job that has ended."""

    def event(self) -> Event:
        """The wish for another attempt."""
        return lifecycle.RestartAsked()


class RunHandler(_ExecuteHandler):
    """Start a waiting job now, whatever the line says."""

    def event(self) -> Event:
        """The wish to start now."""
        return lifecycle.RunAsked()


class ExplainHandler(TasksHandler):
    """``jobs/{job_id}/explain``."""

    @web.authenticated
    @authorized("read")
    async def get(self, job_id: str) -> None:
        """Why the job is as it is, and what it waits for."""
        told = await self.manager.explain(job_id, self.owner)
        self.reply(
            messages.ExplanationMessage(
                told.job,
                told.state,
                told.reason,
                told.message,
                told.position,
                told.running,
                told.max_running,
            )
        )


class AttemptsHandler(TasksHandler):
    """``jobs/{job_id}/attempts``."""

    @web.authenticated
    @authorized("read")
    async def get(self, job_id: str) -> None:
        """All tries at running the job, the oldest first."""
        job = await self.manager.get(job_id, self.owner)
        attempts = await self.manager.store.attempts(job.id)
        self.reply(messages.Attempts([messages.from_attempt(one) for one in attempts]))


def must_keep_inputs(spec: Spec, former: Spec) -> None:
    """Refuse an edit to other values than those that the job was given: they lie in its folder."""
    given = inputs.wanted(former)
    for kind, upload in inputs.wanted(spec).items():
        if upload != given.get(kind):
            raise BadMessage(
                "A job keeps the values that it was submitted with; submit another for other "
                "`inputs`, or for another function.",
                field="spec.inputs",
            )
