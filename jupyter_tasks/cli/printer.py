"""Where a command's words go: people or programs, a terminal or a pipe. Standard output is for results.

With ``--json`` a result is one document, or one a line where there may be many; and whatever is told
on standard error is a document in a line, too: an error (``code``, ``message``, ``details``) or a ``hint``.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from jupyter_tasks import words
from jupyter_tasks.cli import tables


class OutputFailed(Exception):
    """What should be printed cannot be written: a full disk, a terminal that has gone."""

    def __init__(self, where: str, error: OSError) -> None:
        """Say where, and why."""
        super().__init__(f"{where} cannot be written: {error.strerror or error}.")


class Printer:
    """Prints results to standard output, everything else to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        """Find out who reads."""
        self.as_json = as_json
        self.is_terminal = sys.stdout.isatty() and not as_json and os.environ.get("TERM") != "dumb"
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        self.ascii_only = not encoding.lower().startswith("utf")

    @property
    def now(self) -> float:
        """The time to which ages are told."""
        return time.time()

    def document(self, value: Any) -> None:
        """Print a result as JSON in a line."""
        self._result(json.dumps(value, ensure_ascii=False))

    def line(self, text: str) -> None:
        """Print a result for people."""
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        safe = text.encode(encoding, "replace").decode(encoding)
        self._result(safe)

    def hint(self, text: str) -> None:
        """Tell something that is no result."""
        self._tell(json.dumps({"hint": text.strip()}, ensure_ascii=False) if self.as_json else text)

    def error(self, code: str, message: str, details: Mapping[str, Any]) -> None:
        """Tell what went wrong."""
        told = {"code": code, "message": message, "details": details}
        self._tell(json.dumps(told, ensure_ascii=False) if self.as_json else words.plain(message))

    def _tell(self, text: str) -> None:
        # Where not even this can be said, the exit code is all that is left.
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - what it is for

    def _result(self, text: str) -> None:
        with _written("Standard output"):
            print(text, flush=True)  # noqa: T201 - what it is for

    def jobs(self, jobs: Iterable[Mapping[str, Any]]) -> None:
        """Print jobs: a line of JSON each, or a table."""
        if self.as_json:
            for job in jobs:
                self.document(job)
        elif self.is_terminal:
            from jupyter_tasks.cli import screen  # noqa: PLC0415 - rich is for terminals alone

            told = [*jobs]
            with _written("Standard output"):
                screen.print_jobs(told, self.now, ascii_only=self.ascii_only)
        else:
            rows = [tables.job_row(job, self.now) for job in jobs]
            self.line(tables.table(tables.JOB_COLUMNS, rows))

    def job(self, job: Mapping[str, Any]) -> None:
        """Print all about one job."""
        self.facts(job, tables.job_facts(job, self.now))

    def facts(self, value: Any, facts: Sequence[tuple[str, str]]) -> None:
        """Print a value as JSON, or as names and values."""
        if self.as_json:
            self.document(value)
        else:
            self.line(tables.card(facts))

    def raw(self, stream: str, data: bytes) -> None:
        """Print a program's exact bytes to the stream where it wrote them."""
        is_error = stream == "err"
        target: BinaryIO = sys.stderr.buffer if is_error else sys.stdout.buffer
        with _written("Standard error" if is_error else "Standard output"):
            target.write(data)
            target.flush()


@contextmanager
def _written(where: str) -> Iterator[None]:
    """Raises OutputFailed where the system refuses to write; BrokenPipeError goes its way."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(where, error) from None
