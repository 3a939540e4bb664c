"""The magics: what stands behind ``%%task``, ``%task`` and ``%tasks``."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class

from jupyter_tasks import units, values, words
from jupyter_tasks.cli import tables
from jupyter_tasks.cli.arguments import parsed_by
from jupyter_tasks.cli.desk import environment
from jupyter_tasks.client import Client, JobHandle
from jupyter_tasks.errors import NoResult, TasksError
from jupyter_tasks.magics import lists, notebooks
from jupyter_tasks.magics.cell_job import CellJob
from jupyter_tasks.magics.live import Live
from jupyter_tasks.model import ENDED

_LISTED = 20
#: A cell that waits for a server that has gone blocks the kernel.
_PATIENCE_S = 5.0


class _Parser(argparse.ArgumentParser):
    """Tells wrong usage as IPython does: in a line, without a traceback."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see %%task?")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="%%task", add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add("name", nargs="*", help="what the job is called; default: its first line")
    add("--shell", action="store_true", help="run the cell as a script of the shell")
    add("--kernel", metavar="NAME", help="of a kernelspec; default: this Python")
    add("--timeout", type=parsed_by(units.seconds), metavar="TIME", help="like 90s, 5m, 1h30m")
    add("--memory", type=parsed_by(units.size_bytes), metavar="SIZE", help="of all its processes")
    add("--priority", type=int, help="-1000 to 1000; higher goes first")
    add("--tag", action="append", metavar="TAG", help="may be repeated")
    add("--env", action="append", metavar="NAME[=VALUE]", help="without a value: this kernel's own")
    add("--cwd", metavar="FOLDER", help="default: this kernel's")
    add(
        "--in", action="append", metavar="NAMES", dest="inputs", help="variables to begin with: x,y"
    )
    add(
        "--out",
        action="append",
        metavar="NAMES",
        dest="outputs",
        help="those to keep: job.result()",
    )
    add("--wait", action="store_true", help="return only at its end, with those of --out set")
    return parser


