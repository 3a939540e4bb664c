"""Runs a notebook in a fresh kernel, cell by cell, and writes the output notebook as it goes on."""

import json
import time
from typing import Any

from jupyter_tasks import attempt
from jupyter_tasks.runners.base import CannotStart, Message, Stage, Started, Timer
from jupyter_tasks.runners.document import Cell, Document, stamp, tags_of
from jupyter_tasks.runners.endings import code_end, is_success, raised
from jupyter_tasks.runners.kernel import KernelRunner
from jupyter_tasks.runners.widgets import WidgetStates
from jupyter_tasks.runners.wire import Received

#: While a cell prints, the file is written so often.
_WRITE_EVERY_S = 2.0
#: Where writing takes long (a large notebook), it has at most a tenth of the time.
_REST = 9
_MAX_FIRST_LINE = 100
_KEEP_BYTES = 64 * 1024 * 1024
_DONE: Message = {"outcome": "exited", "exit_code": 0, "signal": None, "message": ""}
#: What is said of a cell that we have ended, by what made us do it.
_STOPPED = {
    "cancel": ("Cancelled", "The job was cancelled"),
    "timeout": ("Timeout", "The job ran longer than it may (timeout_s)"),
    "memory": (
        "OutOfMemory",
        "The kernel ran out of memory: the job may use no more (memory_bytes)",
    ),
}


