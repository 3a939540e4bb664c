"""The job of a cell: what the cell shows of it stays true for as long as the kernel lives."""

import threading
import time
from collections.abc import Generator
from typing import Any

from IPython.display import DisplayHandle, display

from jupyter_tasks.client import AsyncClient, Client, JobHandle
from jupyter_tasks.errors import TasksError
from jupyter_tasks.magics import views
from jupyter_tasks.model import ENDED

_EVERY_S = 0.5
_TAIL_BYTES = 8192


class CellJob:
    """A job as cells have it: shown live where it is displayed; ``await`` it to wait for its end."""

    def __init__(self, handle: JobHandle) -> None:
        """Show nothing yet."""
        self._handle = handle
        self._shown: list[DisplayHandle] = []
        self._watching: threading.Thread | None = None

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
        shown = display(  # type: ignore[no-untyped-call]
            self._bundle(), raw=True, display_id=True
        )
        if shown is None or self._handle.wire["state"] in ENDED:
            return
        self._shown.append(shown)
        if self._watching is None or not self._watching.is_alive():
            self._watching = threading.Thread(
                target=self._watch, name=f"task-{self.id[:8]}", daemon=True
            )
            self._watching.start()

    def _watch(self) -> None:
        """In a thread: a kernel that runs another cell shows the job all the same."""
        with Client() as client:
            handle = client.job(self.id)
            try:
                for _ in client.watch(ids=[self.id]):
                    bundle = self._bundle(handle.refresh())
                    for shown in tuple(self._shown):
                        shown.update(bundle, raw=True)  # type: ignore[no-untyped-call]
                    if handle.wire["state"] in ENDED:
                        return
                    time.sleep(_EVERY_S)  # no more than this often, however much happens
            except TasksError:
                return  # what is shown stays as it was; asked again it says what is wrong

    def _bundle(self, handle: JobHandle | None = None) -> dict[str, Any]:
        handle = handle or self._handle.refresh()
        tail = handle.output(tail=_TAIL_BYTES)
        return views.bundle(handle.wire, tail.decode(errors="replace"), time.time())
