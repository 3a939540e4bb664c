"""Tasks are found by a process that runs their code; what that code does costs its own tasks alone."""

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_tasks.discovery import Discovery, Found

GOOD = """
from jupyter_tasks import CommandTask, Field, task

print("modules may print")

@task(title="Add two numbers")
def add(a: int, b: int = 1):
    "Add."
    return a + b

listing = CommandTask(name="listing", command=["ls", "{where}"], fields=[Field(name="where", type="path")])
"""
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(name: str, text: str = GOOD) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return file


def look(*places: str, deadline_s: float = 60) -> Found:
    log = logging.getLogger(__name__)
    return asyncio.run(Discovery(places, deadline_s=deadline_s, log=log).found())


def test_a_files_tasks_are_found_with_their_fields_and_their_place(write: Write) -> None:
    path = write("good.py")
    found = look(path)
    assert found.notes == ()
    add = found.tasks["add"]
    assert (add.title, add.description, add.source) == ("Add two numbers", "Add.", "module")
    assert [(one.name, one.type, one.required) for one in add.fields] == [
        ("a", "int", True),
        ("b", "int", False),
    ]
    assert add.load == {"file": path, "name": "add"}
    assert found.tasks["listing"].source == "command"
    assert found.tasks["listing"].load["command"] == ["ls", "{where}"]


def test_nothing_of_it_is_loaded_here(write: Write) -> None:
    look(write("not_here.py"))
    assert "not_here" not in sys.modules


@pytest.mark.parametrize(
    ("text", "error", "line"),
    [
        ("x = 1\nraise RuntimeError('no licence')", "RuntimeError: no licence", 2),
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named", 1),
        ("\ndef f(:\n", "SyntaxError: invalid syntax", 2),
        ("import sys\nsys.exit('bye')", "SystemExit: bye", 2),
        (
            "from jupyter_tasks import task\n@task\ndef f(*a): ...",
            "BadTask: `*a` cannot be a field",
            2,
        ),
    ],
)
def test_a_module_that_raises_costs_its_own_tasks_alone(
    write: Write, text: str, error: str, line: int
) -> None:
    bad = write("bad.py", text)
    found = look(bad, write("good.py"))
    assert set(found.tasks) == {"add", "listing"}
    (note,) = found.notes
    assert (note.place, note.where) == (bad, f"{bad}:{line}")
    assert note.error.startswith(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os; os._exit(3)", "ended the process that loads it (exit code 3)"),
        ("import os; os.kill(os.getpid(), 9)", "ended the process that loads it (signal 9)"),
    ],
)
def test_a_module_that_ends_the_process_costs_its_own_tasks_alone(
    write: Write, text: str, words: str
) -> None:
    found = look(write("bad.py", text), write("good.py"))
    assert set(found.tasks) == {"add", "listing"}
    assert [note.error for note in found.notes] == [words]


def test_a_module_that_hangs_is_given_up(write: Write) -> None:
    hangs = write("hangs.py", "import signal; signal.pause()")
    found = look(write("good.py"), hangs, deadline_s=3)
    assert set(found.tasks) == {"add", "listing"}
    assert [note.place for note in found.notes] == [hangs]
    assert "took longer than 3 s to load" in found.notes[0].error


def test_what_is_not_there_is_noted() -> None:
    found = look("no.such.module", "/nowhere/at/all.py")
    assert found.tasks == {}
    assert [note.error.partition(":")[0] for note in found.notes] == [
        "ModuleNotFoundError",
        "FileNotFoundError",
    ]


def test_of_two_tasks_of_one_name_the_first_is_kept_and_the_other_noted(write: Write) -> None:
    one, two = write("one.py"), write("two.py")
    found = look(one, two)
    assert found.tasks["add"].place == f"{one}:add"
    assert all(note.place == two and "exists already" in note.error for note in found.notes)
    assert len(found.notes) == 2


def test_a_file_that_has_changed_is_looked_at_anew(write: Write) -> None:
    path = write("changing.py", "raise RuntimeError")

    async def before_and_after() -> tuple[Found, Found, Found]:
        discovery = Discovery([path], log=logging.getLogger(__name__))
        before = await discovery.found()
        same = await discovery.found()
        Path(path).unlink()
        write("changing.py")
        return before, same, await discovery.found()

    before, same, after = asyncio.run(before_and_after())
    assert before is same
    assert set(after.tasks) == {"add", "listing"}
    assert after.notes == ()


def test_an_entry_point_of_an_installed_package_is_found(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("installed_tasks.py")
    info = tmp_path / "sums-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sums\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[jupyter_tasks.tasks]\nsums = installed_tasks:add\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = look()
    assert found.notes == ()
    assert found.tasks["add"].source == "entry_point"
    assert found.tasks["add"].load == {"module": "installed_tasks", "name": "add"}
