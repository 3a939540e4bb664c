"""What the rules look at: the project's own files, as text and as syntax trees."""

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "jupyter_tasks"
TESTS = ROOT / "tests"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[Path]:
    """The package's own Python files."""
    return sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    """The module's name as it is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(), str(path))


def functions(path: Path) -> Iterator[Function]:
    """Every function and method in the file, inner ones too."""
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def where(path: Path, node: ast.AST) -> str:
    """The place, as an editor understands it."""
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def tracked_files() -> list[Path]:
    """What is under version control; in an unpacked source distribution, what is there."""
    if not (ROOT / ".git").exists():
        return sorted(path for path in ROOT.rglob("*") if path.is_file())
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file()]


@cache
def pyproject() -> dict[str, Any]:
    """The project's metadata and settings."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
