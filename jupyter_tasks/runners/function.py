"""Runs a function: a worker process, started as a command is; its result says how it ended."""

import json
import os
from typing import Any

from jupyter_tasks.runners.base import Message, Stage
from jupyter_tasks.runners.endings import how, raised
from jupyter_tasks.runners.shell import ShellRunner, outcome

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_RESULT = "result.json"
_MAX_WORDS = 500
#: The interpreter need not have our package: it is loaded from its place.
_BEGIN = """\
import sys
if sys.path[:1] == [""]:
    del sys.path[0]
if sys.version_info < (3, 11):
    sys.exit("A function needs Python 3.11 or newer; this one is %d.%d." % sys.version_info[:2])
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location(
    "jupyter_tasks", {init!r}, submodule_search_locations=[{package!r}]
)
sys.modules["jupyter_tasks"] = module = module_from_spec(spec)
spec.loader.exec_module(module)
from jupyter_tasks.worker import main
main(sys.argv[1])
"""


class FunctionRunner(ShellRunner):
    """A worker: what is written into the attempt's directory counts, not its exit code alone."""

    def __init__(self, spec: dict[str, Any], stage: Stage) -> None:
        """Start nothing yet."""
        begin = _BEGIN.format(init=f"{_PACKAGE}/__init__.py", package=_PACKAGE)
        command = [spec["python"], "-c", begin, stage.directory]
        super().__init__({"command": command, "cwd": spec["cwd"], "env": spec.get("env")})
        self._result = f"{stage.directory}/{_RESULT}"

    def outcome(self, status: int | None) -> Message:
        """What became of the function, or of its process if that ended first."""
        end = outcome(status)
        told = self._told()
        if told is None:
            words = f"The function's process ended {how(end)} before the function had returned."
            is_clean = (end["outcome"], end["exit_code"]) == ("exited", 0)
            return raised(words) if is_clean else {**end, "message": words}
        error = told.get("error")
        if error is None or end["outcome"] != "exited" or not end["exit_code"]:
            return end
        words = f"{error['type']}: {error['message']}".rstrip(": ")[:_MAX_WORDS]
        return {**end, "message": words} if error["type"] == "SystemExit" else raised(words)

    def _told(self) -> Message | None:
        """The result; None where there is none that can be read."""
        try:
            with open(self._result, "rb") as file:
                told = json.loads(file.read())
        except (OSError, ValueError):
            return None
        return told if isinstance(told, dict) else None
