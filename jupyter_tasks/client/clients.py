"""The two clients: what a program calls. One line each; the flows know how."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Self, Unpack, cast, overload

from jupyter_tasks.client import calls, carrying, notebooks, streams
from jupyter_tasks.client.calls import Command, FilterOptions, JobOptions, Wire
from jupyter_tasks.client.connection import PATIENCE_S, locate
from jupyter_tasks.client.core import Flow, Server
from jupyter_tasks.client.functions import AsyncFunctionMethods, FunctionMethods
from jupyter_tasks.client.groups import async_handle, handle
from jupyter_tasks.client.handles import AsyncJobHandle, JobHandle
from jupyter_tasks.client.shells import AsyncShell, Shell
from jupyter_tasks.client.signatures import spelled_out, spelled_out_as
from jupyter_tasks.client.streams import JobEvent
from jupyter_tasks.client.tasks import AsyncTaskMethods, TaskMethods

Counts = dict[str, int]


class Client(FunctionMethods, TaskMethods):
    """Submits, watches and changes jobs of a Jupyter server with jupyter_tasks.

    Without arguments it finds its server: JUPYTER_TASKS_URL and JUPYTER_TASKS_TOKEN, the server that
    started this kernel or terminal, this user's server on a hub, the newest that runs on this
    machine, the owner-only UNIX socket. The first call raises NoServer, with what to do, where there
    is none. A server that goes away later is waited for, ``patience_s`` long. Close it, or use it
    in a ``with`` block.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, patience_s: float = PATIENCE_S
    ) -> None:
        """Connect to nobody yet."""
        self._shell = Shell(url, token, patience_s)
        self._session = self._shell.session

    def __enter__(self) -> Self:
        """Use it in a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        self.close()

    def close(self) -> None:
        """Close every connection; used again, it opens them again."""
        self._shell.close()

    @property
    def server(self) -> tuple[str | None, str | None]:
        """URL and token, where somebody named them: for another client of the same."""
        return self._shell.named

    def locate(self) -> Server:
        """The server that is talked to; looked for where none is known yet."""
        if self._session.server is not None:
            return self._session.server
        return self._shell.run(locate(self._session))

    @overload
    def submit(self, command: Callable[..., Any], *args: Any, **kwargs: Any) -> JobHandle: ...

    @overload
    def submit(
        self, command: Command, *, idempotency_key: str | None = None, **options: Unpack[JobOptions]
    ) -> JobHandle: ...

    @spelled_out_as(JobOptions)
    def submit(
        self,
        command: Command | Callable[..., Any],
        *args: Any,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> JobHandle:
        """Submit a job; it is on disk when this returns.

        ``command`` is a string for the shell, a list of arguments, or a whole spec. It runs in
        ``cwd``; by default that is the current folder, or the server's root folder where the server
        is on another machine. Whatever becomes of the answer, there is one job; with the same key
        and the same arguments also over several calls, for 24 hours.

        Where it is a function, it is called there with all the other arguments; see ``submit_call``.
        """
        if callable(command):
            given = calls.without_none({"idempotency_key": idempotency_key})
            return self.submit_call(command, args, {**given, **options})
        calls.must_be_no_arguments(args)
        body = calls.job_request(command, cast("JobOptions", options))
        [job] = self._shell.run(_submit(self._shell, body, idempotency_key))
        return handle(self._shell, job)

    @spelled_out
    def submit_many(
        self,
        commands: Sequence[Command],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> list[JobHandle]:
        """Submit several jobs with the same options in one request: all or none."""
        body = [calls.job_request(command, options) for command in commands]
        jobs = self._shell.run(_submit(self._shell, body, idempotency_key))
        return [handle(self._shell, job) for job in jobs]

    @spelled_out
    def submit_code(
        self,
        source: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        outputs: str | Sequence[str] = (),
        python: str | None = None,
        **options: Unpack[JobOptions],
    ) -> JobHandle:
        """Submit source text for a fresh kernel of this Python, or of the one at the path ``python``.

        ``inputs``: variables that it begins with; ``outputs``: names whose values ``JobHandle.result``
        gives. Both are carried by cloudpickle: by value what was made in a notebook, by name what can
        be imported. Raises BadValue, which names the value, before anything is submitted.
        """
        body = carrying.request(source, outputs, python, options)
        with carrying.packed(inputs) as file:
            flow = carrying.submit(self._session, body, file, self._shell.folder)
            return handle(self._shell, self._shell.run(flow))

    @spelled_out
    def submit_notebook(
        self,
        path: notebooks.Path,
        parameters: Mapping[str, Any] | None = None,
        *,
        kernel: str | None = None,
        output: notebooks.Path | None = None,
        allow_errors: bool = False,
        **options: Unpack[JobOptions],
    ) -> JobHandle:
        """Submit a notebook, which is run cell by cell; its outputs are written to another one.

        ``output`` names that (``spec.output`` of the job tells it, too); by default it lies beside the
        notebook. ``parameters`` are JSON values by name; ``allow_errors``: go on after a cell that
        fails. Paths are the caller's own; where the server is on another machine, below its root.
        """
        more = {"kernel": kernel, "output": output, "allow_errors": allow_errors}
        body = notebooks.request(path, parameters, more, options)
        key, folder = secrets.token_hex(16), self._shell.folder
        flow = notebooks.submit(self._session, body, key, folder)
        return handle(self._shell, self._shell.run(flow))

    @spelled_out
    def submit_external(
        self,
        *,
        lease_s: float | None = None,
        program: str | None = None,
        host: str | None = None,
        **options: Unpack[JobOptions],
    ) -> JobHandle:
        """Submit a job whose program runs elsewhere, and reports itself by ``JobHandle.report``.

        Nothing is started: the job runs from now on, and is lost where the program says nothing for
        ``lease_s`` seconds (300 by default). ``program`` and ``host`` are for people.
        """
        spec = calls.external(lease_s, program, host)
        return self.submit(spec, **options)

    def job(self, job_id: str) -> JobHandle:
        """The job with this id, or the one newer job whose id begins like this."""
        whole = self._shell.run(calls.resolve(self._session, job_id))
        return handle(self._shell, self._shell.run(calls.get(self._session, whole)))

    @spelled_out
    def jobs(
        self, *, limit: int | None = None, **wanted: Unpack[FilterOptions]
    ) -> Iterator[JobHandle]:
        """The jobs, the newest first, fetched page by page as they are taken."""
        for job in self._shell.iterate(calls.find(self._session, wanted, limit)):
            yield handle(self._shell, job)

    @spelled_out
    def watch(
        self,
        *,
        after: int | None = None,
        timeout_s: float | None = None,
        **wanted: Unpack[FilterOptions],
    ) -> Iterator[JobEvent]:
        """What happens, as it happens; see JobEvent for ``live`` and ``reset``."""
        return self._shell.iterate(streams.watch(self._session, wanted, after, timeout_s))

    @spelled_out
    def cancel_all(self, **wanted: Unpack[FilterOptions]) -> Counts:
        """Cancel every job that the filter accepts: {"matched", "done", "refused"}."""
        return self._shell.run(calls.change_all(self._session, "cancel", wanted))

    @spelled_out
    def pause_all(self, **wanted: Unpack[FilterOptions]) -> Counts:
        """Pause every job that the filter accepts."""
        return self._shell.run(calls.change_all(self._session, "pause", wanted))

    @spelled_out
    def resume_all(self, **wanted: Unpack[FilterOptions]) -> Counts:
        """Resume every job that the filter accepts."""
        return self._shell.run(calls.change_all(self._session, "resume", wanted))

    @spelled_out
    def restart_all(self, **wanted: Unpack[FilterOptions]) -> Counts:
        """Restart every ended job that the filter accepts."""
        return self._shell.run(calls.change_all(self._session, "restart", wanted))

    @spelled_out
    def run_all(self, **wanted: Unpack[FilterOptions]) -> Counts:
        """Start every waiting job that the filter accepts now, whatever the line."""
        return self._shell.run(calls.change_all(self._session, "run", wanted))

    @spelled_out
    def delete_all(self, **wanted: Unpack[FilterOptions]) -> Counts:
        """Delete every ended job that the filter accepts, with its output."""
        return self._shell.run(calls.change_all(self._session, "delete", wanted))

    def status(self) -> dict[str, Any]:
        """How the server is, what its jobs survive, how many there are in each state."""
        status: dict[str, Any] = self._shell.run(calls.read_json(self._session, "status"))
        return status


class AsyncClient(AsyncFunctionMethods, AsyncTaskMethods):
    """A Client whose methods are awaited, and whose iterators are iterated by ``async for``.

    It may be used in several event loops, one after another; close it in each.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, patience_s: float = PATIENCE_S
    ) -> None:
        """Connect to nobody yet."""
        self._shell = AsyncShell(url, token, patience_s)
        self._session = self._shell.session

    async def __aenter__(self) -> Self:
        """Use it in a block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        await self.close()

    async def close(self) -> None:
        """Close every connection of this event loop; used again, it opens them again."""
        await self._shell.close()

    async def locate(self) -> Server:
        """The server that is talked to; looked for where none is known yet."""
        if self._session.server is not None:
            return self._session.server
        return await self._shell.run(locate(self._session))

    @overload
    async def submit(
        self, command: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> AsyncJobHandle: ...

    @overload
    async def submit(
        self, command: Command, *, idempotency_key: str | None = None, **options: Unpack[JobOptions]
    ) -> AsyncJobHandle: ...

    @spelled_out_as(JobOptions)
    async def submit(
        self,
        command: Command | Callable[..., Any],
        *args: Any,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> AsyncJobHandle:
        """Submit a job; see Client.submit."""
        if callable(command):
            given = calls.without_none({"idempotency_key": idempotency_key})
            return await self.submit_call(command, args, {**given, **options})
        calls.must_be_no_arguments(args)
        body = calls.job_request(command, cast("JobOptions", options))
        [job] = await self._shell.run(_submit(self._shell, body, idempotency_key))
        return async_handle(self._shell, job)

    @spelled_out
    async def submit_many(
        self,
        commands: Sequence[Command],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> list[AsyncJobHandle]:
        """Submit several jobs with the same options in one request: all or none."""
        body = [calls.job_request(command, options) for command in commands]
        jobs = await self._shell.run(_submit(self._shell, body, idempotency_key))
        return [async_handle(self._shell, job) for job in jobs]

    @spelled_out
    async def submit_code(
        self,
        source: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        outputs: str | Sequence[str] = (),
        python: str | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle:
        """Submit source text for a fresh kernel; see Client.submit_code."""
        body = carrying.request(source, outputs, python, options)
        with carrying.packed(inputs) as file:
            flow = carrying.submit(self._session, body, file, self._shell.folder)
            return async_handle(self._shell, await self._shell.run(flow))

    @spelled_out
    async def submit_notebook(
        self,
        path: notebooks.Path,
        parameters: Mapping[str, Any] | None = None,
        *,
        kernel: str | None = None,
        output: notebooks.Path | None = None,
        allow_errors: bool = False,
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle:
        """Submit a notebook; see Client.submit_notebook."""
        more = {"kernel": kernel, "output": output, "allow_errors": allow_errors}
        body = notebooks.request(path, parameters, more, options)
        key, folder = secrets.token_hex(16), self._shell.folder
        flow = notebooks.submit(self._session, body, key, folder)
        return async_handle(self._shell, await self._shell.run(flow))

    @spelled_out
    async def submit_external(
        self,
        *,
        lease_s: float | None = None,
        program: str | None = None,
        host: str | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle:
        """Submit a job whose program runs elsewhere; see Client.submit_external."""
        spec = calls.external(lease_s, program, host)
        return await self.submit(spec, **options)

    async def job(self, job_id: str) -> AsyncJobHandle:
        """The job with this id, or the one newer job whose id begins like this."""
        whole = await self._shell.run(calls.resolve(self._session, job_id))
        return async_handle(self._shell, await self._shell.run(calls.get(self._session, whole)))

    @spelled_out
    async def jobs(
        self, *, limit: int | None = None, **wanted: Unpack[FilterOptions]
    ) -> AsyncIterator[AsyncJobHandle]:
        """The jobs, the newest first, fetched page by page as they are taken."""
        async for job in self._shell.iterate(calls.find(self._session, wanted, limit)):
            yield async_handle(self._shell, job)

    @spelled_out
    def watch(
        self,
        *,
        after: int | None = None,
        timeout_s: float | None = None,
        **wanted: Unpack[FilterOptions],
    ) -> AsyncIterator[JobEvent]:
        """What happens, as it happens; see JobEvent for ``live`` and ``reset``."""
        return self._shell.iterate(streams.watch(self._session, wanted, after, timeout_s))

    @spelled_out
    async def cancel_all(self, **wanted: Unpack[FilterOptions]) -> Counts:
        """Cancel every job that the filter accepts: {"matched", "done", "refused"}."""
        return await self._shell.run(calls.change_all(self._session, "cancel", wanted))

    @spelled_out
    async def pause_all(self, **wanted: Unpack[FilterOptions]) -> Counts:
        """Pause every job that the filter accepts."""
        return await self._shell.run(calls.change_all(self._session, "pause", wanted))

    @spelled_out
    async def resume_all(self, **wanted: Unpack[FilterOptions]) -> Counts:
        """Resume every job that the filter accepts."""
        return await self._shell.run(calls.change_all(self._session, "resume", wanted))

    @spelled_out
    async def restart_all(self, **wanted: Unpack[FilterOptions]) -> Counts:
        """Restart every ended job that the filter accepts."""
        return await self._shell.run(calls.change_all(self._session, "restart", wanted))

    @spelled_out
    async def run_all(self, **wanted: Unpack[FilterOptions]) -> Counts:
        """Start every waiting job that the filter accepts now, whatever the line."""
        return await self._shell.run(calls.change_all(self._session, "run", wanted))

    @spelled_out
    async def delete_all(self, **wanted: Unpack[FilterOptions]) -> Counts:
        """Delete every ended job that the filter accepts, with its output."""
        return await self._shell.run(calls.change_all(self._session, "delete", wanted))

    async def status(self) -> dict[str, Any]:
        """How the server is, what its jobs survive, how many there are in each state."""
        status: dict[str, Any] = await self._shell.run(calls.read_json(self._session, "status"))
        return status


def _submit(
    shell: Shell | AsyncShell, body: Wire | list[Wire], key: str | None
) -> Flow[list[Wire]]:
    key = secrets.token_hex(16) if key is None else key
    return calls.submit(shell.session, body, key, shell.folder)
