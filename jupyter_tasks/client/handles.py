"""A job in the hands of a client: what is known of it, and what can be asked about it.

Both handles have the same methods; those of AsyncJobHandle are awaited. Their fields are those of
``model.Job`` as they were last seen; ``refresh()`` and every other answer renew them.
"""

from collections.abc import AsyncIterator, Iterator
from itertools import chain
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile
from typing import Any, Literal, Self, Unpack

from jupyter_tasks.client import calls, carrying, plots, streams
from jupyter_tasks.client.calls import Command, JobOptions, Preview, ReportOptions, Wire
from jupyter_tasks.client.shells import AsyncShell, Shell
from jupyter_tasks.client.signatures import spelled_out
from jupyter_tasks.client.streams import Piece, Place
from jupyter_tasks.model import SPECS, Attempt, Job
from jupyter_tasks.records import Record, printed


class _Known:
    """What is known of a job: the fields of ``model.Job`` as attributes."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    @property
    def wire(self) -> Wire:
        """The job as the wire has it."""
        return self._wire

    @wire.setter
    def wire(self, wire: Wire) -> None:
        self._wire = wire
        self._job: Job | None = None

    @property
    def id(self) -> str:
        """The job's id."""
        job_id: str = self._wire["id"]
        return job_id

    @property
    def job(self) -> Job:
        """The job as it was last seen."""
        if self._job is None:
            self._job = job_from(self._wire)
        return self._job

    def __getattr__(self, name: str) -> Any:
        """A field of the job."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.job, name)

    def __dir__(self) -> list[str]:
        """Complete the job's fields, too."""
        return [*super().__dir__(), *Job.__dataclass_fields__, "has_ended", "kind"]

    def __repr__(self) -> str:
        """The job in a line."""
        wire = self._wire
        return f"<{type(self).__name__} {self.id} {wire['name']!r} {wire['state']}>"

    def _changes(self, command: Command | None, options: JobOptions) -> Wire:
        """The body of an edit."""
        changes: Wire = {"version": self._wire["version"]}
        if command is None and not set(options) & set(calls.OF_THE_SPEC):
            request = calls.job_request({}, options, keep_none=True)
            del request["spec"]
        else:
            spec = self._wire["spec"]
            request = calls.job_request(
                spec if command is None else command, options, keep_none=True
            )
            request["spec"] = {**spec, **request["spec"]}
        return changes | request


