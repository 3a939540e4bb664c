"""``%task notebook``: a whole notebook as a job."""

import argparse
from typing import Any, NoReturn

from IPython.core.error import UsageError

from jupyter_tasks import units
from jupyter_tasks.cli.arguments import parsed_by
from jupyter_tasks.client import Client, JobHandle
from jupyter_tasks.client.notebooks import parameters_from


class _Parser(argparse.ArgumentParser):
    """Tells wrong usage as IPython does."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; write {self.format_usage().removeprefix('usage: ').strip()}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="%task notebook", add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add("path", metavar="PATH")
    add("parameters", nargs="*", metavar="NAME=VALUE")
    add("--kernel", metavar="NAME")
    add("--output", metavar="PATH")
    add("--allow-errors", action="store_true")
    add("--name")
    add("--tag", action="append", metavar="TAG")
    add("--timeout", type=parsed_by(units.seconds), metavar="TIME")
    add("--memory", type=parsed_by(units.size_bytes), metavar="SIZE")
    add("--priority", type=int)
    return parser


def submit(client: Client, words: list[str]) -> JobHandle:
    """The job that the words of the line ask for; raises UsageError."""
    given = _parser().parse_intermixed_args(words)
    options: dict[str, Any] = {
        "name": given.name,
        "tags": given.tag,
        "timeout_s": given.timeout,
        "memory_bytes": given.memory,
        "priority": given.priority,
    }
    return client.submit_notebook(
        given.path,
        parameters_from(given.parameters),
        kernel=given.kernel,
        output=given.output,
        allow_errors=given.allow_errors,
        **{name: value for name, value in options.items() if value is not None},
    )
