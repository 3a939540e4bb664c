"""``logs``, ``watch`` and ``wait``: what goes on until somebody stops it, or a job ends."""

import argparse

from jupyter_tasks import words
from jupyter_tasks.cli import exits
from jupyter_tasks.cli.board import Board
from jupyter_tasks.cli.desk import Desk, filter_options
from jupyter_tasks.cli.following import (
    follow_output,
    keep_up,
    last_lines,
    print_piece,
    tail_pieces,
    wait_for,
)
from jupyter_tasks.client import JobEvent
from jupyter_tasks.client.calls import FilterOptions


def logs(arguments: argparse.Namespace, desk: Desk) -> int:
    """Print a job's output, so far or until it ends."""
    handle = desk.client.job(arguments.id)
    cursor, attempt = arguments.cursor, arguments.attempt
    if arguments.tail:
        pieces = tail_pieces(handle, arguments.tail, attempt, arguments.stream)
        cursor = pieces[-1].cursor if pieces else cursor
        for piece in last_lines(pieces, arguments.tail, arguments.stream):
            print_piece(desk, piece)
        if not arguments.follow:
            return exits.OK
    if arguments.follow:
        return follow_output(desk, handle, stream=arguments.stream, cursor=cursor, attempt=attempt)
    for piece in handle.records(cursor=cursor, attempt=attempt):
        print_piece(desk, piece, arguments.stream)
    return exits.OK


def watch(arguments: argparse.Namespace, desk: Desk) -> int:
    """Show running and waiting jobs until somebody stops it."""
    wanted = filter_options(arguments)
    try:
        if desk.printer.is_terminal:
            _watch_live(desk, wanted)
        else:
            for event in desk.client.watch(**wanted):
                _print_event(desk, event)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return exits.OK


def wait(arguments: argparse.Namespace, desk: Desk) -> int:
    """Wait for the end of jobs; the exit code of the first that went wrong."""
    return wait_for(desk, desk.handles(arguments.ids), arguments.timeout)


def _watch_live(desk: Desk, wanted: FilterOptions) -> None:
    from jupyter_tasks.cli import screen  # noqa: PLC0415 - rich is for terminals alone

    board = Board()
    with screen.live_view(board, ascii_only=desk.printer.ascii_only) as view:
        for _ in keep_up(desk, board, wanted):
            view.refresh()


def _print_event(desk: Desk, event: JobEvent) -> None:
    if desk.printer.as_json:
        told = {name: getattr(event, name) for name in JobEvent.__slots__}
        desk.printer.document({name: value for name, value in told.items() if value is not None})
    elif event.job is not None:
        job = event.job
        desk.printer.line(f"{job['id']}  {words.state(job)}  {words.plain(job['name'])}")
    elif event.progress is not None:
        desk.printer.line(f"{event.job_id}  {words.progress({'progress': event.progress})}")
