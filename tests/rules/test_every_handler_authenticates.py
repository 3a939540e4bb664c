"""Every method that a route has is behind login and authorizer; every change reaches who decides."""

import ast
import inspect
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tornado import web

from jupyter_tasks import handlers
from jupyter_tasks.handlers.routes import ROUTES
from jupyter_tasks.openapi import Operation

FOLDER = Path(handlers.__file__).parent
METHODS = ("get", "head", "post", "put", "patch", "delete")
CASES = [
    pytest.param(route.handler, method.lower(), operation, id=f"{method} {route.path}")
    for route in ROUTES
    for method, operation in route.operations.items()
]


def decorators(method: Any) -> list[str]:
    """The decorators of a handler's method, as they are written, from the outside inwards."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(method))))
    function = tree.body[0]
    assert isinstance(function, ast.AsyncFunctionDef)
    return [ast.unparse(decorator) for decorator in function.decorator_list]


@pytest.mark.parametrize(("handler", "method", "operation"), CASES)
def test_a_method_asks_for_login_then_for_its_action(
    handler: type[web.RequestHandler], method: str, operation: Operation
) -> None:
    login, action, *rest = decorators(getattr(handler, method))
    assert login in ("web.authenticated", "ws_authenticated")
    assert action.startswith(f"authorized('{operation.action}'")
    assert (rest == ["changes"]) == (operation.action != "read" and not operation.is_local)


def test_every_handler_class_with_a_method_is_in_the_table() -> None:
    routed = {
        getattr(base, method).__qualname__
        for route in ROUTES
        for base in route.handler.__mro__
        for method in METHODS
        if method in vars(base)
    }
    written = {
        f"{cls.name}.{function.name}"
        for path in FOLDER.glob("*.py")
        for cls in ast.walk(ast.parse(path.read_text()))
        if isinstance(cls, ast.ClassDef) and cls.name.endswith("Handler")
        for function in cls.body
        if isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef) and function.name in METHODS
    }
    assert written <= routed


def test_no_path_stands_twice_in_the_table() -> None:
    paths = [route.path for route in ROUTES]
    assert len(set(paths)) == len(paths)
