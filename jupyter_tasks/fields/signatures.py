"""Fields from a function's signature and hints, and the function's own types from their values."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from jupyter_tasks.errors import BadTask, shortened
from jupyter_tasks.fields.shape import About, Field, FieldType, Scalar
from jupyter_tasks.fields.values import checked

_TYPES: Final[Mapping[Any, FieldType]] = {
    str: "str",
    int: "int",
    float: "float",
    bool: "bool",
    datetime: "datetime",
    Path: "path",
    Any: "json",
    object: "json",
    dict: "json",
}


def to_python(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The checked values as the function's own types: Path, datetime, members of an Enum.

    What is of that type already stays what it is.
    """
    hints = _hints(function)
    return {name: _as(hints.get(name, Any), value) for name, value in values.items()}


def fields_of(function: Callable[..., Any], *, skip: int = 0) -> tuple[Field, ...]:
    """The fields of the function's parameters, ``skip`` of them left out; raises BadTask.

    A parameter without a hint has the type of its default; without either it takes any JSON.
    """
    hints = _hints(function)
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    return tuple(_field(one, hints.get(one.name, inspect.Parameter.empty)) for one in parameters)


def checked_field(field: Field) -> Field:
    """The field, where it is one that can be met, with its default as it is kept; raises BadTask."""
    if not field.name.isidentifier():
        raise BadTask(
            f"A field cannot be called {shortened(field.name)!r}; use letters and digits."
        )
    _must_be_possible(field)
    if field.required:
        return field
    try:
        default = None if field.default is None else checked(field, field.default)
    except ValueError as error:
        raise BadTask(f"The default of `{field.name}` {error}.", field=field.name) from None
    return replace(field, default=default, nullable=field.nullable or default is None)


def _must_be_possible(field: Field) -> None:
    numeric = field.type in ("int", "float")
    if (field.minimum is not None or field.maximum is not None) and not numeric:
        raise BadTask(
            f"`{field.name}` has a minimum or maximum, and is no number.", field=field.name
        )
    if field.max_length is not None and field.type not in ("str", "path"):
        raise BadTask(f"`{field.name}` has a length, and is no text.", field=field.name)


def _field(parameter: inspect.Parameter, hint: Any) -> Field:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise BadTask(
            f"`{parameter}` cannot be a field: name each parameter of a task.", field=parameter.name
        )
    empty = inspect.Parameter.empty
    default = None if parameter.default is empty else parameter.default
    if hint is empty:
        hint = type(default) if type(default) in (str, int, float, bool, datetime) else Any
    about, hint = _about(hint)
    found = _shape(parameter.name, hint)
    return checked_field(
        Field(
            **found,
            name=parameter.name,
            title=about.title,
            help=about.help,
            required=parameter.default is empty,
            default=_plain(default),
            minimum=about.minimum,
            maximum=about.maximum,
            max_length=about.max_length,
        )
    )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        name = getattr(function, "__qualname__", repr(function))
        raise BadTask(f"The type hints of {name} cannot be read: {error}.") from error


def _about(hint: Any) -> tuple[About, Any]:
    """What ``Annotated`` says, here or within a list or a union, and the hint that it is said of."""
    about, inner = _unpacked(hint)
    for part in get_args(inner) if about == About() and get_origin(inner) is not Literal else ():
        about = about if about != About() else _unpacked(part)[0]
    return about, inner


def _unpacked(hint: Any) -> tuple[About, Any]:
    """What ``Annotated`` says, and what it says it about; a bare text in it is help."""
    if get_origin(hint) is not Annotated:
        return About(), hint
    inner, *said = get_args(hint)
    texts = [one for one in said if isinstance(one, str)]
    about = next((one for one in said if isinstance(one, About)), About(help=" ".join(texts)))
    return about, inner


def _shape(name: str, hint: Any) -> dict[str, Any]:
    """Type, choices, whether many and whether null, of a hint; raises BadTask."""
    nullable, hint = _without_none(hint)
    many = get_origin(hint) in (list, Sequence) or hint is list
    if many:
        (hint, *_) = get_args(hint) or (str,)
        hint = _unpacked(hint)[1]
    known = {"many": many, "nullable": nullable}
    if get_origin(hint) is Literal:
        given = get_args(hint)
        choices = tuple(one for one in given if one is not None)
        known["nullable"] = nullable or len(choices) < len(given)
        return {**known, "type": _type_of(name, choices), "choices": choices}
    if isinstance(hint, type) and issubclass(hint, Enum):
        choices = tuple(_members(hint))
        return {**known, "type": _type_of(name, choices), "choices": choices}
    kind = _TYPES.get(get_origin(hint) or hint)
    if kind is None:
        raise BadTask(
            f"`{name}` has a type that no field can have: {shortened(str(hint))}. Known are str, "
            "int, float, bool, datetime, Path, Literal, Enum, lists of those, dict and Any.",
            field=name,
        )
    return {**known, "type": kind}


def _without_none(hint: Any) -> tuple[bool, Any]:
    if get_origin(hint) not in (typing.Union, types.UnionType):
        return False, hint
    parts = [part for part in get_args(hint) if part is not type(None)]
    inner = _unpacked(parts[0])[1] if len(parts) == 1 else hint
    return len(parts) < len(get_args(hint)), inner


def _type_of(name: str, choices: Sequence[Any]) -> FieldType:
    kinds = {_TYPES.get(type(choice)) for choice in choices}
    if len(kinds) == 1 and (kind := kinds.pop()) in ("str", "int", "float", "bool"):
        return kind
    raise BadTask(f"The choices of `{name}` must all be text, or all be numbers.", field=name)


def _members(enum: type[Enum]) -> dict[Scalar, Enum]:
    """The members by what stands for each: its value, or its name where a value is no plain one."""
    plain = all(type(one.value) in (str, int, float) for one in enum)
    same = len({type(one.value) for one in enum}) == 1
    return {one.value if plain and same else one.name: one for one in enum}


def _plain(default: Any) -> Any:
    """A parameter's default as JSON has it."""
    if isinstance(default, Enum):
        return next(key for key, one in _members(type(default)).items() if one is default)
    if isinstance(default, datetime):
        return default.isoformat()
    if isinstance(default, Path):
        return str(default)
    if isinstance(default, list | tuple):
        return [_plain(one) for one in default]
    return default


def _as(hint: Any, value: Any) -> Any:
    """The value as the hint's type, where JSON has none such."""
    hint = _without_none(_unpacked(hint)[1])[1]
    if value is None:
        return None
    if get_origin(hint) in (list, Sequence) and isinstance(value, list):
        return [_as(get_args(hint)[0], item) for item in value]
    if hint is datetime and isinstance(value, str):
        return datetime.fromisoformat(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(hint, type) and issubclass(hint, Enum) and not isinstance(value, hint):
        return _members(hint)[value]
    return value
