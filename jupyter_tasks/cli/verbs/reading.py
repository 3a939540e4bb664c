"""``list``, ``show``, ``explain`` and ``status``: how things are at the moment."""

import argparse

from jupyter_tasks import words
from jupyter_tasks.cli import exits, tables
from jupyter_tasks.cli.desk import Desk, filter_options


def list(arguments: argparse.Namespace, desk: Desk) -> int:  # noqa: A001 - the verb's own name
    """Print jobs, the newest first."""
    limit = None if arguments.all else arguments.limit
    handles = desk.client.jobs(limit=limit, **filter_options(arguments))
    desk.printer.jobs(handle.wire for handle in handles)
    return exits.OK


def show(arguments: argparse.Namespace, desk: Desk) -> int:
    """Print all about one job."""
    desk.printer.job(desk.client.job(arguments.id).wire)
    return exits.OK


def explain(arguments: argparse.Namespace, desk: Desk) -> int:
    """Say why a job is as it is."""
    told = desk.client.job(arguments.id).explain()
    if desk.printer.as_json:
        desk.printer.document(told)
    else:
        desk.printer.line(words.plain(told["message"]))
    return exits.OK


def status(_: argparse.Namespace, desk: Desk) -> int:
    """Print how the server is."""
    told = desk.client.status()
    place = desk.client.locate().place
    desk.printer.facts(told, tables.status_facts(told, place, desk.printer.now))
    return exits.OK
