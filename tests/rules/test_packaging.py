"""The parts of the package's metadata that somebody would miss."""

import ast
import importlib
import importlib.metadata
import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.rules.house import PACKAGE, ROOT, modules, pyproject, tracked_files, tree

ROOMS = {"jupyter_tasks", "labextension", "notebooks", "tests", "binder", "docs"}
FILES = {"pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile"}


#: Distributions that are imported by another name, those that are only started, as programs,
#: and those of which a part is loaded without the rest.
IMPORTED_AS = {"pyzmq": "zmq", "ipython": "IPython", "pyyaml": "yaml"}
STARTED = {"ipykernel"}
LOADED_IN_PART = {"papermill"}


def named(requirement: str) -> str:
    """The distribution that a requirement names, as it is imported."""
    name = re.split(r"[^A-Za-z0-9_.-]", requirement)[0].replace("-", "_").lower()
    return IMPORTED_AS.get(name, name)


def imported() -> set[str]:
    """Every top-level package that the code imports anywhere, also late."""
    names: set[str] = set()
    for node in (node for path in modules() for node in ast.walk(tree(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"jupyter_tasks"}


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    declared = {named(requirement) for requirement in pyproject()["project"]["dependencies"]}
    assert imported() == declared - STARTED - LOADED_IN_PART


def test_it_installs_on_every_python_that_it_names() -> None:
    project = pyproject()["project"]
    assert project["requires-python"] == ">=3.11"
    assert "Programming Language :: Python :: 3.11" in project["classifiers"]
    assert "Framework :: Jupyter" in project["classifiers"]


def test_the_version_is_written_in_one_place() -> None:
    assert pyproject()["project"]["dynamic"] == ["version"]
    assert importlib.import_module("jupyter_tasks").__version__ == importlib.metadata.version(
        "jupyter_tasks"
    )


@pytest.mark.parametrize("script", ["jupyter-tasks", "jupyter-tasks-server"])
def test_jupyter_finds_its_subcommands(script: str) -> None:
    module, _, function = pyproject()["project"]["scripts"][script].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_installing_enables_the_extension() -> None:
    config = json.loads((PACKAGE / "etc" / "jupyter_tasks.json").read_text())
    assert config == {"ServerApp": {"jpserver_extensions": {"jupyter_tasks": True}}}
    installed = Path(sys.prefix, "etc/jupyter/jupyter_server_config.d/jupyter_tasks.json")
    assert json.loads(installed.read_text()) == config


def test_jupyter_is_told_where_the_extension_is() -> None:
    package = importlib.import_module("jupyter_tasks")
    (point,) = package._jupyter_server_extension_points()
    assert point["app"].name == "jupyter_tasks"


def test_what_is_read_at_run_time_lies_inside_the_package() -> None:
    """Files beside the code are packed only because they lie inside the package's folder."""
    read = {
        path.suffix
        for path in PACKAGE.rglob("*")
        if path.is_file() and not {"__pycache__", "labextension"} & set(path.parts)
    }
    assert read <= {".py", ".typed", ".json", ".sql", ".yaml", ".md"}
    assert (PACKAGE / "py.typed").is_file()
    assert pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [
        "jupyter_tasks"
    ]


@pytest.mark.parametrize("script", [".ci/run", "binder/postBuild"])
def test_scripts_can_be_executed(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


def test_the_top_level_holds_only_what_the_layout_names() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    assert {name for name in top if not name.startswith(".")} <= ROOMS | FILES
