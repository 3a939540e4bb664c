"""Which tasks the modules of this server have, without loading any of them here.

A short-lived process looks at them when somebody first asks, and again when their files have
changed. Code that raises, hangs or ends its process costs the tasks of its own module alone.
"""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from jupyter_tasks import stamps
from jupyter_tasks.tasks import Definition

_PACKAGE: Final = str(Path(__file__).parent.parent)
#: Our package goes to the end of the path: what else lies beside it must hide nothing.
_BEGIN: Final = f"import sys; sys.path.append({_PACKAGE!r}); from jupyter_tasks.tasks.finding import main; main()"
_MAX_BYTES: Final = 64 * 1024 * 1024
DEADLINE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What went wrong in a place; ``where``: file and line, where they are known."""

    place: str
    error: str
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The tasks by name, and what went wrong."""

    tasks: Mapping[str, Definition] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


class Discovery:
    """Finds the tasks of modules, files and entry points, and remembers them while these stay."""

    def __init__(
        self,
        places: Sequence[str],
        *,
        python: str = sys.executable,
        deadline_s: float = DEADLINE_S,
        log: logging.Logger,
    ) -> None:
        """Look at nothing yet. ``places``: names of modules, and paths of files (``….py``)."""
        self._places = [_absolute(place) for place in places]
        self._python = python
        self._deadline_s = deadline_s
        self._log = log
        self._lock = asyncio.Lock()
        self._found: Found | None = None
        self._stamps: dict[str, stamps.Stamp] = {}

    async def found(self) -> Found:
        """What there is; looks again where a file has changed since."""
        async with self._lock:
            if self._found is None or await asyncio.to_thread(stamps.have_changed, self._stamps):
                self._found = await asyncio.to_thread(self._look)
            return self._found

    async def refresh(self) -> Found:
        """Look again, whatever has changed."""
        async with self._lock:
            self._found = await asyncio.to_thread(self._look)
            return self._found

    def _look(self) -> Found:
        looked = _Looked()
        for _ in range(len(self._places) + 1000):  # (a bound that entry points do not reach)
            status = self._run(looked)
            if looked.begun is None:
                if status:
                    looked.note("tasks", f"{self._python} could not look for tasks{_how(status)}")
                break
            words = (
                f"took longer than {self._deadline_s:g} s to load"
                if status is None
                else f"ended the process that loads it{_how(status)}"
            )
            looked.give_up(words)
        self._stamps = stamps.taken({*looked.files, *filter(os.path.isabs, self._places)})
        for note in looked.notes:
            self._log.warning("Failed to load tasks of %s: %s", note.place, note.error)
        return Found(tasks=looked.tasks, notes=tuple(looked.notes))

    def _run(self, looked: "_Looked") -> int | None:
        """Let a process look at what is left; its exit status, None where it took too long."""
        asked = json.dumps({"places": self._places, "skip": looked.done}).encode()
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as told:
            given.write(asked)
            given.seek(0)
            try:
                process = subprocess.Popen(
                    [self._python, "-P", "-c", _BEGIN],
                    stdin=given,
                    stdout=told,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                looked.note("tasks", f"{self._python} cannot be started: {error.strerror}")
                looked.begun = None
                return 0
            status = self._waited(process)
            told.seek(0)
            looked.take(told.read(_MAX_BYTES).splitlines())
        return status

    def _waited(self, process: "subprocess.Popen[bytes]") -> int | None:
        try:
            status: int | None = process.wait(self._deadline_s)
        except subprocess.TimeoutExpired:
            status = None
        with suppress(ProcessLookupError):  # with what it has left behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return status


class _Looked:
    """What processes have told so far."""

    def __init__(self) -> None:
        self.tasks: dict[str, Definition] = {}
        self.notes: list[Note] = []
        self.files: set[str] = set()
        self.done: list[list[str]] = []
        self.begun: list[str] | None = None

    def take(self, lines: Iterable[bytes]) -> None:
        """Take note of what a process has told; what its code has printed in between is none."""
        for line in lines:
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                told: dict[str, Any] = json.loads(line)
                if "begin" in told:
                    self.begun = list(map(str, told["begin"]))
                elif list(told["place"]) == self.begun:
                    self._finish(told)

    def _finish(self, told: Mapping[str, Any]) -> None:
        assert self.begun is not None
        place = _shown(self.begun)
        self.files |= set(map(str, told["files"]))
        for note in told["notes"]:
            self.note(place, note["error"], note["where"])
        for one in msgspec.convert(told["tasks"], list[Definition]):
            known = self.tasks.setdefault(one.name, one)
            if known.place != one.place:
                self.note(place, f"`{one.name}` exists already: {known.place}; name it otherwise")
        self.done.append(self.begun)
        self.begun = None

    def give_up(self, words: str) -> None:
        """Leave out the place whose code was running."""
        assert self.begun is not None
        self.note(_shown(self.begun), words)
        self.done.append(self.begun)
        self.begun = None

    def note(self, place: str, error: str, where: str = "") -> None:
        """Take note of what went wrong."""
        self.notes.append(Note(place=place, error=error, where=where))


def _shown(place: Sequence[str]) -> str:
    _, where, name = place
    return f"{where}:{name}" if name else where


def _how(status: int | None) -> str:
    if not status:
        return ""
    return f" (signal {-status})" if status < 0 else f" (exit code {status})"


def _absolute(place: str) -> str:
    is_path = place.endswith(".py") or os.sep in place
    return str(Path(place).expanduser().absolute()) if is_path else place
