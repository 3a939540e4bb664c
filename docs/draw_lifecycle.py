"""Draws the life cycle from the program's own table into README.md and docs/lifecycle.md.

Run by `make diagram`; tests/rules/test_diagram.py checks that nobody has to.
"""

import re
import sys
from pathlib import Path

from jupyter_tasks.lifecycle import TABLE, event_name
from jupyter_tasks.model import State

ROOT = Path(__file__).resolve().parent.parent
#: Where a new job can begin; the table only knows what happens to it afterwards.
FIRST = (State.QUEUED, State.SCHEDULED)
WHAT_EVENTS_ARE = {
    event: " ".join((event.__doc__ or "").split()) for row in TABLE.values() for event in row
}


def arrows() -> dict[tuple[State, State], list[str]]:
    """Which events lead from one state to another; staying in a state is left out."""
    found: dict[tuple[State, State], list[str]] = {}
    for state, row in TABLE.items():
        for event, afters in row.items():
            for after in sorted(afters - {state}, key=list(State).index):
                found.setdefault((state, after), []).append(_name(event))
    return found


def diagram() -> str:
    """The life cycle as a mermaid state diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    lines += [f"    [*] --> {state}" for state in FIRST]
    lines += [f"    {a} --> {b}: {', '.join(names)}" for (a, b), names in arrows().items()]
    return "\n".join([*lines, "```"])


def table() -> str:
    """Every row of the table: the state, what happens, the states it may lead to."""
    lines = ["| state | event | leads to |", "| --- | --- | --- |"]
    for state, row in TABLE.items():
        for event, afters in row.items():
            leads = ", ".join(f"`{after}`" for after in sorted(afters, key=list(State).index))
            lines.append(f"| `{state}` | `{_name(event)}` | {leads} |")
    return "\n".join(lines)


def events() -> str:
    """What each event means."""
    return "\n".join(f"* `{_name(event)}`: {text}" for event, text in WHAT_EVENTS_ARE.items())


PARTS = {"diagram": diagram, "table": table, "events": events}
PAGES = {"README.md": ("diagram",), "docs/lifecycle.md": ("diagram", "events", "table")}


def redrawn(text: str, page: str) -> str:
    """The page with everything between its markers drawn anew."""
    for part in PAGES[page]:
        start, end = (
            f"<!-- {part} of the life cycle, drawn by make diagram -->",
            f"<!-- end of {part} -->",
        )
        pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            sys.exit(f"{page} lacks the markers {start} and {end}")
        drawn = f"{start}\n\n{PARTS[part]()}\n\n{end}"
        text = pattern.sub(lambda _, drawn=drawn: drawn, text)
    return text


def _name(event: type) -> str:
    # The name needs the class alone; an instance would need values.
    return event_name(event.__new__(event))


def main() -> None:
    """Draw every page anew."""
    for page in PAGES:
        path = ROOT / page
        path.write_text(redrawn(path.read_text(), page))


if __name__ == "__main__":
    main()
