"""``@task``, ``Task`` and ``steps``: how code says that it is a task, and what is read from it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Final, TypeVar, overload

from jupyter_tasks.errors import BadTask
from jupyter_tasks.fields import Field, fields_of
from jupyter_tasks.tasks.commands import CommandTask, must_be_a_rule, must_be_a_template
from jupyter_tasks.tasks.definition import Definition, checked

#: What was said to ``@task``, as plain values: so it travels with a function by value.
MARK: Final = "__jupyter_task__"
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Done:
    """What ``Task.process`` returns in place of progress, once it is done."""

    result: Any = None


class Task:
    """Work done step by step, or an external program that is driven; decorate it with ``@task``.

    Its fields are the parameters of ``initialize``. A job makes one object and calls ``initialize``
    once, then ``process`` until it is done, and ``abort`` where the job is cancelled or runs into a
    limit before that.
    """

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Begin, with the values of the fields."""

    def process(self) -> Any:
        """Do a step, and return how far it is; return ``Done(result)`` after the last one.

        Or be a generator: what it yields is progress, what it returns is the result. Progress is a
        fraction, or ``(value, total)``, or ``(value, total, "words")``; None says nothing.
        """
        raise NotImplementedError

    def abort(self) -> None:
        """End what was begun: called within the job's ``grace_s``, from wherever the work stands."""


@overload
def task(thing: F, /) -> F: ...


@overload
def task(
    *,
    name: str | None = None,
    title: str = "",
    category: str = "",
    icon: str = "",
    tags: Sequence[str] = (),
    description: str = "",
    dangerous: str = "",
    expensive: bool = False,
    max_concurrent: int | None = None,
) -> Callable[[F], F]: ...


def task(
    thing: Any = None,
    /,
    *,
    name: str | None = None,
    title: str = "",
    category: str = "",
    icon: str = "",
    tags: Sequence[str] = (),
    description: str = "",
    dangerous: str = "",
    expensive: bool = False,
    max_concurrent: int | None = None,
) -> Any:
    """Make a function, or a class that derives from Task, a task; it stays what it was.

    Its fields come from its signature and hints. ``name`` is by default its own, ``description`` the
    first paragraph of its docstring. ``dangerous`` says what might happen: who runs it must then
    confirm. ``max_concurrent`` bounds how many jobs of it run at a time. Raises BadTask.
    """
    said = {
        "name": name,
        "title": title,
        "category": category,
        "icon": icon,
        "tags": tuple(tags),
        "description": description,
        "dangerous": dangerous,
        "expensive": expensive,
        "max_concurrent": max_concurrent,
    }

    def mark(found: Any) -> Any:
        if not callable(found):
            raise BadTask(f"{found!r} cannot be a task: it is neither a function nor a Task.")
        _defined(found, said)
        setattr(found, MARK, said)
        return found

    return mark if thing is None else mark(thing)


def is_task(thing: Any) -> bool:
    """Whether this very thing was made a task (a class derived from one was not)."""
    if isinstance(thing, CommandTask):
        return True
    return MARK in getattr(thing, "__dict__", {}) and callable(thing)


def definition_of(thing: Any, name: str | None = None) -> Definition:
    """What is known of a task, or of a plain function that becomes one; raises BadTask.

    ``name``: another than its own.
    """
    if isinstance(thing, CommandTask):
        return _of_command(replace(thing, name=name or thing.name))
    said = getattr(thing, "__dict__", {}).get(MARK, {})
    return _defined(thing, {**said, "name": name or said.get("name")})


def _defined(thing: Any, said: Mapping[str, Any]) -> Definition:
    own: dict[str, Any] = {
        "name": getattr(thing, "__name__", type(thing).__name__),
        "description": _first_words(thing),
    }
    given = {name: value for name, value in said.items() if value or name not in own}
    return checked(Definition(fields=parameters_of(thing), **(own | given)))


def parameters_of(thing: Any) -> tuple[Field, ...]:
    """The fields of a task's parameters; raises BadTask."""
    if isinstance(thing, type):
        if not issubclass(thing, Task):
            raise BadTask(f"The class {thing.__name__} cannot be a task: derive it from Task.")
        return fields_of(thing.initialize, skip=0 if thing.initialize is Task.initialize else 1)
    return fields_of(thing)


def steps(*functions: Callable[..., Any]) -> Callable[..., Any]:
    """One function of several: each takes what the former one returned, the first one the fields.

    Each is a step of the progress; a generator's own progress counts within its step. To make it a
    task: ``build = task(name="build")(steps(fetch, clean, train))``.
    """
    if not functions:
        raise BadTask("Steps are made of one function at least.")
    if classes := [one.__name__ for one in functions if isinstance(one, type)]:
        raise BadTask(f"A step is a function; {classes[0]} is a class.")

    @wraps(functions[0])
    def run_steps(*args: Any, **kwargs: Any) -> Any:
        outcome = yield from _step(functions[0](*args, **kwargs), 0, len(functions))
        for number, function in enumerate(functions[1:], 1):
            yield (number, len(functions), getattr(function, "__name__", "step"))
            outcome = yield from _step(function(outcome), number, len(functions))
        return outcome

    run_steps.__dict__.pop(MARK, None)
    return run_steps


def _step(outcome: Any, number: int, count: int) -> Any:
    """The step's result; a generator's progress goes on as a part of the whole."""
    if not inspect.isgenerator(outcome):
        return outcome
    while True:
        try:
            told = next(outcome)
        except StopIteration as end:
            return end.value
        yield _within(told, number, count)


def _within(told: Any, number: int, count: int) -> Any:
    value, total, words = (*told, None, None)[:3] if isinstance(told, tuple) else (told, None, None)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return told
    part = value / total if total else value
    known = (number + min(max(part, 0.0), 1.0), count)
    return known if words is None else (*known, words)


def _of_command(thing: CommandTask) -> Definition:
    said = {
        name: getattr(thing, name)
        for name in Definition.__dataclass_fields__
        if name in CommandTask.__dataclass_fields__
    }
    said |= {"tags": tuple(thing.tags), "fields": tuple(thing.fields)}
    load = {"command": list(thing.command), "progress": thing.progress}
    one = checked(Definition(**said, source="command", load=load))
    must_be_a_template(thing.command, one.fields)
    must_be_a_rule(thing.progress)
    return one


def _first_words(thing: Any) -> str:
    words = inspect.getdoc(thing) if getattr(thing, "__doc__", None) else None
    return " ".join((words or "").partition("\n\n")[0].split())
