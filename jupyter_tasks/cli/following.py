"""Following jobs until they end: their output, or how they come on. Ctrl-C stops the following alone."""

import base64
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from jupyter_tasks import words
from jupyter_tasks.cli import exits
from jupyter_tasks.cli.board import Board
from jupyter_tasks.cli.desk import Desk
from jupyter_tasks.client import JobHandle
from jupyter_tasks.client.calls import FilterOptions
from jupyter_tasks.client.streams import Piece
from jupyter_tasks.errors import NoSuchThing
from jupyter_tasks.model import ENDED, State
from jupyter_tasks.records import printed

_FIRST_TAIL_BYTES = 64 * 1024


def follow_output(
    desk: Desk,
    handle: JobHandle,
    *,
    stream: str = "all",
    cursor: str | None = None,
    attempt: int | None = None,
) -> int:
    """Print the output until the job ends."""
    breaks = _Breaks()
    try:
        for piece in handle.records(follow=True, cursor=cursor, attempt=attempt):
            with breaks.held():
                print_piece(desk, piece, stream)
                cursor = piece.cursor
    except KeyboardInterrupt:
        desk.printer.hint(_farewell(handle, f"logs -f {handle.id[:8]}", cursor))
        return exits.INTERRUPTED
    return exits.OK


class _Breaks:
    """Ctrl-C, held back while a piece is printed and noted: else it would be lost, or come twice.

    A second one breaks at once: whoever reads what we print may have stopped.
    """

    def __init__(self) -> None:
        """Listen for it from now on, where Python does."""
        self._is_held = self._came = False
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._hear)

    @contextmanager
    def held(self) -> Iterator[None]:
        """While this goes on; raises KeyboardInterrupt behind it."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._came:
            raise KeyboardInterrupt

    def _hear(self, *_: object) -> None:
        if self._came or not self._is_held:
            raise KeyboardInterrupt
        self._came = True


def print_piece(desk: Desk, piece: Piece, stream: str = "all") -> None:
    """Print a record: the program's own bytes, or the whole record as JSON."""
    text = _text(piece)
    if text is not None and stream not in ("all", text[0]):
        return
    if desk.printer.as_json:
        desk.printer.document(record_json(piece))
    elif text is not None:
        desk.printer.raw(*text)
    elif told := _loss(piece):
        desk.printer.hint(told)


def _text(piece: Piece) -> tuple[str, bytes] | None:
    return printed(piece.record.header["k"], piece.record.payload)


def _loss(piece: Piece) -> str:
    """What was lost here, and how much; nothing for any other record."""
    header = piece.record.header
    if header.get("code") == "output_lost":
        return f"[before {piece.cursor}: {(piece.record.payload or b'').decode()}]"
    if header["k"] != "gap":
        return ""
    start, end = (int(header[name].partition(".")[2]) for name in ("from", "to"))
    return (
        f"[{end - start} bytes from {header['from']} to {header['to']} were thrown away: "
        "more was printed than --max-output keeps]"
    )


def record_json(piece: Piece) -> dict[str, Any]:
    """A record as the wire's JSON format has it."""
    fields = {name: value for name, value in piece.record.header.items() if name != "n"}
    if piece.record.payload is not None:
        fields |= _payload(piece.record.payload)
    return fields | {"cursor": piece.cursor}


def last_lines(pieces: list[Piece], lines: int, stream: str = "all") -> list[Piece]:
    """The pieces with the last lines of what was printed, the first of them cut."""
    kinds = ("out", "err") if stream == "all" else (stream,)
    kept: list[Piece] = []
    left, is_begun = lines, False
    for piece in reversed(pieces):
        kind, payload = _text(piece) or ("", b"")
        if kind not in kinds or not payload:
            kept += [piece] if _loss(piece) else []
            continue
        # The newline at the very end ends a line; it begins none.
        left += not is_begun and payload.endswith(b"\n")
        is_begun = True
        newlines = payload.count(b"\n")
        if newlines >= left:
            if last := _cut(payload, left):
                header = {**piece.record.header, "k": kind}
                cut = piece.record._replace(header=header, payload=last)
                kept.append(Piece(record=cut, cursor=piece.cursor))
            break
        left -= newlines
        kept.append(piece)
    return kept[::-1]


