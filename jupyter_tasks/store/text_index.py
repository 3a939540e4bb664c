"""The index of names by their trigrams, which serves searches for a part of a name.

It is an extra: where SQLite has no trigrams, searches look at a bounded number of rows instead.
Filter.accepts and the index compare the same folded text.
"""

import sqlite3
from contextlib import closing
from functools import cache
from typing import Final

from jupyter_tasks.store.queries import query, script

_TRIGRAM: Final = 3
#: More trigrams than this make a search no more selective, only slower.
_MOST: Final = 24


def keep(connection: sqlite3.Connection) -> None:
    """Build the index where it is missing; disown it where it cannot be kept up from now on."""
    if not has_trigrams():
        connection.execute(query("disown_text_index"))
        return
    if not _is_whole(connection):
        for statement in script("text_index.sql"):
            connection.execute(statement)


def is_kept(connection: sqlite3.Connection) -> bool:
    """Whether what is written must go into the index too.

    Not by triggers: FTS5 writes out what it has gathered at the end of each trigger, twenty times
    slower; and a SQLite without trigrams could not write at all.
    """
    return has_trigrams() and _is_whole(connection)


def serves(connection: sqlite3.Connection, text: str) -> bool:
    """Whether a search for that folded text can use the index."""
    return len(text) >= _TRIGRAM and is_kept(connection)


def expression(text: str) -> str:
    """What the index is asked for: trigrams that cover the text, in whatever order.

    Those between would leave out little more, and each costs a walk through its jobs.
    """
    last = len(text) - _TRIGRAM
    starts = [*range(0, last, _TRIGRAM), last]
    grams = dict.fromkeys(text[start : start + _TRIGRAM] for start in starts)
    quoted = ['"' + gram.replace('"', '""') + '"' for gram in grams]
    return " AND ".join(quoted[:_MOST])


@cache
def has_trigrams() -> bool:
    """Whether this SQLite can index text by its trigrams."""
    with closing(sqlite3.connect(":memory:")) as trial:
        try:
            trial.execute("CREATE VIRTUAL TABLE trial USING fts5 (x, tokenize = 'trigram')")
        except sqlite3.OperationalError:
            return False
        return True


def _is_whole(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute(query("text_index_is_whole")).fetchone()[0])
