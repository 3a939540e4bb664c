"""Fields: what a signature says, which values and texts are taken, and what is said of the others."""

from collections.abc import Callable
from datetime import datetime
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_tasks.errors import BadFields, BadTask
from jupyter_tasks.fields import (
    About,
    Field,
    FieldType,
    fields_of,
    parse,
    parse_texts,
    schema,
    to_python,
    to_texts,
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


def train(  # noqa: PLR0917 - as people write it
    data: Path,
    epochs: Annotated[int, About(title="Epochs", help="Rounds over the data.", minimum=1)] = 10,
    rate: Annotated[float, About(minimum=0, maximum=1)] = 0.1,
    tags: list[str] = [],  # noqa: B006
    colour: Colour = Colour.RED,
    level: Level | None = None,
    mode: Literal["fast", "exact"] = "fast",
    start: datetime | None = None,
    *,
    verbose: bool = False,
    note: Annotated[str, "What it is for."] = "",
) -> None:
    """What a person writes."""


FIELDS = fields_of(train)
BY_NAME = {field.name: field for field in FIELDS}


def test_fields_come_from_the_signature() -> None:
    assert [(field.name, field.type, field.required) for field in FIELDS] == [
        ("data", "path", True),
        ("epochs", "int", False),
        ("rate", "float", False),
        ("tags", "str", False),
        ("colour", "str", False),
        ("level", "int", False),
        ("mode", "str", False),
        ("start", "datetime", False),
        ("verbose", "bool", False),
        ("note", "str", False),
    ]
    assert BY_NAME["epochs"].title == "Epochs"
    assert BY_NAME["epochs"].minimum == 1
    assert BY_NAME["tags"].many
    assert BY_NAME["colour"].choices == ("red", "blue")
    assert BY_NAME["colour"].default == "red"
    assert BY_NAME["level"].nullable
    assert BY_NAME["note"].help == "What it is for."


def test_what_is_left_out_has_its_default() -> None:
    values = parse(FIELDS, {"data": "x.csv"})
    assert values["epochs"] == 10
    assert values["colour"] == "red"
    assert values["level"] is None


def test_the_function_gets_its_own_types() -> None:
    given_values = {"data": "a", "colour": "blue", "level": 2, "start": "2030-01-01T00:00"}
    values = to_python(train, parse(FIELDS, given_values))
    assert values["data"] == Path("a")
    assert values["colour"] is Colour.BLUE
    assert values["level"] is Level.HIGH
    assert values["start"] == datetime(2030, 1, 1)  # noqa: DTZ001 - as it was written
    assert values["verbose"] is False


def test_a_list_of_members_arrives_as_members() -> None:
    def paint(colours: list[Colour]) -> None:
        """Paint."""

    values = parse(fields_of(paint), {"colours": ["red", "blue"]})
    assert to_python(paint, values) == {"colours": [Colour.RED, Colour.BLUE]}


def test_every_bad_field_is_named_in_one_answer() -> None:
    wrong = {"epochs": 0, "rate": 2, "mode": "slow", "tags": "a", "verbose": 1, "colur": "red"}
    with pytest.raises(BadFields) as caught:
        parse(FIELDS, wrong)
    bad = caught.value.details["fields"]
    assert set(bad) == {*wrong, "data"}
    assert bad["epochs"] == "`epochs` must be at least 1, not 0."
    assert bad["rate"] == "`rate` must be at most 1, not 2.0."
    assert bad["mode"] == "`mode` must be one of fast, exact, not 'slow'."
    assert bad["tags"] == "`tags` must be a list, each text, not 'a'."
    assert bad["verbose"] == "`verbose` must be true or false, not 1."
    assert bad["data"] == "`data` is missing; it must be a path."
    assert bad["colur"].startswith("There is no field `colur` here; known are data, epochs,")
    assert all(sentence in caught.value.message for sentence in bad.values())


@pytest.mark.parametrize(
    ("field_type", "value"),
    [
        ("int", True),
        ("int", 1.5),
        ("int", 2**64),
        ("float", float("nan")),
        ("float", 10**400),
        ("float", "1"),
        ("str", 1),
        ("str", "\ud800"),
        ("bool", "true"),
        ("datetime", "soon"),
        ("datetime", 0),
        ("path", ""),
        ("path", "a\0b"),
        ("json", {1: 2}),
        ("json", float("inf")),
        ("json", object()),
    ],
)
def test_a_value_of_another_type_is_refused(field_type: FieldType, value: Any) -> None:
    with pytest.raises(BadFields, match="`x` ") as caught:
        parse([Field(name="x", type=field_type)], {"x": value})
    assert list(caught.value.details["fields"]) == ["x"]


def test_what_is_nested_too_deeply_is_refused() -> None:
    value: Any = []
    for _ in range(60):
        value = [value]
    with pytest.raises(BadFields, match="nested more than 50 deep"):
        parse([Field(name="x", type="json")], {"x": value})


@pytest.mark.parametrize(
    ("text", "value"), [("yes", True), ("TRUE", True), ("0", False), ("off", False)]
)
def test_people_say_true_and_false_in_several_ways(text: str, value: bool) -> None:
    assert parse_texts([Field(name="x", type="bool")], [("x", text)]) == {"x": value}


def test_a_list_is_told_item_by_item_or_as_json() -> None:
    field = [Field(name="x", type="int", many=True)]
    assert parse_texts(field, [("x", "1"), ("x", "2")]) == {"x": [1, 2]}
    assert parse_texts(field, [("x", "[1, 2]")]) == {"x": [1, 2]}
    assert parse_texts(field, [("x", "[]")]) == {"x": []}


def test_a_single_value_is_told_once() -> None:
    with pytest.raises(BadFields, match="`x` may be given only once"):
        parse_texts([Field(name="x", type="int")], [("x", "1"), ("x", "2")])


def test_the_schema_says_what_is_taken() -> None:
    told = schema(FIELDS)
    assert told["required"] == ["data"]
    assert told["additionalProperties"] is False
    assert told["properties"]["epochs"] == {
        "type": "integer",
        "minimum": 1,
        "title": "Epochs",
        "description": "Rounds over the data.",
        "default": 10,
    }
    assert told["properties"]["mode"]["enum"] == ["fast", "exact"]
    assert told["properties"]["tags"] == {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
    }


# -- properties ------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
#: Items such as a command line may hold: also what looks like JSON.
ODD = st.sampled_from(["", "null", "[", "[]", '["a"]', "1", "true", " ", "é\n"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ONE: dict[FieldType, st.SearchStrategy[Any]] = {
    "str": TEXT | ODD,
    "int": st.integers(-(2**63) + 1, 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "datetime": st.datetimes().map(datetime.isoformat),
    "path": TEXT.filter(lambda text: bool(text) and "\0" not in text),
    "json": JSON,
}


@st.composite
def fields_and_values(draw: Callable[..., Any]) -> tuple[list[Field], dict[str, Any]]:
    fields, values = [], {}
    for number in range(draw(st.integers(1, 4))):
        kind: FieldType = draw(st.sampled_from(list(ONE)))
        many, nullable = draw(st.booleans()), draw(st.booleans())
        name = f"field_{number}"
        # Text cannot tell "no text" from the empty one: null is then the default.
        default = st.none() if nullable else ONE[kind]
        one = st.lists(ONE[kind], max_size=3) if many else ONE[kind]
        value = draw(one | st.none() if nullable and (many or kind != "json") else one)
        required = draw(st.booleans()) and value is not None
        fields.append(
            Field(
                name=name,
                type=kind,
                many=many,
                nullable=nullable,
                required=required,
                default=None if required else draw(default),
            )
        )
        values[name] = value
    return fields, values


def outcome(ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | BadFields:
    """The values, or what was wrong with them."""
    try:
        return ask()
    except BadFields as error:
        return error


@settings(deadline=None)
@given(fields_and_values())
def test_what_is_taken_survives_the_way_through_text(
    both: tuple[list[Field], dict[str, Any]],
) -> None:
    fields, values = both
    kept = parse(fields, values)
    assert parse(fields, kept) == kept
    assert parse_texts(fields, to_texts(fields, kept)) == kept


@settings(deadline=None)
@given(st.sampled_from(list(ONE)), TEXT | ODD, st.booleans(), st.booleans())
def test_any_text_is_taken_and_comes_round_or_is_refused_by_name(
    kind: FieldType, text: str, many: bool, nullable: bool
) -> None:
    fields = [Field(name="x", type=kind, many=many, nullable=nullable)]
    kept = outcome(lambda: parse_texts(fields, [("x", text)]))
    if isinstance(kept, BadFields):
        assert list(kept.details["fields"]) == ["x"]
        assert "`x`" in kept.message
    else:
        assert parse_texts(fields, to_texts(fields, kept)) == kept


@settings(deadline=None)
@given(st.sampled_from(list(ONE)), JSON, st.booleans(), st.booleans())
def test_any_value_is_taken_for_good_or_refused_by_name(
    kind: FieldType, value: Any, many: bool, nullable: bool
) -> None:
    fields = [Field(name="x", type=kind, many=many, nullable=nullable)]
    kept = outcome(lambda: parse(fields, {"x": value}))
    if isinstance(kept, BadFields):
        assert list(kept.details["fields"]) == ["x"]
    else:
        assert parse(fields, kept) == kept


# -- functions that cannot be tasks ----------------------------------------------------------------


def many_words(*words: str) -> None:
    """Take any number."""


def anything(**named: Any) -> None:
    """Take any name."""


def strange(x: complex) -> None:
    """Take what JSON has not."""


def either(x: int | str) -> None:
    """Take one of two."""


def mixed(x: Literal["a", 1]) -> None:
    """Choose from both."""


def bound(x: Annotated[str, About(minimum=1)]) -> None:
    """Bound a text."""


def outside(x: Annotated[int, About(minimum=1)] = 0) -> None:
    """Have a default that is not allowed."""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (many_words, "name each parameter"),
        (anything, "name each parameter"),
        (strange, "complex"),
        (either, "Known are str, int"),
        (mixed, "must all be text"),
        (bound, "is no number"),
        (outside, "default of `x` must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_a_task_is_told_by_its_parameter(
    function: Callable[..., Any], words: str
) -> None:
    with pytest.raises(BadTask, match=words):
        fields_of(function)


def test_without_hints_the_default_tells_the_type_and_else_it_is_any_json() -> None:
    def plain(x, n=3):  # type: ignore[no-untyped-def]
        """Say nothing of types."""
        return x, n

    assert [(one.type, one.required) for one in fields_of(plain)] == [
        ("json", True),
        ("int", False),
    ]
    assert parse(fields_of(plain), {"x": {"a": [1]}}) == {"x": {"a": [1]}, "n": 3}
