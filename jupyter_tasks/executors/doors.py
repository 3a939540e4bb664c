"""What supervisors that were killed have left in the folder of sockets and pipes."""

import errno
import re
from pathlib import Path

from jupyter_tasks import posix

#: As a supervisor names its own: pid and start time.
_NAME = re.compile(r"(\d+)-(\d+)\.(?:control|report)")
_NOBODY = (errno.ECONNREFUSED, errno.ENOENT)


def remove_abandoned(runtime_dir: Path) -> None:
    """Remove sockets and pipes whose supervisor is no more; what else lies there stays."""
    # Supervisors may make the folder only now.
    entries = runtime_dir.iterdir() if runtime_dir.is_dir() else ()
    owners = {found.groups() for entry in entries if (found := _NAME.fullmatch(entry.name))}
    for pid, start in owners:
        stem = f"{runtime_dir}/{pid}-{start}"
        if posix.start_time(int(pid)) != int(start) and not _is_answered(f"{stem}.control"):
            for path in (f"{stem}.control", f"{stem}.report"):
                Path(path).unlink(missing_ok=True)


def _is_answered(control: str) -> bool:
    """Whether somebody listens there: in another container that shares the folder, pids are others."""
    try:
        posix.connect_control(control).close()
    except OSError as error:
        return error.errno not in _NOBODY
    return True
