"""``submit`` and ``notebook``: one job, and what to do until it has ended."""

import argparse

from jupyter_tasks import words
from jupyter_tasks.cli import exits
from jupyter_tasks.cli.desk import Desk, code_spec, external_spec, job_options
from jupyter_tasks.cli.following import follow_output, tell_failure, wait_for
from jupyter_tasks.cli.printer import OutputFailed
from jupyter_tasks.client import JobHandle
from jupyter_tasks.client.calls import Command
from jupyter_tasks.client.notebooks import parameters_from


def submit(arguments: argparse.Namespace, desk: Desk) -> int:
    """Submit it; print its id alone on standard output, so that a script can take it."""
    what = _spec(arguments)
    handle = desk.client.submit(
        what, idempotency_key=arguments.idempotency_key, **job_options(arguments)
    )
    return _see_to(arguments, desk, handle)


def notebook(arguments: argparse.Namespace, desk: Desk) -> int:
    """Submit a notebook; as ``submit`` from then on."""
    handle = desk.client.submit_notebook(
        arguments.path,
        parameters_from(arguments.parameter or (), arguments.raw or ()),
        kernel=arguments.kernel,
        output=arguments.output,
        allow_errors=arguments.allow_errors,
        **job_options(arguments),
    )
    return _see_to(arguments, desk, handle)


def _see_to(arguments: argparse.Namespace, desk: Desk, handle: JobHandle) -> int:
    """What is to be done until its end, if anything."""
    if arguments.follow:
        desk.printer.hint(f"Job {handle.id}")
        code = follow_output(desk, handle)
        if code != exits.OK:
            return code
        tell_failure(desk, handle.refresh().wire)
        return exits.of_job(handle.wire)
    if not (arguments.wait and desk.printer.as_json):
        try:
            _announce(desk, handle)
        except OutputFailed:
            desk.printer.hint(f"Job {handle.id} was submitted.")
            raise
    if not arguments.wait:
        return exits.OK
    return wait_for(desk, [handle])


def _spec(arguments: argparse.Namespace) -> Command:
    if arguments.external:
        return external_spec(arguments)
    command: Command = arguments.command
    return command if arguments.code is None else code_spec(arguments)


def _announce(desk: Desk, handle: JobHandle) -> None:
    if desk.printer.as_json:
        desk.printer.document(handle.wire)
        return
    desk.printer.line(handle.id)
    if desk.printer.is_terminal:
        name = words.plain(handle.wire["name"])
        desk.printer.hint(f"Submitted {name!r}. Its output: jupyter tasks logs -f {handle.id[:8]}")
