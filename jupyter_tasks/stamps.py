"""Whether files are still those that were looked at. Loads nothing: kernels' interpreters use it, too."""

import os
from collections.abc import Iterable, Mapping

Stamp = list[int] | None


def taken(paths: Iterable[str]) -> dict[str, Stamp]:
    """The stamp of each path: changes when the file does, or what is in the folder."""
    return {path: _stamp(path) for path in paths}


def have_changed(stamps: Mapping[str, Stamp]) -> bool:
    """Whether one of them would be another now. Blocks."""
    return any(_stamp(path) != stamp for path, stamp in stamps.items())


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_ino]
