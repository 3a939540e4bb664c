"""What happens, live: committed changes and progress, handed to whoever listens on this server.

The same feed serves on the active server (fed by its manager) and on a following one (fed from the
active server), so that watchers need not know which of the two they are on.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from jupyter_tasks.model import Change, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressNews:
    """A running attempt has come further. Not an event: it is not kept and has no number."""

    job_id: str
    attempt: int
    progress: Progress


News = Change | ProgressNews
NewsListener = Callable[[News], None]


class Feed:
    """Publishes news in the order of their commits; a listener must not block."""

    def __init__(self, log: logging.Logger) -> None:
        """Start with nothing published."""
        self.seq = 0
        self._log = log
        self._listeners: list[NewsListener] = []

    def subscribe(self, listener: NewsListener) -> Callable[[], None]:
        """Call the listener with all news from now on; returns what ends that."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    def publish(self, news: News) -> None:
        """Hand the news to every listener; one that fails does not keep it from the others."""
        if isinstance(news, Change):
            self.seq = max(self.seq, news.seq)
        for listener in tuple(self._listeners):
            try:
                listener(news)
            except Exception:  # noqa: BLE001 - a watcher's fault must not stop the manager
                self._log.exception("Failed to tell a watcher about %s", type(news).__name__)
