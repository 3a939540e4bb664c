"""What the clients do with functions: call one, or one many times."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Unpack

from jupyter_tasks.client import carrying, tasks
from jupyter_tasks.client.calls import JobOptions
from jupyter_tasks.client.groups import AsyncGroupHandle, GroupHandle, async_handle, handle
from jupyter_tasks.client.handles import AsyncJobHandle, JobHandle
from jupyter_tasks.client.shells import AsyncShell, Shell
from jupyter_tasks.client.signatures import spelled_out


class FunctionMethods:
    """The part of a Client that is about functions."""

    _shell: Shell

    @spelled_out
    def submit_call(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        python: str | None = None,
        **options: Unpack[JobOptions],
    ) -> JobHandle:
        """Submit a call of a function, which goes there by value; the job's result is what it returns.

        It runs in a process of its own, with this Python or the one at the path ``python``. A
        generator reports progress by what it yields (``0.4``, ``(3, 12)``, ``(3, 12, "text")``), and
        its value is what it returns. cloudpickle carries the function and its arguments: by value
        what was made in a notebook, by name what can be imported. Raises BadValue, which names what
        cannot be carried, before anything is submitted.
        """
        body = carrying.call_request(function, python, options)
        with carrying.packed_call(function, args, kwargs or {}) as file:
            flow = carrying.submit_call(self._shell.session, body, file, self._shell.folder)
            return handle(self._shell, self._shell.run(flow))

    @spelled_out
    def map(
        self,
        function: Callable[..., Any] | str,
        argument_sets: Iterable[Any],
        *,
        max_concurrent: int = 0,
        isolated: bool = False,
        confirmed: bool = False,
        python: str | None = None,
        **options: Unpack[JobOptions],
    ) -> GroupHandle:
        """Call a function with many sets of arguments, as one job; see GroupHandle for its results.

        A tuple goes by position, a dict by name, anything else is the one argument. Up to
        ``max_concurrent`` calls run at a time (0: as many as there are processors, -1: 128), one
        after the other in warm processes; ``isolated``: each in a process of its own. A call that
        fails, or ends its process, fails alone. Raises BadValue, which names what cannot be carried.

        In place of a function it takes the name of a registered task; each set is then a dict with
        values of its fields. Raises BadFields, and NotConfirmed as ``submit_task`` does.
        """
        sets = list(argument_sets)
        ways = {"max_concurrent": max_concurrent, "isolated": isolated}
        if isinstance(function, str):
            body = tasks.group_body(sets, python, options, confirmed=confirmed) | ways
            where = f"{tasks.of_task(function)}/jobs"
            started = tasks.start(self._shell.session, where, body, self._shell.folder)
            return GroupHandle(self._shell, self._shell.run(started), sets)
        body = carrying.group_request(function, sets, python, options)
        body["spec"] |= ways
        with carrying.packed_group(function, sets) as file:
            flow = carrying.submit_call(self._shell.session, body, file, self._shell.folder)
            return GroupHandle(self._shell, self._shell.run(flow), sets)


class AsyncFunctionMethods:
    """The part of an AsyncClient that is about functions; see FunctionMethods."""

    _shell: AsyncShell

    @spelled_out
    async def submit_call(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        python: str | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle:
        """Submit a call of a function; see Client.submit_call."""
        body = carrying.call_request(function, python, options)
        with carrying.packed_call(function, args, kwargs or {}) as file:
            flow = carrying.submit_call(self._shell.session, body, file, self._shell.folder)
            return async_handle(self._shell, await self._shell.run(flow))

    @spelled_out
    async def map(
        self,
        function: Callable[..., Any] | str,
        argument_sets: Iterable[Any],
        *,
        max_concurrent: int = 0,
        isolated: bool = False,
        confirmed: bool = False,
        python: str | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncGroupHandle:
        """Call a function with many sets of arguments; see Client.map."""
        sets = list(argument_sets)
        ways = {"max_concurrent": max_concurrent, "isolated": isolated}
        if isinstance(function, str):
            body = tasks.group_body(sets, python, options, confirmed=confirmed) | ways
            where = f"{tasks.of_task(function)}/jobs"
            started = tasks.start(self._shell.session, where, body, self._shell.folder)
            return AsyncGroupHandle(self._shell, await self._shell.run(started), sets)
        body = carrying.group_request(function, sets, python, options)
        body["spec"] |= ways
        with carrying.packed_group(function, sets) as file:
            flow = carrying.submit_call(self._shell.session, body, file, self._shell.folder)
            return AsyncGroupHandle(self._shell, await self._shell.run(flow), sets)
