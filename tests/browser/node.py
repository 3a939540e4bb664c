"""Starts Node, the one that the tests' own environment has, with what runs in a page and needs none."""

import json
import subprocess
import sys
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any, Self

from tests.live_server import LiveServer

FRONT_END = Path(__file__).resolve().parents[2] / "labextension"
NODE = Path(sys.prefix, "bin", "node")

Told = dict[str, Any]


def node(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    command = [NODE, *arguments]
    return subprocess.run(
        command, cwd=FRONT_END, input=stdin, capture_output=True, text=True, check=False
    )


class Viewer:
    """A page's view of one job, without the page: ``labextension/tests/live.ts``."""

    def __init__(self, server: LiveServer, job: str, **bounds: int) -> None:
        """Look at the job; ``bounds`` are those of the view."""
        self.told: list[Told] = []
        command = [NODE, "tests/live.ts", server.url, server.token, job, json.dumps(bounds)]
        self._process = subprocess.Popen(
            command, cwd=FRONT_END, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: Queue[str] = Queue()
        self._reader = Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        """Look."""
        self.order("look")
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0
        self._reader.join()
        self._process.stdout.close()

    def order(self, words: str) -> None:
        """Let it do that."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{words}\n")
        self._process.stdin.flush()

    def until(self, *, within_s: float = 30.0, **fields: Any) -> Told:
        """What it sees first of which all these fields are true; also ``last`` line."""
        while True:
            try:
                told: Told = json.loads(self._lines.get(timeout=within_s))
            except Empty:
                seen = self.told[-1] if self.told else None
                raise AssertionError(f"Not within {within_s} s: {fields}; last: {seen}") from None
            told["last"] = told["lines"][-1] if told["lines"] else None
            self.told.append(told)
            if all(told[name] == value for name, value in fields.items()):
                return told

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
