"""A notebook as a job: its request, and where its paths are meant. Pure, like ``core``."""

import json
import os
from collections.abc import Iterable, Mapping
from posixpath import join, normpath
from typing import Any, Final

from jupyter_tasks.client import calls
from jupyter_tasks.client.calls import JobOptions, Wire
from jupyter_tasks.client.connection import Session
from jupyter_tasks.client.core import Flow
from jupyter_tasks.errors import BadMessage

Path = str | os.PathLike[str]
_OF_PYTHON: Final = {"True": True, "False": False, "None": None}


def request(
    path: Path,
    parameters: Mapping[str, Any] | None,
    more: Mapping[str, Any],
    options: JobOptions,
) -> Wire:
    """The body of a submit. ``more``: what else its spec may hold; None and False: the default."""
    spec: Wire = {"kind": "notebook", "path": os.fspath(path)}
    if parameters:
        spec["parameters"] = dict(parameters)
    for name, value in more.items():
        if value is not None and value is not False:
            spec[name] = os.fspath(value) if isinstance(value, os.PathLike) else value
    return calls.job_request(spec, options)


def submit(session: Session, body: Wire, key: str, folder: str | None) -> Flow[Wire]:
    """Submit it; the new job.

    Paths are meant as the caller sees them, below ``folder``, where the server runs on the caller's
    machine; elsewhere below the server's root folder.
    """
    if folder is not None and (yield from calls.is_neighbour(session)):
        spec = body["spec"]
        for name in ("path", "output"):
            if name in spec:
                spec[name] = normpath(join(folder, spec[name]))
    [job] = yield from calls.submit(session, body, key, None)
    return job


def parameters_from(words: Iterable[str], raw: Iterable[str] = ()) -> Wire:
    """What ``name=value`` says: JSON where it is JSON (``3``, ``true``, ``[1, 2]``), else text.

    Those in ``raw`` are text, whatever they look like. Raises BadMessage.
    """
    found = {name: _value(text) for name, text in map(_parted, words)}
    return found | dict(map(_parted, raw))


def _parted(word: str) -> tuple[str, str]:
    name, has_value, text = word.partition("=")
    if not (name and has_value):
        raise BadMessage(f"{word!r} is no parameter; write NAME=VALUE.", field="spec.parameters")
    return name, text


def _value(text: str) -> Any:
    if text in _OF_PYTHON:
        return _OF_PYTHON[text]
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
