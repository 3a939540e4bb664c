"""What is remembered: one SQLite file behind the contract `Store`."""

from jupyter_tasks.store.sqlite import SqliteStore, StoreInfo

__all__ = ["SqliteStore", "StoreInfo"]
