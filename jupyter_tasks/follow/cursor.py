"""Where a reader of output goes on: ``<attempt>.<byte>``."""

import re
from dataclasses import dataclass
from typing import Final, Self

from jupyter_tasks.errors import BadMessage

_CURSOR: Final = re.compile(r"([1-9][0-9]{0,8})\.([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The byte of an attempt's output, counted from its beginning, where the next record starts."""

    attempt: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str(cursor)`` wrote; raises BadMessage."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise BadMessage(
                f"{text!r} is no cursor; a cursor is <attempt>.<byte>, as 1.0 for the beginning.",
                cursor=text[:100],
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        """How it looks on the wire."""
        return f"{self.attempt}.{self.offset}"
