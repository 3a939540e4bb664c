"""``TasksPanel``: a live list of jobs, to search, cancel, restart and submit."""

import time
from functools import partial
from html import escape
from typing import Any, Unpack

from ipywidgets import HTML, Dropdown, HBox, Text, VBox

from jupyter_tasks import views, words
from jupyter_tasks.client import AsyncClient, Client, JobHandle
from jupyter_tasks.client.calls import FilterOptions, Wire
from jupyter_tasks.model import ENDED, State
from jupyter_tasks.widgets import parts
from jupyter_tasks.widgets.parts import Shown

_ANY = "any state"
_MOST = 200


class TasksPanel(Shown):
    """The newest jobs, live: those that a filter accepts (as of ``Client.jobs``), at most ``limit``.

    People narrow them by a state and by what the name holds, cancel and restart them, and submit a
    line for the shell. ``close()`` lets go of them.
    """

    def __init__(
        self, client: Client | None = None, *, limit: int = 20, **wanted: Unpack[FilterOptions]
    ) -> None:
        """Show the jobs as they are, and keep that true; raises NoServer."""
        self._client = client or Client()
        self._limit = min(limit, _MOST)
        self._wanted = wanted
        self._rows: dict[str, _Row] = {}
        self._text = Text(placeholder="what the name holds", layout={"width": "14em"})
        self._state = Dropdown(options=[_ANY, *map(str, State)], layout={"width": "9em"})
        self._command = Text(placeholder="a line for the shell", layout={"width": "24em"})
        self._list, self._count = VBox(), HTML()
        submit = parts.button("Submit", "Run the line as a job", self._submit)
        narrow = HBox([self._text, self._state, self._count])
        super().__init__([narrow, self._list, HBox([self._command, submit])])
        self._text.observe(self._narrowed, "value")
        self._state.observe(self._narrowed, "value")
        self.refresh()
        self._following = self._follow()

    def refresh(self) -> None:
        """Show the jobs as they are now."""
        self._draw([handle.wire for handle in self._find()])

    def close(self) -> None:
        """Show them no more, and follow them no more."""
        self._following.cancel()
        super().close()

    def told(self) -> dict[str, Any]:
        """The list in HTML and text, with the time at which it was true."""
        return views.list_bundle([handle.wire for handle in self._find()], time.time())

    def _find(self) -> list[JobHandle]:
        return list(self._client.jobs(limit=self._limit, **self._chosen()))

    def _chosen(self) -> FilterOptions:
        chosen = FilterOptions(**self._wanted)
        if self._state.value != _ANY:
            chosen["states"] = [self._state.value]
        if self._text.value:
            chosen["text"] = self._text.value
        return chosen

    def _follow(self) -> Any:
        keeping = parts.LIVE.keep_list(
            self._fetch, self._draw, client=parts.async_client_of(self._client)
        )
        return self.follow(keeping)

    async def _fetch(self, client: AsyncClient) -> list[Wire]:
        return [handle.wire async for handle in client.jobs(limit=self._limit, **self._chosen())]

    def _draw(self, jobs: list[Wire]) -> None:
        rows = {job["id"]: self._rows.get(job["id"]) or _Row(self, job["id"]) for job in jobs}
        for job in jobs:
            rows[job["id"]].show(job)
        gone = [row for job_id, row in self._rows.items() if job_id not in rows]
        is_other = list(rows) != list(self._rows)
        self._rows = rows
        if is_other:
            self._list.children = [row.box for row in rows.values()]
        for row in gone:
            row.close()
        more = " (the newest)" if len(jobs) == self._limit else ""
        self._count.value = f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}{more}"

    def _narrowed(self, _: object) -> None:
        self.ask(self.refresh)

    def _submit(self) -> None:
        if self._command.value.strip():
            self.ask(partial(self._client.submit, self._command.value))

    def change(self, job_id: str, verb: str) -> None:
        """Do it to a job of the list."""
        self.ask(partial(self._change, job_id, verb))

    def _change(self, job_id: str, verb: str) -> None:
        getattr(self._client.job(job_id), verb)()


class _Row:
    """One job of the list."""

    def __init__(self, panel: TasksPanel, job_id: str) -> None:
        """Show nothing yet."""
        self._head, self._bar = HTML(layout={"width": "60%"}), parts.bar()
        self._verb = "cancel"
        self._button = parts.button("", "", lambda: panel.change(job_id, self._verb))
        self._bar.layout.width = "25%"
        self.box = HBox([self._head, self._bar, self._button])

    def show(self, job: Wire) -> None:
        """Show the job as it is."""
        name = escape(words.plain(job["name"]))
        self._head.value = parts.line(job)
        parts.fill(self._bar, job)
        is_over = job["state"] in ENDED
        self._verb = "restart" if is_over else "cancel"
        self._button.description = "Restart" if is_over else "Cancel"
        self._button.tooltip = f"{self._button.description} {name}"

    def close(self) -> None:
        """Let the front end forget it."""
        for part in (*self.box.children, self.box):
            part.close()
