"""The statements of queries.sql, by name, and the numbered migrations: SQL is read from files alone.

It knows no database: it splits text.
"""

import sqlite3
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from jupyter_tasks.store.columns import LISTS

_HERE: Final = Path(__file__).parent


@cache
def _statements() -> dict[str, str]:
    named: dict[str, str] = {}
    for block in (_HERE / "queries.sql").read_text("utf-8").split("-- name: ")[1:]:
        name, _, body = block.partition("\n")
        lines = [line for line in body.splitlines() if not line.startswith("--")]
        text = "\n".join(lines).strip().removesuffix(";")
        for mark, columns in LISTS.items():
            text = text.replace("{" + mark + "}", columns)
        named[name.strip()] = text
    return named


def query(name: str) -> str:
    """The statement of that name."""
    return _statements()[name]


@cache
def script(name: str) -> tuple[str, ...]:
    """The statements of another file of ours, one by one."""
    return tuple(_split((_HERE / name).read_text("utf-8")))


def migrations() -> dict[int, tuple[str, ...]]:
    """The statements of each migration, by the schema version that it leads to."""
    names = [file.name for file in (_HERE / "migrations").glob("*.sql")]
    return {int(name[:4]): script(f"migrations/{name}") for name in names}


def _split(text: str) -> Iterator[str]:
    """Cut a script into statements; a trigger's body holds semicolons of its own."""
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
