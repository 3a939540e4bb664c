"""The attempt directory: the border between server and supervisor, and the only truth of an attempt.

It owns the layout, the spec file and the claim (fence, life sign and end in one). Standard library
alone: every supervisor imports it. What a record looks like is in ``records``.
"""

import errno
import json
import os
import signal
from typing import Any, NamedTuple

from jupyter_tasks import posix

__all__ = [
    "KERNEL_FILE",
    "MARK",
    "NOTEBOOK_FILE",
    "RESULT_FILE",
    "RESULT_JSON_FILE",
    "VERSION",
    "Claim",
    "Probe",
    "claim_for_reports",
    "create",
    "create_job",
    "end_marked",
    "end_supervisor",
    "end_tree",
    "fence",
    "function_path",
    "hang_up",
    "inputs_beside",
    "inputs_path",
    "is_here",
    "job_path",
    "mark",
    "path_of",
    "probe",
    "read_spec",
    "remove_job",
    "take_claim",
    "write_end",
    "write_reported_end",
    "write_spec",
]

#: Of the files in the directory; a supervisor may be older or newer than the server.
VERSION = 1
_CLAIM = "claim"
#: How to reach the kernel of an attempt, with its key; there as long as the kernel lives.
KERNEL_FILE = "kernel.json"
#: The notebook that is run, as it was when the attempt's directory was written.
NOTEBOOK_FILE = "notebook.ipynb"
#: The variable of every process of an attempt: ``<job>/<attempt>``.
MARK = "JUPYTER_TASKS_JOB"
#: The values that were asked for, once the code has succeeded, and what a function has returned.
RESULT_FILE = "result.pkl"
#: What became of a function or a program elsewhere, for everybody; there when all of its result is.
RESULT_JSON_FILE = "result.json"
#: The values that the code is given: the same for all attempts, so beside their directories.
_INPUTS = "inputs.pkl"
_FUNCTION = "function.pkl"
_SPEC = "spec.json"
_KILLED_WITHIN_S = 5.0


class Claim(NamedTuple):
    """Line 1 of the claim file: who holds the attempt, and where it is reached.

    ``reported``: nobody here holds it, for its program runs elsewhere; so its lock says nothing.
    """

    version: int
    job: str
    attempt: int
    pid: int
    start_time: int
    boot_id: str
    machine_id: str
    pid_namespace: int
    host: str
    control: str
    report: str
    started_at: float
    fenced: bool = False
    reported: bool = False


class Probe(NamedTuple):
    """What an attempt's directory says, without touching anything.

    ``is_claimed`` without a claim: the file is there and damaged, so nobody can start the attempt.
    """

    claim: Claim | None
    held_by: int | None
    end: dict[str, Any] | None
    is_claimed: bool = True


def path_of(state_dir: str | os.PathLike[str], job: str, number: int) -> str:
    """The directory of one attempt."""
    return f"{job_path(state_dir, job)}/{number}"


def job_path(state_dir: str | os.PathLike[str], job: str) -> str:
    """The folder of all attempts of a job."""
    return f"{os.fspath(state_dir)}/attempts/{job[:2]}/{job}"


def inputs_path(state_dir: str | os.PathLike[str], job: str) -> str:
    """The file of the values that the job's code is given."""
    return f"{job_path(state_dir, job)}/{_INPUTS}"


def function_path(state_dir: str | os.PathLike[str], job: str) -> str:
    """The file of the function that the job calls, where it was given by value."""
    return f"{job_path(state_dir, job)}/{_FUNCTION}"


def inputs_beside(directory: str) -> str:
    """The same, as an attempt of the job finds it."""
    return f"{os.path.dirname(directory)}/{_INPUTS}"


def create(state_dir: str | os.PathLike[str], job: str, number: int) -> str:
    """Make the directory, for the owner alone, if it is not there; returns its path."""
    create_job(state_dir, job)
    path = path_of(state_dir, job, number)
    _make(path)
    return path


def create_job(state_dir: str | os.PathLike[str], job: str) -> None:
    """Make the folder of all attempts of a job, for the owner alone, if it is not there."""
    parent = job_path(state_dir, job)
    try:
        _make(parent)
    except FileNotFoundError:
        # makedirs would give the folders on the way to whom the umask allows.
        for folder in (os.path.dirname(os.path.dirname(parent)), os.path.dirname(parent), parent):
            _make(folder)


def _make(folder: str) -> None:
    try:
        os.mkdir(folder, mode=0o700)
    except FileExistsError:
        return


def remove_job(state_dir: str | os.PathLike[str], job: str) -> None:
    """Remove all files of all attempts of a job; nothing happens where there are none."""
    import shutil  # noqa: PLC0415 - with all compressors; a supervisor removes nothing

    shutil.rmtree(job_path(state_dir, job), ignore_errors=True)


def mark(job: str, number: int) -> str:
    """What every process of the attempt carries (see ``posix.marks``)."""
    return f"{MARK}={job}/{number}"


def write_spec(directory: str, spec: dict[str, Any]) -> None:
    """Write what is to be run; readable by the owner alone, for it can hold secrets."""
    path = f"{directory}/{_SPEC}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(json.dumps(spec).encode())


