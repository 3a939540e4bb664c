"""``%%task``, ``%task`` and ``%tasks``: cells as jobs, in any IPython kernel (``%load_ext jupyter_tasks``)."""

from typing import Any


def load(shell: Any) -> None:
    """Give the shell our magics; a second time changes nothing that runs."""
    from jupyter_tasks.magics import completing, magics  # noqa: PLC0415 - IPython is the caller's

    shell.register_magics(magics.TaskMagics(shell))
    completing.register(shell, magics.OPTIONS, magics.ASKS)
