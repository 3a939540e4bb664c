"""What the clients do with registered tasks: the flows, and the methods of both clients."""

import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import date
from enum import Enum
from os import PathLike, fspath
from typing import Any, Final, Unpack, cast
from urllib.parse import quote

from jupyter_tasks.client import calls, carrying, streams
from jupyter_tasks.client.calls import JobOptions, Wire
from jupyter_tasks.client.connection import Session, ask, ask_once, remove
from jupyter_tasks.client.core import Broken, Flow, decoded
from jupyter_tasks.client.groups import async_handle, handle
from jupyter_tasks.client.handles import AsyncJobHandle, JobHandle
from jupyter_tasks.client.shells import AsyncShell, Shell
from jupyter_tasks.client.signatures import spelled_out
from jupyter_tasks.errors import BadMessage, CallFailed, NameTaken
from jupyter_tasks.tasks import CommandTask, definition_of

#: The longest that a server waits in one request (``messages.tasks.MAX_WAIT_S``).
_ONE_REQUEST_S: Final = 50.0


# -- flows ---------------------------------------------------------------------------------------


def request_of(thing: Any, name: str | None) -> Wire:
    """The body that registers it; of a function, its upload is still missing. Raises BadTask."""
    told = asdict(definition_of(thing, name))
    load = told.pop("load")
    for ours in ("source", "place"):
        del told[ours]
    return told | (load if isinstance(thing, CommandTask) else {"python": sys.executable})


def packed(thing: Any) -> AbstractContextManager[str | None]:
    """A file of the function, for as long as the block runs; none of a command. Raises BadValue."""
    if isinstance(thing, CommandTask):
        return nullcontext()
    return carrying.packed({"function": thing, "is_task": True})


def register(session: Session, body: Wire, file: str | None) -> Flow[Wire]:
    """Upload the function, if any, and register the task; raises NameTaken."""
    if file is not None:
        body = {**body, "upload": (yield from carrying.upload(session, file))}
    was_lost = False
    while True:
        try:
            outcome = yield from ask_once(session, calls.post("tasks", body))
        except NameTaken:
            if not was_lost:
                raise
            known: Wire = yield from calls.read_json(session, of_task(body["name"]))
            return known
        if not isinstance(outcome, Broken):
            task: Wire = decoded(outcome)
            return task
        was_lost = True


def unregister(session: Session, name: str) -> Flow[None]:
    """Remove the task; gone already is as good where the answer was lost."""
    yield from remove(session, of_task(name))


def start(
    session: Session, where: str, body: Wire, folder: str | None, key: str | None = None
) -> Flow[Wire]:
    """Ask for a job of the task; the key makes a second sending harmless."""
    if folder is not None and "cwd" not in body and (yield from calls.is_neighbour(session)):
        body = {**body, "cwd": folder}
    headers = {"Idempotency-Key": secrets.token_hex(16) if key is None else key}
    answer: Wire = decoded((yield from ask(session, calls.post(where, body, headers))))
    return answer


def run(session: Session, name: str, body: Wire, folder: str | None, wait_s: float) -> Flow[Any]:
    """Run the task; what it returned, as JSON has it. Raises CallFailed and TimeoutError."""
    body = {**body, "wait_s": min(wait_s, _ONE_REQUEST_S)}
    answer = yield from start(session, f"{of_task(name)}/run", body, folder)
    job, result = answer["job"], answer["result"]
    if result is None:
        job = yield from streams.wait(session, job["id"], max(wait_s - _ONE_REQUEST_S, 0.0))
        result = yield from calls.read_json(session, calls.of_job(job["id"], "result"))
    if not result["success"]:
        error = result["error"]
        words = f"{error['type']}: {error['message']}".rstrip(": ")
        raise CallFailed(f"Job {job['id']} {job['state']}: {words}", job=job["id"], error=error)
    return result["data"]


def job_body(arguments: Mapping[str, Any] | None, options: JobOptions, *, confirmed: bool) -> Wire:
    """The body that asks for a job of a task."""
    asked = calls.job_request("", cast("JobOptions", dict(options)))
    for name in ("cwd", "env"):
        if name in asked["spec"]:
            asked[name] = asked["spec"][name]
    del asked["spec"]
    return {**asked, "arguments": plain(dict(arguments or {})), "confirmed": confirmed}


def group_body(
    sets: Sequence[Any], python: str | None, options: JobOptions, *, confirmed: bool
) -> Wire:
    """The body that asks for a group of a task; raises BadMessage where a set is no dict."""
    for number, one in enumerate(sets):
        if not isinstance(one, Mapping):
            raise BadMessage(
                f"Argument set {number} is {type(one).__name__}; a task takes values by name: a dict."
            )
    body = job_body(None, options, confirmed=confirmed)
    del body["arguments"]
    return {**body, "argument_sets": plain(sets), **({"python": python} if python else {})}


