"""What the package offers is what it says it offers."""

import importlib
from pathlib import Path

import pytest

import jupyter_tasks
from tests.rules.house import dotted, modules


def test_the_package_offers_exactly_its_lazy_names_and_its_version() -> None:
    assert sorted(jupyter_tasks.__all__) == sorted([*jupyter_tasks._HOMES, "__version__"])


@pytest.mark.parametrize("name", jupyter_tasks._HOMES)
def test_a_lazy_name_is_the_one_of_its_module(name: str) -> None:
    home = importlib.import_module(jupyter_tasks._HOMES[name])
    assert getattr(jupyter_tasks, name) is getattr(home, name)
    assert getattr(home, name).__module__ == home.__name__


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        _ = jupyter_tasks.Cleint  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_every_exported_name_is_there(path: Path) -> None:
    module = importlib.import_module(dotted(path))
    exported = getattr(module, "__all__", [])
    assert len(set(exported)) == len(exported)
    assert not [name for name in exported if not hasattr(module, name)]


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_every_module_can_be_imported(path: Path) -> None:
    importlib.import_module(dotted(path))
