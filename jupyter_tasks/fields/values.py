"""Values of fields: checked, with defaults, from and to text; and their JSON Schema.

Values are JSON's: a date is its ISO 8601 text, a path its text, a member of an Enum its value.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from jupyter_tasks.errors import BadFields, shortened
from jupyter_tasks.fields.shape import Field, FieldType

#: What a field of each type must be, in words for people.
_MUST_BE: Final[Mapping[FieldType, str]] = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "datetime": "a date and time like 2030-01-31T12:00",
    "path": "a path",
    "json": "JSON",
}
_YES: Final = ("true", "yes", "on", "1")
_NO: Final = ("false", "no", "off", "0")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
#: What every reader of our JSON can hold.
_MAX_INT: Final = 2**63 - 1
_MAX_DEPTH: Final = 50


def parse(fields: Iterable[Field], given: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every field, checked, with defaults; raises BadFields, which names each bad one."""
    return _collect(fields, given, checked)


def parse_texts(fields: Iterable[Field], texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """As ``parse``, from text: of a form, a query string, a command line.

    A field of many takes one text for each item, or one that is a JSON array. Where null is allowed,
    empty text means it, in all but ``str``, and ``null`` in a field of many. Raises BadFields.
    """
    given: dict[str, list[str]] = {}
    for name, text in texts:
        given.setdefault(name, []).append(text)
    return _collect(fields, given, lambda field, value: checked(field, _read(field, value)))


def to_texts(fields: Iterable[Field], values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What ``parse_texts`` reads as these values; None where a ``str`` may be null is left out."""
    texts = []
    for field in fields:
        value = values.get(field.name)
        if field.many:
            texts.append((field.name, json.dumps(value, ensure_ascii=False)))
        elif value is not None or field.type != "str":
            texts.append((field.name, _text(field, value)))
    return texts


def schema(fields: Iterable[Field]) -> dict[str, Any]:
    """The JSON Schema of an object with these fields."""
    known = list(fields)
    return {
        "type": "object",
        "properties": {field.name: _schema(field) for field in known},
        "required": [field.name for field in known if field.required],
        "additionalProperties": False,
    }


def _collect(
    fields: Iterable[Field], given: Mapping[str, Any], read: Callable[[Field, Any], Any]
) -> dict[str, Any]:
    known = {field.name: field for field in fields}
    values: dict[str, Any] = {}
    bad: dict[str, str] = {}
    for name in given:
        if name not in known:
            there = f"known are {', '.join(known)}" if known else "this task takes none"
            bad[shortened(name)] = f"There is no field `{shortened(name)}` here; {there}."
    for name, field in known.items():
        if name in given:
            try:
                values[name] = read(field, given[name])
            except ValueError as error:
                bad[name] = f"`{name}` {error}."
        elif field.required:
            bad[name] = f"`{name}` is missing; it must be {_wanted(field)}."
        else:
            values[name] = field.default
    if bad:
        raise BadFields(" ".join(bad.values()), fields=bad)
    return values


def checked(field: Field, value: Any) -> Any:
    """The value as it is kept; raises ValueError, whose words follow the field's name."""
    if value is None and field.nullable:
        return None
    if not field.many:
        return _checked_one(field, value)
    if not isinstance(value, list | tuple):
        raise _no(field, value)
    return [_checked_one(field, item) for item in value]


def _checked_one(field: Field, value: Any) -> Any:
    value = _CHECKS[field.type](field, value)
    if field.choices and not any(_same(value, choice) for choice in field.choices):
        raise ValueError(f"must be {_wanted(field)}, not {_shown(value)}")
    if field.minimum is not None and value < field.minimum:
        raise ValueError(f"must be at least {field.minimum:g}, not {value}")
    if field.maximum is not None and value > field.maximum:
        raise ValueError(f"must be at most {field.maximum:g}, not {value}")
    return value


def _same(one: Any, other: Any) -> bool:
    """Whether both are the same to JSON, where true is no 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _no(field: Field, value: Any) -> ValueError:
    return ValueError(f"must be {_wanted(field)}, not {_shown(value)}")


def _text_check(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _no(field, value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds a part of a character, which is no text") from None
    if field.max_length is not None and len(value) > field.max_length:
        raise ValueError(f"must have at most {field.max_length} characters, not {len(value)}")
    return value


def _path_check(field: Field, value: Any) -> str:
    text = _text_check(field, value)
    if not text or "\0" in text:
        raise ValueError("must be a path, which is not empty and holds no NUL character")
    return text


def _int_check(field: Field, value: Any) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _no(field, value)
    if abs(value) > _MAX_INT:
        raise ValueError(f"must be a whole number from -{_MAX_INT} to {_MAX_INT}")
    return value


def _float_check(field: Field, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _no(field, value)
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("must be a number that a float can hold") from None
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _bool_check(field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _no(field, value)
    return value


def _datetime_check(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _no(field, value)
    try:
        return datetime.fromisoformat(value).isoformat()
    except ValueError:
        raise _no(field, value) from None


def _json_check(field: Field, value: Any, depth: int = 0) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError(f"is nested more than {_MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("has a key that is no text, which JSON cannot")
        return {key: _json_check(field, inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_check(field, inner, depth + 1) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("holds a number that is not finite, which JSON cannot")
    if isinstance(value, int) and abs(value) > _MAX_INT:
        raise ValueError(f"holds a whole number beyond {_MAX_INT}")
    if isinstance(value, str | int | float | bool | None):
        return value
    raise _no(field, value)


_CHECKS: Final[Mapping[FieldType, Callable[[Field, Any], Any]]] = {
    "str": _text_check,
    "int": _int_check,
    "float": _float_check,
    "bool": _bool_check,
    "datetime": _datetime_check,
    "path": _path_check,
    "json": _json_check,
}


# -- text ------------------------------------------------------------------------------------------


def _read(field: Field, texts: Sequence[str]) -> Any:
    if field.many:
        if field.nullable and list(texts) == ["null"]:
            return None
        whole = _json_list(texts[0]) if len(texts) == 1 else None
        return whole if whole is not None else [_read_one(field, text) for text in texts]
    if len(texts) > 1:
        raise ValueError("may be given only once")
    if field.nullable and field.type != "str" and not texts[0]:
        return None
    return _read_one(field, texts[0])


def _json_list(text: str) -> list[Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


def _read_one(field: Field, text: str) -> Any:
    if field.choices:
        for choice in field.choices:
            if text == _text(field, choice):
                return choice
        raise _no(field, text)
    if field.type == "int":
        if not _WHOLE.fullmatch(text.strip()):
            raise _no(field, text)
        return int(text)
    if field.type == "float":
        if not _NUMBER.fullmatch(text.strip()):
            raise _no(field, text)
        return float(text)
    if field.type == "bool":
        if text.strip().lower() not in (*_YES, *_NO):
            raise _no(field, text)
        return text.strip().lower() in _YES
    if field.type == "json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise _no(field, text) from None
    return text


def _text(field: Field, value: Any) -> str:
    if field.type == "json":
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wanted(field: Field) -> str:
    if field.choices:
        one = f"one of {', '.join(_text(field, choice) for choice in field.choices)}"
        return f"a list of {one}" if field.many else one
    return f"a list, each {_MUST_BE[field.type]}" if field.many else _MUST_BE[field.type]


def _shown(value: Any) -> str:
    return repr(shortened(value)) if isinstance(value, str) else shortened(repr(value))


# -- JSON Schema -----------------------------------------------------------------------------------

_SCHEMAS: Final[Mapping[FieldType, dict[str, Any]]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "path": {"type": "string", "minLength": 1},
    "json": {},
}


def _schema(field: Field) -> dict[str, Any]:
    one = dict(_SCHEMAS[field.type])
    bounds = {
        "minimum": field.minimum,
        "maximum": field.maximum,
        "maxLength": field.max_length,
        "enum": list(field.choices) or None,
    }
    one |= {name: value for name, value in bounds.items() if value is not None}
    found = {"type": "array", "items": one} if field.many else one
    if field.nullable:
        found = {"anyOf": [found, {"type": "null"}]}
    words = {"title": field.title, "description": field.help}
    found |= {name: value for name, value in words.items() if value}
    return found if field.required else found | {"default": field.default}
