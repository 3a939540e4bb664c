"""Watches the jobs that a filter accepts, by event number: from what is kept lately, else the store.

A watch that cannot keep up is simply behind: it holds its place, never a queue. What it missed is
read from the store once it has taken what it was sent.
"""

from dataclasses import replace

from jupyter_tasks.handlers.recent import Form, Parcel, Recent
from jupyter_tasks.manager import Manager
from jupyter_tasks.model import Filter


class JobWatch:
    """One client's watch. Close it after use."""

    def __init__(
        self, manager: Manager, recent: Recent, wanted: Filter, form: Form, seq: int
    ) -> None:
        """Watch everything that happens after event number ``seq``, told in that form."""
        self._manager = manager
        self._recent = recent
        self._wanted = wanted
        self._form = form
        self._place = recent.enter(seq)
        self._is_sure = False
        self._is_closed = False

    @property
    def seq(self) -> int:
        """The number of the last event that was taken or did not matter."""
        return self._place.seq

    async def missed(self) -> bytes:
        """Some of what has happened since the last call; nothing where nothing has.

        Raises Forgotten. As much as may be sent at once, and no more is held than that.
        """
        while (parcel := await self._next()) is not None:
            self._place = parcel.place
            if parcel.data:
                return parcel.data
        return b""

    async def wait(self) -> None:
        """Wait until more may have happened."""
        await self._recent.wait(self._place)

    async def skip(self) -> int:
        """Go on from the newest event, whatever was missed; its number."""
        self._is_sure = False
        self._place = replace(self._place, seq=await self._manager.store.last_seq())
        return self.seq

    def close(self) -> None:
        """Watch no more; may be called twice."""
        if not self._is_closed:
            self._is_closed = True
            self._recent.leave()

    async def _next(self) -> Parcel | None:
        if not (self._is_sure and self._recent.holds(self.seq)):
            parcel = await self._recent.stored(self._place, self._wanted, self._form)
            if parcel is not None:
                return parcel
            self._is_sure = True  # that its event number is one of ours
            if not self._recent.holds(self.seq):
                return None
        parcel = await self._recent.kept(self._place, self._wanted, self._form)
        return None if parcel.place == self._place else parcel