class JobHandle(_Known):
    """A job of a Client's server. Fields such as ``state``, ``progress``, ``exit_code`` are as last seen."""

    def __init__(self, shell: Shell, wire: Wire) -> None:
        """Made by a Client's methods."""
        super().__init__(wire)
        self._shell = shell

    @property
    def server(self) -> tuple[str | None, str | None]:
        """URL and token of its client, where somebody named them: for another client of the same."""
        return self._shell.named

    def refresh(self) -> Self:
        """Ask how the job is now."""
        self.wire = self._shell.run(calls.get(self._shell.session, self.id))
        return self

    def wait(self, timeout_s: float | None = None) -> Self:
        """Return when the job has ended; raises TimeoutError where it has not by then (it goes on)."""
        self.wire = self._shell.run(streams.wait(self._shell.session, self.id, timeout_s))
        return self

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait for its end; then the value that it was asked for, or a tuple of them (``outputs``).

        Of a function it is what it has returned. Raises TimeoutError, and NoResult where it did not
        succeed; of a function CallFailed, with its traceback. Reading the values runs what code
        they bring along: that of the job.
        """
        carrying.must_be_asked(self.wire)
        self.wait(timeout_s)
        self._shell.run(carrying.must_have_returned(self._shell.session, self.wire))
        with TemporaryFile() as file:
            file.writelines(self._shell.iterate(carrying.download(self._shell.session, self.id)))
            return carrying.opened(file, self.wire)

    def cancel(self, reason: str | None = None) -> Self:
        """Ask for the job's end: by the ladder; a second time: at once."""
        return self._change("cancel", {"reason": reason} if reason else None)

    def pause(self) -> Self:
        """Let the job stand still, or wait."""
        return self._change("pause")

    def resume(self) -> Self:
        """Let a paused job go on."""
        return self._change("resume")

    def restart(self) -> Self:
        """Make another attempt of a job that has ended."""
        return self._change("restart")

    def run(self) -> Self:
        """Start a waiting job now, whatever the line."""
        return self._change("run")

    @spelled_out
    def edit(self, command: Command | None = None, **options: Unpack[JobOptions]) -> Self:
        """Change a waiting job; raises StaleVersion where it has changed since it was last seen."""
        changes = self._changes(command, options)
        self.wire = self._shell.run(calls.edit(self._shell.session, self.id, changes))
        return self

    @spelled_out
    def report(self, *, idempotency_key: str | None = None, **said: Unpack[ReportOptions]) -> Wire:
        """Say how the job's program is, which runs elsewhere (kind ``external``).

        What is said is on disk when this returns, once, whatever becomes of the answer. The answer
        tells what the program should do: ``{"cancel", "pause", "state", "lease_s", …}``. Raises
        Conflict where the job has ended.
        """
        key = token_hex(16) if idempotency_key is None else idempotency_key
        body = calls.report_body(said)
        return self._shell.run(calls.report(self._shell.session, self.id, body, key))

    def delete(self) -> None:
        """Delete the job, which has ended, and its output."""
        self._shell.run(calls.delete(self._shell.session, self.id))

    def explain(self) -> Wire:
        """Why the job is as it is: {"state", "reason", "message", "position", …}."""
        told: Wire = self._read("explain")
        return told

    def attempts(self) -> list[Attempt]:
        """Every attempt, the oldest first."""
        return [attempt_from(wire) for wire in self._read("attempts")["attempts"]]

    def viewers(self) -> int:
        """How many live views of the job the server feeds at the moment."""
        count: int = self._read("viewers")["viewers"]
        return count

    def artifacts(self) -> list[Wire]:
        """The files that the newest attempt left: {"path", "href", "size_bytes", "media_type", …}."""
        files: list[Wire] = self._read("artifacts")["artifacts"]
        return files

    def download(self, file: str | Wire, to: str | Path | None = None) -> bytes | Path:
        """The bytes of an artifact, a path or one of ``artifacts()``; ``to``: written there instead."""
        chunks = self._shell.iterate(calls.artifact(self._shell.session, self.id, file))
        if to is None:
            return b"".join(chunks)
        # What is there already is not touched for a file that turns out not to be had.
        first = next(chunks, b"")
        with Path(to).open("wb") as target:
            target.writelines(chain([first], chunks))
        return Path(to)

    def preview(self, file: str | Wire) -> Preview:
        """What of an artifact can be shown as it is; raises NoPreview where that is nothing."""
        return self._shell.run(calls.preview(self._shell.session, self.id, file))

    def archive(self, to: str | Path, form: Literal["zip", "tar"] = "zip") -> Path:
        """Write all artifacts of the newest attempt into one file ``to``."""
        chunks = self._shell.iterate(calls.archive(self._shell.session, self.id, form))
        first = next(chunks, b"")  # as above
        with Path(to).open("wb") as target:
            target.writelines(chain([first], chunks))
        return Path(to)

    def output(
        self, stream: str = "all", *, attempt: int | None = None, tail: int | None = None
    ) -> bytes:
        """What the program has printed so far; ``tail``: about so many of the last bytes."""
        session = self._shell.session
        return self._shell.run(calls.output(session, self.id, stream, attempt, tail))

    def logs(
        self,
        *,
        follow: bool = False,
        tail: int | None = None,
        attempt: int | None = None,
        cursor: str | None = None,
    ) -> Iterator[tuple[str, bytes]]:
        """What the program has printed, as ("out" or "err", bytes); ``follow``: until the job ends."""
        for piece in self.records(follow=follow, tail=tail, attempt=attempt, cursor=cursor):
            if printed := _printed(piece.record):
                yield printed

    def records(
        self,
        *,
        follow: bool = False,
        tail: int | None = None,
        attempt: int | None = None,
        cursor: str | None = None,
    ) -> Iterator[Piece]:
        """Every record of the output, with the cursor to go on from."""
        place = Place.at(follow=follow, tail=tail, attempt=attempt, cursor=cursor)
        return self._shell.iterate(streams.follow(self._shell.session, self.id, place))

    def plot_usage(self, ax: Any = None, *, attempt: int | None = None) -> Any:
        """Draw memory and CPUs in use over the time of an attempt, by matplotlib; returns the axes.

        Raises NoResult where nothing was sampled, and BadValue where matplotlib is not installed.
        """
        pieces = self.records(attempt=attempt)
        return plots.usage(self.wire, (piece.record for piece in pieces), ax)

    def _change(self, verb: calls.Verb, body: Wire | None = None) -> Self:
        self.wire = self._shell.run(calls.change(self._shell.session, self.id, verb, body))
        return self

    def _read(self, part: str) -> Any:
        path = calls.of_job(self.id, part)
        return self._shell.run(calls.read_json(self._shell.session, path))


