"""``tasks`` and ``call``: which tasks there are, and a job of one."""

import argparse
import json
import sys
from typing import Any

from jupyter_tasks import words
from jupyter_tasks.cli import exits, tables
from jupyter_tasks.cli.desk import Desk
from jupyter_tasks.errors import BadMessage, NotConfirmed
from jupyter_tasks.fields import Field, parse_texts


def tasks(arguments: argparse.Namespace, desk: Desk) -> int:
    """List all tasks, or show one."""
    if arguments.name is not None:
        return _show(desk, desk.client.task(arguments.name))
    found = desk.client.tasks()
    if desk.printer.as_json:
        for task in found:
            desk.printer.document(task)
    else:
        rows = [
            [words.plain(task[name]) for name in ("name", "category", "title")] for task in found
        ]
        desk.printer.line(tables.table(("NAME", "CATEGORY", "TITLE"), rows))
    for note in desk.client.task_notes():
        where = f" ({note['where']})" if note["where"] else ""
        desk.printer.hint(words.plain(f"{note['place']}: {note['error']}{where}"))
    return exits.OK


def call(arguments: argparse.Namespace, desk: Desk) -> int:
    """Submit a job of the task and print its id, or wait and print what it returned."""
    task = desk.client.task(arguments.name)
    values = parse_texts(_fields(task), map(_pair, arguments.fields))
    confirmed = arguments.yes or _is_meant(task, desk)
    if not arguments.wait:
        job = desk.client.submit_task(arguments.name, values, confirmed=confirmed)
        desk.printer.document(job.wire) if desk.printer.as_json else desk.printer.line(job.id)
        return exits.OK
    told = desk.client.run(arguments.name, values, wait_s=arguments.within, confirmed=confirmed)
    if isinstance(told, str) and not desk.printer.as_json:
        desk.printer.line(told)
    else:
        desk.printer.document(told)
    return exits.OK


def _show(desk: Desk, task: dict[str, Any]) -> int:
    facts = [("Task", task["name"]), ("Title", task["title"]), ("From", task["place"])]
    facts += [("About", task["description"]), ("Danger", task["dangerous"])]
    facts += [(one["name"], _about(one)) for one in task["fields"]]
    desk.printer.facts(task, [(name, words.plain(text)) for name, text in facts])
    return exits.OK


def _about(field: dict[str, Any]) -> str:
    kind = f"list of {field['type']}" if field["many"] else field["type"]
    choices = ", ".join(map(str, field["choices"]))
    default = "" if field["required"] else f"default {json.dumps(field['default'])}"
    return "; ".join(filter(None, (kind, choices, default, field["help"])))


def _fields(task: dict[str, Any]) -> list[Field]:
    known = [dict(one) for one in task["fields"]]
    return [Field(**(one | {"choices": tuple(one["choices"])})) for one in known]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise BadMessage(f"{text!r} is no FIELD=VALUE; give a field of the task and its value.")
    return name, value


def _is_meant(task: dict[str, Any], desk: Desk) -> bool:
    """Ask a person, where there is one."""
    if not task["dangerous"]:
        return False
    danger = words.plain(task["dangerous"])
    if not sys.stdin.isatty():
        raise NotConfirmed(
            f"The task {task['name']!r} is dangerous: {danger}. Give --yes where that is meant.",
            task=task["name"],
            dangerous=task["dangerous"],
        )
    desk.printer.hint(f"{words.plain(task['name'])} is dangerous: {danger}. Run it? [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
