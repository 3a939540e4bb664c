"""Runs the program of a command task, and tells its progress as the rule finds it."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from jupyter_tasks.tasks.commands import MAX_LINE, told_by

_PIECE_BYTES: Final = 64 * 1024


def run_command(command: Sequence[str], progress: str | None = None) -> Iterator[Any]:
    """Run it to its end, in this process group; yields progress. Leaves with its code if not 0.

    With a rule its output goes through here, line by line or as it comes; without, straight on.
    """
    pipe = None if progress is None else subprocess.PIPE
    with subprocess.Popen(list(command), stdout=pipe) as process:
        if process.stdout is not None and progress is not None:
            yield from _listened(process.stdout, re.compile(progress))
    if process.returncode:
        # A signal's number as shells tell it.
        sys.exit(process.returncode if process.returncode > 0 else 128 - process.returncode)


def _listened(output: Any, rule: re.Pattern[str]) -> Iterator[Any]:
    """Hand the output on as it comes; what the last line says of progress is told."""
    out, rest = sys.stdout.buffer, b""
    while piece := output.read1(_PIECE_BYTES):
        out.write(piece)
        out.flush()
        *lines, rest = re.split(rb"[\r\n]", rest + piece)
        rest = rest[-MAX_LINE:]
        told = [told_by(rule, line.decode("utf-8", "replace")) for line in lines]
        known = [one for one in told if one is not None]
        if known:
            yield known[-1]
    if (last := told_by(rule, rest.decode("utf-8", "replace"))) is not None:
        yield last
