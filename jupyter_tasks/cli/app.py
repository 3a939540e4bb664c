"""The command's frame: arguments, verb, errors to exit codes, and leaving quietly."""

import os
import sys
from collections.abc import Sequence

from jupyter_tasks.cli import exits
from jupyter_tasks.cli.arguments import parse
from jupyter_tasks.errors import TasksError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    # Not before: --help and wrong usage need neither.
    from jupyter_tasks.cli import verbs  # noqa: PLC0415
    from jupyter_tasks.cli.desk import Desk  # noqa: PLC0415

    desk = Desk(arguments)
    try:
        return verbs.find(arguments.verb)(arguments, desk)
    except TasksError as error:
        desk.printer.error(error.code, error.message, error.details)
        return exits.of_error(error)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        _ignore_the_rest()
        return exits.BROKEN_PIPE
    finally:
        desk.close()


def _ignore_the_rest() -> None:
    """Nobody reads any more: let the interpreter's last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
