"""Long jobs for notebooks: durable, live, cancellable, and still there after a crash.

Names are loaded when first used: a supervisor and a kernel import this package and must not pay
for the server's parts.
"""

from jupyter_tasks._version import __version__

__all__ = [
    "About",
    "AsyncClient",
    "Client",
    "CommandTask",
    "Done",
    "Field",
    "GroupWidget",
    "JobWidget",
    "Result",
    "Task",
    "TaskForm",
    "TasksPanel",
    "__version__",
    "progress",
    "steps",
    "task",
]

_HOMES = {
    "About": "jupyter_tasks.fields",
    "AsyncClient": "jupyter_tasks.client",
    "Client": "jupyter_tasks.client",
    "CommandTask": "jupyter_tasks.tasks",
    "Done": "jupyter_tasks.tasks",
    "Field": "jupyter_tasks.fields",
    "GroupWidget": "jupyter_tasks.widgets.group",
    "JobWidget": "jupyter_tasks.widgets.job",
    "Result": "jupyter_tasks.worker.calling",
    "Task": "jupyter_tasks.tasks",
    "TaskForm": "jupyter_tasks.widgets.form",
    "TasksPanel": "jupyter_tasks.widgets.panel",
    "progress": "jupyter_tasks.report",
    "steps": "jupyter_tasks.tasks",
    "task": "jupyter_tasks.tasks",
}


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - the very point of this function

    return getattr(import_module(_HOMES[name]), name)


def load_ipython_extension(shell: object) -> None:
    """``%load_ext jupyter_tasks``: the magics."""
    from jupyter_tasks.magics import load  # noqa: PLC0415 - only a kernel asks

    load(shell)


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    """Tell Jupyter where the server extension is."""
    from jupyter_tasks.extension import TasksExtension  # noqa: PLC0415 - only the server asks

    return [{"module": "jupyter_tasks.extension", "app": TasksExtension}]
