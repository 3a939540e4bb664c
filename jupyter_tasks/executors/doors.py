"""What supervisors that were killed have left in the folder of sockets and pipes."""

import errno
import re
from pathlib import Path

from jupyter_tasks import attempt, posix

#: As a supervisor names its own: pid and start time.
_NAME = re.compile(r"(\d+)-(\d+)\.(?:control|report|kernel-\d)")
_NOBODY = (errno.ECONNREFUSED, errno.ENOENT)


def remove_abandoned(runtime_dir: Path, dead: attempt.Claim | None = None) -> None:
    """Remove sockets and pipes whose supervisor is no more, and its kernel's; what else lies there stays.

    ``dead``: the claim of one that has let go of it, and may be still about to end.
    """
    # Supervisors may make the folder only now.
    entries = runtime_dir.iterdir() if runtime_dir.is_dir() else ()
    doors: dict[tuple[str, ...], list[Path]] = {}
    for entry in entries:
        if found := _NAME.fullmatch(entry.name):
            doors.setdefault(found.groups(), []).append(entry)
    for (pid, start), paths in doors.items():
        owner = posix.Process(int(pid), int(start))
        is_known = dead is not None and owner == (dead.pid, dead.start_time)
        control = runtime_dir / f"{pid}-{start}.control"
        if is_known or not (posix.is_alive(owner) or _is_answered(control)):
            for path in paths:
                path.unlink(missing_ok=True)


def _is_answered(control: Path) -> bool:
    """Whether somebody listens there: in another container that shares the folder, pids are others."""
    try:
        posix.connect_control(str(control)).close()
    except OSError as error:
        return error.errno not in _NOBODY
    return True
