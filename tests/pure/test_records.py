"""Records read whole, byte by byte and torn; what a program printed cannot be taken for a header."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_tasks.records import Ending, encode_record, ending, last_boundary, read_records

PAYLOADS = st.lists(st.one_of(st.none(), st.binary(max_size=200)), max_size=8)


def joined(payloads: list[bytes | None]) -> bytes:
    return b"".join(
        b"".join(encode_record("out", i / 10, payload)) for i, payload in enumerate(payloads)
    )


@given(PAYLOADS)
def test_what_was_written_is_read(payloads: list[bytes | None]) -> None:
    data = joined(payloads)
    found = list(read_records(data))
    assert [record.payload for record in found] == payloads
    assert last_boundary(data) == len(data)
    assert [record.start for record in found[1:]] == [record.end for record in found[:-1]]


@given(PAYLOADS)
def test_any_beginning_ends_at_its_last_whole_record(payloads: list[bytes | None]) -> None:
    data = joined(payloads)
    ends = [0, *(record.end for record in read_records(data))]
    for cut in range(len(data) + 1):
        expected = max(end for end in ends if end <= cut)
        assert last_boundary(data[:cut]) == expected
        assert [r.end for r in read_records(data[:cut])] == [e for e in ends[1:] if e <= cut]


@pytest.mark.parametrize("text", ['"n":5', '{"k":"out","n":99}\n', 'a"b\\c\n', "é\u2028\0"])
def test_a_field_may_hold_what_looks_like_a_header(text: str) -> None:
    data = b"".join(encode_record("progress", 0.0, value=0.5, message=text)) * 2
    found = list(read_records(data))
    assert [record.header["message"] for record in found] == [text, text]
    assert data.isascii()


@pytest.mark.parametrize("payload", [b'{"k":"out","t":0,"n":3}\nabc\n', b"\n", b"", b"\0\xff"])
def test_a_payload_may_hold_what_looks_like_a_record(payload: bytes) -> None:
    data = b"".join(encode_record("out", 0.0, payload)) + b"".join(encode_record("note", 1.0))
    assert [record.payload for record in read_records(data)] == [payload, None]


def test_the_size_is_the_last_field_of_the_header() -> None:
    head = encode_record("note", 1.0, b"words", code="output_lost", bytes=3)[0]
    assert head.endswith(b',"n":5}\n')


def test_offsets_are_logical() -> None:
    data = joined([b"a", b"b"])
    assert next(read_records(data, 1000)).start == 1000


def end_of(*records: tuple[str, Any, dict[str, str]]) -> Ending:
    """The end of an output of these records: kind, payload or rich output, fields."""
    data = b""
    for kind, payload, fields in records:
        told = payload if isinstance(payload, bytes) else json.dumps({"data": payload}).encode()
        data += b"".join(encode_record(kind, 1.0, None if payload is None else told, **fields))
    return ending(read_records(data), 1000)


def test_the_end_of_an_output_is_its_text_and_its_pictures() -> None:
    found = end_of(
        ("out", b"x" * 2000, {}),
        ("display", {"text/plain": "<Figure>", "image/png": "AAAA\nBBBB\n"}, {}),
        ("progress", None, {}),
        ("display", {"text/plain": "words"}, {}),
        ("display", {"image/svg+xml": ["<svg>", "</svg>"]}, {}),
    )
    assert found.text == "x" * 994 + "words\n"
    svg = base64.b64encode(b"<svg></svg>").decode()
    assert found.pictures == ("data:image/png;base64,AAAABBBB", f"data:image/svg+xml;base64,{svg}")


def test_a_picture_that_was_replaced_or_cleared_is_not_shown() -> None:
    first, second = {"image/png": "1111"}, {"image/png": "2222"}
    replaced = end_of(
        ("display", first, {"display_id": "d"}),
        ("display", {"image/jpeg": "3333"}, {}),
        ("update", second, {"display_id": "d"}),
    )
    assert [url.rpartition(",")[2] for url in replaced.pictures] == ["2222", "3333"]
    cleared = end_of(("display", first, {}), ("clear", None, {}), ("display", second, {}))
    assert [url.rpartition(",")[2] for url in cleared.pictures] == ["2222"]


def test_pictures_are_few_and_bounded() -> None:
    many = end_of(*[("display", {"image/png": f"{number:04}"}, {}) for number in range(20)])
    assert [url[-4:] for url in many.pictures] == [f"{number:04}" for number in range(12, 20)]
    large = {"image/png": "A" * 1_500_000}
    assert len(end_of(("display", large, {}), ("display", large, {})).pictures) == 1


@pytest.mark.parametrize(
    "data", [None, 3, [], {"image/png": 5}, {"image/png": None}, {"image/png": [1]}]
)
def test_odd_rich_outputs_do_no_harm(data: Any) -> None:
    end_of(("display", data, {}) if data is not None else ("display", b"{}", {}))
