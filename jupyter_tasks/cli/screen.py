"""What a terminal shows: tables in colour, live views. The one place that knows rich.

Colour never tells anything alone: each state has an icon and its word. NO_COLOR is honoured by rich.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from jupyter_tasks.cli import tables, units, words
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


_BAR_WIDTH: Final = 20
#: From this width on there is room for everything.
_WIDE: Final = 110
_LEFT_OUT: Final = ("PACE", "SUBMITTED")


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
    """The jobs as a table: short ids, bars, pace and time left; as much as there is room for."""
    bar_width = _BAR_WIDTH if width >= _WIDE else _BAR_WIDTH // 2
    columns: dict[str, Callable[[Wire], Text]] = {
        "ID": lambda job: Text(job["id"][:8]),
        "STATE": lambda job: _state(job, ascii_only=ascii_only),
        "PROGRESS": lambda job: _progress(job, bar_width, ascii_only=ascii_only),
        "PACE": lambda job: Text(words.pace_words(job, now)),
        "NAME": lambda job: Text(words.plain(job["name"]), no_wrap=True, overflow="ellipsis"),
        "SUBMITTED": lambda job: Text(units.moment(job["created_at"], now)),
        "TOOK": lambda job: Text(words.took(job, now)),
    }
    for name in _LEFT_OUT if width < _WIDE else ():
        del columns[name]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        # Where room is scarce the name gives way, before anything that changes.
        table.add_column(
            name, no_wrap=name != "NAME", min_width=8 if name in ("ID", "NAME") else None
        )
    for job in jobs:
        table.add_row(*(cell(job) for cell in columns.values()))
    return table


def _state(job: Wire, *, ascii_only: bool) -> Text:
    text = f"{words.icon(job['state'], ascii_only=ascii_only)} {words.state(job)}"
    return Text(text, style=_STYLES.get(State(job["state"]), ""))


def _progress(job: Wire, width: int, *, ascii_only: bool) -> Text:
    bar = tables.bar(words.fraction(job), width=width, ascii_only=ascii_only)
    return Text(" ".join(filter(None, (bar, words.progress(job)))))
