"""``TaskForm``: the fields of a task to fill in, its danger to confirm, and the job that comes of it."""

import time
from collections.abc import Mapping
from html import escape
from typing import Any

from ipywidgets import HTML, Checkbox, Dropdown, SelectMultiple, Text, Textarea, VBox

from jupyter_tasks import views, words
from jupyter_tasks.client import Client
from jupyter_tasks.client.calls import Wire
from jupyter_tasks.errors import BadFields, NotConfirmed
from jupyter_tasks.fields import Field, parse_texts, to_texts
from jupyter_tasks.widgets import parts
from jupyter_tasks.widgets.job import JobWidget
from jupyter_tasks.widgets.parts import Shown

_WIDE = {"width": "30em"}
_DESCRIBED = {"description_width": "10em"}


class TaskForm(Shown):
    """A form for the task of that name. **Run** submits a job, and shows it below.

    What is wrong with a field stands beside it. A dangerous task says so, and runs only where its
    danger was ticked. ``job`` is the handle of the last job.
    """

    def __init__(self, task: str, client: Client | None = None) -> None:
        """Ask the server for the task's fields; raises NoSuchThing and NoServer."""
        self._client = client or Client()
        self._task = self._client.task(task)
        self._fields = [
            Field(**(field | {"choices": tuple(field["choices"])}))
            for field in self._task["fields"]
        ]
        self._inputs = {field.name: _Input(field) for field in self._fields}
        self._danger = Checkbox(
            description=f"I mean it: {words.plain(self._task['dangerous'])}",
            indent=False,
            layout={"width": "auto"},
        )
        self._shown: list[JobWidget] = []
        self._place = VBox()
        self.job: Any = None
        run = parts.button("Run", f"Run {self._task['name']} as a job", self._run)
        run.layout.align_self = "flex-start"  # as wide as its word
        danger = [HTML(_danger(self._task)), self._danger] if self._task["dangerous"] else []
        inputs = [one.box for one in self._inputs.values()]
        super().__init__([HTML(_head(self._task)), *inputs, *danger, run, self._place])

    def told(self) -> dict[str, Any]:
        """The form as it is filled in, with the time at which that was so."""
        values = {
            name: ", ".join(text for _, text in one.texts()) for name, one in self._inputs.items()
        }
        jobs = [self.job.refresh().wire] if self.job is not None else []
        return views.form_bundle(self._task, values, jobs, time.time())

    def _run(self) -> None:
        for one in self._inputs.values():
            one.wrong.value = ""
        self.ask(self._submit)

    def _submit(self) -> None:
        texts = [pair for one in self._inputs.values() for pair in one.texts()]
        try:
            arguments = parse_texts(self._fields, texts)
            if self._task["dangerous"] and not self._danger.value:
                raise NotConfirmed(f"Tick \u201c{self._danger.description}\u201d first.")
            self.job = self._client.submit_task(
                self._task["name"], arguments, confirmed=self._danger.value
            )
        except BadFields as error:
            self._tell(error.details.get("fields", {}))
            raise
        for former in self._shown:
            former.close()
        self._shown = [JobWidget(self.job)]
        self._shown[0].hush()
        self._place.children = self._shown

    def _tell(self, bad: Mapping[str, str]) -> None:
        for name, sentence in bad.items():
            if name in self._inputs:
                self._inputs[name].wrong.value = f"<b>{escape(str(sentence))}</b>"


class _Input:
    """One field: what people fill in, and what is wrong with it."""

    def __init__(self, field: Field) -> None:
        """Begin with the field's default."""
        self._field = field
        given = [] if field.required else to_texts([field], {field.name: field.default})
        self._part = _part(field, [text for _, text in given])
        self.wrong = HTML()
        told = escape(words.plain(field.help))
        self.box = VBox([self._part, HTML(f'<span style="opacity: 0.7">{told}</span>'), self.wrong])

    def texts(self) -> list[tuple[str, str]]:
        """What is filled in: a text for each value, and none where nothing was."""
        value = self._part.value
        if isinstance(value, bool):
            found = ["true" if value else "false"]
        elif isinstance(value, tuple):
            found = list(value)
        elif self._field.many:
            found = [line for line in value.splitlines() if line.strip()]
        else:
            found = [value] if value else []
        return [(self._field.name, text) for text in found]


def _part(field: Field, texts: list[str]) -> Any:
    """The core widget of a field, filled with these texts."""
    name = words.plain(field.title or field.name) + (" *" if field.required else "")
    same = {"description": name, "style": _DESCRIBED, "layout": _WIDE}
    choices = [
        to_texts([field], {field.name: [one] if field.many else one}) for one in field.choices
    ]
    options = [text for pairs in choices for _, text in pairs]
    if options and field.many:
        return SelectMultiple(
            options=options, value=[one for one in texts if one in options], **same
        )
    if options:
        given = texts[0] if texts and texts[0] in options else ""
        return Dropdown(options=options if given else ["", *options], value=given, **same)
    if field.type == "bool" and not (field.many or field.nullable):
        return Checkbox(value=texts == ["true"], **same)
    if field.many:
        return Textarea(value="\n".join(texts), placeholder=f"{_bounds(field)}, one a line", **same)
    make = Textarea if field.type == "json" else Text
    return make(value="".join(texts), placeholder=_bounds(field), **same)


def _bounds(field: Field) -> str:
    low, high = field.minimum, field.maximum
    told: list[str] = [field.type]
    told += [f"from {low:g}"] if low is not None else []
    told += [f"to {high:g}"] if high is not None else []
    return " ".join(told)


def _head(task: Wire) -> str:
    title = escape(words.plain(task["title"] or task["name"]))
    cost = " <i>(takes long or much)</i>" if task["expensive"] else ""
    return f"<b>{title}</b>{cost}<div>{escape(words.plain(task['description']))}</div>"


def _danger(task: Wire) -> str:
    return f"<b>⚠ Dangerous:</b> {escape(words.plain(task['dangerous']))}"
