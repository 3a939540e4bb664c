"""What others see of a process: the command line and environment that it was started with.

One that was forked to be another program's process shows its parent's until it says otherwise
(Linux, prctl(2), PR_SET_MM_MAP: needs no privilege, but a kernel that was built for it).
"""

import os
import struct
from typing import Any

from jupyter_tasks.posix.files import read_file

_PR_SET_MM = 35
_PR_SET_MM_MAP = 14
_NO_FILE = 0xFFFFFFFF
#: struct prctl_mm_map: eleven addresses, no auxiliary vector, no executable.
_MAP = struct.Struct("11QQII")
#: Fields of /proc/<pid>/stat, counted from the fourth: what of the map is left as it is.
_CODE, _STACK, _DATA, _HEAP = slice(22, 24), 24, slice(41, 43), 43


def show_as(argv: list[str], env: dict[str, str]) -> bool:
    """Be seen with that command line and environment from now on; False where that cannot be."""
    try:
        import ctypes  # noqa: PLC0415 - large; loaded by nobody who is to stay thin

        libc = ctypes.CDLL(None, use_errno=True)
        prctl = libc.prctl
        fields = read_file("/proc/self/stat").rpartition(b")")[2].split()
    except (ImportError, AttributeError, OSError):
        return False
    words = b"".join(os.fsencode(word) + b"\0" for word in argv)
    variables = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in env.items())
    start = _kept(libc, words + variables)
    middle = start + len(words)
    shown = (start, middle, middle, middle + len(variables))
    libc.sbrk.restype = ctypes.c_void_p
    numbers = [int(field) for field in fields[1:]]
    layout = _MAP.pack(
        *numbers[_CODE],
        *numbers[_DATA],
        numbers[_HEAP],
        libc.sbrk(0),
        numbers[_STACK],
        *shown,
        *(0, 0, _NO_FILE),
    )
    done: int = prctl(_PR_SET_MM, _PR_SET_MM_MAP, layout, ctypes.c_ulong(len(layout)), 0)
    return done == 0


def _kept(libc: Any, data: bytes) -> int:
    """The address of a copy that stays as long as the process does."""
    import ctypes  # noqa: PLC0415 - see above

    libc.malloc.restype = ctypes.c_void_p
    address: int = libc.malloc(ctypes.c_size_t(len(data)))
    ctypes.memmove(address, data, len(data))
    return address
