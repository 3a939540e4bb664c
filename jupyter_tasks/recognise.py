"""Recognises progress in a report line and in a program's output. Pure; knows no file.

Output formats: a number with ``%`` or ``a/b`` in a line that is rewritten by a carriage return
(tqdm, pip, wget, rsync), and the sequence OSC 9;4 (ConEmu, "Progress bar on Windows taskbar").
"""

import json
import re
from typing import Any

#: What a report or a recognised piece of output says: value, total, message.
Told = dict[str, Any]

_LOOK_BACK_BYTES = 4096
_MAX_NUMBER = 10**15
_NUMBER = r"(\d+(?:\.\d+)?)"
_PERCENT = re.compile(rb"(?<![\d.])(\d{1,3}(?:\.\d{1,9})?)\s?%")
_RATIO = re.compile(
    rb"(?<![\d./])(\d{1,15}(?:\.\d{1,9})?)\s?/\s?(\d{1,15}(?:\.\d{1,9})?)(?![\d./])"
)
_OSC = re.compile(rb"\x1b\]9;4;([0-4])(?:;(\d{1,3}))?(?:\x07|\x1b\\)")
_OSC_START = b"\x1b]9;4;"
_TEXT_REPORT = re.compile(
    rf"\s*(?:{_NUMBER}\s*(?P<percent>%)|{_NUMBER}\s*/\s*{_NUMBER}|{_NUMBER})(?:\s+(?P<message>.*))?$",
    re.DOTALL,
)


def report(line: bytes) -> Told:
    """What a report line says: JSON, ``40%``, ``3/12`` or ``0.4``, each with an optional text.

    Raises ValueError with words for the program's author.
    """
    text = line.decode("utf-8", "replace").strip()
    return _json_report(text) if text.startswith("{") else _text_report(text)


def output(buffer: bytes | bytearray, size: int) -> tuple[str, Told] | None:
    """The last progress in a buffer's first bytes, with its source ("osc" or "output"); or None."""
    # One byte is sought at memory speed, six are not: that took a third of a flood's time.
    if buffer.find(b"\x1b", 0, size) >= 0 and (found := _osc(buffer, size)) is not None:
        return "osc", found
    if buffer.find(b"\r", 0, size) >= 0:
        tail = bytes(buffer[max(0, size - _LOOK_BACK_BYTES) : size])
        if (found := _rewritten(tail)) is not None:
            return "output", found
    return None


def _json_report(text: str) -> Told:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from None
    unknown = told.keys() - {"value", "total", "message"}
    if unknown:
        raise ValueError(f"unknown fields {sorted(unknown)}; known are value, total and message")
    for name in ("value", "total"):
        part = told.get(name)
        if part is not None and (isinstance(part, bool) or not isinstance(part, int | float)):
            raise ValueError(f"{name} must be a number")
    return _checked(told.get("value"), told.get("total"), str(told.get("message") or ""))


def _text_report(text: str) -> Told:
    found = _TEXT_REPORT.match(text)
    if found is None:
        raise ValueError("neither JSON nor a number like 40%, 3/12 or 0.4")
    percent, value, total, fraction = (found[i] for i in (1, 3, 4, 5))
    message = found["message"] or ""
    if percent is not None:
        return _checked(float(percent) / 100, None, message)
    if fraction is not None:
        return _checked(float(fraction), None, message)
    return _checked(float(value), float(total), message)


def _checked(value: float | None, total: float | None, message: str) -> Told:
    for name, part in (("value", value), ("total", total)):
        if part is not None and not 0 <= part <= _MAX_NUMBER:
            raise ValueError(f"{name} must be a number from 0 to {_MAX_NUMBER}")
    if total is None and value is not None and value > 1:
        raise ValueError("value must be from 0 to 1 where no total is given")
    # What JSON calls a string may be none in UTF-8 (half a surrogate pair).
    text = message.encode("utf-8", "replace").decode()
    return {"value": value, "total": total, "message": text}


def _osc(buffer: bytes | bytearray, size: int) -> Told | None:
    at = size
    found = None
    while found is None:
        at = buffer.rfind(_OSC_START, 0, at)
        if at < 0:
            return None
        found = _OSC.match(buffer, at, size)
    if found[1] == b"0":
        return None  # state 0 takes the bar away: the last value stays
    percent = min(int(found[2] or b"0"), 100)
    return {"value": None if found[1] == b"3" else percent / 100, "total": None, "message": ""}


def _rewritten(tail: bytes) -> Told | None:
    """The number of the last line that begins or ends at a lone carriage return."""
    lines = tail.replace(b"\r\n", b"\n").split(b"\n")
    for line in reversed(lines):
        if b"\r" in line:
            for piece in reversed(line.split(b"\r")):
                if (told := _number_in(piece)) is not None:
                    return told
    return None


def _number_in(piece: bytes) -> Told | None:
    percents = _PERCENT.findall(piece)
    if percents and float(percents[-1]) <= 100:
        return {"value": float(percents[-1]) / 100, "total": None, "message": ""}
    ratios = _RATIO.findall(piece)
    if ratios:
        value, total = (float(part) for part in ratios[-1])
        if 0 <= value <= total and total > 0:
            return {"value": value, "total": total, "message": ""}
    return None
