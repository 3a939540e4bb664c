"""Nobody waits by hoping: tests wait for a condition, the package for an event."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules.house import TESTS, dotted, modules, tree, where

THE_ONE_WAY = TESTS / "eventually.py"
SLEEPERS = {
    "time.sleep",
    "asyncio.sleep",
    "gen.sleep",
    "tornado.gen.sleep",
    "trio.sleep",
    "anyio.sleep",
}


def test_files() -> list[Path]:
    return sorted(path for path in TESTS.rglob("*.py") if path != THE_ONE_WAY)


def sleeps(path: Path) -> Iterator[ast.Call]:
    """The calls that only wait for time to pass, under whatever name sleep was imported."""
    names = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if names.get(called, called) in SLEEPERS and not is_a_turn_of_the_loop(node):
                yield node


def is_a_turn_of_the_loop(node: ast.Call) -> bool:
    """``sleep(0)`` waits for nothing: it lets the others on the loop go on."""
    return len(node.args) == 1 and ast.unparse(node.args[0]) == "0"


def says_why(path: Path, node: ast.Call) -> bool:
    """Whether a comment stands beside the call or just above it."""
    above, *lines = path.read_text().splitlines()[node.lineno - 2 : node.end_lineno]
    return above.lstrip().startswith("# ") or any("  # " in line for line in lines)


@pytest.mark.parametrize("path", test_files(), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_sleeps(path: Path) -> None:
    assert not [where(path, call) for call in sleeps(path)], "use tests/eventually.py"


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_a_module_sleeps_only_where_a_comment_says_why(path: Path) -> None:
    assert not [where(path, call) for call in sleeps(path) if not says_why(path, call)]


def test_a_sleep_is_found_under_any_name(tmp_path: Path) -> None:
    source = "import time\nfrom asyncio import sleep as nap\ntime.sleep(1)\nnap(1)\n"
    (tmp_path / "sleepy.py").write_text(source)
    assert [call.lineno for call in sleeps(tmp_path / "sleepy.py")] == [3, 4]
