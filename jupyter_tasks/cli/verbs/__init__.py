"""What the verbs do: each takes the arguments and a desk, and returns the exit code.

A module each for what belongs together; they do not know each other.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

#: Which module knows which verb. Loaded when it is called: a shell prompt must not wait for all.
_HOMES: Final = {
    "submit": "submitting",
    "notebook": "submitting",
    "list": "reading",
    "show": "reading",
    "explain": "reading",
    "artifacts": "keeping",
    "status": "reading",
    "logs": "following",
    "watch": "following",
    "wait": "following",
    "cancel": "changing",
    "pause": "changing",
    "resume": "changing",
    "restart": "changing",
    "run": "changing",
    "delete": "changing",
    "edit": "changing",
    "tasks": "calling",
    "call": "calling",
    "progress": "reporting",
    "report": "reporting",
}


def find(verb: str) -> Callable[..., int]:
    """The function of a verb."""
    module: Any = import_module(f"{__name__}.{_HOMES[verb]}")
    name = verb if hasattr(module, verb) else "change"
    found: Callable[..., int] = getattr(module, name)
    return found
