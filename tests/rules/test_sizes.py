"""Small functions, small modules."""

from pathlib import Path

import pytest

from tests.rules.house import Function, dotted, functions, modules, where

LONGEST_FUNCTION = 60
SHORT_FUNCTION = 25
LONGEST_MODULE = 500


def body_lines(function: Function) -> int:
    """How many lines the body takes, its docstring left out."""
    first, *rest = function.body
    is_docstring = first.__class__.__name__ == "Expr" and isinstance(
        getattr(getattr(first, "value", None), "value", None), str
    )
    if is_docstring and not rest:
        return 0
    start = (rest[0] if is_docstring else first).lineno
    return (function.end_lineno or start) - start + 1


@pytest.mark.parametrize("module", modules(), ids=dotted)
def test_no_function_is_longer_than_a_page(module: Path) -> None:
    long = [where(module, f) for f in functions(module) if body_lines(f) > LONGEST_FUNCTION]
    assert not long


@pytest.mark.parametrize("module", modules(), ids=dotted)
def test_no_module_is_more_than_one_thing_long(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= LONGEST_MODULE


def test_nine_functions_in_ten_are_short() -> None:
    sizes = {where(m, f): body_lines(f) for m in modules() for f in functions(m)}
    long = {place: lines for place, lines in sizes.items() if lines >= SHORT_FUNCTION}
    assert len(long) <= len(sizes) / 10, sorted(long, key=long.get, reverse=True)  # type: ignore[arg-type]
