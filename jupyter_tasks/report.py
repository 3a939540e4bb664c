"""How a program tells its progress to the job that it runs in; works in any Python, without us.

``jupyter_tasks.progress(3, 12, "epoch 3")`` writes a line to the pipe that the supervisor reads.
"""

import json
import os
import stat

#: The longest line that is taken; a write of that size to a pipe is never torn (PIPE_BUF).
MAX_LINE_BYTES = 4096


def is_in_job() -> bool:
    """Whether this process runs in a job that listens for progress."""
    return bool(os.environ.get("JUPYTER_TASKS_REPORT"))


def progress(
    value: float | None = None, total: float | None = None, message: str | None = None
) -> bool:
    """Say how far the job is: ``value`` of ``total``, or a fraction from 0 to 1 without a total.

    Returns whether it was told; outside a job, or where nobody listens, it does nothing.
    """
    told = {"value": value, "total": total, "message": message}
    line = json.dumps({name: part for name, part in told.items() if part is not None})
    return write_line(line)


def write_line(line: str) -> bool:
    """Write one line to the report pipe; False where there is none, or it is full."""
    path = os.environ.get("JUPYTER_TASKS_REPORT")
    data = line.encode() + b"\n"
    if not path:
        return False
    if len(data) > MAX_LINE_BYTES:
        raise ValueError(f"A report may be {MAX_LINE_BYTES} bytes long, this one is {len(data)}.")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # the job's supervisor has gone; the program goes on
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode) and os.write(fd, data) == len(data)
    except OSError:
        return False  # full: the next report says more than this one would have
    finally:
        os.close(fd)
