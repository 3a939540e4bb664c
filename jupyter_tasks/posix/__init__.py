"""All that is not portable: locks, identity of machines and processes, trees, private folders.

Standard library alone: fork server and supervisors import it, and pay for nothing else.
"""

from jupyter_tasks.posix.files import (
    SOCKET_VARIABLE,
    close_all_but,
    connect_control,
    default_runtime_dir,
    peer_pid,
    peer_uid,
    private_dir,
    read_cached,
    read_file,
    receive,
)
from jupyter_tasks.posix.guise import show_as
from jupyter_tasks.posix.identity import (
    boot_id,
    host,
    is_stopped,
    machine_id,
    own_start_time,
    pid_namespace,
    start_time,
)
from jupyter_tasks.posix.locks import lock_record, release_lock, take_lock, who_locks
from jupyter_tasks.posix.marks import can_be_worn, marked, wear, worn
from jupyter_tasks.posix.tree import (
    Process,
    become_subreaper,
    cpu_s,
    descendants,
    end_processes,
    is_alive,
    prepare_subreaper,
    rss_bytes,
    send_signal,
    stop_processes,
)

__all__ = [
    "SOCKET_VARIABLE",
    "Process",
    "become_subreaper",
    "boot_id",
    "can_be_worn",
    "close_all_but",
    "connect_control",
    "cpu_s",
    "default_runtime_dir",
    "descendants",
    "end_processes",
    "host",
    "is_alive",
    "is_stopped",
    "lock_record",
    "machine_id",
    "marked",
    "own_start_time",
    "peer_pid",
    "peer_uid",
    "pid_namespace",
    "prepare_subreaper",
    "private_dir",
    "read_cached",
    "read_file",
    "receive",
    "release_lock",
    "rss_bytes",
    "send_signal",
    "show_as",
    "start_time",
    "stop_processes",
    "take_lock",
    "wear",
    "who_locks",
    "worn",
]
