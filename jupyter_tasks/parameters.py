"""A notebook's parameters as source text in its language: papermill's translators say how.

Of papermill nothing else is loaded: the package itself would bring nbformat, nbclient and requests,
which take a second.
"""

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from keyword import iskeyword
from types import ModuleType
from typing import Any, Final

from jupyter_tasks.errors import BadMessage

_PACKAGE: Final = "_jupyter_tasks_papermill"
_MAX_DEPTH: Final = 50
_MAX_SAFE: Final = 2**63
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: R has dots in names, and no underscore before the first letter.
_OF_R: Final = re.compile(r"(?:[A-Za-z]|\.(?![0-9]))[A-Za-z0-9._]*")
_COMMENT: Final = "Parameters"


def translated(kernel: str, language: str, parameters: Mapping[str, Any]) -> str:
    """Assignments to these names, a line each; raises BadMessage, which names the parameter.

    ``kernel`` and ``language``: of the kernelspec.
    """
    known = _translators()
    try:
        found = known.papermill_translators.find_translator(kernel, language)
    except known.PapermillException:
        languages = ", ".join(sorted(known.papermill_translators._translators))  # noqa: SLF001 - nothing else tells them
        raise BadMessage(
            f"Parameters cannot be given to a notebook in {language or kernel!r}; there are: "
            f"{languages}. Leave out `parameters`, and let the notebook read a file.",
            field="spec.parameters",
        ) from None
    translator = _mended(known, found)
    lines = [translator.comment(_COMMENT)]
    lines += [_line(known, translator, name, value) for name, value in parameters.items()]
    return "\n".join(lines)


def _line(known: Any, translator: Any, name: str, value: Any) -> str:
    _must_be_name(known, translator, name)
    _must_be_sayable(name, value)
    if issubclass(translator, known.BashTranslator):
        _must_be_flat(name, value)
    try:
        # (Not its codify: that of Python loads a formatter where there is one.)
        line: str = translator.assign(name, translator.translate(value))
    except NotImplementedError:
        kind = "an object" if isinstance(value, dict) else "null" if value is None else "a list"
        raise _refusal(name, f"is {kind}, which this language cannot be given") from None
    return f"{line};" if issubclass(translator, known.MatlabTranslator) else line


def _must_be_name(known: Any, translator: Any, name: str) -> None:
    if issubclass(translator, known.PythonTranslator):
        is_name = name.isidentifier() and not iskeyword(name)
    elif issubclass(translator, known.RTranslator):
        is_name = _OF_R.fullmatch(name) is not None
    else:
        is_name = _PLAIN.fullmatch(name) is not None
    if not is_name:
        raise _refusal(name, "is no name of a variable in the notebook's language")


def _must_be_sayable(name: str, value: Any) -> None:
    for depth, one in _inside(value):
        if depth > _MAX_DEPTH:
            raise _refusal(name, f"is nested more than {_MAX_DEPTH} deep")
        if isinstance(one, float) and not math.isfinite(one):
            raise _refusal(name, "is a number that JSON does not have")
        if isinstance(one, int) and not -_MAX_SAFE <= one < _MAX_SAFE:
            raise _refusal(name, "is a whole number of more than 64 bits")
        if isinstance(one, str) and "\0" in one:
            raise _refusal(name, "holds a NUL character")


def _inside(value: Any, depth: int = 0) -> Iterator[tuple[int, Any]]:
    yield depth, value
    if depth > _MAX_DEPTH or not isinstance(value, dict | list):
        return
    for one in [*value, *value.values()] if isinstance(value, dict) else value:
        yield from _inside(one, depth + 1)


def _must_be_flat(name: str, value: Any) -> None:
    """In a shell an array holds words, and nothing else can hold anything."""
    if isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        raise _refusal(name, "is a list of lists or objects, which a shell cannot be given")


def _mended(known: Any, translator: Any) -> Any:
    """With strings as the language reads them: papermill's of these are right for ASCII alone.

    It gives ``é`` by its number, which is one byte to Julia and R; Julia fills in ``$x`` in a string.
    """
    if issubclass(translator, known.JuliaTranslator):
        return _quoting(translator, "$")
    if issubclass(translator, known.RTranslator | known.ScalaTranslator):
        return _quoting(translator, "")
    return translator


@cache
def _quoting(translator: Any, special: str) -> Any:
    class Quoting(translator):  # type: ignore[misc]
        @classmethod
        def translate_escaped_str(cls, str_val: object) -> str:
            text = json.dumps(str(str_val), ensure_ascii=False)
            for character in special:
                text = text.replace(character, f"\\{character}")
            return text

    return Quoting


@cache
def _translators() -> Any:
    """The module of papermill, without the package around it."""
    found = find_spec("papermill")
    if found is None or found.submodule_search_locations is None:
        raise BadMessage(
            "Parameters need papermill beside the server, and it is not there; install it.",
            field="spec.parameters",
        )
    package = sys.modules[_PACKAGE] = ModuleType(_PACKAGE)
    package.__path__ = list(found.submodule_search_locations)
    return import_module(f"{_PACKAGE}.translators")


def _refusal(name: str, words: str) -> BadMessage:
    return BadMessage(f"The parameter {name!r} {words}.", field="spec.parameters", parameter=name)
