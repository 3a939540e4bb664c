"""Words and figures about a job, for people: state, progress, pace, result. Pure.

Whatever comes from a job is made harmless first: a name must not move a terminal's cursor.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jupyter_tasks.model import ENDED, State
from jupyter_tasks.units import duration

Wire = Mapping[str, Any]

#: An icon for each state, and one for terminals that know ASCII alone.
_ICONS: Final = {
    State.SCHEDULED: ("◷", "@"),
    State.QUEUED: ("○", "."),
    State.STARTING: ("◔", ">"),
    State.RUNNING: ("●", ">"),
    State.PAUSED: ("‖", "="),
    State.SUCCEEDED: ("✓", "+"),
    State.FAILED: ("✗", "x"),
    State.CANCELLED: ("⊘", "-"),
    State.LOST: ("?", "?"),
}
#: Escape sequences whole, any other control character, and what turns the direction of writing.
_CONTROL: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a job comes on: units a second, and seconds to go; None where nobody can tell."""

    rate: float | None
    left_s: float | None


def plain(text: object) -> str:
    """The text without what a terminal would obey."""
    return _CONTROL.sub(" ", str(text)).strip()


def icon(state: str, *, ascii_only: bool = False) -> str:
    """The state's icon."""
    return _ICONS.get(State(state), ("?", "?"))[ascii_only]


def state(job: Wire) -> str:
    """The state in words, with its reason where that says more."""
    reason = job["reason"]
    if job["state"] == State.FAILED:
        reason = _failure(job)
    is_wished = job["cancel_requested_at"] is not None and job["state"] not in ENDED
    reason = "cancel asked" if is_wished else reason
    return f"{job['state']} ({plain(reason)})" if reason and reason != "user" else str(job["state"])


def _failure(job: Wire) -> str:
    if job["reason"] == "exit":
        return f"exit {job['exit_code']}"
    if job["reason"] == "signal":
        return f"signal {job['signal']}"
    return str(job["reason"])


def fraction(job: Wire) -> float | None:
    """How much of the job is done, from 0 to 1."""
    progress = job["progress"]
    if not progress or progress["value"] is None:
        return None
    total = 1.0 if progress["total"] is None else progress["total"]
    return min(max(progress["value"] / total, 0.0), 1.0) if total > 0 else None


def progress(job: Wire) -> str:
    """The job's progress in words: ``3/12 25% message``."""
    return " ".join(filter(None, (figures(job), progress_message(job))))


def figures(job: Wire) -> str:
    """The figures of the job's progress: ``3/12 25%``."""
    told = job["progress"]
    if not told:
        return ""
    has_both = told["total"] and told["value"] is not None
    parts = f"{told['value']:g}/{told['total']:g}" if has_both else ""
    return " ".join(filter(None, (parts, percent(job))))


def percent(job: Wire) -> str:
    """How much of the job is done: ``25%``."""
    part = fraction(job)
    return "" if part is None else f"{part:.0%}"


def progress_message(job: Wire) -> str:
    """What the job says that it does."""
    return plain(job["progress"]["message"]) if job["progress"] else ""


def pace(job: Wire, now: float) -> Pace:
    """The pace since the job's start; a job that does not run has none."""
    part, started = fraction(job), job["started_at"]
    if job["state"] != State.RUNNING or not part or started is None or now <= started:
        return Pace(None, None)
    elapsed = now - started
    total = job["progress"]["total"]
    rate = job["progress"]["value"] / elapsed if total else None
    return Pace(rate, elapsed * (1 - part) / part)


def pace_words(job: Wire, now: float) -> str:
    """The pace in words: ``2.5/s, 40s left``."""
    found = pace(job, now)
    rate = "" if found.rate is None else f"{_three_digits(found.rate)}/s"
    left = "" if found.left_s is None else f"{duration(found.left_s)} left"
    return ", ".join(word for word in (rate, left) if word)


def _three_digits(number: float) -> str:
    """To three digits, and never as a power of ten, for what is no trifle."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def took(job: Wire, now: float) -> str:
    """How long the job's newest attempt has run."""
    if job["started_at"] is None:
        return ""
    return duration((job["ended_at"] or now) - job["started_at"])


def command(job: Wire) -> str:
    """The command as it would be typed; nothing for a job that runs none."""
    given = job["spec"].get("command", "")
    return plain(given if isinstance(given, str) else shlex.join(given))