@magics_class
class TaskMagics(Magics):
    """Cells as jobs: they outlive this kernel, and the server."""

    def __init__(self, shell: Any) -> None:
        """Talk to nobody yet."""
        super().__init__(shell)
        self._shell = shell
        self._client = Client(patience_s=_PATIENCE_S)
        self._live = Live()

    @line_cell_magic
    def task(self, line: str, cell: str | None = None) -> CellJob | None:
        """Run the cell as a job; or ask about one: ``%task show | logs | explain | cancel | attach ID``.

        ``%task notebook PATH NAME=VALUE`` runs a whole notebook (--kernel, --output, --allow-errors,
        --name, --tag, --timeout, --memory, --priority).
        """
        try:
            return self._ask(line) if cell is None else self._submit(line, cell)
        except TasksError as error:
            raise UsageError(error.message) from None

    @line_magic
    def tasks(self, line: str) -> None:
        """List the newest jobs."""
        if line.strip():
            raise UsageError("%tasks takes nothing; `jupyter tasks list` has filters.")
        try:
            jobs = [handle.wire for handle in self._client.jobs(limit=_LISTED)]
        except TasksError as error:
            raise UsageError(error.message) from None
        now = time.time()
        rows = [
            (
                job["id"][:8],
                words.state(job),
                words.progress(job),
                words.took(job, now),
                words.plain(job["name"]),
            )
            for job in jobs
        ]
        columns = ("id", "state", "progress", "took", "name")
        print(tables.table(columns, rows) if rows else "No jobs.")  # noqa: T201 - a magic prints

    def _submit(self, line: str, cell: str) -> CellJob:
        given = _parser().parse_args(lists.joined(_words(line)))
        if not cell.strip():
            raise UsageError("The cell is empty; write below %%task what to run.")
        options = {
            "name": " ".join(given.name) or None,
            "tags": given.tag,
            "cwd": str(Path(given.cwd or ".").expanduser().absolute()),
            "env": environment(given.env or [], os.environ),
            "priority": given.priority,
            "timeout_s": given.timeout,
            "memory_bytes": given.memory,
        }
        submitted = self._submitted(given, cell, {k: v for k, v in options.items() if v})
        job = CellJob(submitted, self._live)
        if given.wait and _wait(job) and given.outputs:
            self._set_outputs(job)
        return job

    def _submitted(
        self, given: argparse.Namespace, cell: str, options: dict[str, Any]
    ) -> JobHandle:
        inputs, outputs = lists.names(given.inputs), lists.names(given.outputs)
        if not (inputs or outputs):
            return self._client.submit(_spec(given, cell), **options)
        if given.shell or given.kernel:
            raise UsageError(
                "--in and --out carry values between kernels of this Python; leave out --shell and "
                "--kernel, or let the code read and write files."
            )
        values.must_be_names(inputs, "--in")
        values.must_be_names(outputs, "--out")
        carried = values.chosen(inputs, self._shell.user_ns, "is not set in this kernel")
        return self._client.submit_code(cell, inputs=carried, outputs=outputs, **options)

    def _set_outputs(self, job: CellJob) -> None:
        """Set the variables of ``--out``, all or none."""
        outputs = job.handle.wire["spec"]["outputs"]
        try:
            result = job.result()
        except NoResult as error:
            print(f"{', '.join(outputs)} stays as it was. {error.message}")  # noqa: T201
            return
        self._shell.push(dict(zip(outputs, result if len(outputs) > 1 else [result], strict=True)))

    def _ask(self, line: str) -> CellJob | None:
        asked = _words(line)
        if asked[:1] == ["notebook"]:
            return CellJob(notebooks.submit(self._client, asked[1:]), self._live)
        if len(asked) != 2 or asked[0] not in ASKS:
            asks = " | ".join(ASKS)
            raise UsageError(f"Write %task {asks}, then the id of a job; or %task notebook PATH.")
        job = CellJob(self._client.job(asked[1]), self._live)
        if asked[0] == "attach":
            return job
        print(ASKS[asked[0]](job))  # noqa: T201 - a magic prints
        return None


def _wait(job: CellJob) -> bool:
    """Wait for its end; False where the waiting was interrupted."""
    try:
        job.wait()
    except KeyboardInterrupt:
        print(f"Stopped waiting; the job goes on. To end it: %task cancel {job.id[:8]}")  # noqa: T201
        return False
    return True


def _show(job: CellJob) -> str:
    return tables.card(tables.job_facts(job.handle.wire, time.time()))


def _explain(job: CellJob) -> str:
    return str(job.handle.explain()["message"])


def _cancel(job: CellJob) -> str:
    if job.handle.wire["state"] in ENDED:
        return f"Job {job.id[:8]} has ended already: {words.state(job.handle.wire)}."
    job.cancel()
    return f"Job {job.id[:8]} is asked to end."


#: What %task can be asked.
ASKS: dict[str, Callable[[CellJob], str]] = {
    "show": _show,
    "logs": CellJob.logs,
    "explain": _explain,
    "cancel": _cancel,
    "attach": repr,
}


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{error}: look at the quotes in {line!r}.") from None


def _spec(given: argparse.Namespace, cell: str) -> dict[str, Any]:
    if given.shell and given.kernel:
        raise UsageError("--shell and --kernel exclude each other.")
    if given.shell:
        return {"kind": "shell", "command": cell}
    where = {"kernel": given.kernel} if given.kernel else {"python": sys.executable}
    return {"kind": "code", "source": cell, **where}


#: What %%task can be told.
OPTIONS = tuple(word for action in _parser()._actions for word in action.option_strings)  # noqa: SLF001 - nothing else tells them

TaskMagics.task.__doc__ = f"{TaskMagics.task.__doc__}\n\n{_parser().format_help()}"
