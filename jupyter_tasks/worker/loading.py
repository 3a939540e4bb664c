"""Finds the function of a job and what it is to be called with."""

import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any, NamedTuple

from jupyter_tasks import values
from jupyter_tasks.errors import BadValue

#: Beside the attempts' directories: what an upload has become.
_FUNCTION = "function.pkl"
_INPUTS = "inputs.pkl"
#: On what was made a task (``jupyter_tasks.task``).
_MARK = "__jupyter_task__"
Call = tuple[Sequence[Any], Mapping[str, Any]]


class BadLoad(Exception):
    """The function, or what it is to be called with, cannot be had; the words say why."""

    def __init__(self, words: str, type_name: str = "BadLoad") -> None:
        """Keep the words, and the name of what went wrong."""
        super().__init__(words)
        self.type_name = type_name


class Work(NamedTuple):
    """A function, and its sets of arguments; None: one plain call with ``common`` alone.

    ``common``: arguments by name for every call.
    """

    function: Callable[..., Any]
    common: Mapping[str, Any]
    args: Sequence[Any]
    calls: Sequence[Any] | None

    def only_call(self) -> Call:
        """The arguments of a plain call."""
        return self.args, self.common

    def call_number(self, index: int) -> Call:
        """The arguments of one of many: a tuple goes by position, a dict by name."""
        assert self.calls is not None
        given = self.calls[index]
        if isinstance(given, dict):
            return (), {**self.common, **given}
        return (given if isinstance(given, tuple) else (given,)), self.common


def load(spec: Mapping[str, Any], folder: str) -> Work:
    """What the spec says; ``folder`` holds what was uploaded. Raises BadLoad."""
    _find_cloudpickle(spec.get("cloudpickle"))
    sys.path.insert(0, "")
    place: Mapping[str, Any] = spec["load"]
    carried: dict[str, Any] = {}
    if place.get("upload"):
        carried |= _unpacked(f"{folder}/{_FUNCTION}")
    if spec.get("inputs"):
        carried |= _unpacked(f"{folder}/{_INPUTS}")
    function = carried.get("function") if place.get("upload") else _imported(place)
    if not callable(function):
        raise BadLoad(f"What was given as the function is none: {type(function).__name__}.")
    if carried.get("is_task") or _MARK in getattr(function, "__dict__", ()):
        from jupyter_tasks.tasks.calling import prepared  # noqa: PLC0415 - few functions are tasks

        function = prepared(function)
    calls = carried.get("calls")
    if spec.get("calls") not in (None, len(calls or ())):
        raise BadLoad(
            f"{spec['calls']} calls were asked for, and there are {len(calls or ())} sets of arguments."
        )
    common = {**spec.get("arguments", {}), **carried.get("kwargs", {})}
    return Work(function, common, carried.get("args", ()), calls if spec.get("calls") else None)


def _find_cloudpickle(beside: str | None) -> None:
    """Let an interpreter without cloudpickle use the server's: it is plain Python."""
    if beside is None or find_spec("cloudpickle") is not None:
        return
    spec = spec_from_file_location(
        "cloudpickle", f"{beside}/__init__.py", submodule_search_locations=[beside]
    )
    if spec is not None and spec.loader is not None:
        sys.modules["cloudpickle"] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


def _unpacked(path: str) -> dict[str, Any]:
    """What the file holds: values, or, of a client that has no Python, sets of arguments as JSON."""
    try:
        with open(path, "rb") as file:
            if file.peek(1)[:1] == b"[":
                return {"calls": _sets(json.load(file))}
            return values.unpack(file, where="into the job")
    except BadValue as error:
        raise BadLoad(error.message, "BadValue") from error
    except ValueError as error:
        raise BadLoad(f"The sets of arguments are no JSON: {error}.", "BadValue") from error


def _sets(given: list[Any]) -> list[Any]:
    """JSON has no tuples: a list goes by position."""
    return [tuple(one) if isinstance(one, list) else one for one in given]


def _imported(place: Mapping[str, Any]) -> Any:
    name = place["name"]
    where = place.get("module") or place["file"]
    try:
        found = _module(place)
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        if isinstance(error.obj, (ModuleType, type)):
            raise BadLoad(f"There is no {name!r} in {where}.", "AttributeError") from error
        raise BadLoad(f"{where} cannot be loaded: {error}.", "AttributeError") from error
    except Exception as error:
        raise BadLoad(
            f"{where} cannot be loaded: {type(error).__name__}: {error}.", type(error).__name__
        ) from error
    return found


def _module(place: Mapping[str, Any]) -> Any:
    if place.get("module"):
        return importlib.import_module(place["module"])
    path = place["file"]
    sys.path[0] = os.path.dirname(path)  # as where it is run as a script
    name = os.path.basename(path).removesuffix(".py")
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no file of Python code")
    sys.modules[name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
