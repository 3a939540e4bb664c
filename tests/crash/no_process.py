"""Stands in for Python where no process can be made for a while: no_process.py CALL TIMES FILE … -c CODE.

The first TIMES calls of os.fork or os.posix_spawn fail, over all processes that share FILE, which
takes a byte for each. So it is where a container's limit of processes is reached.
"""

import errno
import fcntl
import os
import sys


def main() -> None:
    """Install the shortage, then do what Python was asked to."""
    call, times, path = sys.argv[1:4]
    count = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def takes_one() -> bool:
        fcntl.lockf(count, fcntl.LOCK_EX)
        try:
            return os.fstat(count).st_size < int(times) and os.write(count, b".") == 1
        finally:
            fcntl.lockf(count, fcntl.LOCK_UN)

    def audit(event: str, _: tuple[object, ...]) -> None:
        if event == call and takes_one():
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    sys.addaudithook(audit)
    code = sys.argv[sys.argv.index("-c") + 1]
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as -c does


if __name__ == "__main__":
    main()
