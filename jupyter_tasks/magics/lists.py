"""Lists of variables in a line, as people write them: ``--in x,y``, ``--in x, y``, ``--in x --in y``. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

_OPTIONS: Final = ("--in", "--out")


def joined(words: Iterable[str]) -> list[str]:
    """The words of the line; those that commas hold together after such an option become one."""
    result: list[str] = []
    is_list = False
    for word in words:
        goes_on = is_list and (result[-1].endswith(",") or word.startswith(","))
        if goes_on and not word.startswith("-"):
            result[-1] += word
            continue
        is_list = word.startswith(("--in=", "--out=")) or (bool(result) and result[-1] in _OPTIONS)
        result.append(word)
    return result


def names(given: Sequence[str] | None) -> list[str]:
    """The names in all values of such an option, each once."""
    found = (name.strip() for part in given or () for name in part.split(","))
    return list(dict.fromkeys(name for name in found if name))
