"""Widgets in a real kernel with a real server: what front ends are sent, and what presses do."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from jupyter_tasks import views
from tests.live_server import LiveServer
from tests.people.test_magics import MIME, Notebook, start  # noqa: F401 - a fixture

pytestmark = pytest.mark.timeout(120)
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer("--TasksExtension.max_running=4") as server:
        yield server


@pytest.fixture
def kernel(server: LiveServer, start: Callable[[LiveServer], Notebook]) -> Notebook:  # noqa: F811
    notebook = start(server)
    notebook.run("from jupyter_tasks import Client, JobWidget, TasksPanel\ntasks = Client()")
    return notebook


def shown(messages: list[dict[str, Any]]) -> dict[str, Any]:
    [data] = [
        message["content"]["data"]
        for message in messages
        if message["msg_type"] in ("execute_result", "display_data")
    ]
    return dict(data)


def is_sent(words: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a message of a widget's state says that."""
    return lambda message: (
        message["msg_type"] == "comm_msg"
        and words in json.dumps(message["content"]["data"], ensure_ascii=False)
    )


def waiting(kernel: Notebook, go_on: Path, name: str) -> None:
    """A job that prints a line, and ends once it is let."""
    os.mkfifo(go_on)
    command = f"echo first; read x < '{go_on}'; echo last"
    kernel.run(f"job = tasks.submit({command!r}, name={name!r}, tags=[{name!r}])")


def test_a_widget_shows_its_job_live_to_the_end(kernel: Notebook, tmp_path: Path) -> None:
    waiting(kernel, tmp_path / "go", "live")
    kernel.run("w = JobWidget(job)")

    kernel.until(is_sent("running"))
    (tmp_path / "go").write_text("go")
    kernel.until(is_sent("succeeded"))

    assert kernel.text("print('last' in w._output.value, w._bar.value, w._cancel.disabled)") == (
        "True 1.0 True\n"
    )


def test_it_is_live_while_a_cell_of_its_kernel_runs(kernel: Notebook, tmp_path: Path) -> None:
    waiting(kernel, tmp_path / "go", "busy")
    kernel.run("w = JobWidget(job)")

    messages = kernel.run(
        f"open({str(tmp_path / 'go')!r}, 'w').write('go'); job.wait(60)\n"
        "import time\nend = time.monotonic() + 60\n"
        "while 'succeeded' not in w._head.value and time.monotonic() < end: time.sleep(0.05)"
    )

    assert any(map(is_sent("succeeded"), messages))


def test_a_press_cancels_and_restarts_the_job(kernel: Notebook, tmp_path: Path) -> None:
    waiting(kernel, tmp_path / "go", "pressed")
    kernel.run("w = JobWidget(job)")
    kernel.run("w._cancel.click()")
    kernel.until(is_sent("cancelled"))

    kernel.run("w._restart.click()")
    (tmp_path / "go").write_text("go")
    kernel.until(is_sent("succeeded"))

    assert kernel.text("print(job.refresh().attempt)") == "2\n"


def test_what_cannot_be_done_is_said_in_the_widget(kernel: Notebook) -> None:
    kernel.run("job = tasks.submit('true').wait(60); w = JobWidget(job); job.delete()")
    kernel.run("w._restart.click()")

    assert "knows no job" in kernel.text("print(w.note.value)")


def test_a_name_cannot_act_in_the_page(kernel: Notebook) -> None:
    evil = "<img src=x onerror=alert(1)>"
    kernel.run(f"job = tasks.submit('echo {chr(92)}<script{chr(92)}>', name={evil!r}).wait(60)")
    told = kernel.text("w = JobWidget(job); print(w._head.value, w._output.value)")

    assert "<img" not in told
    assert "<script" not in told
    assert "&lt;img" in told


def test_how_presses_are_heard_is_said(kernel: Notebook) -> None:
    kernel.run("w = JobWidget(tasks.submit('true').wait(60))")

    assert "While a cell of this kernel runs, a press " in kernel.text("print(w._hint.value)")


def test_a_widget_is_displayed_with_its_html_and_text(kernel: Notebook) -> None:
    data = shown(kernel.run("JobWidget(tasks.submit('echo hi', name='told').wait(60))"))

    assert data[VIEW]["model_id"]
    assert data[MIME]["version"] == 1
    assert "told" in data["text/html"]
    assert data["text/plain"].endswith("hi")
    assert "succeeded" in data["text/plain"]


def test_a_panel_lists_jobs_live(kernel: Notebook, tmp_path: Path) -> None:
    waiting(kernel, tmp_path / "go", "panelled")
    kernel.run("p = TasksPanel(tags=['panelled'])")
    kernel.until(is_sent("running"))

    kernel.run("tasks.submit('true', name='another', tags=['panelled']).wait(60)")
    kernel.until(is_sent("another"))
    (tmp_path / "go").write_text("go")
    kernel.run("job.wait(60); p.refresh()")

    assert kernel.text("print(len(p._list.children), p._count.value)") == "2 2 jobs\n"


def test_a_panel_narrows_submits_and_restarts(kernel: Notebook) -> None:
    kernel.run("p = TasksPanel()\np._command.value = 'exit 3'")
    kernel.run("p.children[2].children[1].click()")
    kernel.run("job = next(tasks.jobs(limit=1)).wait(60)\np._text.value = 'exit 3'")
    kernel.run("p._rows[job.id]._button.click(); job.wait(60)")

    assert kernel.text("print(job.refresh().attempt, job.exit_code)") == "2 3\n"
    kernel.run("p._state.value = 'succeeded'")
    assert kernel.text("print(len(p._list.children))") == "0\n"


