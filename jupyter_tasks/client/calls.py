"""One flow for each thing that can be asked of a server, from arguments to the wire and back.

Pure, like `core`. What changes a job and must not happen twice is not simply repeated when its
answer is lost: the job is read, and asked again only where nothing has come of it.
"""

import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from posixpath import normpath
from typing import Any, Final, Literal, TypedDict
from urllib.parse import quote

from jupyter_tasks.client.connection import Session, ask, ask_once, locate, open_stream, remove
from jupyter_tasks.client.core import Broken, Emit, Flow, Params, Read, Request, Stream, decoded
from jupyter_tasks.errors import BadMessage, NoServer, NoSuchThing, StaleVersion
from jupyter_tasks.model import ENDED, WAITING, OnLost, State

#: A job as the wire has it.
Wire = dict[str, Any]
Command = str | Sequence[str] | Mapping[str, Any]
Verb = Literal["cancel", "pause", "resume", "restart", "run"]

_SHORTEST_PREFIX: Final = 4
_PAGE: Final = 500
#: A short id is looked up among this many of the newest jobs.
_NEWEST: Final = 5000


class JobOptions(TypedDict, total=False):
    """What can be said about a job beside its command; None and what is left out: the default."""

    name: str | None
    tags: Sequence[str]
    cwd: str | os.PathLike[str] | None
    env: Mapping[str, str]
    stdin: str | None
    tty: bool
    merge_stderr: bool
    priority: int
    queue: str | None
    timeout_s: float | None
    memory_bytes: int | None
    grace_s: float | None
    max_output_bytes: int | None
    on_lost: OnLost | None


class ReportOptions(TypedDict, total=False):
    """What a program that runs elsewhere says of itself; nothing at all: that it lives.

    ``progress``: a share as 0.25, ``(3, 12)``, ``(3, 12, "third")``, or a text as ``"3/12 third"``.
    ``out``, ``err``: what it printed. ``paused``: it stands still, as it was asked to. ``result``: any
    JSON. ``end`` (or ``exit_code``) and ``message``: how it has ended.
    """

    progress: float | tuple[Any, ...] | str | None
    out: str | bytes | None
    err: str | bytes | None
    paused: bool
    result: Any
    end: Literal["succeeded", "failed", "cancelled"] | None
    exit_code: int | None
    message: str | None
    attempt: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What of an artifact can be shown: a ``text``, an ``image`` or a ``notebook`` (its JSON).

    ``is_whole`` is False where ``data`` is the beginning of a longer text.
    """

    kind: str
    media_type: str
    data: bytes
    is_whole: bool


class FilterOptions(TypedDict, total=False):
    """Which jobs: several values of one field mean "or", several tags mean "and".

    A field that is left out means any; an empty choice is refused, so that "none" is never "all".
    """

    states: Iterable[str]
    kinds: Iterable[str]
    queues: Iterable[str]
    tags: Iterable[str]
    ids: Iterable[str]
    text: str


_IN_FOLDERS_OF_THEIR_OWN: Final = ("external", "notebook")
OF_THE_SPEC: Final = ("cwd", "env", "stdin", "tty", "merge_stderr")
#: Names of filter fields: ours, in a query string, in a body.
_FILTER_FIELDS: Final = (
    ("states", "state", "states"),
    ("kinds", "kind", "kinds"),
    ("queues", "queue", "queues"),
    ("tags", "tag", "tags"),
    ("ids", "id", "ids"),
)


def external(lease_s: float | None, program: str | None, host: str | None) -> Wire:
    """The spec of a program that runs elsewhere."""
    given = {"lease_s": lease_s, "program": program, "host": host}
    return {
        "kind": "external",
        **{name: value for name, value in given.items() if value is not None},
    }


def job_request(command: Command, options: JobOptions, *, keep_none: bool = False) -> Wire:
    """The body of a submit. A string is for the shell, a sequence is a list of arguments."""
    given: Wire = {
        name: _plain(value) for name, value in options.items() if keep_none or value is not None
    }
    inside: Wire = {name: given.pop(name) for name in OF_THE_SPEC if name in given}
    spec: Wire
    if isinstance(command, Mapping):
        spec = {"kind": "code" if "source" in command else "shell", **command, **inside}
    elif isinstance(command, str):
        spec = {"kind": "shell", "command": command, **inside}
    else:
        spec = {"kind": "shell", "command": [_word(word) for word in command], **inside}
    return {"spec": spec, **given}


def without_none(options: Wire) -> Wire:
    """Those that were given."""
    return {name: value for name, value in options.items() if value is not None}


def must_be_no_arguments(args: Sequence[Any]) -> None:
    """Refuse arguments by position where there is no function to take them."""
    if args:
        raise BadMessage(
            "Only a function takes further arguments; give a command as a list of its words."
        )


def submit(
    session: Session, body: Wire | list[Wire], key: str, folder: str | None
) -> Flow[list[Wire]]:
    """Submit one job, or several all or none; the key makes a second sending harmless.

    ``folder`` is the caller's own. It becomes that of jobs for which none was named, where the
    server runs on the caller's machine; elsewhere it would mean nothing.
    """
    if folder is not None and (yield from is_neighbour(session)):
        for job in body if isinstance(body, list) else [body]:
            if job["spec"].get("kind") not in _IN_FOLDERS_OF_THEIR_OWN:
                job["spec"].setdefault("cwd", folder)
    reply = yield from ask(session, post("jobs", body, {"Idempotency-Key": _checked_key(key)}))
    answer = decoded(reply)
    jobs: list[Wire] = answer["jobs"] if isinstance(body, list) else [answer]
    return jobs


def is_neighbour(session: Session) -> Flow[bool]:
    """Whether the server runs on the caller's machine."""
    if session.home is None:
        yield from locate(session)
    assert session.home is not None
    return session.home[0] == session.host


