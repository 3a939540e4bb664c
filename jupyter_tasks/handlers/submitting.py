"""Takes on new jobs: makes them of what was asked, and has them on disk before anybody is answered."""

import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tornado import gen

from jupyter_tasks import inputs, messages
from jupyter_tasks.errors import BadMessage
from jupyter_tasks.handlers.base import TasksHandler
from jupyter_tasks.handlers.notebooks import look_at_notebooks
from jupyter_tasks.kernelspecs import KernelSpecs
from jupyter_tasks.messages import CodeSpecMessage, JobRequest, SpecMessage
from jupyter_tasks.model import Job, Receipt

#: So many jobs are made in one go before others have their turn on the loop.
_AT_ONCE: Final = 500
_ID_BYTES: Final = 8


class SubmittingHandler(TasksHandler):
    """What every route shares that makes jobs."""

    async def accept(self, requests: list[JobRequest], body: bytes) -> tuple[list[Job], bool]:
        """Put the jobs on disk, all or none; False: the idempotency key stands for them already.

        ``body``: what a repetition under the same key must repeat. Raises BadMessage, DuplicateKey.
        """
        specs = [request.spec for request in requests]
        await choose_kernels(self.settings, specs)
        await look_at_notebooks(self.settings, self.root_dir, specs)
        jobs = await self._make(requests)
        must_be_folders({job.spec.cwd for job in jobs})
        uploads: inputs.Inputs = self.settings["jupyter_tasks_inputs"]
        async with uploads.given_to(jobs):
            return await self.manager.submit(jobs, self._receipt(body, jobs))

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


def _new_ids(count: int) -> list[str]:
    """Random ids, from one reading of the system's source: each reading is a system call."""
    digits = secrets.token_hex(_ID_BYTES * count)
    length = 2 * _ID_BYTES
    return [digits[at : at + length] for at in range(0, len(digits), length)]
