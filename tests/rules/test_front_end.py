"""The same rules for what runs in the browser: small files, imports that point down, nothing untyped."""

import json
import re
from pathlib import Path

import pytest

from tests.rules.house import ROOT

FRONT_END = ROOT / "labextension"
FILES = sorted(FRONT_END.glob("src/**/*.ts"))
#: Who may import from whom: a folder from itself and from those to its right.
LAYERS = ["index", "renderer", "opening", "tokens", "view", "live", "core"]
BESIDE = {("renderer", "opening"), ("opening", "renderer")}
LONGEST_FILE = 300


def name(path: Path) -> str:
    return str(path.relative_to(FRONT_END))


def layer(path: Path) -> str:
    """The folder that a file is in; of one that is in none, its own name."""
    return path.relative_to(FRONT_END / "src").parts[0].removesuffix(".ts")


def imported(path: Path) -> list[str]:
    return re.findall(r"^(?:import|export)\b[^;]*?from '([^']+)'", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_says_what_it_is_and_is_short(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("/** ")
    assert len(text.splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_is_left_untyped(path: Path) -> None:
    assert not re.findall(r"(?::|\bas|<)\s*any\b|@ts-|eslint-disable", path.read_text())


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_down(path: Path) -> None:
    for target in imported(path):
        if target.startswith("."):
            found = (path.parent / target).resolve()
            assert found in FILES
            assert LAYERS.index(layer(path)) <= LAYERS.index(layer(found))
            assert (layer(path), layer(found)) not in BESIDE


@pytest.mark.parametrize("path", [path for path in FILES if layer(path) == "core"], ids=name)
def test_the_core_needs_neither_page_nor_jupyter(path: Path) -> None:
    assert all(target.startswith("./") for target in imported(path))


def test_what_is_imported_is_declared_for_every_supported_jupyterlab() -> None:
    package = json.loads((FRONT_END / "package.json").read_text())
    used = {target for path in FILES for target in imported(path) if not target.startswith(".")}
    assert used == set(package["dependencies"])
    shared = package["jupyterlab"]["sharedPackages"]
    for one, range_ in package["dependencies"].items():
        assert range_.startswith("^")
        if one.startswith("@jupyterlab/"):
            assert shared[one] == {"requiredVersion": range_}


def test_the_lock_names_no_registry() -> None:
    assert "://" not in (FRONT_END / "yarn.lock").read_text()
