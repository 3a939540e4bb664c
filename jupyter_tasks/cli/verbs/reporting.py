"""``progress``: how a shell script tells how far it is. Needs no server, only the job around it."""

import argparse

from jupyter_tasks import report, units
from jupyter_tasks.cli import exits
from jupyter_tasks.cli.desk import Desk
from jupyter_tasks.errors import BadMessage

_OUTSIDE = (
    "This is not inside a job: JUPYTER_TASKS_REPORT is not set. `jupyter tasks progress` reports the "
    "progress of the job that calls it."
)


def progress(arguments: argparse.Namespace, desk: Desk) -> int:
    """Report it to the job's supervisor."""
    value, total = _told(arguments)
    if value is None and arguments.message is None:
        raise BadMessage("Say how far it is: progress 40%, progress 3/12, or -m TEXT.")
    if not report.is_in_job():
        # A script that reports must also run where nobody listens.
        desk.printer.hint(_OUTSIDE)
        return exits.OK
    if not report.progress(value, total, arguments.message):
        desk.printer.hint("Nobody takes reports of this job at the moment.")
        return exits.OK
    if desk.printer.as_json:
        desk.printer.document({"value": value, "total": total, "message": arguments.message})
    return exits.OK


def _told(arguments: argparse.Namespace) -> tuple[float | None, float | None]:
    if arguments.value is None:
        return None, None
    try:
        value, total = units.share(arguments.value)
    except ValueError as error:
        raise BadMessage(f"{error}.") from None
    if total is not None and arguments.total is not None:
        raise BadMessage("The total is given twice.")
    return value, total if arguments.total is None else arguments.total
