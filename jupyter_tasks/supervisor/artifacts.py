"""The folder for what a job leaves: there when the job starts, and mostly empty when it ends.

An empty one goes on to the next attempt. To move a folder costs a tenth of making one where many
files come and go, and a job that left nothing leaves no folder either.
"""

import os

_NAME = "artifacts"
_MODE = 0o700
_UNTOUCHED = 0o040000 | _MODE


class ArtifactFolder:
    """One supervisor's; it has at most one empty folder to give away."""

    def __init__(self) -> None:
        """Nothing is given yet."""
        self._given: str | None = None
        self._spare: str | None = None

    def give(self, directory: str) -> str:
        """The folder of the attempt in that directory. Without room it is not there: a job can do without."""
        path = f"{directory}/{_NAME}"
        if not self._move_spare(path):
            try:
                os.mkdir(path, mode=_MODE)
            except OSError:
                return path
        self._given = path
        return path

    def take_back(self) -> None:
        """The attempt has ended: what it left stays, an empty folder may be given away again."""
        path, self._given = self._given, None
        if path is not None and _is_empty(path):
            self._spare = path

    def _move_spare(self, path: str) -> bool:
        spare, self._spare = self._spare, None
        if spare is None:
            return False
        try:
            os.rename(spare, path)
        except OSError:
            return False  # removed with its job, on another disk, or the new one has a folder
        return True


def _is_empty(path: str) -> bool:
    """Whether it is our own folder, as it was given."""
    try:
        return os.lstat(path).st_mode == _UNTOUCHED and not os.listdir(path)
    except OSError:
        return False
