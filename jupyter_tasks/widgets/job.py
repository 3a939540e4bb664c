"""``JobWidget``: one job with its bar, the end of its output, and its buttons."""

import time
from html import escape
from typing import Any

from ipywidgets import HTML, HBox

from jupyter_tasks import views, words
from jupyter_tasks.client import JobHandle
from jupyter_tasks.client.calls import Wire
from jupyter_tasks.magics.cell_job import CellJob
from jupyter_tasks.magics.live import TEXT_BYTES, tail_bytes
from jupyter_tasks.model import ENDED
from jupyter_tasks.records import Ending, ending
from jupyter_tasks.widgets import parts
from jupyter_tasks.widgets.parts import Shown


class JobWidget(Shown):
    """A job, live: a handle of the client, the value of a ``%%task`` cell, or an id.

    Its buttons cancel (pressed again: kill), pause or resume, and restart it. ``close()`` lets go of it.
    """

    def __init__(self, job: JobHandle | CellJob | str) -> None:
        """Show the job as it is, and keep that true; raises NoSuchThing and NoServer."""
        self._handle = parts.handle_of(job)
        self._head, self._bar, self._output = HTML(), parts.bar(), HTML()
        self._cancel = parts.button("Cancel", "End the job; pressed again: at once", self._end)
        self._pause = parts.button("Pause", "Let the job stand still", self._hold)
        self._restart = parts.button("Restart", "Make another attempt of the job", self._again)
        buttons = HBox([self._cancel, self._pause, self._restart])
        super().__init__([self._head, self._bar, buttons, *self._more(), self._output])
        self._show(*self._now())
        self._following = self._follow()

    @property
    def job(self) -> JobHandle:
        """The job's handle."""
        return self._handle

    def close(self) -> None:
        """Show it no more, and follow it no more; the job goes on."""
        self._following.cancel()
        super().close()

    def told(self) -> dict[str, Any]:
        """The job in HTML and text, and its id for the front ends that show it by themselves."""
        wire, end = self._now()
        return views.bundle(wire, end.text, time.time(), end.pictures)

    def is_over(self) -> bool:
        """Whether the job has ended."""
        return bool(self._restart.disabled is False)

    def _more(self) -> list[Any]:
        """What else stands above the output."""
        return []

    def _now(self) -> tuple[Wire, Ending]:
        wire = self._handle.refresh().wire
        pieces = self._handle.records(tail=tail_bytes(wire))
        return wire, ending((piece.record for piece in pieces), TEXT_BYTES)

    def _follow(self) -> Any:
        """From now on show each change, from the thread of all widgets."""
        client = parts.async_client_of(self._handle)
        keeping = parts.LIVE.keep(self._handle.id, self._show, client=client, rests=False)
        return self.follow(keeping)

    def _show(self, job: Wire, end: Ending) -> None:
        self._head.value = parts.line(job)
        parts.fill(self._bar, job)
        self._output.value = _output(job, end)
        is_over, is_paused = job["state"] in ENDED, job["state"] == "paused"
        self._cancel.disabled = self._pause.disabled = is_over
        self._cancel.description = (
            "Kill" if job["cancel_requested_at"] and not is_over else "Cancel"
        )
        self._pause.description = "Resume" if is_paused else "Pause"
        self._restart.disabled = not is_over

    # -- what presses do --------------------------------------------------------------------------

    def _end(self) -> None:
        self.ask(self._handle.cancel)

    def _hold(self) -> None:
        is_paused = self._pause.description == "Resume"
        self.ask(self._handle.resume if is_paused else self._handle.pause)

    def _again(self) -> None:
        self.ask(self._handle.restart)
        if self._handle.wire["state"] not in ENDED:
            self._following = self._follow()


def _output(job: Wire, end: Ending) -> str:
    """The message and the last lines; pictures at the end."""
    told = f"<div>{escape(words.plain(job['message']))}</div>" if job["message"] else ""
    shown = views.last_lines(end.text)
    lines = f'<pre style="max-height: 24em; overflow: auto">{escape(shown)}</pre>' if shown else ""
    images = [f'<img src="{escape(url)}" style="max-width: 100%">' for url in end.pictures]
    return "".join([told, lines, *images])
