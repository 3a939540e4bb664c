"""Lives one life of a manager for each number N, killed at its Nth durable step, until one lives on.

python die_in_manager.py ROOT STATES: each life is a fork with a state directory ``STATES/<N>``. It
submits, lets run, cancels and deletes.
"""

import asyncio
import os
import sys
from pathlib import Path

ROOT, STATES = sys.argv[1:]
sys.path.insert(0, ROOT)

from jupyter_tasks import lifecycle as lc  # noqa: E402
from jupyter_tasks.model import State  # noqa: E402
from tests.crash.steps import Steps  # noqa: E402
from tests.crash.test_every_step import LONG, SHORT, hand_in  # noqa: E402
from tests.office import an_office  # noqa: E402


async def life(state: Path) -> None:
    """What a server's day is."""
    async with an_office(state, Path(os.environ["JUPYTER_TASKS_RUNTIME_DIR"])) as office:
        first = await office.ended(await hand_in(office, state, SHORT))
        long = await hand_in(office, state, LONG)
        await office.until(long, State.RUNNING)
        await office.manager.ask(long.id, None, lc.CancelAsked())
        await office.ended(long)
        await office.manager.delete(first.id, None)


def live_and_die(number: int) -> int:
    """One life in a process of its own; how it ended."""
    state = Path(STATES, str(number))
    state.mkdir(mode=0o700)
    pid = os.fork()
    if pid == 0:
        Steps(number, f"{STATES}/{number}.steps", str(state), "server-")
        asyncio.run(life(state))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    number = 0
    while live_and_die(number) != 0:
        number += 1
