"""Imports the modules of tasks, in a process that lives no longer than that, and tells what is there.

A line of JSON for each place: ``begin`` before its code runs, so that whoever started us knows whose
code has ended us, then what was found. What the modules print goes nowhere.
"""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from jupyter_tasks.errors import BadTask, shortened
from jupyter_tasks.tasks.commands import CommandTask
from jupyter_tasks.tasks.declaring import definition_of, is_task
from jupyter_tasks.tasks.definition import Definition

GROUP: Final = "jupyter_tasks.tasks"
_OURS: Final = str(Path(__file__).parent.parent) + os.sep


class Place(NamedTuple):
    """Where tasks may be: a module, a file of Python code, or what an entry point names."""

    kind: str
    where: str
    name: str = ""


def main() -> None:
    """Look at every place that standard input names and that entry points do, but for the skipped."""
    asked = json.loads(sys.stdin.buffer.read())
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for place in _places(asked["places"]):
        if list(place) in asked["skip"]:
            continue
        _tell(told, begin=place)
        _tell(told, place=place, **_looked_at(place))
    told.flush()
    os._exit(0)  # threads that a module has begun must not keep us


def _tell(told: Any, **line: Any) -> None:
    told.write(json.dumps(line) + "\n")
    told.flush()


def _places(named: Sequence[str]) -> Iterator[Place]:
    for one in named:
        yield Place("file", one) if one.endswith(".py") or os.sep in one else Place("module", one)
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        yield Place("entry_point", point.module, point.attr)


def _looked_at(place: Place) -> dict[str, Any]:
    """The definitions that the place has, with notes of what cannot be a task, and its files."""
    try:
        module = _module(place)
        found = [_named(module, place.name)] if place.name else list(_tasks_of(module))
    except BaseException as error:  # noqa: BLE001 - whatever its code does is its own fault alone
        return {"tasks": [], "notes": [_note(error)], "files": _files_of(place, error)}
    tasks, notes = [], []
    for name, thing in found:
        try:
            tasks.append(asdict(_defined(thing, name, place)))
        except BadTask as error:
            notes.append({"error": f"`{name}`: {error.message}", "where": ""})
    file = getattr(module, "__file__", None)
    return {"tasks": tasks, "notes": notes, "files": [file] if file else []}


def _module(place: Place) -> ModuleType:
    if place.kind != "file":
        return importlib.import_module(place.where)
    path = Path(place.where)
    sys.path.insert(0, str(path.parent))  # as where it is run as a script
    try:
        spec = spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ImportError("it is no file of Python code")
        sys.modules[path.stem] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
        sys.modules.pop(path.stem, None)
    return module


def _named(module: ModuleType, name: str) -> tuple[str, Any]:
    thing: Any = module
    for part in name.split("."):
        thing = getattr(thing, part)
    return name, thing


def _tasks_of(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What was made a task in this module; what it imports from others belongs to those."""
    seen: set[int] = set()
    for name, thing in list(vars(module).items()):
        home = getattr(thing, "__module__", None)
        is_own = isinstance(thing, CommandTask) or home == module.__name__
        if is_task(thing) and is_own and id(thing) not in seen:
            seen.add(id(thing))
            yield name, thing


def _defined(thing: Any, name: str, place: Place) -> Definition:
    one = definition_of(thing)
    told = f"{place.where}:{name}"
    if isinstance(thing, CommandTask):
        return replace(one, place=told)
    where = {"file": place.where} if place.kind == "file" else {"module": place.where}
    source = "entry_point" if place.kind == "entry_point" else "module"
    return replace(one, source=source, place=told, load={**where, "name": name})  # type: ignore[arg-type]


def _note(error: BaseException) -> Mapping[str, str]:
    """What went wrong, and in which line of which file."""
    words = shortened(f"{type(error).__name__}: {_words(error)}".rstrip(": "), 1000)
    if isinstance(error, SyntaxError) and error.filename:
        return {"error": words, "where": f"{error.filename}:{error.lineno}"}
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_OURS) and "importlib" not in frame.filename
    ]
    return {"error": words, "where": f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""}


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an error's own code may raise, too
        return ""


def _files_of(place: Place, error: BaseException) -> list[str]:
    """The files whose change may mend it."""
    where = _note(error)["where"].rpartition(":")[0]
    files = [where] if where else []
    if place.kind == "file":
        return [*files, place.where]
    try:
        spec = find_spec(place.where)
    except Exception:  # noqa: BLE001 - a package above it may raise as it did before
        spec = None
    return [*files, spec.origin] if spec is not None and spec.origin else files