def get(session: Session, job_id: str) -> Flow[Wire]:
    """The job as it is now."""
    reply = yield from ask(session, Request(method="GET", path=_path(job_id)))
    job: Wire = decoded(reply)
    return job


def resolve(session: Session, name: str) -> Flow[str]:
    """The whole id that begins like this; raises NoSuchThing or BadMessage (several begin so)."""
    if len(name) >= 16:
        return name
    if len(name) < _SHORTEST_PREFIX:
        raise BadMessage(
            f"{name!r} is too short for a job's id; give at least 4 of its digits.", job=name
        )
    found, after = [], None
    for _ in range(_NEWEST // _PAGE):
        page = yield from _page(session, (), _PAGE, after)
        found += [job for job in page["jobs"] if job["id"].startswith(name.lower())]
        after = page["next"]
        if after is None:
            break
    return _only(name, found)


def _only(name: str, found: list[Wire]) -> str:
    if not found:
        raise NoSuchThing(
            f"None of the newest {_NEWEST} jobs has an id that begins with {name!r}.", job=name
        )
    if len(found) > 1:
        several = ", ".join(f"{job['id']} ({job['name']})" for job in found[:5])
        raise BadMessage(
            f"{name!r} may mean {len(found)} jobs: {several}. Give more digits.", job=name
        )
    job_id: str = found[0]["id"]
    return job_id


def find(session: Session, wanted: FilterOptions, limit: int | None) -> Stream:
    """Emit the jobs that the filter accepts, the newest first, page by page as they are taken."""
    left, after = limit, None
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        page = yield from _page(session, query(wanted), size, after)
        for job in page["jobs"]:
            yield Emit(job)
        after = page["next"]
        if after is None:
            return
        left = None if left is None else left - len(page["jobs"])


def change(session: Session, job_id: str, verb: Verb, body: Wire | None = None) -> Flow[Wire]:
    """Cancel, pause, resume, restart or run a job, once; the job as it is then."""
    # A short job has ended again before anybody can look: only its former state tells.
    before = (yield from get(session, job_id)) if verb == "restart" else None
    while True:
        outcome = yield from ask_once(session, post(f"{_path(job_id)}/{verb}", body))
        if not isinstance(outcome, Broken):
            answer: Wire = decoded(outcome)
            return answer
        job = yield from get(session, job_id)
        if _was_restarted(before, job) if before else _HAS_HAPPENED[verb](job):
            return job


def report(session: Session, job_id: str, body: Wire, key: str) -> Flow[Wire]:
    """Report on a program that runs elsewhere; the key makes a second sending harmless."""
    request = post(of_job(job_id, "report"), body, {"Idempotency-Key": _checked_key(key)})
    told: Wire = decoded((yield from ask(session, request)))
    return told


def report_body(options: ReportOptions) -> Wire:
    """The body of a report; bytes that are no UTF-8 go as base64."""
    body: Wire = {name: value for name, value in options.items() if value is not None}
    if "result" in options:
        body["result"] = options["result"]
    for name in ("out", "err"):
        given = body.pop(name, None)
        if isinstance(given, str):
            body[name] = given
        elif given is not None:
            body[f"{name}_b64"] = b64encode(given).decode()
    share = body.get("progress")
    if isinstance(share, tuple):
        body["progress"] = dict(zip(("value", "total", "message"), share, strict=False))
    elif isinstance(share, int | float):
        body["progress"] = {"value": share}
    return body


def edit(session: Session, job_id: str, changes: Wire) -> Flow[Wire]:
    """Change a waiting job; ``version`` in the changes guards against somebody else's."""
    request = Request(method="PATCH", path=_path(job_id), body=_encoded(changes), headers=_JSON)
    while True:
        outcome = yield from ask_once(session, request)
        if not isinstance(outcome, Broken):
            answer: Wire = decoded(outcome)
            return answer
        job = yield from get(session, job_id)
        if job["version"] != changes.get("version"):
            if _is_as_wanted(job, changes):
                return job
            raise StaleVersion(job=job_id)


def delete(session: Session, job_id: str) -> Flow[None]:
    """Delete an ended job with its output; gone already is as good where the answer was lost."""
    yield from remove(session, _path(job_id))


def change_all(
    session: Session, verb: Verb | Literal["delete"], wanted: FilterOptions
) -> Flow[dict[str, int]]:
    """Do it to every job that the filter accepts: how many matched, were done, refused."""
    outcome = yield from ask_once(session, post(f"jobs/{verb}", {"filter": filter_body(wanted)}))
    if isinstance(outcome, Broken):
        raise NoServer(
            f"The server went away before it said what became of `{verb}`; nobody can tell how many "
            "jobs it reached. Look at the jobs before you repeat it."
        )
    counts: dict[str, int] = decoded(outcome)
    return counts


def read_json(session: Session, path: str) -> Flow[Any]:
    """What a plain GET answers."""
    return decoded((yield from ask(session, Request(method="GET", path=path))))


def of_job(job_id: str, part: str) -> str:
    """The path of a part of a job."""
    return f"{_path(job_id)}/{part}"


def output(
    session: Session, job_id: str, stream: str, attempt: int | None, tail: int | None
) -> Flow[bytes]:
    """What the job's program has printed so far, as plain bytes."""
    params: Params = (("format", "text"), ("stream", stream))
    params += (("attempt", str(attempt)),) if attempt else ()
    params += (("tail", str(tail)),) if tail is not None else ()
    request = Request(method="GET", path=of_job(job_id, "output"), params=params)
    return (yield from ask(session, request)).body


def artifact(session: Session, job_id: str, file: str | Wire) -> Stream:
    """Emit a file's bytes as they come; raises NoServer where it breaks off in the middle."""
    path, href = _place(job_id, file)
    yield from download(session, of_job(job_id, href), repr(path))


def _place(job_id: str, file: str | Wire) -> tuple[str, str]:
    """Path and reference of an artifact."""
    if not isinstance(file, str):
        return file["path"], file["href"]
    # A URL's own `..` would lead to something that is no artifact.
    path = normpath(file)
    if path in (".", "..") or path.startswith(("/", "../")):
        raise NoSuchThing(f"Job {job_id} has no artifact {path!r}.", job=job_id, path=path)
    return path, f"artifacts/{quote(path, errors='surrogateescape')}"


def preview(session: Session, job_id: str, file: str | Wire) -> Flow[Preview]:
    """What of an artifact can be shown as it is; raises NoPreview."""
    _, href = _place(job_id, file)
    mark = "&" if "?" in href else "?"
    path = f"{of_job(job_id, href)}{mark}preview=true"
    reply = yield from ask(session, Request(method="GET", path=path))
    return Preview(
        kind=reply.headers["x-tasks-preview"],
        media_type=reply.headers["content-type"],
        data=reply.body,
        is_whole=int(reply.headers["x-tasks-size"]) <= len(reply.body),
    )


def archive(session: Session, job_id: str, form: str) -> Stream:
    """Emit the bytes of all artifacts in one file."""
    yield from download(session, f"{of_job(job_id, 'archive')}?format={form}", "the archive")


def download(
    session: Session, where: str, what: str, headers: Mapping[str, str] | None = None
) -> Stream:
    """Emit the bytes at the path as they come; ``what`` they are is told where that breaks off."""
    yield from open_stream(session, Request(method="GET", path=where, headers=headers or {}))
    got = 0
    while True:
        chunk = yield Read()
        if not isinstance(chunk, bytes):
            raise NoServer(f"The download of {what} broke off after {got} bytes; ask for it again.")
        if not chunk:
            return
        got += len(chunk)
        yield Emit(chunk)


def query(wanted: FilterOptions) -> Params:
    """The filter as a query string; refuses an empty choice, which would come to mean any."""
    pairs = []
    for ours, name, _ in _FILTER_FIELDS:
        values = wanted.get(ours)
        if values is None:
            continue
        chosen = [(name, _checked(str(value))) for value in _many(values)]
        if not chosen:
            raise BadMessage(f"`{ours}` is empty; leave it out to mean any.", field=ours)
        pairs += chosen
    return (*pairs, *((("q", _checked(wanted["text"])),) if wanted.get("text") else ()))


def filter_body(wanted: FilterOptions) -> Wire:
    """The filter as a body's ``filter``; an empty choice is sent, so that it is refused."""
    body: Wire = {
        name: [str(value) for value in _many(wanted[ours])]  # type: ignore[literal-required]
        for ours, _, name in _FILTER_FIELDS
        if wanted.get(ours) is not None
    }
    return body | ({"q": wanted["text"]} if wanted.get("text") else {})


def _page(session: Session, params: Params, size: int, after: str | None) -> Flow[Wire]:
    params += (("limit", str(size)),)
    params += (("after", after),) if after else ()
    page: Wire = decoded(
        (yield from ask(session, Request(method="GET", path="jobs", params=params)))
    )
    return page


_JSON: Final = {"Content-Type": "application/json"}

_HAS_HAPPENED: Final[dict[Verb, Callable[[Wire], bool]]] = {
    "cancel": lambda job: job["cancel_requested_at"] is not None or job["state"] in ENDED,
    "pause": lambda job: job["pause_requested_at"] is not None or job["state"] == State.PAUSED,
    "resume": lambda job: job["state"] != State.PAUSED,
    "run": lambda job: job["state"] not in WAITING,
}


def _was_restarted(before: Wire, after: Wire) -> bool:
    """Whether it has come to a restart; nothing else changes a job that has ended."""
    if after["state"] not in ENDED:
        return True
    seen = "version" if before["state"] in ENDED else "attempt"
    return bool(after[seen] > before[seen])


def post(path: str, body: Any, headers: Mapping[str, str] | None = None) -> Request:
    """A request that sends JSON; raises BadMessage for what JSON cannot hold."""
    encoded = None if body is None else _encoded(body)
    kind = _JSON if encoded else {}
    return Request(method="POST", path=path, body=encoded, headers={**kind, **(headers or {})})


def _path(job_id: str) -> str:
    return f"jobs/{quote(_checked(job_id), safe='')}"


def _encoded(body: Any) -> bytes:
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise BadMessage("The request holds a number that is not finite.") from None
    return _checked(text).encode()


def _checked(text: str) -> str:
    """The text, where it is one; what it holds might be a secret, and is not shown."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadMessage(
            "The request holds bytes that are no UTF-8 text (in a command, a folder, a name or a "
            "value), and those cannot be sent; put them into a file or a script."
        ) from None
    return text


def _checked_key(key: str) -> str:
    """The key, where a header can carry it as it is."""
    if key and key.isascii() and key.isprintable() and key == key.strip():
        return key
    raise BadMessage(
        "An idempotency key is made of printable ASCII characters, without spaces around it.",
        field="Idempotency-Key",
    )


def _is_as_wanted(job: Wire, changes: Wire) -> bool:
    """Whether an edit can be seen to have come true; a new secret is masked, so it cannot."""
    fields = {name: value for name, value in changes.items() if name not in ("version", "spec")}
    spec: Wire = changes.get("spec", {})
    return all(job.get(name) == value for name, value in fields.items()) and all(
        job["spec"].get(name) == value for name, value in spec.items()
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_word(key): _word(inner) for key, inner in value.items()}
    if isinstance(value, os.PathLike | bytes):
        return os.fsdecode(value)
    return value if value is None or isinstance(value, str | int | float) else list(value)


def _word(value: Any) -> str:
    """An argument or a value of the environment as text, as ``subprocess`` would take it."""
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


def _many(value: Any) -> Iterable[Any]:
    return (value,) if isinstance(value, str) else value
