"""``GroupWidget``: a group of calls, how many are done, and which of them failed."""

import threading
from html import escape
from itertools import islice
from typing import Any

from ipywidgets import HTML

from jupyter_tasks import words
from jupyter_tasks.client.calls import Wire
from jupyter_tasks.client.groups import GroupHandle
from jupyter_tasks.errors import BadValue, TasksError
from jupyter_tasks.model import ENDED
from jupyter_tasks.records import Ending
from jupyter_tasks.widgets.job import JobWidget

_SHOWN = 10


class GroupWidget(JobWidget):
    """A group, live: its bar is how many calls are done. At its end the failed ones are named.

    **Retry** makes the calls once more that have not succeeded.
    """

    def __init__(self, group: GroupHandle) -> None:
        """Show the group as it is, and keep that true; raises BadValue for what is no group."""
        if not isinstance(group, GroupHandle):
            raise BadValue(
                "A GroupWidget shows a group: what Client.map gives, or Client.job of it."
            )
        self._group = group
        self._failed = HTML()
        super().__init__(group)
        self._restart.description = "Retry"
        self._restart.tooltip = "Make the calls that have not succeeded once more"

    def _more(self) -> list[Any]:
        return [self._failed]

    def _show(self, job: Wire, end: Ending) -> None:
        super()._show(job, end)
        if job["state"] in ENDED:
            # The thread of all widgets must not wait for it.
            threading.Thread(target=self._name_failed, name="tasks-group").start()
        else:
            self._failed.value = ""

    def _name_failed(self) -> None:
        try:
            failed = list(islice(self._group.calls("failed"), _SHOWN + 1))
        except TasksError as error:
            self._failed.value = escape(error.message)
            return
        rows = "".join(f"<li>{_told(call)}</li>" for call in failed[:_SHOWN])
        more = "<li>… and more</li>" if len(failed) > _SHOWN else ""
        self._failed.value = f"Failed calls:<ul>{rows}{more}</ul>" if failed else ""


def _told(call: Wire) -> str:
    error = call["error"] or {}
    why = ": ".join(filter(None, (error.get("type"), error.get("message"))))
    return escape(words.plain(f"call {call['index']}: {why}"))
