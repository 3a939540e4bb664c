"""What a cell shows of a job: a line of text, and a piece of HTML that needs nothing around it. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from time import localtime, strftime
from typing import Any, Final

from jupyter_tasks import words
from jupyter_tasks.model import ENDED, State

Wire = Mapping[str, Any]

#: What the renderer of our front end shows live; the rest is for everybody else.
MIME: Final = "application/vnd.jupyter-tasks.job+json"
_WIDGET_MIME: Final = "application/vnd.jupyter.widget-view+json"
_WIDGET_MARK: Final = 'data-tasks-widget="1"'
_ESCAPES: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINES: Final = 20
_ID: Final = re.compile(r"[0-9a-f]{16}")
#: The page's own colours, which follow its theme; elsewhere those that suit light and dark.
_GOOD = "var(--jp-success-color0, #388e3c)"
_BAD = "var(--jp-error-color0, #e53935)"
_BUSY = "var(--jp-info-color0, #1e88e5)"
_CALM = "var(--jp-ui-font-color2, #757575)"
_COLOURS: Final = {
    State.SUCCEEDED: _GOOD,
    State.FAILED: _BAD,
    State.LOST: _BAD,
    State.RUNNING: _BUSY,
    State.STARTING: _BUSY,
}


def bundle(job: Wire, tail: str, now: float, pictures: Sequence[str] = ()) -> dict[str, Any]:
    """All that a front end may choose from; ``pictures`` are data URLs."""
    return {
        MIME: {"version": 1, "id": job["id"]},
        "text/html": html(job, tail, now, pictures),
        "text/plain": text(job, tail, now),
    }


def is_of(data: Mapping[str, Any], job: Wire) -> bool:
    """Whether a bundle tells of the job at this very version. It may hold anything."""
    told = data.get("text/html", "")
    return _mark(job) in ("".join(map(str, told)) if isinstance(told, list) else str(told))


def _mark(job: Wire) -> str:
    return f'data-job="{job["id"]}" data-version="{job["version"]}"'


def text(job: Wire, tail: str, now: float) -> str:
    """The job in a line, then the end of its output."""
    told = (
        f"Job {job['id'][:8]} {words.plain(job['name'])!r}: {words.state(job)}",
        words.progress(job),
        words.pace_words(job, now) or words.took(job, now),
    )
    lines = [", ".join(filter(None, told)), words.plain(job["message"]), last_lines(tail)]
    return "\n".join(filter(None, lines))


def html(job: Wire, tail: str, now: float, pictures: Sequence[str] = ()) -> str:
    """The same to look at, in the colours of whatever page it stands in."""
    colour = _COLOURS.get(State(job["state"]), _CALM)
    parts = [
        f'<div {_mark(job)} style="border-left: 3px solid {colour}; padding-left: 0.6em">',
        headline(job, now),
        _bar(job, now),
    ]
    if job["message"]:
        parts.append(f"<div>{escape(words.plain(job['message']))}</div>")
    if shown := last_lines(tail):
        parts.append(f'<pre style="font-family: monospace; margin: 0.3em 0">{escape(shown)}</pre>')
    parts += [f'<div><img src="{escape(url)}" style="max-width: 100%"></div>' for url in pictures]
    return "".join([*parts, "</div>"])


def headline(job: Wire, now: float) -> str:
    """Name, state, id and time of a job, in a line of HTML."""
    colour = _COLOURS.get(State(job["state"]), _CALM)
    return (
        f"<b>{escape(words.plain(job['name']))}</b> "
        f'<span style="color: {colour}">{words.icon(job["state"])} {escape(words.state(job))}</span> '
        f"<code>{job['id'][:8]}</code> {escape(words.took(job, now))}"
    )


def list_bundle(jobs: Sequence[Wire], now: float) -> dict[str, Any]:
    """A list of jobs as it was at a moment, which it names: nothing brings it up to date."""
    at = strftime("%Y-%m-%d %H:%M:%S", localtime(now))
    title = f"{len(jobs)} jobs of jupyter_tasks, as they were at {at}"
    rows = "".join(f"<li>{headline(job, now)}{_bar(job, now)}</li>" for job in jobs)
    lines = [text(job, "", now).partition("\n")[0] for job in jobs]
    return {
        "text/html": f"<div {_WIDGET_MARK}>{title}<ul>{rows}</ul></div>",
        "text/plain": "\n".join([title, *lines]),
    }


def form_bundle(
    task: Wire, values: Mapping[str, str], jobs: Sequence[Wire], now: float
) -> dict[str, Any]:
    """A form as it was filled in at a moment, which it names, and the job that came of it."""
    at = strftime("%Y-%m-%d %H:%M:%S", localtime(now))
    title = f"Form for the task {words.plain(task['name'])}, as it was at {at}"
    danger = f"Dangerous: {words.plain(task['dangerous'])}" if task["dangerous"] else ""
    lines = [f"{name}: {words.plain(value)}" for name, value in values.items()]
    rows = "".join(f"<li>{escape(line)}</li>" for line in lines)
    shown = "".join(f"<div>{headline(job, now)}</div>" for job in jobs)
    told = [text(job, "", now).partition("\n")[0] for job in jobs]
    return {
        "text/html": f"<div {_WIDGET_MARK}>{escape(title)}<ul>{rows}</ul>"
        f"<div>{escape(danger)}</div>{shown}</div>",
        "text/plain": "\n".join(filter(None, [title, *lines, danger, *told])),
    }


def forget_widgets(notebook: Any) -> None:
    """Take out of a notebook's outputs the widgets of ours: without their kernel they show nothing.

    What is left of each is its HTML and text, and the job that our front end shows by itself.
    """
    for data in _bundles(notebook):
        if MIME in data or _WIDGET_MARK in str(data.get("text/html", "")):
            data.pop(_WIDGET_MIME, None)


def last_lines(tail: str) -> str:
    """The last lines as a terminal would have left them: without colours, lines overwritten."""
    plain = _ESCAPES.sub("", tail).replace("\r\n", "\n").rstrip("\n")
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n")]
    return "\n".join(_CONTROL.sub("", line) for line in lines[-_LINES:])


def _bar(job: Wire, now: float) -> str:
    part = words.fraction(job)
    told = " ".join(filter(None, (words.progress(job), words.pace_words(job, now))))
    if part is None or job["state"] in ENDED:
        return f"<div>{escape(told)}</div>" if told else ""
    return f'<div><progress value="{part:.4f}" max="1"></progress> {escape(told)}</div>'


def shown_jobs(notebook: Any) -> dict[str, list[dict[str, Any]]]:
    """The jobs that a notebook's outputs show: id -> the MIME bundles that show it.

    ``notebook`` is what a client sent: nothing is taken for granted.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for data in _bundles(notebook):
        told = data.get(MIME)
        job_id = told.get("id") if isinstance(told, dict) else None
        if isinstance(job_id, str) and _ID.fullmatch(job_id):
            found.setdefault(job_id, []).append(data)
    return found


def _bundles(notebook: Any) -> Iterator[dict[str, Any]]:
    for cell in _dicts(_list(notebook, "cells")):
        for output in _dicts(_list(cell, "outputs")):
            data = output.get("data")
            if isinstance(data, dict):
                yield data


def _list(of: Any, name: str) -> list[Any]:
    value = of.get(name) if isinstance(of, dict) else None
    return value if isinstance(value, list) else []


def _dicts(values: list[Any]) -> Iterator[dict[str, Any]]:
    return (value for value in values if isinstance(value, dict))
