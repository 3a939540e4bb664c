"""What people use is explained, and what the words name is there."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jupyter_tasks
from tests.rules.house import ROOT, dotted, modules, tree, where

WORDS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(pattern: str) -> set[str]:
    """What the written words tell people to type, as far as the pattern catches it."""
    return {
        found
        for path in WORDS
        for block in FENCED.findall(path.read_text())
        for found in re.findall(pattern, block, re.MULTILINE)
    }


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_every_module_says_what_it_owns(path: Path) -> None:
    assert ast.get_docstring(tree(path)), where(path, tree(path))


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_every_public_class_and_function_states_its_contract(path: Path) -> None:
    public = [
        node
        for node in tree(path).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and "overload" not in map(ast.unparse, node.decorator_list)
    ]
    assert not [where(path, node) for node in public if not ast.get_docstring(node)]


@pytest.mark.parametrize("name", jupyter_tasks._HOMES)
def test_everything_that_is_exported_is_explained_down_to_its_methods(name: str) -> None:
    thing = getattr(jupyter_tasks, name)
    assert inspect.getdoc(thing)
    for method, member in inspect.getmembers_static(thing, inspect.isfunction):
        is_ours = member.__module__.startswith("jupyter_tasks.")
        if inspect.isclass(thing) and is_ours and not method.startswith("_"):
            assert inspect.getdoc(member), f"{name}.{method}"


def test_every_make_target_in_the_words_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = commands(r"^(?:\$ )?make ([a-z]+)")
    assert named
    assert named <= targets


def test_every_make_target_is_phony_and_listed_by_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    phony = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())
    listed = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert targets == phony == set(re.findall(r"^  make (\S+) ", listed.stdout, re.MULTILINE))


def test_every_subcommand_in_the_words_exists() -> None:
    named = commands(r"jupyter tasks ([a-z]+)")
    assert {"submit", "list", "logs"} <= named
    for name in sorted(named):
        command = [sys.executable, "-m", "jupyter_tasks.cli", name, "--help"]
        result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        assert result.returncode == 0, f"jupyter tasks {name}: {result.stderr}"


def test_every_client_method_in_the_words_exists() -> None:
    named = commands(r"\b(?:tasks|client)\.([a-z_]+)\(")
    client = importlib.import_module("jupyter_tasks.client").Client
    assert named
    assert not [name for name in named if not hasattr(client, name)]


def test_the_promise_is_published_word_for_word() -> None:
    promise = (
        "an accepted submit is on disk before the answer is sent; an attempt starts at most once; "
        "a job runs again only through its own policy or a person; a schedule's nominal time fires "
        "at most once; nothing that was printed is lost or doubled by a crash of the server."
    )
    readme = re.sub(r"\s*\n>?\s*", " ", (ROOT / "README.md").read_text())
    assert promise in readme
