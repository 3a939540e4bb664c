"""``cancel``, ``pause``, ``resume``, ``restart``, ``run``, ``delete`` and ``edit``."""

import argparse
from typing import Any

from jupyter_tasks import words
from jupyter_tasks.cli import exits
from jupyter_tasks.cli.desk import Desk, filter_options, job_options
from jupyter_tasks.client import JobHandle
from jupyter_tasks.errors import BadMessage, CallerError


def change(arguments: argparse.Namespace, desk: Desk) -> int:
    """Do it to the jobs that are named, or to all that the filter accepts."""
    wanted = filter_options(arguments)
    if arguments.ids and (wanted or arguments.all):
        raise BadMessage("Name jobs by their ids, or by a filter, not by both.")
    if arguments.ids:
        return _change_each(arguments, desk)
    if not (wanted or arguments.all):
        raise BadMessage(f"Say which jobs: {arguments.verb} ID…, a filter as --state, or --all.")
    counts: dict[str, int] = getattr(desk.client, f"{arguments.verb}_all")(**wanted)
    if desk.printer.as_json:
        desk.printer.document(counts)
    else:
        desk.printer.line(_counted(arguments.verb, counts))
    return exits.OK


def _counted(verb: str, counts: dict[str, int]) -> str:
    if not counts["matched"]:
        return f"{verb}: 0 jobs; among these there is none that this can be done to."
    refused = f", {counts['refused']} had moved on" if counts["refused"] else ""
    return f"{verb}: {counts['done']} of {counts['matched']} jobs{refused}"


def edit(arguments: argparse.Namespace, desk: Desk) -> int:
    """Change a waiting job."""
    options = job_options(arguments)
    if not options and arguments.command is None:
        raise BadMessage("Say what to change: edit ID --priority 5, or edit ID -- COMMAND…")
    handle = desk.client.job(arguments.id)
    desk.printer.job(handle.edit(arguments.command, **options).wire)
    return exits.OK


def _change_each(arguments: argparse.Namespace, desk: Desk) -> int:
    """One after the other; a job that cannot does not keep the others from it. The highest code."""
    codes = []
    for job_id in arguments.ids:
        try:
            _change_one(arguments, desk, desk.client.job(job_id))
        except CallerError as error:
            desk.printer.error(error.code, error.message, error.details)
            codes.append(exits.of_error(error))
    return max(codes, default=exits.OK)


def _change_one(arguments: argparse.Namespace, desk: Desk, handle: JobHandle) -> None:
    given: dict[str, Any] = {"reason": arguments.reason} if arguments.verb == "cancel" else {}
    getattr(handle, arguments.verb)(**given)
    if arguments.verb == "delete":
        wire: dict[str, Any] = {"id": handle.id, "deleted": True}
        line = f"{handle.id}  deleted"
    else:
        wire = handle.wire
        line = f"{handle.id}  {words.state(wire)}"
    desk.printer.document(wire) if desk.printer.as_json else desk.printer.line(line)
