"""What is kept of a call: its result as JSON, and its value as cloudpickle has it.

Both are there, on disk, or neither is: the JSON comes last, and says what there is.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jupyter_tasks import values
from jupyter_tasks.errors import BadValue, NoSpace, TasksError, told_if_full
from jupyter_tasks.worker.calling import Outcome

_JSON = "result.json"
_VALUE = "result.pkl"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_MAX_JSON = 1024 * 1024
_MAX_REPR = 2000
_NO_ROOM_RETRY_S = 1.0


def write(directory: str, outcome: Outcome) -> Outcome:
    """Keep the outcome; where its value cannot be kept, that is the outcome, and is returned."""
    if outcome.success:
        try:
            _write_value(f"{directory}/{_VALUE}", outcome.data)
        except TasksError as error:
            name = "BadValue" if isinstance(error, BadValue) else type(error).__name__
            failed = Outcome.of_error(error, type_name=name)
            outcome = replace(
                failed,
                started_at=outcome.started_at,
                elapsed_s=outcome.elapsed_s,
                logs=outcome.logs,
                traceback="",
            )
    write_json(directory, outcome)
    return outcome


def write_json(directory: str, outcome: Outcome) -> None:
    """Keep the outcome of what has no value."""
    text = json.dumps(as_json(outcome), ensure_ascii=False)
    _write(f"{directory}/{_JSON}", text.encode("utf-8", "replace"))


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome as plain values; ``note`` says where data had to be told in words."""
    data, note = plain(outcome.data)
    error = {
        "type": outcome.error_type,
        "message": outcome.error_message,
        "traceback": outcome.traceback,
    }
    return {
        "success": outcome.success,
        "data": data,
        "note": note,
        "summary": outcome.summary,
        "tags": list(outcome.tags),
        "logs": list(outcome.logs),
        "error": None if outcome.success else error,
        "started_at": outcome.started_at,
        "elapsed_s": outcome.elapsed_s,
    }


def plain(data: Any, longest: int = _MAX_JSON) -> tuple[Any, str]:
    """The data as JSON can tell it, and a note where only its ``repr`` can."""
    if data is None or type(data) in (int, bool):
        return data, ""
    try:
        text = json.dumps(data, default=_plainer, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return _repr(data, longest), f"It is no JSON ({error}); this is its repr."
    except Exception as error:  # noqa: BLE001 - whatever a value's own code may raise
        return _repr(data, longest), f"It is no JSON ({type(error).__name__}); this is its repr."
    if len(text) > longest:
        return _repr(
            data, longest
        ), f"As JSON it takes {len(text)} bytes; this is its repr, shortened."
    return json.loads(text), ""


def _plainer(value: Any) -> Any:
    """What stands for a value that JSON has no word for."""
    for name in ("tolist", "isoformat", "__fspath__"):  # of arrays, of dates, of paths
        if callable(told := getattr(value, name, None)):
            return told()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    if hasattr(type(value), "__dataclass_fields__"):
        return {name: getattr(value, name) for name in type(value).__dataclass_fields__}
    raise TypeError(f"{type(value).__name__} has no form there")


def _repr(data: Any, longest: int) -> str:
    try:
        text = repr(data)
    except Exception as error:  # noqa: BLE001 - as above
        text = f"<{type(data).__name__}: its repr cannot be had: {type(error).__name__}>"
    longest = min(longest, _MAX_REPR)
    return text if len(text) <= longest else f"{text[:longest]}…"


def _write_value(path: str, data: Any) -> None:
    part = f"{path}.part"
    try:
        with told_if_full(values.FULL), os.fdopen(os.open(part, _NEW, 0o600), "wb") as file:
            values.pack({"result": data}, file, where="out of the job", plainly=True)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, path)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise


def _write(path: str, data: bytes) -> None:
    """Write it, as soon as there is room: what has been done must not be lost for that."""
    part = f"{path}.part"
    while True:
        try:
            with told_if_full(values.FULL), os.fdopen(os.open(part, _NEW, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(part, path)
        except NoSpace:
            time.sleep(_NO_ROOM_RETRY_S)  # nothing tells when there is room again
        else:
            return
