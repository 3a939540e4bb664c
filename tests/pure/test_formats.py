"""Forms of answers: every JSON value comes through each, and comes back where the form can hold it."""

import csv
import io
import json
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_tasks.errors import BadMessage, NotAcceptable
from jupyter_tasks.formats import FORMATS, MAX_DEPTH, chosen, encoded

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    [
        "",
        "=1+1",
        "'=x",
        "-1",
        "@a",
        "\t",
        "\r\n",
        "a\rb",
        "\x1b[2J",
        "\0",
        "\ufffe",
        "]]>",
        "<&>",
        "null",
        "~",
        "=",
    ]
)
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
JSON = st.recursive(
    SCALAR,
    lambda one: st.lists(one, max_size=4) | st.dictionaries(TEXT, one, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(JSON)
def test_json_and_yaml_hold_everything(value: Any) -> None:
    assert json.loads(encoded(value, "json")) == value
    assert yaml.safe_load(encoded(value, "yaml")) == value


@settings(deadline=None)
@given(JSON)
def test_xml_always_parses_and_holds_everything(value: Any) -> None:
    root = ET.fromstring(encoded(value, "xml"))  # noqa: S314 - our own
    assert root.tag == "answer"
    assert read(root) == value


def read(element: ET.Element) -> Any:
    """What docs/tasks.md says that an element means."""
    text = element.text or ""
    match element.get("type"):
        case "object":
            return {name_of(one): read(one) for one in element}
        case "array":
            return [read(one) for one in element]
        case "string":
            return json.loads(text) if element.get("encoding") == "json" else text
        case "null":
            return None
    return json.loads(text)


def name_of(element: ET.Element) -> str:
    name = element.get("name", element.tag)
    return str(json.loads(name)) if element.get("encoding-of-name") == "json" else name


@settings(deadline=None)
@given(st.lists(st.dictionaries(TEXT, JSON, max_size=4), max_size=4))
def test_csv_has_a_line_for_each_record(records: list[dict[str, Any]]) -> None:
    text = encoded({"jobs": records, "next": None}, "csv").decode()
    lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    names = list(dict.fromkeys(name for one in records for name in one))
    if not names:
        assert text == ""
        return
    head, *rows = [[unguarded(cell) for cell in line] for line in lines]
    assert head == names
    assert rows == [[cell(one.get(name)) for name in names] for one in records]
    assert not [c for line in lines for c in line if re.match(r"[=+@\t\r]", c)]


def cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def unguarded(text: str) -> str:
    return text[1:] if re.match(r"'+[=+\-@\t\r]", text) else text


@settings(deadline=None)
@given(JSON)
def test_text_holds_nothing_that_moves_a_terminal(value: Any) -> None:
    told = encoded(value, "text").decode()
    assert all(one.isprintable() or one == "\n" for one in told)


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_nested_deeply_is_told_all_the_same(form: Any) -> None:
    value: Any = "inmost"
    for _ in range(MAX_DEPTH + 100):
        value = [value]
    assert b"inmost" in encoded({"data": value}, form)


def test_a_narrow_table_stands_in_columns() -> None:
    rows = [
        {"path": "a.png", "size_bytes": 3, "href": ""},
        {"path": "long/b.png", "size_bytes": 12},
    ]
    assert encoded({"artifacts": rows}, "text").decode() == (
        "path        size_bytes\na.png       3\nlong/b.png  12\n"
    )


def test_a_record_stands_in_lines() -> None:
    told = {"id": "ab", "reason": "", "spec": {"cwd": "/x"}, "message": "two\nlines", "tags": ["a"]}
    assert encoded(told, "text").decode() == (
        'id: ab\nspec:\n  cwd: /x\nmessage:\n  two\n  lines\ntags: ["a"]\n'
    )


@pytest.mark.parametrize(
    ("asked", "accept", "form"),
    [
        (None, "", "json"),
        (None, "*/*", "json"),
        (None, "application/json", "json"),
        (None, "text/csv", "csv"),
        (None, "text/csv;q=0.5, application/yaml", "yaml"),
        (None, "TEXT/XML", "xml"),
        (None, "application/x-yaml", "yaml"),
        (None, "text/*", "csv"),
        (None, "text/plain, */*;q=0.1", "text"),
        (None, "application/json;q=0, */*", "csv"),
        # A browser: what people look at stays what it was.
        (None, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
        ("yaml", "text/csv", "yaml"),
        ("json", "image/png", "json"),
    ],
)
def test_the_query_string_goes_before_the_header(asked: str | None, accept: str, form: str) -> None:
    assert chosen(asked, accept) == form


def test_an_unknown_format_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BadMessage, match="no format 'toml'; known are json, csv, xml, yaml, text"):
        chosen("toml", "")


@pytest.mark.parametrize("accept", ["image/png", "*/*;q=0", "text/csv;q=abc"])
def test_who_accepts_none_of_them_is_told_which_there_are(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="application/yaml"):
        chosen(None, accept)
