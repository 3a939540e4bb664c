"""Bytes to messages: whatever comes in, the outcome is a message or a BadMessage that names the field."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Generic, Literal, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from jupyter_tasks.errors import BadMessage

_MAX_WORDS: Final = 500
M = TypeVar("M")


class Decoder(Generic[M]):
    """Turns bytes from outside into one type of message, or raises BadMessage."""

    def __init__(self, message: Any, complete: Callable[[Any], None] | None = None) -> None:
        """Prepare for a message class, or a union of such.

        ``complete`` adds the tags that a client may leave out; it is asked only where one is missing.
        """
        self._message = message
        self._complete = complete
        self._decoder: msgspec.json.Decoder[M] = msgspec.json.Decoder(message)

    def decode(self, body: bytes | bytearray | memoryview) -> M:
        """The message; raises BadMessage and nothing else, whatever the bytes are."""
        if len(body) == 0:
            raise BadMessage("The body is empty; this route takes a JSON document.")
        try:
            return self._decode(body)
        except msgspec.ValidationError as error:
            raise _refusal(error, self._message) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadMessage(f"The body is not JSON: {_cut(str(error))}.") from None
        except RecursionError:
            raise BadMessage("The body is nested too deeply to be read.") from None

    def _decode(self, body: bytes | bytearray | memoryview) -> M:
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            if self._complete is None or not _LACKS_A_TAG.match(str(error)):
                raise
        plain = msgspec.json.decode(body)
        self._complete(plain)
        return cast("M", msgspec.convert(plain, self._message))


def read_query(message: type[M], arguments: Mapping[str, Sequence[str]]) -> M:
    """The query string as a message; raises BadMessage. Repeated keys are for lists alone."""
    known = {field.name: field for field in msgspec.structs.fields(message)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, given in arguments.items():
        if name not in known:
            raise _unknown(name, tuple(known))
        if get_origin(known[name].type) is list:
            values[name] = list(given)
        elif len(given) == 1:
            values[name] = given[0]
        else:
            raise BadMessage(f"`{name}` may be given only once.", field=name)
    try:
        return msgspec.convert(values, message, strict=False)
    except msgspec.ValidationError as error:
        raise _refusal(error, message) from None


def encode(answer: Any) -> bytes:
    """The answer as JSON."""
    return msgspec.json.encode(answer)


_WHERE: Final = re.compile(r"^(.*) - at `(?:key in )?(\$.*)`$", re.DOTALL)
_UNKNOWN: Final = re.compile(r"^Object contains unknown field `(.*)`$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `(.*)`$")
_LACKS_A_TAG: Final = re.compile(r"^Object missing required field `kind` - at `.*\.spec`$")
_OWN_WORDS: Final = re.compile(r"^`([\w.]+)`")
_NO_SUCH_VALUE: Final = re.compile(r"^invalid (?:enum )?value (.*)$", re.DOTALL)
_NO_BOOL: Final = re.compile(r"^expected `bool`, got `str`$")


def _refusal(error: msgspec.ValidationError, message: Any) -> BadMessage:
    """The decoder's complaint, with the field named and the known ones listed."""
    found = _WHERE.match(str(error))
    words, path = found.groups() if found else (str(error), "$")
    where = path.removeprefix("$").removeprefix(".")
    if named := _UNKNOWN.match(words):
        return _unknown(_under(where, named[1]), _fields_at(message, where, named[1]))
    if named := _MISSING.match(words):
        field = _under(where, named[1])
        return BadMessage(f"`{_cut(field)}` is missing.", field=_cut(field))
    if named := _OWN_WORDS.match(words):
        field = _under(where, named[1])
        return BadMessage(f"`{_cut(field)}`{_cut(words[named.end() :])}.", field=_cut(field))
    what = f"`{_cut(where)}`" if where else "The message"
    words = words[:1].lower() + words[1:]
    if allowed := _allowed_instead(words, message, where):
        told = f"{what} is not right: {_cut(words)}; it takes {', '.join(allowed)}."
        return BadMessage(told, field=_cut(where), allowed=list(allowed))
    return BadMessage(f"{what} is not right: {_cut(words)}.", field=_cut(where))


def _allowed_instead(words: str, message: Any, where: str) -> tuple[str, ...]:
    """The values that the field takes, where it is one of few and this was none of them."""
    if _NO_BOOL.match(words):
        return ("true", "false")
    if not _NO_SUCH_VALUE.match(words):
        return ()
    place, _, field = where.rpartition(".")
    tags = [
        str(struct.__struct_config__.tag)
        for kind in _kinds_at(message, place)
        for struct in _structs_in(kind)
        if struct.__struct_config__.tag_field == field
    ]
    found = tags or [value for kind in _kinds_at(message, where) for value in _values_of(kind)]
    return tuple(dict.fromkeys(found))


def _values_of(kind: Any) -> Iterator[str]:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        yield from map(str, kind)
    elif get_origin(kind) is Literal:
        yield from map(str, get_args(kind))
    else:
        for part in get_args(kind):
            yield from _values_of(part)


def _unknown(field: str, known: Sequence[str]) -> BadMessage:
    words = f"There is no field `{_cut(field)}` here"
    return BadMessage(
        f"{words}; known are {', '.join(known)}.", field=_cut(field), known=list(known)
    )


def _fields_at(message: Any, where: str, unknown: str) -> tuple[str, ...]:
    """The names that an object at this place may have, of those to which a name is unknown."""
    names: list[str] = []
    for struct in (found for kind in _kinds_at(message, where) for found in _structs_in(kind)):
        if unknown in (field.encode_name for field in msgspec.structs.fields(struct)):
            continue
        tag = struct.__struct_config__.tag_field
        names += [tag] if tag else []
        names += [field.encode_name for field in msgspec.structs.fields(struct)]
    return tuple(dict.fromkeys(names))


def _kinds_at(message: Any, where: str) -> list[Any]:
    """The types that a value at this place may have; what stands in a list counts as the list."""
    here = [message]
    for step in (step for step in re.split(r"\.|\[.*?\]", where) if step):
        here = [
            field.type
            for kind in here
            for struct in _structs_in(kind)
            for field in msgspec.structs.fields(struct)
            if field.encode_name == step
        ]
    return here


def _structs_in(kind: Any) -> list[type[Struct]]:
    if isinstance(kind, type) and issubclass(kind, Struct):
        return [kind]
    inner = [found for part in get_args(kind) for found in _structs_in(part)]
    return list(dict.fromkeys(inner))


def _under(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _cut(words: str) -> str:
    return words if len(words) <= _MAX_WORDS else f"{words[:_MAX_WORDS]}…"
