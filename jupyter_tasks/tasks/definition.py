"""What is known of a task without its code: a name, words for people, its fields, where it is."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from jupyter_tasks.errors import BadTask, shortened
from jupyter_tasks.fields import Field, checked_field

Source = Literal["module", "entry_point", "value", "command"]
MAX_FIELDS: Final = 100
MAX_CONCURRENT: Final = 1_000_000
_MAX_WORDS: Final = 4000
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
#: Routes beside those of tasks (``POST tasks/refresh``): a task of that name could not be reached.
_TAKEN: Final = frozenset({"refresh"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A task, described. ``load`` tells a worker where its code is, ``place`` tells people.

    ``dangerous``: what might happen, in words; where there are any, whoever runs it must say that it
    is meant. ``max_concurrent``: how many jobs of it may run at a time (None: as many as there is
    room for).
    """

    name: str
    title: str = ""
    category: str = ""
    icon: str = ""
    tags: tuple[str, ...] = ()
    description: str = ""
    dangerous: str = ""
    expensive: bool = False
    max_concurrent: int | None = None
    fields: tuple[Field, ...] = ()
    source: Source = "module"
    place: str = ""
    load: Mapping[str, Any] = field(default_factory=dict)


def is_name(text: str) -> bool:
    """Whether a task can be called so."""
    return bool(_NAME.fullmatch(text)) and text not in _TAKEN


def checked(one: Definition) -> Definition:
    """The definition with defaults where something was not said; raises BadTask."""
    if not is_name(one.name):
        raise BadTask(
            f"A task cannot be called {shortened(one.name)!r}; a name has at most 100 letters, digits "
            "and the signs _ . -, begins with a letter, and is not refresh.",
            field="name",
        )
    for name in ("title", "category", "icon", *("tags" for _ in one.tags)):
        _must_be_plain(name, getattr(one, name))
    for name in ("description", "dangerous"):
        if len(getattr(one, name)) > _MAX_WORDS:
            raise BadTask(f"`{name}` must have at most {_MAX_WORDS} characters.", field=name)
    if one.max_concurrent is not None and not 1 <= one.max_concurrent <= MAX_CONCURRENT:
        raise BadTask(
            f"`max_concurrent` must be at least 1 and at most {MAX_CONCURRENT}, not "
            f"{one.max_concurrent}.",
            field="max_concurrent",
        )
    return replace(
        one,
        title=one.title or one.name.replace("_", " ").replace("-", " ").capitalize(),
        fields=_checked_fields(one.fields),
    )


def _checked_fields(fields: Iterable[Field]) -> tuple[Field, ...]:
    known = tuple(checked_field(one) for one in fields)
    if len(known) > MAX_FIELDS:
        raise BadTask(
            f"A task takes at most {MAX_FIELDS} fields, not {len(known)}.", field="fields"
        )
    names = [one.name for one in known]
    for name in names:
        if names.count(name) > 1:
            raise BadTask(f"There are two fields `{name}`.", field=name)
    return known


def _must_be_plain(name: str, said: str | tuple[str, ...]) -> None:
    """Refuse words that could deceive whoever reads a list on a terminal."""
    for text in (said,) if isinstance(said, str) else said:
        if len(text) > 200 or _CONTROL.search(text):
            raise BadTask(
                f"`{name}` must have at most 200 characters, none of them a control character.",
                field=name,
            )
