"""Completes what people type behind ``%%task`` and ``%task``: options, kernels, values, jobs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jupyter_tasks.client import Client
from jupyter_tasks.errors import TasksError

#: A person who has pressed a key waits no longer.
_PATIENCE_S = 0.5
_NEWEST = 20
_VALUES = ("--in",)
_NOTEBOOK = "notebook"


def register(shell: Any, options: Iterable[str], asks: Iterable[str]) -> None:
    """Let the shell complete these options of the cell magic, and these words of the line magic."""
    options, asks = tuple(options), tuple(asks)

    def complete_cell(shell: Any, event: Any) -> list[str]:
        before = _before(event)
        if before == "--kernel":
            return _fitting(event, _kernels())
        if before in _VALUES:
            return _fitting(event, _names(shell))
        return _fitting(event, options)

    def complete_line(_: Any, event: Any) -> list[str]:
        before = _before(event)
        if before == _NOTEBOOK:
            return _fitting(event, map(str, Path().glob("*.ipynb")))
        return _fitting(event, _jobs() if before in asks else (*asks, _NOTEBOOK))

    shell.set_hook("complete_command", complete_cell, str_key="%%task")
    shell.set_hook("complete_command", complete_line, str_key="%task")


def _before(event: Any) -> str:
    """The word before the one that is typed."""
    typed = event.line.removesuffix(event.symbol).split()
    return str(typed[-1]) if typed else ""


def _fitting(event: Any, words: Iterable[str]) -> list[str]:
    return sorted(word for word in words if word.startswith(event.symbol))


def _kernels() -> Iterable[str]:
    from jupyter_client.kernelspec import KernelSpecManager  # noqa: PLC0415 - seldom needed

    return list(KernelSpecManager().find_kernel_specs())


def _names(shell: Any) -> Iterable[str]:
    """What the user has made, and nothing of IPython's own."""
    hidden = shell.user_ns_hidden
    return [name for name in shell.user_ns if name not in hidden and not name.startswith("_")]


def _jobs() -> Iterable[str]:
    """The newest jobs; none where no server answers at once: nobody has asked for an error."""
    try:
        with Client(patience_s=_PATIENCE_S) as client:
            return [job.id[:8] for job in client.jobs(limit=_NEWEST)]
    except TasksError:
        return []
