"""The calls of a group: who is where, page by page, and all values in one stream. Nothing is unpickled."""

import asyncio
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, get_args

from tornado import web

from jupyter_tasks import messages
from jupyter_tasks.errors import NoSuchThing
from jupyter_tasks.handlers.artifacts import FilesHandler
from jupyter_tasks.handlers.base import authorized
from jupyter_tasks.messages import CallMessage, CallsPage, CallsQuery
from jupyter_tasks.messages.outgoing import CallState
from jupyter_tasks.model import FunctionSpec, Job
from jupyter_tasks.worker import ledger
from jupyter_tasks.worker.ledger import Ledger

_CHUNK_BYTES: Final = 256 * 1024
_ZEROS: Final[dict[CallState, int]] = dict.fromkeys(get_args(CallState), 0)


class CallsHandler(FilesHandler):
    """``jobs/{job_id}/calls``."""

    @web.authenticated
    @authorized("read")
    async def get(self, job_id: str) -> None:
        """The calls of the group, in the order of their arguments."""
        query = self.query(CallsQuery)
        job = await self.manager.get(job_id, self.owner)
        if not is_group(job):
            raise NoSuchThing(f"Job {job.id} is no group: it has no calls.", job=job.id)
        attempt = query.attempt or job.attempt
        folder = self.directory(job, query.attempt).parent
        self.reply(await asyncio.to_thread(_page, folder, attempt, job, query))


def is_group(job: Job) -> bool:
    """Whether it is many calls, and not one or none."""
    return isinstance(job.spec, FunctionSpec) and job.spec.calls is not None


def value_pieces(folder: Path, attempt: int, count: int) -> Iterator[bytes]:
    """What became of each call in its order, as a line of JSON and its value's bytes; blocks."""
    try:
        known = Ledger(str(folder), attempt)
    except FileNotFoundError:
        yield b"".join(_encoded({"index": n, "state": "waiting"}, 0) + b"\n" for n in range(count))
        return
    with known:
        buffer = bytearray()
        for call, state in enumerate(known.states()):
            found = known.find(call)
            header = {"index": call, "state": ledger.STATES[state]} | (
                found.header if found else {}
            )
            buffer += _encoded(header, found.size if found else 0)
            for chunk in found.chunks(_CHUNK_BYTES) if found else ():
                buffer += chunk
                if len(buffer) >= _CHUNK_BYTES:
                    yield bytes(buffer)
                    buffer.clear()
            buffer += b"\n"
        yield bytes(buffer)


def _encoded(header: dict[str, Any], size: int) -> bytes:
    return json.dumps(header | {"n": size}, separators=(",", ":")).encode() + b"\n"


def _page(folder: Path, attempt: int, job: Job, query: CallsQuery) -> CallsPage:
    try:
        known = Ledger(str(folder), attempt)
    except FileNotFoundError:
        return _none_begun(job, query)
    with known:
        words = _words(job, known)
        states = known.states()
        wanted = {n for n, word in enumerate(words) if not query.state or word in query.state}
        first = 0 if query.after is None else query.after + 1
        numbers = (n for n in range(first, len(states)) if states[n] in wanted)
        some = list(islice(numbers, query.limit + 1))
        calls = [_call(known, n, words[states[n]]) for n in some[: query.limit]]
        counts = _ZEROS | {word: states.count(n) for n, word in enumerate(words)}
        return CallsPage(calls, calls[-1].index if len(some) > query.limit else None, counts)


def _words(job: Job, known: Ledger) -> tuple[CallState, ...]:
    """What the states are called: in an attempt that is over nothing runs any more."""
    is_over = job.has_ended or known.attempt < job.attempt
    running: CallState = "stopped" if is_over else ledger.STATES[ledger.RUNNING]
    return tuple(running if n == ledger.RUNNING else word for n, word in enumerate(ledger.STATES))


def _none_begun(job: Job, query: CallsQuery) -> CallsPage:
    assert isinstance(job.spec, FunctionSpec)
    count = job.spec.calls or 0
    counts = _ZEROS | {"waiting": count}
    if query.state and "waiting" not in query.state:
        return CallsPage([], None, counts)
    first = 0 if query.after is None else query.after + 1
    last = min(count, first + query.limit)
    calls = [CallMessage(index=n, state="waiting") for n in range(first, last)]
    return CallsPage(calls, last - 1 if last < count else None, counts)


def _call(known: Ledger, number: int, state: CallState) -> CallMessage:
    found = known.find(number)
    if found is None:
        return CallMessage(index=number, state=state)
    header = found.header
    error = header.get("error")
    return CallMessage(
        index=number,
        state=state,
        attempt=known.entry(number).attempt,
        started_at=header.get("started_at"),
        elapsed_s=header.get("elapsed_s"),
        worker=header.get("worker"),
        data=header.get("data"),
        note=header.get("note", ""),
        summary=header.get("summary", ""),
        tags=header.get("tags", []),
        logs=header.get("logs", []),
        error=None if error is None else messages.CallError(**error),
    )
