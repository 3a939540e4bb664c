"""Command tasks: a template of arguments, fields to fill it, and a rule for progress. No Python needed."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Final

from jupyter_tasks.errors import BadTask, shortened
from jupyter_tasks.fields import Field

MAX_PATTERN: Final = 500
#: Longer lines are cut before the rule looks at them.
MAX_LINE: Final = 4096
_GROUPS: Final = frozenset({"value", "total", "percent", "message"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTask:
    """A task that runs a program: ``CommandTask(name="thumb", command=["convert", "{image}", …], …)``.

    In ``command`` ``{name}`` stands for a field's value and ``{{`` for a brace; no shell looks at it.
    An argument that is nothing but the name of a list becomes an argument for each item, and none at
    all for null. ``progress``: a regular expression that is sought in each line of the output, with
    groups ``value`` and ``total``, or ``percent``, and perhaps ``message``. The other words are those
    of ``@task``.
    """

    name: str
    command: tuple[str, ...] | list[str]
    fields: tuple[Field, ...] | list[Field] = ()
    progress: str | None = None
    title: str = ""
    category: str = ""
    icon: str = ""
    tags: tuple[str, ...] | list[str] = ()
    description: str = ""
    dangerous: str = ""
    expensive: bool = False
    max_concurrent: int | None = None


def must_be_a_template(command: Sequence[str], fields: Iterable[Field]) -> None:
    """Refuse a template that cannot be filled; raises BadTask."""
    known = {one.name for one in fields}
    if not command or not command[0].strip():
        raise BadTask("`command` is empty; give a program and its arguments.", field="command")
    for word in command:
        if "\0" in word:
            raise BadTask(
                "`command` holds a NUL character, which no argument can.", field="command"
            )
        for name in _names_in(word):
            if name not in known:
                there = ", ".join(sorted(known)) or "none"
                raise BadTask(
                    f"`command` has {{{shortened(name)}}}, and there is no such field; there are: "
                    f"{there}. Write {{{{ for a brace.",
                    field="command",
                )


def must_be_a_rule(progress: str | None) -> None:
    """Refuse a rule for progress that tells none; raises BadTask."""
    if progress is None:
        return
    if len(progress) > MAX_PATTERN:
        raise BadTask(f"`progress` must have at most {MAX_PATTERN} characters.", field="progress")
    try:
        groups = re.compile(progress).groupindex.keys()
    except (re.error, OverflowError, RecursionError) as error:
        raise BadTask(f"`progress` is no regular expression: {error}.", field="progress") from None
    if not groups & {"value", "percent"} or groups - _GROUPS:
        raise BadTask(
            "`progress` needs a group `value` or `percent`, like (?P<value>\\d+)/(?P<total>\\d+); "
            "known are value, total, percent and message.",
            field="progress",
        )


def filled(command: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The arguments, with the values in their places; raises ValueError for one no argument can hold."""
    words = [word for template in command for word in _filled(template, values)]
    if any("\0" in word for word in words):
        raise ValueError("A value holds a NUL character, which no argument of a command can.")
    return words


def told_by(rule: re.Pattern[str], line: str) -> dict[str, Any] | None:
    """What a line says of progress (``value``, ``total``, ``message``); None where it says nothing."""
    found = rule.search(line[:MAX_LINE])
    if found is None:
        return None
    groups = {name: text for name, text in found.groupdict().items() if text is not None}
    try:
        if "percent" in groups:
            told = {"value": float(groups["percent"]) / 100}
        else:
            told = {name: float(groups[name]) for name in ("value", "total") if name in groups}
    except ValueError:
        return None
    return told | ({"message": groups["message"]} if "message" in groups else {})


def _filled(template: str, values: Mapping[str, Any]) -> Iterator[str]:
    parts = list(Formatter().parse(template))
    if len(parts) == 1 and parts[0][1] is not None and not parts[0][0]:
        value = values[parts[0][1]]
        if value is None:
            return
        if isinstance(value, list):
            yield from map(_word, value)
            return
    yield "".join(
        text + ("" if name is None else _word(values[name])) for text, name, _, _ in parts
    )


def _names_in(word: str) -> Iterator[str]:
    try:
        for _, name, spec, conversion in Formatter().parse(word):
            if name is not None:
                yield name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
    except ValueError as error:
        raise BadTask(
            f"`command` has {shortened(word)!r}, which cannot be filled: {error}. "
            "Write {{ for a brace.",
            field="command",
        ) from None


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(_word, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)
