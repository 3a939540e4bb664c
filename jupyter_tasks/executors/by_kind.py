"""One executor for all kinds: what runs on this machine, and what only reports to it."""

from jupyter_tasks.contracts import Executor, Listener, Verdict
from jupyter_tasks.executors.local import LocalExecutor
from jupyter_tasks.executors.reported import ReportedExecutor
from jupyter_tasks.lifecycle import Event
from jupyter_tasks.model import ExternalSpec, Job, Report


class ByKind:
    """Hands each job to the executor of its kind (contracts.Executor)."""

    def __init__(self, local: LocalExecutor, reported: ReportedExecutor) -> None:
        """Take both; nothing is started."""
        self._local = local
        self._reported = reported

    def listen(self, listener: Listener) -> None:
        """Name the one who is told."""
        self._local.listen(listener)
        self._reported.listen(listener)

    def prepare(self, job: Job) -> None:
        """Begin to put on disk what the start will need."""
        self._of(job).prepare(job)

    async def start(self, job: Job) -> None:
        """See to it that the attempt is claimed."""
        await self._of(job).start(job)

    async def recover(self, job: Job) -> Verdict:
        """Judge a live job's attempt."""
        return await self._of(job).recover(job)

    async def fence(self, job: Job) -> bool:
        """Make the attempt's claim ourselves."""
        return await self._of(job).fence(job)

    async def report(self, job: Job, report: Report) -> tuple[list[Event], bool]:
        """Take what the program of a job says that runs elsewhere."""
        return await self._of(job).report(job, report)

    def stop(self, job: Job, reason: str, *, at_once: bool) -> None:
        """End the attempt."""
        self._of(job).stop(job, reason, at_once=at_once)

    def suspend(self, job: Job) -> None:
        """Let the attempt stand still."""
        self._of(job).suspend(job)

    def resume(self, job: Job) -> None:
        """Let the attempt go on."""
        self._of(job).resume(job)

    async def forget(self, job: Job) -> None:
        """Remove all files of an ended job's attempts."""
        await self._of(job).forget(job)

    async def close(self) -> None:
        """Let go of everything."""
        await self._local.close()
        await self._reported.close()

    def _of(self, job: Job) -> Executor:
        return self._reported if isinstance(job.spec, ExternalSpec) else self._local
