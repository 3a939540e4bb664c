"""The job of a cell: what the cell shows of it stays true for as long as the kernel lives."""

import time
from collections.abc import Generator
from functools import partial
from typing import Any

from IPython.display import DisplayHandle, display

from jupyter_tasks import views
from jupyter_tasks.client import AsyncClient, JobHandle
from jupyter_tasks.errors import TasksError
from jupyter_tasks.magics.live import TEXT_BYTES, Live, tail_bytes
from jupyter_tasks.model import ENDED
from jupyter_tasks.records import Ending, ending


class CellJob:
    """A job as cells have it: shown live where it is displayed; ``await`` it to wait for its end."""

    def __init__(self, handle: JobHandle, live: Live) -> None:
        """Show nothing yet."""
        self._handle = handle
        self._live = live

    @property
    def id(self) -> str:
        """The job's id."""
        return self._handle.id

    @property
    def handle(self) -> JobHandle:
        """All else that can be done with the job: see ``jupyter_tasks.client``."""
        return self._handle

    @property
    def state(self) -> str:
        """The job's state at this moment."""
        return str(self._handle.refresh().wire["state"])

    def wait(self, timeout_s: float | None = None) -> "CellJob":
        """Wait for its end; raises TimeoutError."""
        self._handle.wait(timeout_s=timeout_s)
        return self

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait for its end; then the value of ``--out``, or a tuple of them.

        Raises TimeoutError, and NoResult where the job did not succeed.
        """
        return self._handle.result(timeout_s)

    def cancel(self, reason: str | None = None) -> "CellJob":
        """End it; asked again, at once."""
        self._handle.cancel(reason)
        return self

    def logs(self) -> str:
        """All that it has printed so far; what is no text is replaced."""
        return self._handle.output().decode(errors="replace")

    def __await__(self) -> Generator[Any, None, "CellJob"]:
        """Wait for its end, while other cells and widgets of this kernel go on."""
        return self._ended().__await__()

    async def _ended(self) -> "CellJob":
        async with AsyncClient() as client:
            await (await client.job(self.id)).wait()
        self._handle.refresh()
        return self

    def __repr__(self) -> str:
        """The job in a line, as it was last seen."""
        return views.text(self._handle.wire, "", time.time())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """For front ends: what is true now."""
        return self._bundle()

    def _ipython_display_(self) -> None:
        """Show it here, and keep that true until it ends."""
        try:
            bundle = self._bundle()
        except TasksError as error:
            print(error.message)  # noqa: T201 - where the job would be shown
            return
        shown = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        if shown is not None and self._handle.wire["state"] not in ENDED:
            self._live.keep(self.id, partial(_update, shown))

    def _bundle(self) -> dict[str, Any]:
        wire = self._handle.refresh().wire
        pieces = self._handle.records(tail=tail_bytes(wire))
        return _bundle(wire, ending((piece.record for piece in pieces), TEXT_BYTES))


def _update(shown: DisplayHandle, job: dict[str, Any], end: Ending) -> None:
    shown.update(_bundle(job, end), raw=True)  # type: ignore[no-untyped-call]


def _bundle(job: dict[str, Any], end: Ending) -> dict[str, Any]:
    return views.bundle(job, end.text, time.time(), end.pictures)