def plain(value: Any) -> Any:
    """The value as JSON has it: a path, a date, a member of an Enum are told as fields take them."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, date):
        return value.isoformat()
    return fspath(value) if isinstance(value, PathLike) else value


def of_task(name: str) -> str:
    """The path of a task."""
    return f"tasks/{quote(name, safe='')}"


# -- the methods -----------------------------------------------------------------------------------


class TaskMethods:
    """The part of a Client that is about tasks."""

    _shell: Shell

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks that can be run, by name, with their fields."""
        return list(self._shell.run(calls.read_json(self._shell.session, "tasks"))["tasks"])

    def task_notes(self) -> list[dict[str, str]]:
        """Why modules have no tasks to give: ``place``, ``error``, ``where`` (file and line)."""
        return list(self._shell.run(calls.read_json(self._shell.session, "tasks"))["notes"])

    def task(self, name: str) -> dict[str, Any]:
        """One task with its fields; raises NoSuchThing."""
        found: Wire = self._shell.run(calls.read_json(self._shell.session, of_task(name)))
        return found

    def register(self, thing: Any, *, name: str | None = None) -> dict[str, Any]:
        """Register a function, a Task or a CommandTask while the server runs; it stays until removed.

        A function goes there by value, with what ``@task`` said of it, if anything. Raises BadTask,
        BadValue, and NameTaken where a task of that name exists.
        """
        body = request_of(thing, name)
        with packed(thing) as file:
            return self._shell.run(register(self._shell.session, body, file))

    def unregister(self, name: str) -> None:
        """Remove a registered task, this one alone; its jobs are not touched. Raises NoSuchThing."""
        self._shell.run(unregister(self._shell.session, name))

    @spelled_out
    def submit_task(
        self,
        task: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        confirmed: bool = False,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> JobHandle:
        """Submit a job of the task with these values of its fields; it is on disk when this returns.

        Raises BadFields, whose ``details["fields"]`` has a sentence for each bad one, and
        NotConfirmed where the task is dangerous and ``confirmed`` is not True.
        """
        body = job_body(arguments, options, confirmed=confirmed)
        shell = self._shell
        flow = start(shell.session, f"{of_task(task)}/jobs", body, shell.folder, idempotency_key)
        return handle(shell, shell.run(flow))

    def run(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        wait_s: float = 30.0,
        confirmed: bool = False,
    ) -> Any:
        """Run the task now and return what it returned, as JSON has it: in the queue ``direct``.

        Raises as ``submit_task``, CallFailed where it failed, and TimeoutError where it has not ended
        within ``wait_s`` (it goes on).
        """
        body = job_body(arguments, {}, confirmed=confirmed)
        return self._shell.run(run(self._shell.session, name, body, self._shell.folder, wait_s))


class AsyncTaskMethods:
    """The part of an AsyncClient that is about tasks; see TaskMethods."""

    _shell: AsyncShell

    async def tasks(self) -> list[dict[str, Any]]:
        """All tasks that can be run, by name, with their fields."""
        return list((await self._shell.run(calls.read_json(self._shell.session, "tasks")))["tasks"])

    async def task_notes(self) -> list[dict[str, str]]:
        """Why modules have no tasks to give."""
        return list((await self._shell.run(calls.read_json(self._shell.session, "tasks")))["notes"])

    async def task(self, name: str) -> dict[str, Any]:
        """One task with its fields; raises NoSuchThing."""
        found: Wire = await self._shell.run(calls.read_json(self._shell.session, of_task(name)))
        return found

    async def register(self, thing: Any, *, name: str | None = None) -> dict[str, Any]:
        """Register a function, a Task or a CommandTask; see Client.register."""
        body = request_of(thing, name)
        with packed(thing) as file:
            return await self._shell.run(register(self._shell.session, body, file))

    async def unregister(self, name: str) -> None:
        """Remove a registered task, this one alone."""
        await self._shell.run(unregister(self._shell.session, name))

    @spelled_out
    async def submit_task(
        self,
        task: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        confirmed: bool = False,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle:
        """Submit a job of the task; see Client.submit_task."""
        body = job_body(arguments, options, confirmed=confirmed)
        shell = self._shell
        flow = start(shell.session, f"{of_task(task)}/jobs", body, shell.folder, idempotency_key)
        return async_handle(shell, await shell.run(flow))

    async def run(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        wait_s: float = 30.0,
        confirmed: bool = False,
    ) -> Any:
        """Run the task now and return what it returned; see Client.run."""
        body = job_body(arguments, {}, confirmed=confirmed)
        flow = run(self._shell.session, name, body, self._shell.folder, wait_s)
        return await self._shell.run(flow)
