"""Durations, sizes, shares and times: as people write and read them. Pure.

Parsers raise ValueError with a sentence that says what would be right.
"""

import re
import time
from typing import Final

_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SCALES: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd]?)", re.IGNORECASE)
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_NUMBER: Final = r"[+-]?\d+(?:\.\d+)?"
_PERCENT: Final = re.compile(rf"({_NUMBER})%")
_PARTS: Final = re.compile(rf"({_NUMBER})/({_NUMBER})")


def seconds(text: str) -> float:
    """A duration: ``90``, ``90s``, ``5m``, ``1h30m``, ``1.5h``, ``2d``."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration; write it like 90s, 5m, 1h30m or 2d")
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts)


def size_bytes(text: str) -> int:
    """A size: ``1000000``, ``500M``, ``2G``, ``64KiB``; K is 1024 bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no size; write it like 500M or 2G (K is 1024 bytes)")
    return int(float(match[1]) * _SCALES[match[2].upper()])


def share(text: str) -> tuple[float, float | None]:
    """How far something is: ``40%``, ``3/12``, ``0.4``; the value and, where it is told, the total."""
    if match := _PERCENT.fullmatch(text):
        return float(match[1]) / 100, None
    if match := _PARTS.fullmatch(text):
        return float(match[1]), float(match[2])
    try:
        return float(text), None
    except ValueError:
        raise ValueError(f"{text!r} is no progress; write it like 40%, 3/12 or 0.4") from None


def duration(value: float | None) -> str:
    """A duration to read: ``0.4s``, ``12s``, ``3m05s``, ``2h07m``, ``3d04h``."""
    if value is None:
        return ""
    if value < 10:
        return f"{max(value, 0):.1f}s"
    whole = round(value)
    for size, unit, smaller, smaller_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller:02d}{smaller_unit}"
    return f"{whole}s"


def size(value: float | None) -> str:
    """A size to read: ``512 B``, ``1.5 MiB``."""
    if value is None:
        return ""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def moment(value: float | None, now: float) -> str:
    """A time to read: the clock today, the date before."""
    if value is None:
        return ""
    then, today = time.localtime(value), time.localtime(now)
    shape = "%H:%M:%S" if then[:3] == today[:3] else "%Y-%m-%d %H:%M"
    return time.strftime(shape, then)
