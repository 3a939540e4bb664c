"""What running jobs survive in this deployment, found out by looking at it once.

Supervisors leave the server's session and process group, so the server's own end never touches
them. What ends whole cgroups or containers does; nothing but configuration can change that.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


@cache
def survives() -> dict[str, Any]:
    """For each way to lose the server: do running jobs live on? None where it depends."""
    unit = _systemd_unit(_read("/proc/self/cgroup"))
    in_container = _is_container()
    service_restart = None if unit is None else False
    is_first = os.getpid() == 1
    return {
        "server_crash": not is_first,
        "service_restart": service_restart,
        "container_restart": False,
        "reboot": False,
        "words": _words(unit, in_container=in_container, is_first=is_first),
    }


def _words(unit: str | None, *, in_container: bool, is_first: bool) -> str:
    words = ["Running jobs outlive a crash, a kill and a restart of the Jupyter server."]
    if is_first:
        words = ["The server is the first process of its container, whose end is everybody's end."]
        words.append("Start it below an init process, so that running jobs outlive its crash.")
    if unit is not None:
        words.append(
            f"The server runs in the systemd unit {unit}: stopping that unit ends its jobs too, "
            "unless it is configured with KillMode=process."
        )
    if in_container:
        words.append("It runs in a container: when the container ends, its jobs end with it.")
    words.append("A reboot ends them; queue, history and output stay.")
    return " ".join(words)


def _systemd_unit(cgroups: str) -> str | None:
    """The systemd service that this process belongs to, if any (the last .service of its cgroup)."""
    for line in cgroups.splitlines():
        path = line.rpartition(":")[2]
        for part in reversed(path.split("/")):
            if part.endswith(".service") and not part.startswith("user@"):
                return part
    return None


def _is_container() -> bool:
    """Whether the marks that Docker, Podman and Kubernetes leave are there."""
    if any(Path(mark).exists() for mark in _CONTAINER_MARKS):
        return True
    cgroups = _read("/proc/1/cgroup")
    return any(word in cgroups for word in ("docker", "kubepods", "containerd", "lxc"))


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""  # not a Linux with /proc: then nothing is known to be in the way
