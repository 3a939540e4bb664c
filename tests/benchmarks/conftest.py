"""Benchmarks: each row measures us and what stands beside us, in turn, in one run.

``make bench`` prints the rows as a table and writes the same to ``build/benchmarks.json``. Nothing
here fails for being slow: figures are for people; what a row could not measure beside it is said.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from tests.live_server import REPOSITORY, LiveServer

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))


@dataclass
class Row:
    """One figure of ours, its goal in words, and what was measured beside it in the same run."""

    what: str
    unit: str
    ours: float
    goal: str
    is_met: bool | None
    beside: dict[str, float] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """Ours by each of the others."""
        return {name: self.ours / value for name, value in self.beside.items() if value}


class Board:
    """Collects rows; prints them once, at the end."""

    def __init__(self) -> None:
        """Start empty."""
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Keep a row, and show it at once."""
        self.rows.append(row)
        print("\n" + line_of(row))

    def write(self, path: Path) -> None:
        """Write all rows as JSON, with what machine this was."""
        machine = {"python": platform.python_version(), "system": platform.platform()}
        machine["processors"] = str(os.cpu_count())
        rows = [asdict(row) | {"ratios": row.ratios()} for row in self.rows]
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


def line_of(row: Row) -> str:
    """One row, for a terminal."""
    verdict = {True: "met", False: "NOT MET", None: "-"}[row.is_met]
    beside = "; ".join(
        f"{name} {value:,.5g} (x{row.ours / value:.2f})" if value else f"{name} 0"
        for name, value in row.beside.items()
    )
    return (
        f"{row.what}: {row.ours:,.5g} {row.unit} [{row.goal}: {verdict}]  beside: {beside or '-'}"
    )


_BOARD = Board()


@pytest.fixture(scope="session")
def board() -> Board:
    """Where rows are put."""
    return _BOARD


@pytest.fixture
def server() -> Iterator[LiveServer]:
    """A real server that runs two attempts at a time."""
    with LiveServer("--TasksExtension.max_running=2", "--ServerApp.log_level=ERROR") as live:
        yield live


def interleaved(*measures: Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """The median of each measure; all are taken in turn, round by round."""
    figures: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for kept, measure in zip(figures, measures, strict=True):
            kept.append(measure())
    return [statistics.median(kept) for kept in figures]


def cpu_s(pid: int) -> float:
    """The processor time that the process has used: to the microsecond, while ticks are of 10 ms.

    Linux gives each process a clock, whose number is made of its pid (CPUCLOCK_SCHED).
    """
    return time.clock_gettime(~pid << 3 | 2)


def percentile(values: list[float], percent: float) -> float:
    """The value below which so many percent lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if _BOARD.rows:
        terminalreporter.section("benchmarks")
        for row in _BOARD.rows:
            terminalreporter.write_line(line_of(row))
        path = REPOSITORY / "build" / "benchmarks.json"
        _BOARD.write(path)
        terminalreporter.write_line(f"The same as JSON: {path.relative_to(REPOSITORY)}")