class NotebookRunner(KernelRunner):
    """One kernel, one cell after another (base.Runner)."""

    def __init__(self, spec: Message, stage: Stage) -> None:
        """Start nothing yet."""
        super().__init__(spec, stage)
        self._document: Document
        self._file: OutputFile
        self._of_request: dict[str, Cell] = {}
        self._widgets = WidgetStates()
        self._cell: Cell | None = None
        self._is_running = False
        self._is_stopping = False
        self._end: Message | None = None

    @property
    def _where(self) -> str:
        """The cell, as people count: ``cell 3 of 7 (fit the model)``."""
        assert self._cell is not None
        line = self._cell.first_line
        line = line if len(line) <= _MAX_FIRST_LINE else f"{line[:_MAX_FIRST_LINE]}…"
        return f"cell {self._cell.number} of {len(self._document.cells)} ({line})"

    def start(self, told: dict[str, str], umask: int) -> Started:
        """Write the output notebook as it is before the first cell; raises CannotStart."""
        self._document = Document(
            _read(self._stage.directory),
            injected=self._spec.get("parameters_source"),
            max_bytes=int(self._spec.get("max_output_bytes") or _KEEP_BYTES),
        )
        self._tell_about_us(told[attempt.MARK])
        self._file = OutputFile(
            self._document, self._widgets, self._spec, self._stage, 0o666 & ~umask
        )
        self._file.begin()
        try:
            return super().start(told, umask)
        except CannotStart as error:
            self._conclude(raised(str(error)))
            raise

    def prints(self, kind: str, data: bytes | bytearray, size: int) -> bool:
        """What cells' child processes print belongs to the cell, too."""
        is_output = super().prints(kind, data, size)
        if is_output and self._cell is not None:
            self._document.print(self._cell, kind, bytes(data[:size]))
            self._file.changed()
        return is_output

    def leave(self) -> bool:
        """Interrupt the cell; none comes after it."""
        self._is_stopping = True
        return super().leave()

    def close(self) -> None:
        """Let go of everything."""
        super().close()
        if hasattr(self, "_file"):
            self._file.close()

    # -- one cell after another -----------------------------------------------------------------------

    def _next(self) -> None:
        self._end_cell()
        done = 0 if self._cell is None else self._cell.number
        cells = self._document.cells
        if self._end is None and not self._is_stopping and done < len(cells):
            self._begin_cell(cells[done])
            return
        if self._end is None and not self._is_stopping:
            self._end = _DONE
            if done:
                self._stage.progress({"value": done, "total": done, "message": ""})
        self._dismiss()

    def _begin_cell(self, cell: Cell) -> None:
        self._cell, self._is_running = cell, True
        self._tell_progress(cell)
        self._run(cell.source)
        self._of_request[self._request] = cell

    def _tell_progress(self, cell: Cell) -> None:
        """How many are done, so that pace and time left are right; and which one runs."""
        total = len(self._document.cells)
        line = cell.first_line[:_MAX_FIRST_LINE]
        message = f"cell {cell.number} of {total}: {line}"
        self._stage.progress({"value": cell.number - 1, "total": total, "message": message})

    def _end_cell(self) -> None:
        """What it has printed is kept, and what its answer means for the rest."""
        if not self._is_running or self._cell is None or self._reply is None:
            return
        self._stage.drain()  # said before it answered, so it is there
        self._is_running = False
        self._count(self._cell, self._reply)
        self._end = self._end_after(self._reply)
        self._file.cell_ended()

    def _end_after(self, reply: Message) -> Message | None:
        """How the notebook ends with this answer; None where it goes on."""
        assert self._cell is not None
        end = code_end(reply)
        if is_success(end):
            has_left = reply.get("status") != "ok" or _asks_exit(reply)
            return _DONE if has_left else None
        if end["outcome"] != "raised":
            return end | {"message": f"{self._where_cap()}: {end['message'] or 'sys.exit'}"}
        if self._spec.get("allow_errors") or "raises-exception" in tags_of(self._cell.content):
            return None
        return raised(f"{self._where_cap()}: {end['message']}")

    def _where_cap(self) -> str:
        return self._where[:1].upper() + self._where[1:]

    def _count(self, cell: Cell, content: Message) -> None:
        if isinstance(content.get("execution_count"), int):
            cell.content["execution_count"] = content["execution_count"]
            self._document.touch(cell)

    # -- what it puts out -----------------------------------------------------------------------------

    def _answered(self, message: Received) -> None:
        super()._answered(message)
        if message.kind == "kernel_info_reply" and "language_info" in message.content:
            self._document.metadata["language_info"] = message.content["language_info"]
        if message.kind == "execute_reply":
            self._stamp(message, "shell.execute_reply")

    def _published(self, message: Received) -> None:
        super()._published(message)
        if message.kind in ("comm_open", "comm_msg"):
            if self._widgets.heard(message.content, message.buffers):
                self._file.changed()
        elif message.kind == "status":
            self._stamp(message, f"iopub.status.{message.content.get('execution_state')}")
        elif message.kind == "execute_input":
            self._stamp(message, "iopub.execute_input")
            if (cell := self._of_request.get(message.parent)) is not None:
                self._count(cell, message.content)

    def _stamp(self, message: Received, what: str) -> None:
        """Note when it came, as JupyterLab does."""
        cell = self._of_request.get(message.parent)
        if cell is not None:
            cell.content["metadata"].setdefault("execution", {})[what] = stamp()
            self._document.touch(cell)

    def _cell_of(self, message: Received) -> Cell | None:
        """Whose output it is: a thread may go on when another cell runs."""
        return self._of_request.get(message.parent, self._cell)

    def _streamed(self, message: Received) -> None:
        super()._streamed(message)
        if (cell := self._cell_of(message)) is not None:
            kind = "err" if message.content.get("name") == "stderr" else "out"
            text = str(message.content.get("text", "")).encode("utf-8", "replace")
            self._document.print(cell, kind, text)
            self._file.changed()

    def _show(self, kind: str, output_type: str, message: Received) -> tuple[Message, int]:
        output, size = super()._show(kind, output_type, message)
        cell = self._cell_of(message)
        display_id = (message.content.get("transient") or {}).get("display_id")
        if kind == "update":
            self._document.update(str(display_id), output)
        elif cell is not None:
            shown = None if display_id is None else str(display_id)
            self._document.show(cell, output, size, shown)
        self._file.changed()
        return output, size

    def _clear(self, message: Received) -> None:
        super()._clear(message)
        if (cell := self._cell_of(message)) is not None:
            self._document.clear(cell, wait=bool(message.content.get("wait")))
            self._file.changed()

    def _doing(self) -> str:
        return f"ran {self._where}" if self._cell else super()._doing()

    # -- the end --------------------------------------------------------------------------------------

    def _ended(self, status: int | None) -> Message:
        if self._reply is not None:
            self._end_cell()
        cells = self._document.cells
        is_over = self._end is not None or (
            not self._is_running and self._cell is not None and self._cell.number == len(cells)
        )
        end = (self._end or _DONE) if is_over else self._death(status)
        if (cause := self._stage.stopped_by()) in _STOPPED:
            end = end | {"where": self._stopped_words(cause)}
        return self._conclude(end)

    def _stopped_words(self, cause: str) -> str:
        is_within = self._is_running or (self._end is not None and self._end is not _DONE)
        where = f", in {self._where}" if is_within and self._cell else ""
        return f"{_STOPPED[cause][1]}{where}."

    def _conclude(self, end: Message) -> Message:
        """Write the notebook for the last time; that it could not be written is told."""
        cause = self._stage.stopped_by()
        words = end.get("where") or end["message"]
        if self._cell is not None and self._is_running:
            name = _STOPPED[cause][0] if cause in _STOPPED else "DeadKernel"
            error = {"output_type": "error", "ename": name, "evalue": words, "traceback": [words]}
            self._document.show(self._cell, error, 0, None)
        has_succeeded = is_success(end) and not cause
        state = "succeeded" if has_succeeded else "cancelled" if cause == "cancel" else "failed"
        ours = self._document.metadata["jupyter_tasks"]
        ours.update(state=state, message=words, ended_at=stamp())
        trouble = self._file.finish()
        return raised(trouble) if trouble and has_succeeded else end

    def _tell_about_us(self, mark: str) -> None:
        """What the output notebook says of how it came about."""
        job, _, number = mark.partition("/")
        metadata = self._document.metadata
        metadata["jupyter_tasks"] = {
            "job": job,
            "attempt": int(number),
            "input": self._spec["path"],
            "parameters": self._spec.get("parameters") or {},
            "state": "running",
            "message": "",
            "started_at": stamp(),
        }
        metadata.pop("widgets", None)
        kernel = self._kernel
        if (metadata.get("kernelspec") or {}).get("name") != kernel["name"]:
            metadata.pop("language_info", None)  # that of another kernel
        metadata["kernelspec"] = {
            "name": kernel["name"],
            "display_name": kernel.get("display_name") or kernel["name"],
            "language": kernel.get("language", ""),
        }


