"""A kernel that asks for progress, and a supervisor of one job, do not pay for the server."""

import json
import subprocess
import sys

import pytest

from tests.rules.house import ROOT

HEAVY = {
    "tornado",
    "httpx",
    "msgspec",
    "jupyter_server",
    "traitlets",
    "rich",
    "psutil",
    "sqlite3",
    "asyncio",
}
NOT_IN_A_SUPERVISOR = {"asyncio", "subprocess", "tempfile", "logging", "sqlite3", "http", "email"}


def loaded_by(statement: str, *options: str, whole: bool = False) -> set[str]:
    """The top-level modules (or all, by their ``whole`` names) in a new interpreter after it."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{statement}\n"
    code += "import json; print(json.dumps(list(sys.modules)))"
    command = [sys.executable, *options, "-c", code]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    names = json.loads(result.stdout)
    return set(names) if whole else {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    "statement", ["import jupyter_tasks", "from jupyter_tasks import progress"]
)
def test_importing_the_package_loads_nothing_heavy(statement: str) -> None:
    before = loaded_by("pass")
    assert not (loaded_by(statement) - before) & HEAVY


def test_a_server_that_starts_loads_the_gate_and_not_what_is_behind_it() -> None:
    plain = "import jupyter_server.serverapp, jupyter_server.extension.application"
    asleep = "import jupyter_tasks.extension, jupyter_tasks.store.unfinished"
    loaded = loaded_by(f"{plain}; {asleep}", whole=True) - loaded_by(plain, whole=True)
    assert {name for name in loaded if not name.startswith("jupyter_tasks.posix")} == {
        "jupyter_tasks",
        "jupyter_tasks._version",
        "jupyter_tasks.asleep",
        "jupyter_tasks.errors",
        "jupyter_tasks.events",
        "jupyter_tasks.extension",
        "jupyter_tasks.store",
        "jupyter_tasks.store.files",
        "jupyter_tasks.store.unfinished",
    }


@pytest.mark.parametrize("module", ["supervisor", "forkserver", "attempt", "runners.shell"])
def test_a_supervisor_loads_the_standard_library_alone(module: str) -> None:
    loaded = loaded_by(f"import jupyter_tasks.{module}", "-I", "-S")
    assert loaded - set(sys.stdlib_module_names) - {"__main__"} == {"jupyter_tasks"}
    assert not loaded & NOT_IN_A_SUPERVISOR


def test_the_life_cycle_loads_no_input_and_no_output() -> None:
    loaded = loaded_by("import jupyter_tasks.lifecycle", "-I", "-S")
    assert not loaded & {"asyncio", "socket", "sqlite3", "subprocess", "tornado"}


def test_parameters_of_notebooks_load_nothing_that_runs_notebooks() -> None:
    statement = (
        "import jupyter_tasks.parameters\n"
        "jupyter_tasks.parameters.translated('python3', 'python', {'x': 1})"
    )
    assert not loaded_by(statement) & {"nbformat", "nbclient", "requests", "papermill", "black"}
