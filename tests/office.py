"""A manager with all its parts, as one server has it, but without the web; may be killed by closing."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jupyter_tasks.executors.local import LocalExecutor
from jupyter_tasks.manager import Manager
from jupyter_tasks.model import ENDED, Job, ShellSpec, State
from jupyter_tasks.store import SqliteStore
from tests.builders import a_job
from tests.eventually import eventually_async
from tests.measured import PYTHON

_SPEC_FIELDS = {"cwd", "env", "stdin", "tty", "merge_stderr"}
LOG = logging.getLogger("tests.office")


class Office:
    """Several offices may share a state directory, one after the other."""

    def __init__(self, state_dir: Path, runtime_dir: Path, **settings: Any) -> None:
        """Make the parts; ``settings`` go to the executor (fork, python) or the manager."""
        max_running = settings.pop("max_running", 2)
        settings.setdefault("python", PYTHON)
        self.store = SqliteStore.open(state_dir / "tasks.sqlite")
        self.executor = LocalExecutor(
            state_dir=state_dir, runtime_dir=runtime_dir, log=LOG, **settings
        )
        self.manager = Manager(
            store=self.store, executor=self.executor, max_running=max_running, log=LOG
        )

    async def submit(self, command: str | tuple[str, ...], **fields: Any) -> Job:
        """Submit one shell job; ``cwd`` and the like go into its spec."""
        of_spec = {name: fields.pop(name) for name in _SPEC_FIELDS & fields.keys()}
        spec = ShellSpec(command=command, **({"cwd": "/"} | of_spec))
        now = time.time()
        job = a_job(spec=spec, created_at=now, queued_at=now, updated_at=now, **fields)
        jobs, _ = await self.manager.submit([job])
        return jobs[0]

    async def now(self, job: Job) -> Job:
        """The job as it is now."""
        return await self.manager.get(job.id, None)

    async def until(self, job: Job, *states: State, within_s: float = 20) -> Job:
        """Wait until the job is in one of the states."""

        async def reached() -> Job | None:
            now = await self.now(job)
            return now if now.state in states else None

        return await eventually_async(
            reached, within_s=within_s, what=f"{job.name} reaches {[*states]}"
        )

    async def ended(self, job: Job, *, within_s: float = 20) -> Job:
        """Wait until the job has ended."""
        return await self.until(job, *ENDED, within_s=within_s)

    def output(self, job: Job, attempt: int = 1) -> bytes:
        """The raw records of an attempt."""
        path = Path(self.executor.attempt_dir(job.id, attempt), "output")
        return path.read_bytes() if path.exists() else b""


@asynccontextmanager
async def an_office(state_dir: Path, runtime_dir: Path, **settings: Any) -> AsyncIterator[Office]:
    """An active office; at the end it lets go, and what runs goes on running."""
    office = Office(state_dir, runtime_dir, **settings)
    try:
        await office.manager.activate()
        yield office
    finally:
        await office.manager.close()
        await office.store.close()
