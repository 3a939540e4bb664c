"""How each kind is run, inside the supervisor: one module a kind, loaded when first used."""

from typing import Any

from jupyter_tasks.runners.base import CannotStart, NoRoom, Runner, Stage, Started
from jupyter_tasks.runners.shell import ShellRunner

KINDS = ("shell", "code", "notebook", "function")


def runner_of(spec: dict[str, Any], stage: Stage) -> Runner:
    """Who runs such a spec; raises CannotStart where nobody can here."""
    if spec["kind"] == "shell":
        return ShellRunner(spec)
    if spec["kind"] == "function":
        from jupyter_tasks.runners.function import FunctionRunner  # noqa: PLC0415 - with its parts

        return FunctionRunner(spec, stage)
    try:
        from jupyter_tasks.runners.code import CodeRunner  # noqa: PLC0415 - brings zmq
        from jupyter_tasks.runners.notebook import NotebookRunner  # noqa: PLC0415 - as above
    except ImportError as error:
        raise CannotStart(f"Kernels cannot be reached from here: {error}.") from None
    return NotebookRunner(spec, stage) if spec["kind"] == "notebook" else CodeRunner(spec, stage)


__all__ = ["KINDS", "CannotStart", "NoRoom", "Runner", "Stage", "Started", "runner_of"]
