"""Notebooks as jobs: real kernels, a real server, and the output notebook that is left."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import v4

from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.server.test_code import has_printed, outputs_of, records_of, text_of
from tests.stream_client import job_of, until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module", params=["cold", "warm"])
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """One whose kernels start cold, and one whose kernels start warm: nothing else may differ."""
    is_warm = request.param == "warm"
    with LiveServer(
        "--TasksExtension.max_running=4", f"--TasksExtension.warm_kernels={is_warm}"
    ) as server:
        if is_warm:
            written(server, "first.ipynb", "1")
            ran(server, "first.ipynb")
            eventually(lambda: " start warm " in server.log, within_s=60, what="it is warm")
        yield server


@pytest.fixture
def folder(server: LiveServer) -> Path:
    """A folder of the test's own, below the server's root."""
    return Path(tempfile.mkdtemp(prefix="of-", dir=server.root_dir))


def tagged(source: str, *tags: str) -> Any:
    return v4.new_code_cell(source, metadata={"tags": [*tags]})


def written(server: LiveServer, path: str, *cells: Any, **metadata: Any) -> Path:
    """A notebook of these cells, or sources of code cells, at the path below the root."""
    notebook = v4.new_notebook(metadata=metadata)
    notebook.cells = [v4.new_code_cell(one) if isinstance(one, str) else one for one in cells]
    place = server.root_dir / path
    place.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, place)
    return place


def asked(server: LiveServer, path: str, *, job: Any = None, **spec: Any) -> tuple[int, Any]:
    request = {"spec": {"kind": "notebook", "path": path, **spec}, **(job or {})}
    return server.ask("POST", "tasks/api/jobs", request)


def submitted(server: LiveServer, path: str, **more: Any) -> dict[str, Any]:
    status, answer = asked(server, path, **more)
    assert status == 201, answer
    job: dict[str, Any] = answer
    return job


def refused(server: LiveServer, path: str, **more: Any) -> str:
    """The words with which it is refused; the server goes on."""
    status, answer = asked(server, path, **more)
    assert (status, answer["code"]) == (400, "bad_message"), answer
    assert server.ask("GET", "tasks/api/status")[0] == 200
    words: str = answer["message"]
    return words


def ran(server: LiveServer, path: str, **more: Any) -> dict[str, Any]:
    return until(server, submitted(server, path, **more)["id"])


def output_of(server: LiveServer, job: dict[str, Any]) -> Any:
    """The output notebook, which is valid at any moment."""
    notebook = nbformat.read(server.root_dir / job["spec"]["output"], as_version=4)
    nbformat.validate(notebook)
    return notebook


def text_in(cell: Any) -> str:
    return "".join(one["text"] for one in cell.outputs if one.output_type == "stream")


def test_cells_run_one_after_another_and_the_output_notebook_has_what_they_put_out(
    server: LiveServer, folder: Path
) -> None:
    rich = "import os\nfrom IPython.display import HTML, display\n_ = os.system('echo from a child')\ndisplay(HTML('<b>x</b>'))\n6 * 7"
    cells = ["a = 1", v4.new_markdown_cell("# Words"), "", "print('one', a)", rich]
    source = written(server, f"{folder.name}/all.ipynb", *cells)
    before = source.read_bytes()
    job = ran(server, f"{folder.name}/all.ipynb")
    assert (job["state"], job["name"], job["exit_code"]) == ("succeeded", "all.ipynb", 0)
    assert job["spec"]["output"] == f"{folder.name}/all.{job['id']}.ipynb"
    notebook = output_of(server, job)
    assert [one.source for one in notebook.cells] == [getattr(one, "source", one) for one in cells]
    assert [one.get("execution_count") for one in notebook.cells] == [1, None, None, 2, 3]
    assert text_in(notebook.cells[3]) == "one 1\n"
    rich_outputs = notebook.cells[4].outputs
    assert text_in(notebook.cells[4]) == "from a child\n"
    display, result = (one for one in rich_outputs if one.output_type != "stream")
    assert display.data["text/html"] == "<b>x</b>"
    assert (result.output_type, result.data["text/plain"]) == ("execute_result", "42")
    assert source.read_bytes() == before
    assert sorted(os.listdir(folder)) == sorted([source.name, Path(job["spec"]["output"]).name])
    assert {"one 1", "from a child"} <= set(text_of(server, job["id"]).splitlines())
    assert [one["output_type"] for one in outputs_of(server, job["id"])] == [
        "display_data",
        "execute_result",
    ]


def test_a_parameters_cell_is_followed_by_the_injected_one(
    server: LiveServer, folder: Path
) -> None:
    path = f"{folder.name}/p.ipynb"
    written(server, path, "import sys", tagged("x, y = 1, 2", "parameters"), "print(x, y)")
    values = {"x": 'é"$x\n', "y": [1, {"k": None, "t": True}]}
    job = ran(server, path, parameters=values)
    notebook = output_of(server, job)
    assert [one.metadata.get("tags") for one in notebook.cells] == [
        None,
        ["parameters"],
        ["injected-parameters"],
        None,
    ]
    assert text_in(notebook.cells[3]) == f"{values['x']} {values['y']}\n"
    assert notebook.metadata.jupyter_tasks.parameters == values
    again = ran(server, job["spec"]["output"], parameters={"x": 5})
    assert len(output_of(server, again).cells) == 4


def test_progress_says_which_cell_runs_and_how_many_are_done(
    server: LiveServer, folder: Path
) -> None:
    gate = folder / "gate"
    os.mkfifo(gate)
    written(server, f"{folder.name}/n.ipynb", "1", f"# wait\nopen({str(gate)!r}).read()")
    job = submitted(server, f"{folder.name}/n.ipynb")

    def progress() -> Any:
        return (job_of(server, job["id"])["progress"] or {}).get("message")

    eventually(lambda: progress() == "cell 2 of 2: # wait", within_s=60)
    assert job_of(server, job["id"])["progress"]["value"] == 1
    assert output_of(server, job).cells[0].execution_count == 1
    gate.write_text("")
    told = until(server, job["id"])["progress"]
    assert (told["value"], told["total"], told["message"]) == (2, 2, "")


def test_a_cell_that_prints_is_in_the_file_before_it_ends(server: LiveServer, folder: Path) -> None:
    gate = folder / "gate"
    os.mkfifo(gate)
    source = f"print('begun', flush=True)\nopen({str(gate)!r}).read()"
    written(server, f"{folder.name}/n.ipynb", source)
    job = submitted(server, f"{folder.name}/n.ipynb")
    place = server.root_dir / job["spec"]["output"]
    eventually(lambda: place.exists() and "begun" in place.read_text(), within_s=60)
    assert output_of(server, job).metadata.jupyter_tasks.state == "running"
    gate.write_text("")
    assert until(server, job["id"])["state"] == "succeeded"
    assert output_of(server, job).metadata.jupyter_tasks.state == "succeeded"


def test_an_error_names_the_cell_and_what_follows_is_not_run(
    server: LiveServer, folder: Path
) -> None:
    written(server, f"{folder.name}/n.ipynb", "1", "x = 2\n{}['key']", "print('after')")
    job = ran(server, f"{folder.name}/n.ipynb")
    assert (job["state"], job["reason"]) == ("failed", "error")
    assert job["message"] == "Cell 2 of 3 (x = 2): KeyError: 'key'"
    notebook = output_of(server, job)
    [error] = notebook.cells[1].outputs
    assert (error.output_type, error.ename) == ("error", "KeyError")
    assert any("KeyError" in line for line in error.traceback)
    assert (notebook.cells[2].outputs, notebook.cells[2].execution_count) == ([], None)
    assert notebook.metadata.jupyter_tasks.message == job["message"]


@pytest.mark.parametrize("how", ["tag", "option"])
def test_a_cell_may_fail_where_that_is_allowed(server: LiveServer, folder: Path, how: str) -> None:
    failing = tagged("1 / 0", "raises-exception") if how == "tag" else "1 / 0"
    written(server, f"{folder.name}/{how}.ipynb", failing, "print('after')")
    job = ran(server, f"{folder.name}/{how}.ipynb", allow_errors=how == "option")
    assert job["state"] == "succeeded", job["message"]
    assert text_in(output_of(server, job).cells[1]) == "after\n"


@pytest.mark.parametrize(
    ("source", "state", "code"),
    [
        ("import sys; sys.exit(0)", "succeeded", 0),
        ("import sys; sys.exit(3)", "failed", 3),
        ("exit()", "succeeded", 0),
    ],
)
def test_a_cell_may_end_the_notebook(
    server: LiveServer, folder: Path, source: str, state: str, code: int
) -> None:
    written(server, f"{folder.name}/n.ipynb", source, "print('after')")
    job = ran(server, f"{folder.name}/n.ipynb")
    assert (job["state"], job["exit_code"]) == (state, code), job
    assert output_of(server, job).cells[1].outputs == []


def test_cancel_interrupts_the_cell_and_none_comes_after_it(
    server: LiveServer, folder: Path
) -> None:
    source = "import time\ntry:\n    print('in', flush=True)\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    print('caught')"
    written(server, f"{folder.name}/n.ipynb", source, "print('after')")
    job = submitted(server, f"{folder.name}/n.ipynb")
    has_printed(server, job["id"], "in\n")
    server.ask("POST", f"tasks/api/jobs/{job['id']}/cancel")
    job = until(server, job["id"])
    assert (job["state"], job["reason"]) == ("cancelled", "user")
    notebook = output_of(server, job)
    assert text_in(notebook.cells[0]) == "in\ncaught\n"
    assert notebook.cells[1].outputs == []
    assert notebook.metadata.jupyter_tasks.state == "cancelled"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os; os._exit(0)", "it ended with exit code 0"),
        ("import os; os.kill(os.getpid(), 9)", "Perhaps the machine ran out of memory."),
    ],
)
def test_a_kernel_that_dies_is_said_with_its_cell(
    server: LiveServer, folder: Path, source: str, words: str
) -> None:
    written(server, f"{folder.name}/n.ipynb", "print('before')", source, "1")
    job = ran(server, f"{folder.name}/n.ipynb")
    assert (job["state"], job["reason"]) == ("failed", "kernel_died")
    assert "died while it ran cell 2 of 3 (import os" in job["message"]
    assert words in job["message"]
    [error] = output_of(server, job).cells[1].outputs
    assert (error.ename, error.evalue) == ("DeadKernel", job["message"])


def test_a_kernel_that_takes_too_much_memory_is_said_to(server: LiveServer, folder: Path) -> None:
    source = "import time\nx = bytearray(600_000_000)\nx[::4096] = b'x' * len(x[::4096])\ntime.sleep(600)"
    written(server, f"{folder.name}/n.ipynb", source)
    job = ran(server, f"{folder.name}/n.ipynb", job={"memory_bytes": 300_000_000, "grace_s": 0})
    assert (job["state"], job["reason"]) == ("failed", "memory")
    assert job["message"].startswith("The kernel ran out of memory")
    assert "cell 1 of 1" in job["message"]
    assert output_of(server, job).metadata.jupyter_tasks.state == "failed"


def test_updates_reach_the_cell_that_shows_and_cleared_outputs_go(
    server: LiveServer, folder: Path
) -> None:
    show = "from IPython.display import HTML, clear_output, display\nhandle = display(HTML('1'), display_id=True)"
    clear = "print('old')\nclear_output(wait=True)\nprint('new')\nhandle.update(HTML('2'))"
    written(server, f"{folder.name}/n.ipynb", show, clear)
    notebook = output_of(server, ran(server, f"{folder.name}/n.ipynb"))
    assert notebook.cells[0].outputs[0].data["text/html"] == "2"
    assert text_in(notebook.cells[1]) == "new\n"


def test_a_huge_output_is_cut_in_the_notebook_too(server: LiveServer, folder: Path) -> None:
    written(
        server, f"{folder.name}/n.ipynb", "for _ in range(300): print('x' * 9999)", "print('end')"
    )
    job = ran(server, f"{folder.name}/n.ipynb", job={"max_output_bytes": 1_000_000})
    assert job["state"] == "succeeded"
    text = text_in(output_of(server, job).cells[0])
    assert 900_000 < len(text) < 1_100_000
    assert text.endswith("it is more than 1000000 bytes.\n")


def test_it_goes_on_without_the_server(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with LiveServer() as server:
        written(server, "n.ipynb", "print('one')", f"open({str(gate)!r}).read()", "print('two')")
        job = submitted(server, "n.ipynb")
        has_printed(server, job["id"], "one")
        server.kill()
        gate.write_text("now")
        server.start()
        job = until(server, job["id"])
        assert (job["state"], job["attempt"]) == ("succeeded", 1)
        assert [text_in(cell) for cell in output_of(server, job).cells] == ["one\n", "", "two\n"]


def test_what_runs_is_the_notebook_as_it_was(server: LiveServer, folder: Path) -> None:
    gate, path = folder / "gate", f"{folder.name}/n.ipynb"
    os.mkfifo(gate)
    written(server, path, f"open({str(gate)!r}).read()", "print('as it was')")
    job = submitted(server, path)
    until(server, job["id"], "running")
    written(server, path, "print('edited')")
    gate.write_text("")
    job = until(server, job["id"])
    assert text_in(output_of(server, job).cells[1]) == "as it was\n"


def test_two_jobs_of_one_notebook_do_not_disturb_each_other(
    server: LiveServer, folder: Path
) -> None:
    path = f"{folder.name}/n.ipynb"
    written(server, path, tagged("x = 0", "parameters"), "print(x)")
    both = [submitted(server, path, parameters={"x": x}) for x in (1, 2)]
    ended = [until(server, job["id"]) for job in both]
    assert [text_in(output_of(server, job).cells[2]) for job in ended] == ["1\n", "2\n"]


def test_it_runs_in_its_own_folder_or_in_another(server: LiveServer, folder: Path) -> None:
    path = f"{folder.name}/n.ipynb"
    written(server, path, "import os; print(os.getcwd())")
    ours, other = ran(server, path), ran(server, path, cwd=str(server.root_dir))
    assert text_of(server, ours["id"]) == f"{folder}\n"
    assert text_of(server, other["id"]) == f"{server.root_dir}\n"


def test_the_output_goes_where_it_is_asked_for(server: LiveServer, folder: Path) -> None:
    path = f"{folder.name}/n.ipynb"
    written(server, path, "1")
    (folder / "out").mkdir()
    job = ran(server, path, output=f"{folder.name}/out/mine.ipynb")
    assert output_of(server, job).cells[0].execution_count == 1
    assert os.listdir(folder / "out") == ["mine.ipynb"]


def test_an_output_that_cannot_be_written_any_more_is_told(
    server: LiveServer, folder: Path
) -> None:
    path, out = f"{folder.name}/n.ipynb", folder / "out"
    written(server, path, f"import shutil; shutil.rmtree({str(out)!r})")
    out.mkdir()
    job = ran(server, path, output=f"{folder.name}/out/mine.ipynb")
    assert (job["state"], job["reason"]) == ("failed", "error")
    assert "mine.ipynb cannot be written: No such file or directory" in job["message"]
    assert any(one.get("code") == "notebook_not_written" for one in records_of(server, job["id"]))


def test_an_empty_notebook_succeeds(server: LiveServer, folder: Path) -> None:
    written(server, f"{folder.name}/n.ipynb")
    assert output_of(server, job := ran(server, f"{folder.name}/n.ipynb")).cells == []
    assert job["state"] == "succeeded"


def test_a_restart_is_another_run_into_the_same_file(server: LiveServer, folder: Path) -> None:
    written(server, f"{folder.name}/n.ipynb", "print('x')")
    job = ran(server, f"{folder.name}/n.ipynb")
    server.ask("POST", f"tasks/api/jobs/{job['id']}/restart")
    eventually(lambda: job_of(server, job["id"])["attempt"] == 2, within_s=30)
    job = until(server, job["id"])
    assert output_of(server, job).metadata.jupyter_tasks.attempt == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("no JSON", "is no notebook"),
        ("[]", "is no notebook"),
        ('{"nbformat": 4}', "`cells`"),
        ('{"nbformat": 4, "cells": [1]}', "is no notebook"),
        ('{"nbformat": 3, "worksheets": []}', "has format 3"),
        ("[" * 100_000, "is no notebook"),
    ],
)
def test_what_is_no_notebook_is_refused(
    server: LiveServer, folder: Path, content: str, words: str
) -> None:
    (folder / "n.ipynb").write_text(content)
    assert words in refused(server, f"{folder.name}/n.ipynb")


def test_what_is_not_below_the_root_is_refused(
    server: LiveServer, folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "n.ipynb"
    nbformat.write(v4.new_notebook(), outside)
    (folder / "link.ipynb").symlink_to(outside)
    (folder / "linked").symlink_to(tmp_path)
    written(server, f"{folder.name}/n.ipynb", "1")
    for path in (
        str(outside),
        "../n.ipynb",
        f"{folder.name}/link.ipynb",
        f"{folder.name}/linked/n.ipynb",
    ):
        assert "outside of the root folder" in refused(server, path)
    for output in (f"{tmp_path}/o.ipynb", "../o.ipynb", f"{folder.name}/linked/o.ipynb"):
        words = refused(server, f"{folder.name}/n.ipynb", output=output)
        assert "outside of the root folder" in words
    assert os.listdir(tmp_path) == ["n.ipynb"]


def test_other_bad_requests_are_refused_in_words(server: LiveServer, folder: Path) -> None:
    path = f"{folder.name}/n.ipynb"
    written(server, path, "1")
    written(server, f"{folder.name}/.hidden.ipynb", "1")
    named = {"name": "nobody", "display_name": "Nobody"}
    written(server, f"{folder.name}/named.ipynb", "1", kernelspec=named)
    os.link(folder / "n.ipynb", folder / "same.ipynb")
    os.mkfifo(folder / "pipe.ipynb")
    for more, words in (
        ({"path": "not-there.ipynb"}, "is not there"),
        ({"path": folder.name}, "is no file"),
        ({"path": f"{folder.name}/pipe.ipynb"}, "is no file"),
        ({"path": f"{folder.name}/.hidden.ipynb"}, "is hidden"),
        ({"path": f"{folder.name}/named.ipynb"}, "There is no kernel 'nobody'"),
        ({"kernel": "nobody"}, "There is no kernel 'nobody'"),
        ({"output": path}, "itself"),
        ({"output": f"{folder.name}/same.ipynb"}, "itself"),
        ({"output": f"{folder.name}/data.csv"}, "must end in .ipynb"),
        ({"output": f"{folder.name}/missing/o.ipynb"}, "is not there"),
        ({"parameters": {"no name": 1}}, "'no name' is no name"),
        ({"parameters": {"class": 1}}, "'class' is no name"),
        ({"cwd": "missing"}, "is not there"),
    ):
        assert words in refused(server, **{"path": path, **more})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_told_at_once(server: LiveServer, folder: Path) -> None:
    written(server, f"{folder.name}/n.ipynb", "1")
    folder.chmod(0o500)
    assert "Nothing can be written" in refused(server, f"{folder.name}/n.ipynb")
    folder.chmod(0o700)


def test_a_link_that_is_put_in_its_place_before_it_starts_leads_nowhere(
    folder: Path, tmp_path: Path, server: LiveServer
) -> None:
    path, gate = f"{folder.name}/n.ipynb", folder / "gate"
    os.mkfifo(gate)
    outside = tmp_path / "n.ipynb"
    nbformat.write(v4.new_notebook(), outside)
    written(server, path, "1")
    wait = [{"spec": {"kind": "shell", "command": f"cat '{gate}'"}} for _ in range(5)]
    blockers = server.ask("POST", "tasks/api/jobs", wait)[1]["jobs"]
    job = submitted(server, path)
    (folder / "n.ipynb").unlink()
    (folder / "n.ipynb").symlink_to(outside)
    for blocker in blockers:
        server.ask("POST", f"tasks/api/jobs/{blocker['id']}/cancel")
    job = until(server, job["id"])
    assert (job["state"], job["reason"]) == ("failed", "start")
    assert "outside of the root folder" in job["message"]


def test_a_waiting_job_takes_other_parameters(server: LiveServer, folder: Path) -> None:
    path, gate = f"{folder.name}/n.ipynb", folder / "gate"
    os.mkfifo(gate)
    written(server, path, "print(x)")
    wait = [{"spec": {"kind": "shell", "command": f"cat '{gate}'"}} for _ in range(5)]
    blockers = server.ask("POST", "tasks/api/jobs", wait)[1]["jobs"]
    job = submitted(server, path, parameters={"x": 1})
    changed = {"version": job["version"], "spec": {**job["spec"], "parameters": {"x": 2}}}
    status, edited = server.ask("PATCH", f"tasks/api/jobs/{job['id']}", changed)
    assert (status, edited["spec"]) == (200, changed["spec"])
    for blocker in blockers:
        server.ask("POST", f"tasks/api/jobs/{blocker['id']}/cancel")
    assert text_in(output_of(server, until(server, job["id"])).cells[1]) == "2\n"


def test_the_state_of_widgets_is_kept(server: LiveServer, folder: Path) -> None:
    make = "import ipywidgets\nslider = ipywidgets.IntSlider(3)\nslider"
    image = "ipywidgets.Image(value=b'bytes')"
    written(server, f"{folder.name}/n.ipynb", make, "slider.value = 7", image)
    notebook = output_of(server, ran(server, f"{folder.name}/n.ipynb"))
    states = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    shown = [
        notebook.cells[n].outputs[0].data["application/vnd.jupyter.widget-view+json"]
        for n in (0, 2)
    ]
    slider, picture = (states[one["model_id"]] for one in shown)
    assert (slider["model_name"], slider["state"]["value"]) == ("IntSliderModel", 7)
    [buffer] = picture["buffers"]
    assert (buffer["path"], buffer["data"]) == (["value"], "Ynl0ZXM=")
