"""Runs a command: starts its process with pipes or a terminal, and hands over the descriptors.

It knows nothing of records, signals or ends: those are the supervisor's.
"""

import errno
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

from jupyter_tasks.runners.base import CannotStart, Message, NoRoom, Started

#: Whatever a parent ignores, the job starts with the system's defaults.
_RESET = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
_DEFAULTS = {"PYTHONUNBUFFERED": "1"}
_OOM_SCORE = "/proc/self/oom_score_adj"
OOM_SCORE = 500
_JOB_OOM_SCORE = str(OOM_SCORE).encode()
_CONTROL_D = b"\x04"
_REMEDIES = {
    errno.ENOENT: "Look at its name, and at the interpreter that its first line names.",
    errno.EACCES: "Make it executable, or run it by its interpreter.",
    errno.ENOEXEC: "A script needs a first line that names its interpreter.",
    errno.E2BIG: "Hand long data over through stdin or a file.",
}
_SHORTAGES = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_WINDOW = b"\x18\x00\x50\x00\x00\x00\x00\x00"  # struct winsize: 24 rows, 80 columns


#: Starts the program at that path, with that argv and environment, as the spec says besides.
StartOn = Callable[[str, list[str], dict[bytes, bytes], dict[str, Any]], Started]


class ShellRunner:
    """A command: a process and what comes of it, nothing else (base.Runner)."""

    def __init__(self, spec: dict[str, Any]) -> None:
        """Start nothing yet."""
        self._spec = spec

    def start(self, told: dict[str, str], umask: int) -> Started:
        """Start the command; raises CannotStart."""
        return start(self._spec, told, umask)

    def began(self) -> None:
        """It needs nobody."""

    def prints(self, kind: str, data: bytes | bytearray, size: int) -> bool:  # noqa: ARG002 - the contract's
        """All of it is."""
        return True

    def interrupt(self) -> bool:
        """A signal is the way."""
        return False

    def leave(self) -> bool:
        """A signal is the way."""
        return False

    def outcome(self, status: int | None) -> Message:
        """How its first process ended."""
        return outcome(status)

    def close(self) -> None:
        """Nothing is open."""


def outcome(status: int | None) -> Message:
    """What a wait status says; None: nobody knows it."""
    if status is None:
        return {"outcome": "signalled", "exit_code": None, "signal": None, "message": ""}
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return {"outcome": "signalled", "exit_code": None, "signal": number, "message": ""}
    code = os.WEXITSTATUS(status)
    return {"outcome": "exited", "exit_code": code, "signal": None, "message": ""}


def start(
    spec: dict[str, Any], told: dict[str, str], umask: int, start_on: StartOn | None = None
) -> Started:
    """Start the command of a shell spec in a session of its own; raises CannotStart.

    ``told`` is what stands in the job's environment whatever the spec says. ``start_on`` does it in
    another way than by starting a program: in the folder, and with the umask, that are set then.
    """
    command = spec["command"]
    argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    try:
        _enter(spec["cwd"], umask)
        env = _environment((spec.get("env") or {}) | told)
        path = _find(argv[0], os.fsdecode(env.get(b"PATH", os.defpath)))
        if start_on is None:
            start_on = _start_on_terminal if spec.get("tty") else _start_on_pipes
        return start_on(path, argv, env, spec)
    except OSError as error:
        if error.errno in _SHORTAGES:
            raise NoRoom(f"{argv[0]!r} cannot be started now: {error.strerror}.") from None
        remedy = _REMEDIES.get(error.errno or 0, "")
        raise CannotStart(f"{argv[0]!r} cannot be started: {error.strerror}. {remedy}") from None
    except ValueError as error:
        raise CannotStart(f"{argv[0]!r} cannot be started: {error}.") from None
    finally:
        os.chdir("/")
        os.umask(0o077)


def _enter(cwd: str, umask: int) -> None:
    """posix_spawn cannot change the child's folder or umask: it takes over ours for a moment."""
    try:
        os.chdir(cwd)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CannotStart(
            f"The folder {cwd!r} cannot be entered: {why}. Make it, or choose another."
        ) from None
    os.umask(umask)


def _environment(wanted: dict[str, str]) -> dict[bytes, bytes]:
    env = dict(_inherited())
    for name, value in (_DEFAULTS | wanted).items():
        env[os.fsencode(name)] = os.fsencode(value)
    return env


