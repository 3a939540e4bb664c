"""Progress in report lines and in what programs draw, and nothing where there is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_tasks import recognise


@pytest.mark.parametrize(
    ("line", "value", "total", "message"),
    [
        (b"40%", 0.4, None, ""),
        (b"40.5 % of it", 0.405, None, "of it"),
        (b"3/12", 3, 12, ""),
        (b"3 / 12 epochs", 3, 12, "epochs"),
        (b"0.4", 0.4, None, ""),
        (b"1 all", 1, None, "all"),
        (b'{"value": 3, "total": 12}', 3, 12, ""),
        (b'{"message": "loading"}', None, None, "loading"),
    ],
)
def test_a_report_line_is_understood(
    line: bytes, value: float | None, total: float | None, message: str
) -> None:
    assert recognise.report(line) == {"value": value, "total": total, "message": message}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"soon",
        b"-3",
        b"7",
        b"{",
        b'{"valeu": 1}',
        b'{"value": "x"}',
        b'{"value": true}',
        b'{"value": NaN}',
        b'{"value": -1}',
        b'{"value": 2}',
        b'{"value": Infinity, "total": 3}',
    ],
)
def test_a_bad_report_line_is_refused_with_words(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        recognise.report(line)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_report_or_refused(line: bytes) -> None:
    try:
        told = recognise.report(line)
    except ValueError:
        return
    assert set(told) == {"value", "total", "message"}


@pytest.mark.parametrize(
    ("chunk", "source", "value", "total"),
    [
        (b"\r 45%|####      | 9/20 [00:01<00:01]", "output", 0.45, None),
        (b"\rReading 3/12", "output", 3, 12),
        (b"\r10%\r20%\r30%", "output", 0.3, None),
        (b"\x1b]9;4;1;42\x07", "osc", 0.42, None),
        (b"\x1b]9;4;1;42\x1b\\", "osc", 0.42, None),
        (b"\x1b]9;4;1;10\x07..\x1b]9;4;1;20\x07", "osc", 0.2, None),
        (b"\x1b]9;4;3\x07", "osc", None, None),
    ],
)
def test_drawn_progress_is_recognised(
    chunk: bytes, source: str, value: float | None, total: float | None
) -> None:
    found = recognise.output(chunk, len(chunk))
    assert found is not None
    assert (found[0], found[1]["value"], found[1]["total"]) == (source, value, total)


@pytest.mark.parametrize(
    ("program", "chunk", "fraction"),
    [
        ("tqdm", "\r 62%|██████▏   | 62/100 [00:06<00:03,  9.96it/s]", 0.62),
        ("tqdm, nested", "\r 10%|█ | 1/10\x1b[A\r 45%|████▌ | 45/100 [00:04<00:05]", 0.45),
        ("tqdm, no total in percent", "\r7/20 [00:01<00:02,  5.10it/s, loss=0.31]", 7 / 20),
        ("pip", "\r\x1b[2K   ━━━━━━━━╸━━━━━━━ 1.2/4.8 MB 3.1 MB/s eta 0:00:02", 0.25),
        ("rich", "\r\x1b[2KWorking... ━━━━━╺━━━━  48% 0:00:05", 0.48),
        ("wget", "\rfile.iso    33%[=====>        ] 212.33M  11.2MB/s    eta 38s    ", 0.33),
        ("rsync", "\r    131,072,000  73%   31.25MB/s    0:00:01  ", 0.73),
        ("curl -#", "\r##################             25.6%", 0.256),
        ("dvips-like", "[3/12]\r[4/12]\r", 4 / 12),
        ("git", "Receiving objects:  57% (570/1000)\rReceiving objects:  58% (580/1000)\r", 0.58),
    ],
)
def test_what_well_known_programs_draw_is_recognised(
    program: str, chunk: str, fraction: float
) -> None:
    data = chunk.encode()
    found = recognise.output(data, len(data))
    assert found is not None, program
    told = found[1]
    assert told["value"] / (told["total"] or 1) == pytest.approx(fraction)


def test_a_number_too_long_to_be_one_is_left_alone() -> None:
    data = b"\r" + b"9" * 400 + b"/" + b"9" * 400
    assert recognise.output(data, len(data)) is None


@pytest.mark.parametrize(
    "chunk",
    [
        b"",
        b"50%",
        b"done 3/12\n",
        b"50%\r\n",
        b"\rno number",
        b"\r2026/11/21",
        b"\r300%",
        b"\r9/3",
        b"\x1b]9;4;0\x07",
    ],
)
def test_what_is_no_progress_is_left_alone(chunk: bytes) -> None:
    assert recognise.output(chunk, len(chunk)) is None


@given(st.binary(max_size=300))
def test_any_output_can_be_looked_at(chunk: bytes) -> None:
    for start in (b"\r", b"\x1b]9;4;"):
        recognise.output(start + chunk, len(start + chunk))


def test_only_the_beginning_of_the_buffer_is_looked_at() -> None:
    buffer = bytearray(b"\r10% \x1b]9;4;1;20\x07\r30%")
    assert recognise.output(buffer, 5) == ("output", {"value": 0.1, "total": None, "message": ""})
    assert recognise.output(buffer, 14) == recognise.output(buffer, 5)
    found = recognise.output(buffer, len(buffer))
    assert found is not None
    assert (found[0], found[1]["value"]) == ("osc", 0.2)