def test_a_panel_is_displayed_with_a_list_that_names_its_time(kernel: Notebook) -> None:
    kernel.run("tasks.submit('true', name='listed', tags=['listed']).wait(60)")

    data = shown(kernel.run("TasksPanel(tags=['listed'])"))

    assert VIEW in data
    for kind in ("text/html", "text/plain"):
        assert "1 jobs of jupyter_tasks, as they were at 2" in data[kind]
        assert "listed" in data[kind]
        assert "succeeded" in data[kind]


def test_a_saved_notebook_keeps_html_and_text_and_no_dead_widget(kernel: Notebook) -> None:
    kernel.run("job = tasks.submit('true', name='kept', tags=['kept']).wait(60)")
    bundles = [
        shown(kernel.run("JobWidget(job)")),
        shown(kernel.run("TasksPanel(tags=['kept'])")),
        shown(kernel.run("import ipywidgets; ipywidgets.IntSlider()")),
    ]
    cells = [new_code_cell(outputs=[new_output("display_data", data)]) for data in bundles]
    content = json.loads(nbformat.writes(new_notebook(cells=cells)))

    views.forget_widgets(content)

    kept = [set(cell["outputs"][0]["data"]) for cell in content["cells"]]
    assert kept == [
        {MIME, "text/html", "text/plain"},
        {"text/html", "text/plain"},
        {VIEW, "text/plain"},
    ]


# -- groups and forms ------------------------------------------------------------------------------


def test_a_group_names_its_failed_calls_and_retries_them(kernel: Notebook, tmp_path: Path) -> None:
    there = tmp_path / "there"
    kernel.run(
        f"def check(n):\n    if n == 1 and not __import__('os').path.exists({str(there)!r}):\n"
        "        raise ValueError('<b>not yet')\n    return n\n"
        "from jupyter_tasks import GroupWidget\ng = tasks.map(check, range(3))\nw = GroupWidget(g)"
    )
    kernel.until(is_sent("call 1: ValueError: &lt;b&gt;not yet"))
    there.touch()

    kernel.run("w._restart.click()")
    kernel.until(is_sent("succeeded"))

    assert kernel.text("print(g.refresh().attempt, g.results())") == "2 [0, 1, 2]\n"


def test_what_is_no_group_gets_no_group_widget(kernel: Notebook) -> None:
    words = "from jupyter_tasks import GroupWidget\n"
    words += "try: GroupWidget(tasks.submit('true'))\nexcept Exception as e: print(e)"

    assert "shows a group" in kernel.text(words)


FORM = """
from typing import Annotated, Literal
from jupyter_tasks import About, TaskForm, task

@task(title="Vacuum <it>", dangerous="may lock tables")
def vacuum(table: str, days: Annotated[int, About(minimum=1, help="how old")] = 7,
           mode: Literal["quick", "full"] = "quick", tags: list[str] = (), dry: bool = True):
    print(table, days, mode, list(tags), dry)

tasks.register(vacuum, name=NAME)
f = TaskForm(NAME)
"""


def form(kernel: Notebook, name: str) -> None:
    kernel.run(FORM.replace("NAME", repr(name)))


def fill(kernel: Notebook, field: str, value: object) -> None:
    kernel.run(f"f._inputs[{field!r}]._part.value = {value!r}")


def press_run(kernel: Notebook) -> None:
    kernel.run("[b.click() for b in f.children if getattr(b, 'description', '') == 'Run']")


def test_a_form_runs_its_task_with_what_was_filled_in(kernel: Notebook) -> None:
    form(kernel, "filled")
    for field, value in {"table": "logs", "days": "30", "mode": "full", "tags": "a\nb c"}.items():
        fill(kernel, field, value)
    kernel.run("f._danger.value = True")
    press_run(kernel)

    told = kernel.text("print(f.job.wait(60).state, f.job.output().decode())")
    assert told.split("\n")[0] == "succeeded logs 30 full ['a', 'b c'] True"
    assert kernel.text("print(len(f._place.children))") == "1\n"


def test_a_form_says_beside_each_field_what_is_wrong(kernel: Notebook) -> None:
    form(kernel, "wrong")
    fill(kernel, "days", "0")
    press_run(kernel)

    assert "days" in kernel.text("print(f._inputs['days'].wrong.value)")
    assert "table" in kernel.text("print(f._inputs['table'].wrong.value)")
    assert kernel.text("print(f.job)") == "None\n"


def test_a_dangerous_task_runs_only_where_its_danger_was_ticked(kernel: Notebook) -> None:
    form(kernel, "danger")
    fill(kernel, "table", "logs")
    press_run(kernel)

    assert "may lock tables" in kernel.text("print(f._danger.description)")
    assert "Tick “I mean it: may lock tables” first." in kernel.text("print(f.note.value)")
    assert kernel.text("print(f.job)") == "None\n"


def test_a_form_is_displayed_with_its_html_and_text(kernel: Notebook) -> None:
    form(kernel, "formed")

    data = shown(kernel.run("f"))

    assert "Form for the task formed, as it was at 2" in data["text/plain"]
    assert "Dangerous: may lock tables" in data["text/html"]
    assert "days: 7" in data["text/plain"]
    assert "<it>" not in kernel.text("print(f.children[0].value)")
