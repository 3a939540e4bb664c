"""Which machine, which boot, which container, which process: pids alone prove nothing."""

import os
import socket
from functools import cache

from jupyter_tasks.posix.files import read_file


@cache
def boot_id() -> str:
    """Changes with every start of the machine."""
    return _first_line("/proc/sys/kernel/random/boot_id") or f"unknown-boot-of-{host()}"


@cache
def machine_id() -> str:
    """The same for as long as the machine is installed; the host's name where there is none."""
    return _first_line("/etc/machine-id") or _first_line("/var/lib/dbus/machine-id") or host()


@cache
def host() -> str:
    """The machine's name, for people."""
    return socket.gethostname()


@cache
def pid_namespace() -> int:
    """Which namespace our pids belong to: another one in each container. 0 where there is none."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since the boot; None where there is no such one."""
    try:
        return int(read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def is_stopped(pid: int) -> bool:
    """Whether the process stands still until a SIGCONT, or until its debugger lets it go on."""
    try:
        return read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def own_start_time() -> int:
    """When this process started; 0 where the system does not say."""
    return _known_start_time(os.getpid())


@cache
def _known_start_time(pid: int) -> int:
    return start_time(pid) or 0


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return ""
