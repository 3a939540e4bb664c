"""Jupyter is told that a server with running jobs is in use, and only then by a timer."""

from datetime import datetime
from typing import Any

import pytest

from jupyter_tasks.activity import Activity
from tests.eventually import eventually_async
from tests.server.conftest import Server


class Clock:
    """Every look is a second later."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return float(self.looks)


async def test_a_silent_running_job_is_activity_again_and_again() -> None:
    times: dict[str, datetime] = {}
    clock, running = Clock(), 1
    activity = Activity(times, running=lambda: running, clock=clock, beat_s=0.001)
    activity.happened()

    async def has_beaten() -> bool:
        return times["jupyter_tasks"].timestamp() > 3

    await eventually_async(has_beaten)
    running = 0

    async def stands_still() -> bool:
        return activity._timer is None

    await eventually_async(stands_still)
    activity.close()


async def test_no_timer_is_set_while_nothing_runs_or_where_running_jobs_do_not_count() -> None:
    idle = Activity({}, running=lambda: 0, clock=Clock(), beat_s=0.001)
    refused = Activity({}, running=lambda: 1, clock=Clock(), beat_s=None)
    for activity in (idle, refused):
        activity.happened()
        assert activity._timer is None


def extension_of(server: Server) -> Any:
    [extension] = server.app.extension_manager.extension_apps["jupyter_tasks"]
    return extension


@pytest.mark.parametrize("counts", [True, False])
def test_running_jobs_keep_a_server_from_its_idle_shutdown_where_they_count(
    server: Server, jp_asyncio_loop: Any, counts: bool
) -> None:
    async def run() -> None:
        extension = extension_of(server)
        extension.running_jobs_are_activity = counts
        assert extension.current_activity() is None
        job = await server.submit("exec sleep 600")
        await server.until(job["id"], "running")
        assert extension.current_activity() == ({"running_jobs": 1} if counts else None)
        assert server.app.web_app.settings["last_activity_times"]["jupyter_tasks"]
        assert extension._engine._activity._timer is not None

    jp_asyncio_loop.run_until_complete(run())
