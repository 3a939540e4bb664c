"""A group in the hands of a client: one job that makes many calls, with the result of each.

Both handles have the same methods; those of AsyncGroupHandle are awaited.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from tempfile import TemporaryFile
from typing import Any, Self

from jupyter_tasks.client import carrying, plots
from jupyter_tasks.client.calls import Wire
from jupyter_tasks.client.handles import AsyncJobHandle, JobHandle
from jupyter_tasks.client.shells import AsyncShell, Shell


class GroupHandle(JobHandle):
    """A group of a Client's server: a JobHandle with the calls of the job, and the result of each.

    Its ``progress`` is how many calls are done, of all.
    """

    def __init__(self, shell: Shell, wire: Wire, arguments: Sequence[Any] | None = None) -> None:
        """Made by a client's methods; ``arguments`` are known to who has made the group here."""
        super().__init__(shell, wire)
        self._arguments = arguments

    def __len__(self) -> int:
        """How many calls it makes."""
        count: int = self.wire["spec"]["calls"]
        return count

    def results(self, timeout_s: float | None = None, *, return_errors: bool = False) -> list[Any]:
        """Wait for its end; then what each call has returned, in the order of the arguments.

        Raises TimeoutError, and CallFailed, which names the first calls that have not succeeded;
        with ``return_errors`` a CallFailed stands in the place of each instead.
        """
        self.wait(timeout_s)
        with TemporaryFile() as file:
            file.writelines(self._shell.iterate(carrying.download(self._shell.session, self.id)))
            return carrying.opened_calls(file, self.wire, return_errors=return_errors)

    def calls(self, state: str | None = None) -> Iterator[Wire]:
        """Its calls, or those in one state ("waiting", "running", "succeeded", "failed", "stopped").

        Each is {"index", "state", "started_at", "elapsed_s", "worker", "data", "error", …}; they are
        fetched page by page as they are taken.
        """
        return self._shell.iterate(carrying.calls_of(self._shell.session, self.id, state))

    def retry(self) -> Self:
        """Make the calls that have not succeeded once more; the group must have ended."""
        return self.restart()

    def plot(self, ax: Any = None) -> Any:
        """Draw who ran when, by matplotlib: a row for each worker; returns the axes.

        Raises NoResult where no call has begun, and BadValue where matplotlib is not installed.
        """
        return plots.calls(self.wire, self.calls(), ax)

    def table(self) -> Any:
        """The calls so far as a pandas DataFrame, with their arguments where this handle made the group.

        Raises BadValue where pandas is not installed.
        """
        return plots.frame(self.calls(), self._arguments)


class AsyncGroupHandle(AsyncJobHandle):
    """A group of an AsyncClient's server: a GroupHandle whose methods are awaited."""

    def __init__(
        self, shell: AsyncShell, wire: Wire, arguments: Sequence[Any] | None = None
    ) -> None:
        """Made by a client's methods; ``arguments`` are known to who has made the group here."""
        super().__init__(shell, wire)
        self._arguments = arguments

    def __len__(self) -> int:
        """How many calls it makes."""
        count: int = self.wire["spec"]["calls"]
        return count

    async def results(
        self, timeout_s: float | None = None, *, return_errors: bool = False
    ) -> list[Any]:
        """Wait for its end; then what each call has returned; see GroupHandle.results."""
        await self.wait(timeout_s)
        with TemporaryFile() as file:
            async for piece in self._shell.iterate(carrying.download(self._shell.session, self.id)):
                file.write(piece)
            return carrying.opened_calls(file, self.wire, return_errors=return_errors)

    def calls(self, state: str | None = None) -> AsyncIterator[Wire]:
        """Its calls, or those in one state; see GroupHandle.calls."""
        return self._shell.iterate(carrying.calls_of(self._shell.session, self.id, state))

    async def retry(self) -> Self:
        """Make the calls that have not succeeded once more; the group must have ended."""
        return await self.restart()

    async def plot(self, ax: Any = None) -> Any:
        """Draw who ran when; see GroupHandle.plot."""
        return plots.calls(self.wire, [call async for call in self.calls()], ax)

    async def table(self) -> Any:
        """The calls so far as a pandas DataFrame; see GroupHandle.table."""
        return plots.frame([call async for call in self.calls()], self._arguments)


def handle(shell: Shell, wire: Wire) -> JobHandle:
    """The handle of the job; that of a group can do more."""
    return GroupHandle(shell, wire) if is_group(wire) else JobHandle(shell, wire)


def async_handle(shell: AsyncShell, wire: Wire) -> AsyncJobHandle:
    """The same for an AsyncClient."""
    return AsyncGroupHandle(shell, wire) if is_group(wire) else AsyncJobHandle(shell, wire)


def is_group(wire: Wire) -> bool:
    """Whether the job makes many calls."""
    return wire["kind"] == "function" and wire["spec"].get("calls") is not None
