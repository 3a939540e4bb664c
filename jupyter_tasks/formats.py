"""The forms in which an answer can be had beside JSON: CSV, XML, YAML and readable text. Pure.

Each is safe for any content: what it cannot hold is told in another way, never left out or broken.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_args
from xml.sax.saxutils import escape, quoteattr

from jupyter_tasks.errors import BadMessage, NotAcceptable, shortened

Format = Literal["json", "csv", "xml", "yaml", "text"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "json": "application/json",
    "csv": "text/csv",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "text": "text/plain",
}
#: Other names under which a caller may ask for a form.
_ALIASES: Final[Mapping[str, Format]] = {
    "text/xml": "xml",
    "text/yaml": "yaml",
    "text/x-yaml": "yaml",
    "application/x-yaml": "yaml",
}
#: What is nested more deeply is told as JSON's text: readers of the other forms have their limits.
MAX_DEPTH: Final = 50
#: A table with more columns is told as a list of records.
_MAX_COLUMNS: Final = 8
_MAX_CELL: Final = 60


# -- which ---------------------------------------------------------------------------------------


def chosen(asked: str | None, accept: str) -> Format:
    """The form that the query string names, else the one that the ``Accept`` header likes best.

    Raises BadMessage for an unknown name and NotAcceptable where no form is accepted.
    """
    if asked is not None:
        if asked not in FORMATS:
            raise BadMessage(
                f"There is no format {shortened(asked)!r}; known are {', '.join(FORMATS)}.",
                field="format",
                allowed=list(FORMATS),
            )
        return asked
    if not accept.strip():
        return "json"
    liked = dict(_liked(accept))
    if liked.get("text/html"):
        return "json"  # a browser that looks at the answer itself
    weighed = [(_weight(name, liked), name) for name in FORMATS]
    best, name = max(weighed, key=lambda both: both[0])
    if best == 0:
        known = ", ".join(MEDIA_TYPES.values())
        raise NotAcceptable(
            f"None of {shortened(accept)!r} can be had here; known are {known}.",
            allowed=list(MEDIA_TYPES.values()),
        )
    return name


def _liked(accept: str) -> Iterator[tuple[str, float]]:
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                found = re.fullmatch(r"q=([01](?:\.\d{0,3})?)", parameter)
                weight = min(float(found[1]), 1.0) if found else 0.0
        yield media, weight


def _weight(name: Format, liked: Mapping[str, float]) -> float:
    """What the most exact of the caller's words says about the form."""
    own = [MEDIA_TYPES[name], *(alias for alias, meant in _ALIASES.items() if meant == name)]
    exact = [liked[media] for media in own if media in liked]
    if exact:
        return max(exact)
    return liked.get(f"{MEDIA_TYPES[name].partition('/')[0]}/*", liked.get("*/*", 0.0))


# -- how -----------------------------------------------------------------------------------------


def encoded(value: Any, form: Format) -> bytes:
    """The JSON value (dicts with text keys, lists, text, numbers, true, false, null) in that form."""
    if form == "json":
        return _json(value).encode()
    text = {"csv": _csv, "xml": _xml, "yaml": _yaml, "text": _text}[form]
    return text(_flattened(value)).encode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _flattened(value: Any, depth: int = 0) -> Any:
    if not isinstance(value, dict | list) or not value:
        return value
    if depth >= MAX_DEPTH:
        try:
            return _json(value)
        except RecursionError:
            return "(nested too deeply to be told)"
    if isinstance(value, dict):
        return {name: _flattened(inner, depth + 1) for name, inner in value.items()}
    return [_flattened(inner, depth + 1) for inner in value]


def _rows(value: Any) -> list[Any]:
    """What is a row of a table: the items of a list; those of an answer that begins with its records."""
    if isinstance(value, list):
        return value
    first = next(iter(value.values()), None) if isinstance(value, dict) else None
    if isinstance(first, list) and all(isinstance(one, dict) for one in first):
        return first
    return [value]


def _columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


# -- CSV -----------------------------------------------------------------------------------------

