"""What a terminal shows: tables in colour, live views. The one place that knows rich.

Colour never tells anything alone: each state has an icon and its word. NO_COLOR is honoured by rich.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from jupyter_tasks import units, words
from jupyter_tasks.cli import tables
from jupyter_tasks.cli.board import Board
from jupyter_tasks.model import State

Wire = Mapping[str, Any]

_STYLES: Final = {
    State.RUNNING: "cyan",
    State.STARTING: "cyan",
    State.SUCCEEDED: "green",
    State.FAILED: "bold red",
    State.CANCELLED: "yellow",
    State.LOST: "bold magenta",
    State.PAUSED: "yellow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How much of each job a table shows; widths in columns of the terminal.

    What there is no room for goes whole: half a figure would be a wrong one. Of names and
    progress messages alone the end may be cut off.
    """

    columns: tuple[str, ...]
    bar: int = 0
    message: int = 0
    name: int = 8
    is_brief: bool = False


_ALL: Final = ("ID", "STATE", "PROGRESS", "PACE", "NAME", "SUBMITTED", "TOOK")
_MOST: Final = ("ID", "STATE", "PROGRESS", "NAME", "TOOK")
#: From the richest to the barest; the first that fits is taken.
_LAYOUTS: Final = (
    _Layout(columns=_ALL, bar=20, message=40, name=24),
    _Layout(columns=_ALL, bar=10, message=24, name=16),
    _Layout(columns=_MOST, bar=10, message=24, name=12),
    _Layout(columns=_MOST, bar=10),
    _Layout(columns=_MOST, bar=5),
    _Layout(columns=_MOST),
    _Layout(columns=("ID", "STATE", "PROGRESS", "NAME")),
    _Layout(columns=_MOST, is_brief=True),
    _Layout(columns=("ID", "STATE", "DONE", "NAME", "TOOK"), is_brief=True),
    _Layout(columns=("ID", "STATE", "DONE", "NAME"), is_brief=True),
    _Layout(columns=("ID", "STATE", "DONE"), is_brief=True),
    _Layout(columns=("ID", "STATE"), is_brief=True),
)
_GAP: Final = 2


class LiveView:
    """A board on the screen; drawn anew when something happens, and each second for the clock."""

    def __init__(self, board: Board, live: Live) -> None:
        """Made by ``live_view``."""
        self._board, self._live = board, live

    def refresh(self) -> None:
        """Show what the board says now."""
        self._live.refresh()


@contextmanager
def live_view(board: Board, *, ascii_only: bool, to_stderr: bool = False) -> Iterator[LiveView]:
    """Show the board until the block is left; what it showed last stays on the screen."""
    console = Console(stderr=to_stderr)

    def draw() -> Table:
        rows = board.shown()[: max(console.height - 4, 3)]
        return jobs_table(rows, time.time(), width=console.width, ascii_only=ascii_only)

    with Live(get_renderable=draw, console=console, refresh_per_second=1) as live:
        yield LiveView(board, live)


def print_jobs(jobs: Sequence[Wire], now: float, *, ascii_only: bool) -> None:
    """Print a table of jobs."""
    console = Console(file=sys.stdout)
    console.print(jobs_table(jobs, now, width=console.width, ascii_only=ascii_only))


def jobs_table(jobs: Sequence[Wire], now: float, *, width: int, ascii_only: bool) -> Table:
    """The jobs as a table, a line each: as much of them as there is room for."""
    for layout in _LAYOUTS:
        cells = _cells(layout, jobs, now, ascii_only=ascii_only)
        if _needed_width(layout, cells) <= width:
            break
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in layout.columns:
        table.add_column(name, no_wrap=name != "NAME")
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    return table


def _cells(
    layout: _Layout, jobs: Sequence[Wire], now: float, *, ascii_only: bool
) -> dict[str, list[Text]]:
    """The texts of each column of the layout."""
    columns: dict[str, Callable[[Wire], Text]] = {
        "ID": lambda job: Text(job["id"][:8]),
        "STATE": lambda job: _state(job, is_brief=layout.is_brief, ascii_only=ascii_only),
        "PROGRESS": lambda job: _progress(job, layout, ascii_only=ascii_only),
        "DONE": lambda job: Text(words.percent(job)),
        "PACE": lambda job: Text(words.pace_words(job, now)),
        "NAME": lambda job: Text(words.plain(job["name"]), no_wrap=True, overflow="ellipsis"),
        "SUBMITTED": lambda job: Text(units.moment(job["created_at"], now)),
        "TOOK": lambda job: Text(words.took(job, now)),
    }
    return {name: [columns[name](job) for job in jobs] for name in layout.columns}


def _needed_width(layout: _Layout, cells: Mapping[str, Sequence[Text]]) -> int:
    widths = {
        name: max([len(name), *(text.cell_len for text in texts)]) for name, texts in cells.items()
    }
    if "NAME" in widths:
        widths["NAME"] = min(widths["NAME"], layout.name)
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _state(job: Wire, *, is_brief: bool, ascii_only: bool) -> Text:
    told = str(job["state"]) if is_brief else words.state(job)
    text = f"{words.icon(job['state'], ascii_only=ascii_only)} {told}"
    return Text(text, style=_STYLES.get(State(job["state"]), ""))


def _progress(job: Wire, layout: _Layout, *, ascii_only: bool) -> Text:
    bar = tables.bar(words.fraction(job), width=layout.bar, ascii_only=ascii_only)
    message = Text(words.progress_message(job) if layout.message else "")
    message.truncate(layout.message, overflow="crop" if ascii_only else "ellipsis")
    return Text(" ".join(filter(None, (bar, words.figures(job), message.plain))))
