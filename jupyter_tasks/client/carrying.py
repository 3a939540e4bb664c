"""Values on their way from a client into a job, and from a job to a client. Files, whatever their size."""

import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, Final

from jupyter_tasks import values
from jupyter_tasks.client import calls
from jupyter_tasks.client.calls import JobOptions, Wire
from jupyter_tasks.client.connection import Session, ask
from jupyter_tasks.client.core import Flow, Request, Stream, decoded
from jupyter_tasks.errors import CallFailed, NoResult, told_if_full
from jupyter_tasks.model import State

_OCTETS: Final = {"Content-Type": "application/octet-stream"}
#: The server answers once all of it is on its disk.
_SYNCED_WITHIN_S: Final = 600.0
_MAX_NAME: Final = 200


@contextmanager
def packed(inputs: Mapping[str, Any] | None) -> Iterator[str | None]:
    """A file of the values, for as long as the block runs; None for no values.

    Raises BadValue, which names the value, or NoSpace.
    """
    if not inputs:
        yield None
        return
    values.must_be_names(inputs, "inputs")
    with _file_of(inputs, None) as name:
        yield name


@contextmanager
def packed_call(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[str]:
    """A file of the function and its arguments, for as long as the block runs; raises as ``packed``."""
    parts = {"function": function, **{f"argument {n}": arg for n, arg in enumerate(args, 1)}}
    carried = {"function": function, "args": tuple(args), "kwargs": dict(kwargs)}
    with _file_of(carried, parts | dict(kwargs)) as name:
        yield name


@contextmanager
def _file_of(carried: Mapping[str, Any], parts: Mapping[str, Any] | None) -> Iterator[str]:
    with NamedTemporaryFile(prefix="jupyter-tasks-", suffix=".pkl") as file:
        with told_if_full(values.FULL):
            values.pack(carried, file, where="into the job", parts=parts)
            file.flush()
        yield file.name


def request(
    source: str, outputs: str | Sequence[str], python: str | None, options: JobOptions
) -> Wire:
    """The body of a submit; the values are still to be uploaded."""
    spec: Wire = {"kind": "code", "source": source, "python": python or sys.executable}
    if outputs:
        spec["outputs"] = [outputs] if isinstance(outputs, str) else list(outputs)
    return calls.job_request(spec, options)


def call_request(function: Callable[..., Any], python: str | None, options: JobOptions) -> Wire:
    """The body of a submit; the function is still to be uploaded."""
    spec = {"kind": "function", "task": name_of(function), "python": python or sys.executable}
    return calls.job_request({**spec, "load": {}}, options)


def name_of(function: Callable[..., Any]) -> str:
    """What people call the function."""
    inner = getattr(function, "func", function)  # of a partial
    name = getattr(inner, "__qualname__", "") or type(inner).__qualname__
    return name.rpartition("<locals>.")[2][:_MAX_NAME]


def submit_call(session: Session, body: Wire, file: str, folder: str | None) -> Flow[Wire]:
    """Upload the file of a function with its arguments, and submit the call; the new job."""
    body["spec"]["load"] = {"upload": (yield from _upload(session, file))}
    [job] = yield from calls.submit(session, body, secrets.token_hex(16), folder)
    return job


def submit(session: Session, body: Wire, file: str | None, folder: str | None) -> Flow[Wire]:
    """Upload the file of the values, if any, and submit the code; the new job."""
    if file is not None:
        body["spec"]["inputs"] = yield from _upload(session, file)
    [job] = yield from calls.submit(session, body, secrets.token_hex(16), folder)
    return job


def _upload(session: Session, file: str) -> Flow[str]:
    """Upload the file; a second time where the answer was lost, as nobody takes the first."""
    headers = {**_OCTETS, "Content-Length": str(Path(file).stat().st_size)}
    upload = Request(
        method="POST", path="inputs", file=file, headers=headers, quiet_s=_SYNCED_WITHIN_S
    )
    inputs: str = decoded((yield from ask(session, upload)))["id"]
    return inputs


def must_be_asked(job: Wire) -> None:
    """Refuse to wait for what will never come."""
    if job["kind"] != "function" and not job["spec"].get("outputs"):
        raise NoResult(
            f"Job {job['id']} was not asked for any values; name them when you submit it "
            "(`outputs`, or `%%task --out`).",
            job=job["id"],
        )


def download(session: Session, job_id: str) -> Stream:
    """Emit the bytes of the job's result; raises NoResult, which says why there is none."""
    where, what = calls.of_job(job_id, "result"), f"the result of job {job_id}"
    return calls.download(session, where, what, {"Accept": _OCTETS["Content-Type"]})


def must_have_returned(session: Session, job: Wire) -> Flow[None]:
    """Raise CallFailed, which says why, where the function of a job that has ended has not returned."""
    if job["kind"] != "function" or job["state"] == State.SUCCEEDED:
        return
    told = yield from calls.read_json(session, calls.of_job(job["id"], "result"))
    error = told["error"]
    words = f"{error['type']}: {error['message']}".rstrip(": ")
    failed = CallFailed(f"Job {job['id']} {job['state']}: {words}", job=job["id"], error=error)
    if error["traceback"]:
        failed.add_note(error["traceback"])
    raise failed


def opened(file: IO[bytes], job: Wire) -> Any:
    """The one value that was asked for, or a tuple of them in the order of ``outputs``.

    Of a function it is what it has returned.
    """
    file.seek(0)
    found = values.unpack(file)
    if job["kind"] == "function":
        return found["result"]
    wanted = tuple(found[name] for name in job["spec"]["outputs"])
    return wanted[0] if len(wanted) == 1 else wanted