class AsyncJobHandle(_Known):
    """A job of an AsyncClient's server: a JobHandle whose methods are awaited."""

    def __init__(self, shell: AsyncShell, wire: Wire) -> None:
        """Made by an AsyncClient's methods."""
        super().__init__(wire)
        self._shell = shell

    async def refresh(self) -> Self:
        """Ask how the job is now."""
        self.wire = await self._shell.run(calls.get(self._shell.session, self.id))
        return self

    async def wait(self, timeout_s: float | None = None) -> Self:
        """Return when the job has ended; raises TimeoutError where it has not by then (it goes on)."""
        self.wire = await self._shell.run(streams.wait(self._shell.session, self.id, timeout_s))
        return self

    async def result(self, timeout_s: float | None = None) -> Any:
        """Wait for its end; then what it was asked for, as JobHandle.result has it."""
        carrying.must_be_asked(self.wire)
        await self.wait(timeout_s)
        await self._shell.run(carrying.must_have_returned(self._shell.session, self.wire))
        with TemporaryFile() as file:
            async for piece in self._shell.iterate(carrying.download(self._shell.session, self.id)):
                file.write(piece)
            return carrying.opened(file, self.wire)

    async def cancel(self, reason: str | None = None) -> Self:
        """Ask for the job's end: by the ladder; a second time: at once."""
        return await self._change("cancel", {"reason": reason} if reason else None)

    async def pause(self) -> Self:
        """Let the job stand still, or wait."""
        return await self._change("pause")

    async def resume(self) -> Self:
        """Let a paused job go on."""
        return await self._change("resume")

    async def restart(self) -> Self:
        """Make another attempt of a job that has ended."""
        return await self._change("restart")

    async def run(self) -> Self:
        """Start a waiting job now, whatever the line."""
        return await self._change("run")

    @spelled_out
    async def edit(self, command: Command | None = None, **options: Unpack[JobOptions]) -> Self:
        """Change a waiting job; raises StaleVersion where it has changed since it was last seen."""
        changes = self._changes(command, options)
        self.wire = await self._shell.run(calls.edit(self._shell.session, self.id, changes))
        return self

    @spelled_out
    async def report(
        self, *, idempotency_key: str | None = None, **said: Unpack[ReportOptions]
    ) -> Wire:
        """Say how the job's program is, which runs elsewhere; see JobHandle.report."""
        key = token_hex(16) if idempotency_key is None else idempotency_key
        body = calls.report_body(said)
        return await self._shell.run(calls.report(self._shell.session, self.id, body, key))

    async def delete(self) -> None:
        """Delete the job, which has ended, and its output."""
        await self._shell.run(calls.delete(self._shell.session, self.id))

    async def explain(self) -> Wire:
        """Why the job is as it is: {"state", "reason", "message", "position", …}."""
        told: Wire = await self._read("explain")
        return told

    async def attempts(self) -> list[Attempt]:
        """Every attempt, the oldest first."""
        return [attempt_from(wire) for wire in (await self._read("attempts"))["attempts"]]

    async def viewers(self) -> int:
        """How many live views of the job the server feeds at the moment."""
        count: int = (await self._read("viewers"))["viewers"]
        return count

    async def artifacts(self) -> list[Wire]:
        """The files that the newest attempt left: {"path", "href", "size_bytes", "media_type", …}."""
        files: list[Wire] = (await self._read("artifacts"))["artifacts"]
        return files

    async def download(self, file: str | Wire, to: str | Path | None = None) -> bytes | Path:
        """The bytes of an artifact, a path or one of ``artifacts()``; ``to``: written there instead."""
        chunks = self._shell.iterate(calls.artifact(self._shell.session, self.id, file))
        if to is None:
            return b"".join([chunk async for chunk in chunks])
        first = await anext(chunks, b"")  # as above
        with Path(to).open("wb") as target:  # noqa: ASYNC230 - a local file, a chunk at a time
            target.write(first)
            async for chunk in chunks:
                target.write(chunk)
        return Path(to)

    async def preview(self, file: str | Wire) -> Preview:
        """What of an artifact can be shown as it is; raises NoPreview where that is nothing."""
        return await self._shell.run(calls.preview(self._shell.session, self.id, file))

    async def archive(self, to: str | Path, form: Literal["zip", "tar"] = "zip") -> Path:
        """Write all artifacts of the newest attempt into one file ``to``."""
        chunks = self._shell.iterate(calls.archive(self._shell.session, self.id, form))
        first = await anext(chunks, b"")  # as above
        with Path(to).open("wb") as target:  # noqa: ASYNC230 - as above
            target.write(first)
            async for chunk in chunks:
                target.write(chunk)
        return Path(to)

    async def output(
        self, stream: str = "all", *, attempt: int | None = None, tail: int | None = None
    ) -> bytes:
        """What the program has printed so far; ``tail``: about so many of the last bytes."""
        session = self._shell.session
        return await self._shell.run(calls.output(session, self.id, stream, attempt, tail))

    async def logs(
        self,
        *,
        follow: bool = False,
        tail: int | None = None,
        attempt: int | None = None,
        cursor: str | None = None,
    ) -> AsyncIterator[tuple[str, bytes]]:
        """What the program has printed, as ("out" or "err", bytes); ``follow``: until the job ends."""
        async for piece in self.records(follow=follow, tail=tail, attempt=attempt, cursor=cursor):
            if printed := _printed(piece.record):
                yield printed

    def records(
        self,
        *,
        follow: bool = False,
        tail: int | None = None,
        attempt: int | None = None,
        cursor: str | None = None,
    ) -> AsyncIterator[Piece]:
        """Every record of the output, with the cursor to go on from."""
        place = Place.at(follow=follow, tail=tail, attempt=attempt, cursor=cursor)
        return self._shell.iterate(streams.follow(self._shell.session, self.id, place))

    async def plot_usage(self, ax: Any = None, *, attempt: int | None = None) -> Any:
        """Draw memory and CPUs in use over the time of an attempt; see JobHandle.plot_usage."""
        pieces = [piece.record async for piece in self.records(attempt=attempt)]
        return plots.usage(self.wire, pieces, ax)

    async def _change(self, verb: calls.Verb, body: Wire | None = None) -> Self:
        self.wire = await self._shell.run(calls.change(self._shell.session, self.id, verb, body))
        return self

    async def _read(self, part: str) -> Any:
        path = calls.of_job(self.id, part)
        return await self._shell.run(calls.read_json(self._shell.session, path))


def job_from(wire: Wire) -> Job:
    """The job that the wire tells of; fields of newer servers are passed over."""
    import msgspec  # noqa: PLC0415 - where the wire's own form will do, it is not needed

    spec = msgspec.convert(wire["spec"], SPECS[wire["kind"]])
    return msgspec.convert({**wire, "spec": spec}, Job)


def attempt_from(wire: Wire) -> Attempt:
    """The attempt that the wire tells of."""
    import msgspec  # noqa: PLC0415 - as above

    return msgspec.convert(wire, Attempt)


def _printed(record: Record) -> tuple[str, bytes] | None:
    return printed(record.header["k"], record.payload)
