"""What an attempt's directory says about it: the recovery table of DESIGN.md section 3.

It reads the directory and asks the kernel about locks and boots; it signals nobody.
"""

import time
from dataclasses import Field, dataclass, fields
from typing import Any, get_type_hints

import msgspec

from jupyter_tasks import attempt, posix
from jupyter_tasks.lifecycle import Claimed, Ended, Fenced, NeverStarted, Unreachable, Vanished
from jupyter_tasks.model import End, Job, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """A supervisor on this machine holds the claim."""

    claim: attempt.Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """Nobody that could be followed holds the attempt, and it has no end; its tree may still run."""

    vanished: Vanished
    claim: attempt.Claim | None = None


Finding = Alive | Dead | Ended | Fenced | NeverStarted | Unreachable | Vanished


def judge(directory: str, job: Job) -> Finding:
    """The truth about a live job's attempt. A claim without holder or end is looked at twice."""
    found = _look(directory, job)
    return _look(directory, job) if isinstance(found, Dead) else found


def _look(directory: str, job: Job) -> Finding:
    probe = attempt.probe(directory)
    claim = probe.claim
    if not probe.is_claimed:
        return _without_claim(job)
    if claim is None:
        words = "The claim of its attempt is damaged."
        return Dead(vanished=_files_lost(words))
    if claim.fenced:
        return Fenced()
    if probe.end is not None:
        return Ended(end=end_from(probe.end))
    return _without_end(claim, is_held=probe.held_by is not None)


def _without_end(claim: attempt.Claim, *, is_held: bool) -> Finding:
    """It was started and has no end: whether it runs is asked of the lock, and of nobody's pid."""
    if claim.boot_id != posix.boot_id():
        if claim.machine_id != posix.machine_id():
            return Unreachable(host=claim.host)
        return Vanished(reason="host_rebooted", message="The machine was started anew meanwhile.")
    if claim.pid_namespace != posix.pid_namespace():
        # The lock is seen across the containers of one machine; what its pid means is not.
        words = "The container that it ran in is gone."
        gone = Vanished(reason="container_replaced", message=words)
        return Unreachable(host=claim.host) if is_held else gone
    if is_held:
        return Alive(claim=claim)
    words = "Its supervisor died before it could write the end."
    return Dead(vanished=Vanished(reason="supervisor_died", message=words), claim=claim)


def _without_claim(job: Job) -> Finding:
    """No claim: it never started, unless something took the claim away."""
    if job.state is not State.STARTING:
        return Dead(vanished=_files_lost("The files of its attempt are gone."))
    if job.updated_at < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME):
        # What was not yet on disk when the machine went down proves nothing.
        return Vanished(reason="host_rebooted", message="The machine was started anew meanwhile.")
    return NeverStarted()


def _files_lost(words: str) -> Vanished:
    return Vanished(reason="files_lost", message=words)


def claimed(claim: attempt.Claim) -> Claimed:
    """The event for a claim that was found held."""
    return Claimed(pid=claim.pid, host=claim.host, started_at=claim.started_at)


def claimed_from(message: dict[str, Any]) -> Claimed:
    """The event for a supervisor's word that it has claimed an attempt of ours."""
    return Claimed(pid=message["pid"], host=posix.host(), started_at=message["started_at"])


def end_from(end: dict[str, Any]) -> End:
    """The end as the supervisor wrote it; what a newer one says in words unknown here is left out."""
    try:
        return msgspec.convert(end, End)
    except msgspec.ValidationError:
        known = {field.name: end[field.name] for field in fields(End) if _is_known(field, end)}
        guess = "exited" if isinstance(end.get("exit_code"), int) else "signalled"
        return msgspec.convert({"outcome": guess, "ended_at": time.time()} | known, End)


def _is_known(field: Field[Any], end: dict[str, Any]) -> bool:
    try:
        msgspec.convert(end[field.name], _END_TYPES[field.name])
    except (KeyError, msgspec.ValidationError):
        return False
    return True


_END_TYPES = get_type_hints(End)
