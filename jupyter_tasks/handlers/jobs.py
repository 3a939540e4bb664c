"""One job, and lists of jobs: submit, look, edit, delete, and what can be asked of a job."""

import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from jupyter_server.utils import url_path_join
from msgspec import UNSET
from tornado import gen, web

from jupyter_tasks import inputs, lifecycle, messages
from jupyter_tasks.errors import BadMessage
from jupyter_tasks.handlers.base import TasksHandler, authorized, changes
from jupyter_tasks.kernelspecs import KernelSpecs
from jupyter_tasks.lifecycle import Event
from jupyter_tasks.messages import CodeSpecMessage, JobEdit, JobRequest, ListQuery, SpecMessage
from jupyter_tasks.model import Job, Receipt, Spec

_SUBMIT: Final = messages.Decoder[JobRequest | list[JobRequest]](
    messages.SubmitRequest, messages.complete
)
_EDIT: Final = messages.Decoder[JobEdit](JobEdit, messages.complete)
_CANCEL: Final = messages.Decoder[messages.CancelRequest](messages.CancelRequest)
#: So many jobs are made in one go before others have their turn on the loop.
_AT_ONCE: Final = 500
_ID_BYTES: Final = 8


async def choose_kernels(settings: Mapping[str, Any], specs: Iterable[SpecMessage]) -> None:
    """Put into each code spec the name of its kernel; raises BadMessage where there is none such."""
    kernels: KernelSpecs = settings["jupyter_tasks_kernels"]
    chosen: dict[tuple[str | None, bool], str] = {}
    for spec in specs:
        if isinstance(spec, CodeSpecMessage) and spec.python is None:
            wanted = (spec.kernel, bool(spec.inputs or spec.outputs))
            if wanted not in chosen:
                chosen[wanted] = await kernels.checked(spec.kernel, carries_values=wanted[1])
            spec.kernel = chosen[wanted]


class JobsHandler(TasksHandler):
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
        await choose_kernels(self.settings, (request.spec for request in requests))
        jobs = await self._make(requests)
        must_be_folders({job.spec.cwd for job in jobs})
        uploads: inputs.Inputs = self.settings["jupyter_tasks_inputs"]
        async with uploads.given_to(jobs):
            known, is_new = await self.manager.submit(jobs, self._receipt(body, jobs))
        self._answer(known, is_new=is_new, is_list=isinstance(submitted, list))

    async def _make(self, requests: list[JobRequest]) -> list[Job]:
        now, owner, root_dir = time.time(), self.one_owner, self.root_dir
        jobs: list[Job] = []
        for request, job_id in zip(requests, _new_ids(len(requests)), strict=True):
            jobs.append(
                messages.to_job(request, job_id=job_id, owner=owner, now=now, root_dir=root_dir)
            )
            if len(jobs) % _AT_ONCE == 0:
                await gen.sleep(0)  # gives way to others on the loop, waits for nothing
        return jobs

    def _receipt(self, body: bytes, jobs: list[Job]) -> Receipt | None:
        key = self.idempotency_key
        if key is None:
            return None
        return Receipt(
            owner=jobs[0].owner,
            key=key,
            body_hash=hashlib.sha256(body).hexdigest(),
            job_ids=tuple(job.id for job in jobs),
            created_at=jobs[0].created_at,
        )

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
        former = await self.manager.get(job_id, self.owner)
        event = lifecycle.Edited(**messages.to_edit(edit, former))
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


def _new_ids(count: int) -> list[str]:
    """Random ids, from one reading of the system's source: each reading is a system call."""
    digits = secrets.token_hex(_ID_BYTES * count)
    length = 2 * _ID_BYTES
    return [digits[at : at + length] for at in range(0, len(digits), length)]


def must_be_folders(paths: set[str]) -> None:
    """Refuse a working folder that is not there while somebody still can put it right."""
    for path in paths:
        # (A Path raises where a name is too long or a folder on the way may not be entered.)
        if path and not os.path.isdir(path):  # noqa: PTH112
            raise BadMessage(
                f"The folder {path} is not there; make it, or give another `spec.cwd`.",
                field="spec.cwd",
                cwd=path,
            )


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