#: What a spreadsheet would take for a formula, also behind the sign that we put before it.
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")


def _csv(value: Any) -> str:
    """RFC 4180: a line of names, then the records; nested values as JSON, null as nothing.

    Text that a spreadsheet would run as a formula gets an apostrophe before it, as spreadsheets do.
    """
    rows = [row if isinstance(row, dict) else {"value": row} for row in _rows(value)]
    columns = _columns(rows)
    if not columns:
        return ""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow([_cell(name) for name in columns])
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return file.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return _json(value)
    return f"'{value}" if _FORMULA.match(value) else value


# -- XML -----------------------------------------------------------------------------------------

_NAME: Final = re.compile(r"(?!(?i:xml))[A-Za-z_][A-Za-z0-9_.-]*")
_NOT_IN_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ROOT: Final = "answer"
_ITEM: Final = "item"
_ENTRY: Final = "entry"


def _xml(value: Any) -> str:
    """An element for each value, with its ``type``; a name that no element can have is an attribute.

    Text with a character that XML lacks is told as JSON's text: ``encoding="json"``.
    """
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + "".join(_element(_ROOT, value)) + "\n"


def _element(tag: str, value: Any) -> Iterator[str]:
    name = tag.partition(" ")[0]
    match value:
        case dict():
            yield f'<{tag} type="object">'
            for key, inner in value.items():
                yield from _element(_tag(key), inner)
        case list():
            yield f'<{tag} type="array">'
            for inner in value:
                yield from _element(_ITEM, inner)
        case str() if _NOT_IN_XML.search(value):
            yield f'<{tag} type="string" encoding="json">{escape(json.dumps(value))}'
        case str():
            yield f'<{tag} type="string">{escape(value, {chr(13): "&#13;"})}'
        case None:
            yield f'<{tag} type="null">'
        case bool():
            yield f'<{tag} type="boolean">{_json(value)}'
        case _:
            yield f'<{tag} type="number">{_json(value)}'
    yield f"</{name}>"


def _tag(key: str) -> str:
    if _NAME.fullmatch(key):
        return key
    if _NOT_IN_XML.search(key):
        return f'{_ENTRY} encoding-of-name="json" name={quoteattr(json.dumps(key))}'
    return f"{_ENTRY} name={quoteattr(key)}"


# -- YAML ----------------------------------------------------------------------------------------


def _yaml(value: Any) -> str:
    import yaml  # noqa: PLC0415 - few ask for it

    # libyaml is ten times as quick; where it is not there, the other says the same.
    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Plain(base):  # type: ignore[misc]
        """Writes what occurs twice twice, for readers that know no anchors."""

        def ignore_aliases(self, _: Any) -> bool:
            return True

    text: str = yaml.dump(value, Dumper=Plain, allow_unicode=True, sort_keys=False)
    return text


# -- text ----------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    """For people: a table where it is narrow, else ``name: value`` lines; control characters escaped."""
    rows = _rows(value)
    if not rows:
        return "(none)\n"
    if not all(isinstance(row, dict) for row in rows):
        return "".join(f"{_readable(row)}\n" for row in rows)
    kept = [{name: one for name, one in row.items() if not _is_empty(one)} for row in rows]
    columns = _columns(kept)
    nested = any(isinstance(one, dict | list) for row in kept for one in row.values())
    if len(rows) > 1 and len(columns) <= _MAX_COLUMNS and not nested:
        return _table(columns, kept)
    return "\n".join("".join(_lines(row, "")) for row in kept)


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [[_readable(name) for name in columns]]
    cells += [[shortened(_readable(row.get(name)), _MAX_CELL) for name in columns] for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    return "".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in cells
    )


def _lines(record: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{_readable(name)}:\n"
            yield from _lines(value, f"{indent}  ")
        elif isinstance(value, str) and "\n" in value:
            yield f"{indent}{_readable(name)}:\n"
            yield from (f"{indent}  {_readable(line)}\n" for line in value.split("\n"))
        else:
            yield f"{indent}{_readable(name)}: {_readable(value)}\n"


def _readable(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else _json(value)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