def tail_pieces(
    handle: JobHandle, lines: int, attempt: int | None, stream: str = "all"
) -> list[Piece]:
    """So much of the output's end that it holds the lines, or all of it."""
    size = _FIRST_TAIL_BYTES
    while True:
        pieces = [*handle.records(tail=size, attempt=attempt)]
        wanted = [piece for piece in pieces if stream in ("all", piece.record.header["k"])]
        found = sum((piece.record.payload or b"").count(b"\n") for piece in wanted)
        end = int(pieces[-1].cursor.partition(".")[2]) if pieces else 0
        if found > lines or size >= end:
            return pieces
        size *= 8


def wait_for(desk: Desk, handles: list[JobHandle], timeout_s: float | None = None) -> int:
    """Wait for the end of these jobs, showing how they come on; the first bad exit code."""
    ids = [handle.id for handle in handles]
    board = Board()
    try:
        with _view(desk, board) as view:
            for _ in keep_up(desk, board, {"ids": ids}, timeout_s):
                view.refresh()
                if board.has_ended:
                    break
    except KeyboardInterrupt:
        desk.printer.hint(_farewell(handles[0], f"wait {' '.join(job[:8] for job in ids)}"))
        return exits.INTERRUPTED
    return _result(desk, [board.jobs[job_id] for job_id in ids if job_id in board.jobs])


def keep_up(
    desk: Desk, board: Board, wanted: FilterOptions, timeout_s: float | None = None
) -> Iterator[None]:
    """Keep the board up to date, each time that something has happened; with ids: those alone."""
    ids = [*wanted.get("ids", ())]
    at_first: FilterOptions = wanted if ids else {"states": _OPEN, **wanted}
    for event in desk.client.watch(timeout_s=timeout_s, **wanted):
        if board.apply(event):
            board.put([handle.wire for handle in desk.client.jobs(**at_first)])
        if missing := [job_id for job_id in ids if job_id not in board.jobs]:
            raise NoSuchThing(f"Job {missing[0]} has been deleted.", job=missing[0])
        yield


_OPEN: Final = [str(state) for state in State if state not in ENDED]


class _NoView:
    """Shows nothing."""

    def refresh(self) -> None:
        """Show nothing."""


def _view(desk: Desk, board: Board) -> Any:
    if not desk.printer.is_terminal:
        return nullcontext(_NoView())
    from jupyter_tasks.cli import screen  # noqa: PLC0415 - rich is for terminals alone

    return screen.live_view(board, ascii_only=desk.printer.ascii_only, to_stderr=True)


def _result(desk: Desk, jobs: list[dict[str, Any]]) -> int:
    late = [job for job in jobs if not _is_over(job)]
    for job in jobs:
        if desk.printer.as_json:
            desk.printer.document(job)
        elif not desk.printer.is_terminal:
            desk.printer.hint(f"{job['id']} {words.state(job)}")
        tell_failure(desk, job)
    for job in late:
        told = {"job": job["id"], "state": job["state"]}
        desk.printer.error("timeout", f"Job {job['id']} is still {job['state']}; it goes on.", told)
    if late:
        return exits.OTHER
    return next((code for job in jobs if (code := exits.of_job(job))), exits.OK)


def tell_failure(desk: Desk, job: Mapping[str, Any]) -> None:
    """Say what kept a job from starting, or else went wrong; its own words are in its output."""
    if job["state"] in (State.FAILED, State.LOST) and job["message"] and not desk.printer.as_json:
        desk.printer.hint(f"Job {job['id'][:8]} {words.state(job)}: {words.plain(job['message'])}")


def _is_over(job: dict[str, Any]) -> bool:
    return job["state"] in ENDED


def _farewell(handle: JobHandle, again: str, cursor: str | None = None) -> str:
    at = f" --cursor {cursor}" if cursor else ""
    return (
        f"\nStopped following; the job goes on.\n"
        f"  go on:   jupyter tasks {again}{at}\n"
        f"  cancel:  jupyter tasks cancel {handle.id[:8]}"
    )


def _payload(payload: bytes) -> dict[str, str]:
    try:
        return {"text": payload.decode()}
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(payload).decode()}


def _cut(payload: bytes, newlines: int) -> bytes:
    """What stands after the so-many-th newline from the end."""
    at = len(payload)
    for _ in range(newlines):
        at = payload.rindex(b"\n", 0, at)
    return payload[at + 1 :]
