"""Values on their way from a client into a job, and from a job to a client. Files, whatever their size."""

import json
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
from jupyter_tasks.client.core import Emit, Flow, Params, Request, Stream, decoded
from jupyter_tasks.errors import BadMessage, CallFailed, NoResult, told_if_full
from jupyter_tasks.model import State

_OCTETS: Final = {"Content-Type": "application/octet-stream"}
#: The server answers once all of it is on its disk.
_SYNCED_WITHIN_S: Final = 600.0
_MAX_NAME: Final = 200
#: Failures that one message names.
_MAX_NAMED: Final = 3
_PAGE: Final = 1000


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
def packed_group(function: Callable[..., Any], sets: Sequence[Any]) -> Iterator[str]:
    """A file of the function and its sets of arguments; raises as ``packed``."""
    parts = {"function": function, **{f"argument set {n}": one for n, one in enumerate(sets)}}
    with _file_of({"function": function, "calls": sets}, parts) as name:
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


def group_request(
    function: Callable[..., Any], sets: Sequence[Any], python: str | None, options: JobOptions
) -> Wire:
    """The body of a submit of many calls; raises BadMessage where there are none."""
    if not sets:
        raise BadMessage("There are no sets of arguments; a group makes at least one call.")
    body = call_request(function, python, options)
    body["spec"]["calls"] = len(sets)
    return body


def name_of(function: Callable[..., Any]) -> str:
    """What people call the function."""
    inner = getattr(function, "func", function)  # of a partial
    name = getattr(inner, "__qualname__", "") or type(inner).__qualname__
    return name.rpartition("<locals>.")[2][:_MAX_NAME]


def submit_call(session: Session, body: Wire, file: str, folder: str | None) -> Flow[Wire]:
    """Upload the file of a function with its arguments, and submit the call; the new job."""
    body["spec"]["load"] = {"upload": (yield from upload(session, file))}
    [job] = yield from calls.submit(session, body, secrets.token_hex(16), folder)
    return job


def submit(session: Session, body: Wire, file: str | None, folder: str | None) -> Flow[Wire]:
    """Upload the file of the values, if any, and submit the code; the new job."""
    if file is not None:
        body["spec"]["inputs"] = yield from upload(session, file)
    [job] = yield from calls.submit(session, body, secrets.token_hex(16), folder)
    return job


def upload(session: Session, file: str) -> Flow[str]:
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
    is_one_call = job["kind"] == "function" and job["spec"].get("calls") is None
    if job["state"] == State.SUCCEEDED or not is_one_call:
        return
    told = yield from calls.read_json(session, calls.of_job(job["id"], "result"))
    raise _failure(f"Job {job['id']} {job['state']}", told["error"], job=job["id"])


def opened(file: IO[bytes], job: Wire) -> Any:
    """The one value that was asked for, or a tuple of them in the order of ``outputs``.

    Of a function it is what it has returned.
    """
    if job["kind"] == "function" and job["spec"].get("calls") is not None:
        return opened_calls(file, job, return_errors=False)
    file.seek(0)
    found = values.unpack(file)
    if job["kind"] == "function":
        return found["result"]
    wanted = tuple(found[name] for name in job["spec"]["outputs"])
    return wanted[0] if len(wanted) == 1 else wanted


def opened_calls(file: IO[bytes], job: Wire, *, return_errors: bool) -> list[Any]:
    """What each call has returned; raises CallFailed, or has one in the place of each failure."""
    file.seek(0)
    results: list[Any] = []
    failed: dict[int, CallFailed] = {}
    while line := file.readline():
        header = json.loads(line)
        data = file.read(header["n"])
        file.read(1)
        if header["state"] == State.SUCCEEDED and header["n"]:
            values.must_be_alike(header)
            results.append(values.unpacked_alone(data))
        else:
            failed[len(results)] = error = _call_failure(header, job)
            results.append(error)
    if failed and not return_errors:
        raise _all_of(failed, len(results), job)
    return results


def calls_of(session: Session, job_id: str, state: str | None) -> Stream:
    """Emit the calls of a group, page by page as they are taken."""
    after = None
    while True:
        params: Params = (("limit", str(_PAGE)), *((("state", state),) if state else ()))
        params += (("after", str(after)),) if after is not None else ()
        request = Request(method="GET", path=calls.of_job(job_id, "calls"), params=params)
        page = decoded((yield from ask(session, request)))
        for call in page["calls"]:
            yield Emit(call)
        after = page["next"]
        if after is None:
            return


def _call_failure(header: Wire, job: Wire) -> CallFailed:
    number = header["index"]
    error = header.get("error") or {"type": "", "message": f"it is {header['state']}"}
    return _failure(f"call {number}", error, job=job["id"], call=number)


def _all_of(failed: Mapping[int, CallFailed], count: int, job: Wire) -> CallFailed:
    """One error for all of them, with the traceback of the first."""
    some = list(failed.values())
    words = "; ".join(error.message for error in some[:_MAX_NAMED])
    more = f"; and {len(some) - _MAX_NAMED} more" if len(some) > _MAX_NAMED else ""
    told = CallFailed(
        f"{len(some)} of {count} calls of job {job['id']} have not succeeded: {words}{more}.",
        job=job["id"],
        calls=list(failed),
    )
    for note in getattr(some[0], "__notes__", ()):
        told.add_note(note)
    return told


def _failure(what: str, error: Wire, **details: Any) -> CallFailed:
    words = f"{error['type']}: {error['message']}".strip(": ")
    failed = CallFailed(f"{what}: {words}", error=error, **details)
    if error.get("traceback"):
        failed.add_note(error["traceback"])
    return failed
