"""Spells out typed keyword options in a method's signature, for help and completion.

Type checkers read ``**options: Unpack[JobOptions]`` by themselves; people at a prompt should see
the names, too.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_args, get_type_hints

F = TypeVar("F", bound=Callable[..., Any])


def spelled_out(method: F) -> F:
    """The method with its options' names in the signature, instead of ``**options``."""
    for parameter in inspect.signature(method).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            (options,) = get_args(parameter.annotation)
    return spelled_out_as(options)(method)


def spelled_out_as(options: type[Any]) -> Callable[[F], F]:
    """The same where the signature cannot name its options."""
    return lambda method: _spell_out(method, options)


def _spell_out(method: F, options: type[Any]) -> F:
    signature = inspect.signature(method)
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            parameters += [_option(name, kind) for name, kind in get_type_hints(options).items()]
        else:
            parameters.append(parameter)
    method.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return method


def _option(name: str, kind: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