def read_spec(directory: str) -> dict[str, Any]:
    """What is to be run; raises OSError or ValueError where that cannot be read."""
    spec = json.loads(posix.read_file(f"{directory}/{_SPEC}"))
    if not isinstance(spec, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - what is read, not what is passed
    return spec


def take_claim(directory: str, claim: Claim) -> int | None:
    """Claim the attempt for this process; None where somebody has done so before.

    The returned descriptor holds the lock: it must stay open, and the file must be opened nowhere
    else in this process, until the end is written.
    """
    temporary = f"{directory}/{_CLAIM}.{claim.pid}.{claim.start_time}"
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_line(fd, claim._asdict())
        if not (claim.fenced or claim.reported):
            posix.lock_record(fd)
        os.link(temporary, f"{directory}/{_CLAIM}")
    except FileExistsError:
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    finally:
        os.unlink(temporary)
    return fd


def write_end(fd: int, end: dict[str, Any]) -> None:
    """Write line 2 and let go of the claim; on disk when it returns.

    Raises OSError where there is no room: the claim is then as before, still held.
    """
    size = os.lseek(fd, 0, os.SEEK_END)
    try:
        _write_line(fd, end)
        os.fdatasync(fd)
    except OSError:
        os.ftruncate(fd, size)
        raise
    os.close(fd)


def fence(directory: str, job: str, number: int) -> bool:
    """Claim the attempt so that nobody can start it. False: somebody has claimed it before."""
    return _claim_unheld(directory, _nobody(job, number)._replace(fenced=True))


def claim_for_reports(directory: str, job: str, number: int, started_at: float) -> bool:
    """Claim the attempt for a program elsewhere. False: that has been done before."""
    claim = _nobody(job, number)._replace(reported=True, started_at=started_at)
    return _claim_unheld(directory, claim)


def write_reported_end(directory: str, end: dict[str, Any]) -> None:
    """Write line 2 of a claim that nobody holds; on disk when it returns, or raises OSError."""
    fd = os.open(f"{directory}/{_CLAIM}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        write_end(fd, end)
    except OSError:
        os.close(fd)
        raise


def _nobody(job: str, number: int) -> Claim:
    return Claim(
        version=VERSION,
        job=job,
        attempt=number,
        pid=os.getpid(),
        start_time=posix.own_start_time(),
        boot_id=posix.boot_id(),
        machine_id=posix.machine_id(),
        pid_namespace=posix.pid_namespace(),
        host=posix.host(),
        control="",
        report="",
        started_at=0.0,
    )


def _claim_unheld(directory: str, claim: Claim) -> bool:
    fd = take_claim(directory, claim)
    if fd is None:
        return False
    os.close(fd)
    return True


def probe(directory: str) -> Probe:
    """What the directory says now. Takes no lock, and must not be asked by the claim's holder.

    The lock is looked at before the end is read: where nobody holds it, no end can come any more.
    """
    try:
        # A job may have put a pipe there: whoever looks must not wait for its other end.
        fd = os.open(f"{directory}/{_CLAIM}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return Probe(None, None, None, is_claimed=False)
    try:
        held_by = posix.who_locks(fd)
        with open(fd, "rb", closefd=False) as file:
            lines = file.read().split(b"\n")[:-1]
    except IsADirectoryError:
        return Probe(None, None, None)
    finally:
        os.close(fd)
    claim, end = (_read_line(lines[at]) if len(lines) > at else None for at in (0, 1))
    return Probe(_claim_from(claim), held_by, end)


def is_here(claim: Claim) -> bool:
    """Whether the claim's pid means something here: same machine, boot and container."""
    return (claim.machine_id, claim.boot_id, claim.pid_namespace) == (
        posix.machine_id(),
        posix.boot_id(),
        posix.pid_namespace(),
    )


def hang_up(claim: Claim) -> bool:
    """Have a supervisor make its socket and pipe anew; False where it is no longer there."""
    return is_here(claim) and posix.send_signal(_supervisor(claim), signal.SIGHUP)


def end_supervisor(claim: Claim) -> None:
    """Kill a supervisor that answers no more; what it held is then judged by its directory."""
    if is_here(claim):
        posix.send_signal(_supervisor(claim), signal.SIGKILL)


def end_tree(claim: Claim) -> list[int]:
    """End what is left of an attempt whose supervisor is dead; returns the pids that would not go.

    With the supervisor gone the tree has no root: its processes are known by their mark, and
    by being below one that has it.
    """
    return end_marked(claim.job, claim.attempt) if is_here(claim) else []


def end_marked(job: str, number: int) -> list[int]:
    """End whatever of the attempt runs on this machine, whoever started it there."""
    wanted = mark(job, number)

    def find() -> list[posix.Process]:
        roots = posix.marked(wanted)
        return [*roots, *(p for root in roots for p in posix.descendants(root.pid))]

    left = posix.end_processes(find, within_s=_KILLED_WITHIN_S)
    return [process.pid for process in left]


def _supervisor(claim: Claim) -> posix.Process:
    return posix.Process(claim.pid, claim.start_time)


def _write_line(fd: int, message: dict[str, Any]) -> None:
    line = json.dumps(message).encode() + b"\n"
    if os.write(fd, line) != len(line):
        raise OSError(errno.ENOSPC, "The disk is full")


def _read_line(line: bytes) -> dict[str, Any] | None:
    """The line's object; None where it is damaged."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _claim_from(known: dict[str, Any] | None) -> Claim | None:
    """The claim, whatever more a newer supervisor wrote into it; None where something is missing."""
    if known is None:
        return None
    try:
        return Claim(**{name: known[name] for name in Claim._fields if name in known})
    except TypeError:
        return None