@cache
def _inherited() -> dict[bytes, bytes]:
    """Our own environment, which never changes; as bytes, it is not decoded for each job."""
    return dict(os.environb)


def _find(name: str, search_path: str) -> str:
    """The program's path, by the job's own PATH, as a shell would find it."""
    if "/" in name:
        return name
    for folder in search_path.split(os.pathsep):
        path = os.path.join(folder or ".", name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise CannotStart(
        f"The program {name!r} was not found on the PATH of the job. "
        "Give its full path, or set PATH in the job's environment."
    )


def _start_on_pipes(
    path: str, argv: list[str], env: dict[bytes, bytes], spec: dict[str, Any]
) -> Started:
    data = _encoded(spec.get("stdin"))
    ours: list[int] = []
    its: list[int] = []
    try:
        actions, stdin = _stdin_actions(data, ours, its)
        out = reading_pipe(ours, its)
        outputs = {out: "out"}
        actions.append((os.POSIX_SPAWN_DUP2, its[-1], 1))
        if not spec.get("merge_stderr"):
            err = reading_pipe(ours, its)
            outputs[err] = "err"
        actions.append((os.POSIX_SPAWN_DUP2, its[-1], 2))
        pid = _spawn(path, argv, env, actions)
    except BaseException:
        close(ours)
        raise
    finally:
        close(its)
    return Started(pid, outputs, stdin, data or b"")


def _stdin_actions(
    data: bytes | None, ours: list[int], its: list[int]
) -> tuple[list[tuple[Any, ...]], int | None]:
    if data is None:
        return [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)], None
    read, write = os.pipe()
    its.append(read)
    ours.append(write)
    os.set_blocking(write, False)
    return [(os.POSIX_SPAWN_DUP2, read, 0)], write


def reading_pipe(ours: list[int], its: list[int]) -> int:
    """A pipe that we read without waiting: its ends are added to ours and to the job's."""
    read, write = os.pipe()
    ours.append(read)
    its.append(write)
    os.set_blocking(read, False)
    return read


def _start_on_terminal(
    path: str, argv: list[str], env: dict[bytes, bytes], spec: dict[str, Any]
) -> Started:
    import fcntl  # noqa: PLC0415 - few jobs ask for a terminal
    import termios  # noqa: PLC0415

    data = _encoded(spec.get("stdin")) or b""
    ours, its = os.openpty()
    try:
        fcntl.ioctl(its, termios.TIOCSWINSZ, _WINDOW)
        # Opened first by a session's leader, it becomes the session's controlling terminal.
        actions: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.ttyname(its), os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        ]
        pid = _spawn(path, argv, {b"TERM": b"xterm-256color"} | env, actions)
    except BaseException:
        close([ours, its])
        raise
    os.set_blocking(ours, False)
    # A terminal has no end of file; control-D says it at the beginning of a line, and ends one.
    end = _CONTROL_D if not data or data.endswith(b"\n") else _CONTROL_D * 2
    # Its side is kept: a job that closes it for a while would end the terminal for ever.
    return Started(pid, {ours: "out"}, os.dup(ours), data + end, kept=its)


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogatepass")


def _spawn(
    path: str, argv: list[str], env: dict[bytes, bytes], actions: list[tuple[Any, ...]]
) -> int:
    score = _oom_score()
    if score is not None:
        _write_oom_score(score.fd, _JOB_OOM_SCORE)
    try:
        return os.posix_spawn(
            path, argv, env, file_actions=actions, setsid=True, setsigmask=[], setsigdef=_RESET
        )
    finally:
        if score is not None:
            _write_oom_score(score.fd, score.own)


class _OomScore(NamedTuple):
    """This process's own: the file that it is read from and written to, and what was in it."""

    fd: int
    own: bytes


@cache
def _oom_score() -> _OomScore | None:
    """What is raised for a moment: let the kernel, short of memory, take the job before the server.

    The child inherits it. Kept open for all jobs to come: the file belongs to who opened it.
    """
    try:
        fd = os.open(_OOM_SCORE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None  # no such thing on this system
    own = os.read(fd, 16).strip()
    if int(own) < int(_JOB_OOM_SCORE):
        return _OomScore(fd, own)
    os.close(fd)
    return None


def _write_oom_score(fd: int, score: bytes) -> None:
    # Not allowed in this container: the job is then as likely to be taken as we are.
    with suppress(OSError):
        os.pwrite(fd, score, 0)


def close(fds: list[int]) -> None:
    """Close all of them."""
    for fd in fds:
        os.close(fd)