class OutputFile:
    """Where the document is written, and how often."""

    def __init__(
        self, document: Document, widgets: WidgetStates, spec: Message, stage: Stage, mode: int
    ) -> None:
        """Write nothing yet. ``mode``: of the file."""
        self._document = document
        self._widgets = widgets
        self._path = str(spec["output_path"])
        job = stage.directory.rstrip("/").split("/")[-2]
        self._part = f".{job}.ipynb.part"
        self._stage = stage
        self._mode = mode
        self._timer: Timer | None = None
        self._due = 0.0
        self._took_s = 0.0
        self._ended_at = 0.0
        self._has_complained = False

    def begin(self) -> None:
        """Write it for the first time; raises CannotStart."""
        if trouble := self._write(is_last=False):
            raise CannotStart(trouble)

    def changed(self) -> None:
        """Something has come: write it in some seconds."""
        self._write_after(_WRITE_EVERY_S)

    def cell_ended(self) -> None:
        """Write it now, where that is not too much."""
        self._write_after(0.0)

    def finish(self) -> str:
        """Write it for the last time; what has kept us from it, in words, "" where it is there."""
        self.close()
        return self._write(is_last=True)

    def close(self) -> None:
        """Write no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write_after(self, every_s: float) -> None:
        now = time.monotonic()
        due = max(now, self._ended_at + max(every_s, _REST * self._took_s))
        if self._timer is not None and self._due <= due:
            return
        self.close()
        if due <= now:
            self._write_now()
            return
        self._due = due
        self._timer = self._stage.loop.after(due - now, self._write_now)

    def _write_now(self) -> None:
        self._timer = None
        trouble = self._write(is_last=False)
        if trouble and not self._has_complained:
            self._has_complained = True
            words = f"{trouble} It is tried again."
            self._stage.record(
                "note", words.encode("utf-8", "replace"), code="notebook_not_written"
            )

    def _write(self, *, is_last: bool) -> str:
        begun_at = time.monotonic()
        self._document.metadata.update(self._widgets.metadata())
        try:
            self._document.write(self._path, self._part, self._mode, is_last=is_last)
        except OSError as error:
            return f"The output notebook {self._path} cannot be written: {error.strerror}."
        finally:
            self._ended_at = time.monotonic()
            self._took_s = self._ended_at - begun_at
        return ""


def _read(directory: str) -> Message:
    """The notebook as it was; raises CannotStart."""
    try:
        with open(f"{directory}/{attempt.NOTEBOOK_FILE}", "rb") as file:
            notebook: Any = json.loads(file.read())
    except (OSError, ValueError, RecursionError) as error:
        raise CannotStart(f"The notebook cannot be read: {error}.") from None
    notebook.setdefault("metadata", {})
    return dict(notebook)


def _asks_exit(reply: Message) -> bool:
    """Whether the code has called ``exit()``, with which an IPython kernel leaves."""
    payload = reply.get("payload")
    return isinstance(payload, list) and any(
        isinstance(one, dict) and one.get("source") == "ask_exit" for one in payload
    )
