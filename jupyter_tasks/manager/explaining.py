"""Why a job is as it is, in words for people. Pure: it is given all that it tells."""

from dataclasses import dataclass

from jupyter_tasks.model import DIRECT_QUEUE, Job, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a job is as it is, in words; ``position`` counts the queued jobs before it."""

    job: str
    state: State
    reason: str
    message: str
    position: int | None
    running: int
    max_running: int


def sentence(
    job: Job, position: int | None, running: int, max_running: int, reason: str = ""
) -> str:
    """What a person should know about the job's state, with the remedy where there is one.

    ``reason``: what it waits for, where that is not a slot.
    """
    if job.reason == "host_unreachable" and job.cancel_requested_at is not None:
        return (
            f"{job.message} That host is not reached from here. Cancel it once more to give it up."
        )
    if job.cancel_requested_at is not None and not job.has_ended:
        return f"It is being cancelled; its processes have {job.grace_s:g} s to end by themselves."
    match job.state:
        case State.QUEUED:
            if reason == "task_limit":
                return (
                    f"As many jobs of its task run as may at a time ({max_running}); it starts when one "
                    "of them has ended. `run` starts it at once."
                )
            if job.queue == DIRECT_QUEUE:
                return (
                    f"It waits for one of the {max_running} places of the queue `direct`: {running} are "
                    "taken. `run` starts it at once."
                )
            return (
                f"It waits for a slot: {running} of {max_running} are taken and {position} queued "
                "jobs go before it. `run` starts it at once."
            )
        case State.SCHEDULED:
            return "It waits for its time."
        case State.STARTING:
            return "Its attempt is being started."
        case State.RUNNING if job.reason == "host_unreachable":
            return f"{job.message} That host is not reached from here, so it is left alone."
        case State.RUNNING:
            return "It runs."
        case State.PAUSED if job.is_live:
            return (
                "Its processes are stopped; it keeps its slot and its memory. Resume it to go on."
            )
        case State.PAUSED:
            return "It was paused before its start and holds no slot. Resume it to queue it again."
        case State.SUCCEEDED:
            return "It succeeded."
        case _:
            return job.message or _ENDINGS.get(job.reason, f"It {job.state}: {job.reason}.").format(
                job=job
            )


_ENDINGS = {
    "exit": "It ended by itself with exit code {job.exit_code}.",
    "signal": "It was ended by signal {job.signal}, which jupyter_tasks did not send.",
    "timeout": "It ran longer than its timeout of {job.timeout_s:g} s.",
    "memory": "It took more memory than its limit of {job.memory_bytes} bytes.",
    "start": "It could not be started.",
    "user": "It was cancelled by a person.",
    "supervisor_died": "Its supervisor died, so its result can never be known.",
    "host_rebooted": "The machine was started anew while it ran.",
}
