"""``progress`` and ``report``: how a script tells how far it is.

``progress`` needs no server, only the job around it; ``report`` is for a job whose program runs elsewhere.
"""

import argparse
import json
from typing import Any

from jupyter_tasks import report as own
from jupyter_tasks import units
from jupyter_tasks.cli import exits
from jupyter_tasks.cli.desk import Desk, file_bytes
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
    if not own.is_in_job():
        # A script that reports must also run where nobody listens.
        desk.printer.hint(_OUTSIDE)
        return exits.OK
    if not own.progress(value, total, arguments.message):
        desk.printer.hint("Nobody takes reports of this job at the moment.")
        return exits.OK
    if desk.printer.as_json:
        desk.printer.document({"value": value, "total": total, "message": arguments.message})
    return exits.OK


def report(arguments: argparse.Namespace, desk: Desk) -> int:
    """Report on a job of kind external; tell what its program should do."""
    handle = desk.client.job(arguments.id)
    told = handle.report(idempotency_key=arguments.idempotency_key, **_said(arguments))
    if desk.printer.as_json:
        desk.printer.document(told)
    else:
        wishes = [verb for verb in ("cancel", "pause") if told[verb]]
        desk.printer.line("  ".join([told["job"], told["state"], *wishes]))
    return exits.OK


def _said(arguments: argparse.Namespace) -> dict[str, Any]:
    said: dict[str, Any] = {
        "progress": arguments.progress,
        "out": _printed(arguments.output, "--output"),
        "err": _printed(arguments.error_output, "--error-output"),
        "end": arguments.end,
        "exit_code": arguments.exit_code,
        "message": arguments.message,
        "attempt": arguments.attempt,
    }
    if arguments.paused:
        said["paused"] = True
    if arguments.result is not None:
        said["result"] = _json(arguments.result)
    is_over = arguments.end is not None or arguments.exit_code is not None
    if arguments.message is not None and not is_over:
        # So far it says what is being done.
        told = arguments.progress or ""
        said["progress"] = (
            f"{told} {arguments.message}" if told else (None, None, arguments.message)
        )
        said["message"] = None
    return said


def _printed(path: str | None, option: str) -> bytes | None:
    return None if path is None else file_bytes(path, option)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadMessage(f"--result is not JSON: {error}.") from None


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
