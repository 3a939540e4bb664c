"""Reports of programs that run elsewhere: what comes in, and what becomes of it in the model."""

import base64
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from jupyter_tasks import recognise
from jupyter_tasks.errors import BadMessage
from jupyter_tasks.messages.incoming import Number
from jupyter_tasks.messages.specs import Message
from jupyter_tasks.model import Progress, Report

_MAX_TEXT: Final = 1024 * 1024
Text = Annotated[str, Meta(max_length=_MAX_TEXT)]
#: Of base64: four characters for each three bytes.
Coded = Annotated[str, Meta(max_length=_MAX_TEXT // 3 * 4 + 4)]
Line = Annotated[str, Meta(max_length=4096)]
Share = Annotated[float, Meta(ge=0, le=10**15)]
ExitCode = Annotated[int, Meta(ge=-(2**31), lt=2**31)]


class ProgressReport(Message):
    """How far it is: ``value`` of ``total`` (1.0 = whole, where no total is known)."""

    value: Share | None = None
    total: Share | None = None
    message: Line = ""


class ReportRequest(Message):
    """What a program says of itself. All may be left out: an empty report says that it lives.

    ``progress``: an object, or a text like ``3/12``, ``40%`` or ``0.4``, with words after it. ``out``,
    ``err``: what it printed, as text or (``…_b64``) as base64. ``paused``: it stands still, as it was
    asked to. ``result``: any JSON. ``end``: how it has ended, or its ``exit_code``.
    """

    attempt: Number | None = None
    progress: ProgressReport | Line | None = None
    out: Text = ""
    err: Text = ""
    out_b64: Coded = ""
    err_b64: Coded = ""
    paused: bool = False
    result: Any | UnsetType = UNSET
    end: Literal["succeeded", "failed", "cancelled"] | None = None
    exit_code: ExitCode | None = None
    message: Line = ""

    def __post_init__(self) -> None:
        """Refuse ends that contradict themselves."""
        if self.end == "succeeded" and self.exit_code not in (None, 0):
            raise ValueError("`exit_code` must be 0 where `end` is succeeded")
        if self.end == "failed" and self.exit_code == 0:
            raise ValueError("`exit_code` must not be 0 where `end` is failed")
        if self.message and self.end is None and self.exit_code is None:
            raise ValueError("`message` goes with `end`; use `progress` to say what is being done")
        if self.paused and not (self.end is None and self.exit_code is None):
            raise ValueError("`paused` cannot be said by what has ended")


def to_report(request: ReportRequest, key: str | None) -> Report:
    """The report that was sent; raises BadMessage. ``key``: by which it is known again."""
    end = request.end
    if end is None and request.exit_code is not None:
        end = "succeeded" if request.exit_code == 0 else "failed"
    printed = (
        ("out", request.out.encode("utf-8", "replace")),
        ("err", request.err.encode("utf-8", "replace")),
        ("out", _decoded("out_b64", request.out_b64)),
        ("err", _decoded("err_b64", request.err_b64)),
    )
    return Report(
        attempt=request.attempt,
        key=key,
        progress=_progress(request.progress),
        output=tuple((stream, data) for stream, data in printed if data),  # type: ignore[misc]
        is_paused=request.paused,
        result=None if request.result is UNSET else msgspec.json.encode(request.result),
        end=end,
        exit_code=request.exit_code,
        message=request.message,
    )


def _progress(told: ProgressReport | str | None) -> Progress | None:
    if told is None:
        return None
    line = told.encode("utf-8", "replace") if isinstance(told, str) else msgspec.json.encode(told)
    try:
        known = recognise.report(line)
    except ValueError as error:
        raise BadMessage(f"`progress` is not right: {error}.", field="progress") from None
    return Progress(**known)


def _decoded(field: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise BadMessage(f"`{field}` is not base64.", field=field) from None
