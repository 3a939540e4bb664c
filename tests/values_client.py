"""What tests need to send values to a real server, and to get them, without any of our own client code."""

import io
import sys
import urllib.request
from pathlib import Path
from typing import Any

from jupyter_tasks import values
from tests.live_server import LiveServer


def packed(**given: Any) -> bytes:
    """The file of these values."""
    file = io.BytesIO()
    values.pack(given, file, where="into the job")
    return file.getvalue()


def by_value(function: Any) -> Any:
    """The function as one of a notebook: none that can be imported."""
    if hasattr(function, "__code__"):
        function.__module__ = "__main__"
    return function


def upload(server: LiveServer, body: bytes) -> tuple[int, Any]:
    """Status and answer of an upload."""
    return server.ask_bytes("POST", "tasks/api/inputs", body)


def uploaded(server: LiveServer, **given: Any) -> str:
    """The id under which these values have been taken."""
    status, answer = upload(server, packed(**given))
    assert status == 201, answer
    inputs: str = answer["id"]
    return inputs


def code(source: str, **spec: Any) -> dict[str, Any]:
    """A request to run it in this Python."""
    return {"spec": {"kind": "code", "source": source, "python": sys.executable, **spec}}


def result(server: LiveServer, job_id: str, query: str = "") -> dict[str, Any]:
    """The values that the job has left."""
    request = urllib.request.Request(  # noqa: S310 - our own URL
        f"{server.url}tasks/api/jobs/{job_id}/result{query}",
        headers={"Authorization": f"token {server.token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
        return values.unpack(io.BytesIO(answer.read()))


def files_below(folder: Path) -> set[str]:
    """The files in it, at any depth."""
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in found}
