"""Records read whole, byte by byte and torn; what a program printed cannot be taken for a header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_tasks.records import encode_record, last_boundary, read_records

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
