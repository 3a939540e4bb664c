"""The command's frame: arguments, verb, errors to exit codes, and leaving quietly."""

import os
import sys
from collections.abc import Sequence

from jupyter_tasks.cli import exits
from jupyter_tasks.cli.arguments import parse
from jupyter_tasks.errors import TasksError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    _replace_closed_streams()
    arguments = parse(sys.argv[1:] if argv is None else argv)
    # Not before: --help and wrong usage need neither.
    from jupyter_tasks.cli import verbs  # noqa: PLC0415
    from jupyter_tasks.cli.desk import Desk  # noqa: PLC0415
    from jupyter_tasks.cli.printer import OutputFailed  # noqa: PLC0415

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
    except OutputFailed as failed:
        _ignore_the_rest()
        desk.printer.error("output_failed", str(failed), {})
        return exits.OUTPUT_FAILED
    finally:
        desk.close()


def _ignore_the_rest() -> None:
    """Nobody reads any more: let the interpreter's last flush go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())


def _replace_closed_streams() -> None:
    """Who closes a stream does not want to see it; what is printed must not go to another one."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
