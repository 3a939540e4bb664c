"""What is remembered: one SQLite file behind the contract `Store`.

Names are loaded when first used: a server that only asks `unfinished` does not pay for the rest.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_tasks.store.sqlite import SqliteStore, StoreInfo

__all__ = ["SqliteStore", "StoreInfo"]


def __getattr__(name: str) -> object:
    """Load a name of the store from its module (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from jupyter_tasks.store import sqlite  # noqa: PLC0415 - the very point of this function

    return getattr(sqlite, name)
