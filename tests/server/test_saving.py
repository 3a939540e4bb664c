"""Notebooks that are saved through a real server tell the truth about the jobs that they show."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live_server import LiveServer
from tests.stream_client import Pipe, submit, until

MIME = "application/vnd.jupyter-tasks.job+json"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer() as server:
        yield server


def bundle(job: str, text: str = "Job: running") -> dict[str, Any]:
    return {
        MIME: {"version": 1, "id": job},
        "text/html": f"<b>{text}</b>",
        "text/plain": [text],
    }


def notebook(*outputs: Any) -> dict[str, Any]:
    cell = {
        "cell_type": "code",
        "id": "one",
        "execution_count": 1,
        "metadata": {},
        "source": "%%task",
        "outputs": list(outputs),
    }
    return {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def saved(server: LiveServer, *outputs: Any) -> list[dict[str, Any]]:
    """Save a notebook with those outputs; the outputs in the file on disk."""
    body = {"type": "notebook", "format": "json", "content": notebook(*outputs)}
    status, answer = server.ask("PUT", "api/contents/saved.ipynb", body)
    assert status in (200, 201), answer
    kept = json.loads((server.root_dir / "saved.ipynb").read_text())
    found: list[dict[str, Any]] = kept["cells"][0]["outputs"]
    return found


def display(data: dict[str, Any]) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": data}


def text_of(output: dict[str, Any], kind: str = "text/plain") -> str:
    return "".join(output["data"][kind])


def test_a_saved_notebook_says_how_its_jobs_have_ended(server: LiveServer) -> None:
    good = submit(server, "echo it is done", name="first")
    bad = submit(server, "echo it broke >&2; exit 3", name="second")
    for job in (good, bad):
        until(server, job)
    outputs = [display(bundle(good)), display({"text/plain": "mine"}), display(bundle(bad))]
    first, other, second = saved(server, *outputs)
    assert "'first': succeeded" in text_of(first)
    assert "it is done" in text_of(first)
    assert "it is done" in text_of(first, "text/html")
    assert first["data"][MIME] == {"version": 1, "id": good}
    assert text_of(other) == "mine"
    assert "failed (exit 3)" in text_of(second)
    assert "it broke" in text_of(second, "text/html")


def test_columns_stand_below_each_other_in_an_export_too(server: LiveServer) -> None:
    job = submit(server, "printf '%4d\\n' 1 1000")
    until(server, job)
    [output] = saved(server, display(bundle(job)))
    (manner,) = re.findall(r'<pre style="([^"]*)">   1\n1000</pre>', text_of(output, "text/html"))
    assert "font-family: monospace" in manner


def test_what_is_true_already_is_left_as_it_is(server: LiveServer) -> None:
    job = submit(server, "echo once")
    until(server, job)
    [first] = saved(server, display(bundle(job)))
    marked = {**first["data"], "text/plain": "a person's own words"}
    [again] = saved(server, display(marked))
    assert text_of(again) == "a person's own words"


@pytest.mark.parametrize("odd", [5, None, {"a": "text"}, ["a", 5]])
def test_whatever_stands_in_the_place_of_html_is_written_anew(server: LiveServer, odd: Any) -> None:
    job = submit(server, "echo once")
    until(server, job)
    [output] = saved(server, display({**bundle(job), "text/html": odd}))
    assert "succeeded" in text_of(output, "text/html")


def test_a_running_job_is_shown_with_the_end_of_its_output(
    server: LiveServer, tmp_path: Path
) -> None:
    pipe = Pipe(tmp_path / "pipe")
    job = submit(server, pipe.command)
    lines = b"".join(b"line %d\n" % number for number in range(100_000))
    pipe.write(lines + b"the last\n")
    until(server, job, "running")

    def shown() -> str:
        [output] = saved(server, display(bundle(job)))
        return text_of(output)

    seen = shown()
    while not seen.endswith("the last"):  # it is on its way from the pipe to the file
        seen = shown()
    assert "running" in seen
    assert "line 99999\n" in seen
    assert len(seen) < 1000
    pipe.close()
    until(server, job)


def test_a_large_output_at_the_end_hides_nothing(server: LiveServer) -> None:
    script = "echo before; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo after"
    job = submit(server, ["sh", "-c", script])
    until(server, job)
    [output] = saved(server, display(bundle(job)))
    assert text_of(output).endswith("after")


@pytest.mark.parametrize(
    "data",
    [
        {MIME: {"version": 1, "id": "0123456789abcdef"}, "text/plain": "as it was"},
        {MIME: {"version": 1, "id": "../../etc/passwd"}, "text/plain": "as it was"},
        {MIME: {"version": 1, "id": 7}, "text/plain": "as it was"},
        {MIME: "what", "text/plain": "as it was"},
        {MIME: {}, "text/plain": "as it was"},
    ],
)
def test_what_is_no_job_of_ours_is_left_as_it_is(server: LiveServer, data: dict[str, Any]) -> None:
    [output] = saved(server, display(data))
    assert text_of(output) == "as it was"
    assert "pre-save" not in server.log.lower()


def test_odd_notebooks_are_saved_or_refused_as_without_us(server: LiveServer) -> None:
    for content in ({"cells": [{"outputs": 3}, 7]}, {"cells": "none"}, {}, [], "words", None):
        body = {"type": "notebook", "format": "json", "content": content}
        server.ask("PUT", "api/contents/odd.ipynb", body)
    assert "_before_save" not in server.log


def test_after_a_restart_a_sleeping_server_tells_the_truth(server: LiveServer) -> None:
    job = submit(server, "echo before the night")
    until(server, job)
    server.kill()
    server.start(used=False)
    [output] = saved(server, display(bundle(job)))
    assert "before the night" in text_of(output)


def test_the_pictures_of_an_ended_job_are_saved_with_it(server: LiveServer) -> None:
    picture = "display({'image/png': 'AAAA', 'text/plain': '<Figure>'}, raw=True)"
    spec = {"kind": "code", "source": f"from IPython.display import display\n{picture}"}
    _, job = server.ask("POST", "tasks/api/jobs", {"spec": spec})
    until(server, job["id"])
    [output] = saved(server, display(bundle(job["id"])))
    assert '<img src="data:image/png;base64,AAAA"' in text_of(output, "text/html")
