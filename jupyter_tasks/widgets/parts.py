"""What our widgets have in common: how they look, what a press does, and what is left without them."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from html import escape
from typing import Any

from IPython.core.getipython import get_ipython
from ipywidgets import HTML, Button, FloatProgress, VBox

from jupyter_tasks import views, words
from jupyter_tasks.client import AsyncClient, Client, JobHandle
from jupyter_tasks.client.calls import Wire
from jupyter_tasks.errors import TasksError
from jupyter_tasks.magics.cell_job import CellJob
from jupyter_tasks.magics.live import Live

_BAR_STYLES = {"succeeded": "success", "failed": "danger", "lost": "danger", "paused": "warning"}
_WAITS = "While a cell of this kernel runs, a press waits for its end."
_PERHAPS_WAITS = (
    "While a cell of this kernel runs, a press works in JupyterLab from 4.4 on, "
    "and waits for the cell's end elsewhere."
)
_NO_LONGER_LIVE = "This view is no longer live: the server has gone. Run its cell again."
#: One thread for all widgets of a kernel.
LIVE = Live()


class Shown(VBox):  # type: ignore[misc]
    """A widget that says in HTML and in text what it shows, for wherever no widget can be."""

    def __init__(self, parts: list[Any]) -> None:
        """Show the parts below each other; then what went wrong, and how presses are heard."""
        self.note = HTML()
        self._hint = HTML(f'<span style="opacity: 0.7">{escape(heard())}</span>' if heard() else "")
        super().__init__([*parts, self.note, self._hint])

    def hush(self) -> None:
        """Leave out how presses are heard: what this one stands in says so."""
        self._hint.value = ""

    def ask(self, what: Callable[[], object]) -> None:
        """Do what a press asks for; what is wrong stands below."""
        try:
            what()
        except TasksError as error:
            self.note.value = f"<b>That could not be done.</b> {escape(error.message)}"
        else:
            self.note.value = ""

    def follow(self, following: Future[None]) -> Future[None]:
        """Say so should this end before what is shown has."""
        following.add_done_callback(self._ended)
        return following

    def is_over(self) -> bool:
        """Whether nothing of what is shown will change any more."""
        return False

    def _ended(self, following: Future[None]) -> None:
        if not (following.cancelled() or self.is_over()):
            self.note.value = escape(_NO_LONGER_LIVE)

    def told(self) -> dict[str, Any]:
        """The bundle that says the same without a widget, as it is now."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widget, and its HTML and text."""
        return {**super()._repr_mimebundle_(**kwargs), **self.told()}


def heard() -> str:
    """When a press is heard while a cell runs; nothing where there is no kernel."""
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return ""
    return _PERHAPS_WAITS if getattr(kernel, "_supports_kernel_subshells", False) else _WAITS


def handle_of(job: "JobHandle | CellJob | str") -> JobHandle:
    """The job's handle; raises what a client raises where there is no such job."""
    if isinstance(job, str):
        return Client().job(job)
    return job.handle if isinstance(job, CellJob) else job


def async_client_of(of: Client | JobHandle) -> Callable[[], AsyncClient]:
    """Makes clients of the same server, for the thread."""
    return lambda: AsyncClient(*of.server)


def button(words_on_it: str, help_: str, pressed: Callable[[], None]) -> Any:
    """A button, as wide as its words."""
    made = Button(description=words_on_it, tooltip=help_, layout={"width": "auto"})
    made.on_click(lambda _: pressed())
    return made


def bar() -> Any:
    """A bar from 0 to 1."""
    return FloatProgress(min=0.0, max=1.0, layout={"width": "100%", "height": "1.2em"})


def fill(shown: Any, job: Wire) -> None:
    """Let the bar stand where the job is; without a bar where nobody can tell."""
    part = 1.0 if job["state"] == "succeeded" else words.fraction(job)
    shown.layout.visibility = "hidden" if part is None else "visible"
    shown.value = part or 0.0
    shown.bar_style = _BAR_STYLES.get(job["state"], "info")


def line(job: Wire) -> str:
    """The job in a line of HTML: its state in words, too, and not by colour alone."""
    told = " ".join(filter(None, (words.progress(job), words.pace_words(job, time.time()))))
    return views.headline(job, time.time()) + (f"<div>{escape(told)}</div>" if told else "")
