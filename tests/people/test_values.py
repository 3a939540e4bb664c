"""Values as people carry them: by the clients, and by the cells of real notebook kernels."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks.client import AsyncClient, Client
from jupyter_tasks.errors import BadMessage, BadValue, NoResult
from jupyter_tasks.magics import lists
from tests.live_server import LiveServer
from tests.people.test_magics import Notebook, error_of, shown, start
from tests.values_client import files_below

__all__ = ["start"]  # the fixture
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer("--TasksExtension.max_running=4") as server:
        yield server


@pytest.fixture
def notebook(server: LiveServer, start: Any) -> Notebook:
    made: Notebook = start(server)
    return made


def jobs_of(client: Client) -> int:
    return len(list(client.jobs()))


# -- the clients -----------------------------------------------------------------------------------


def test_a_client_carries_values_there_and_back(client: Client) -> None:
    job = client.submit_code(
        "total = sum(numbers); first = numbers[0]",
        inputs={"numbers": list(range(1000))},
        outputs=["total", "first"],
        name="sum",
    )
    assert job.result(60) == (499500, 0)
    assert (job.name, job.state) == ("sum", "succeeded")
    again = client.job(job.id)
    assert again.result() == (499500, 0)


def test_one_value_comes_alone_and_large_ones_come_whole(client: Client) -> None:
    data = b"0123456789abcdef" * 2_000_000
    job = client.submit_code("data = data[::-1]", inputs={"data": data}, outputs="data")
    assert job.result(60) == data[::-1]


async def test_the_async_client_does_the_same(server: LiveServer) -> None:
    async with AsyncClient(server.url, server.token) as client:
        job = await client.submit_code("y = x + 1", inputs={"x": 1}, outputs=["y"])
        assert await job.result(60) == 2


def test_a_value_that_cannot_be_carried_is_named_before_anything_is_sent(
    client: Client, server: LiveServer
) -> None:
    before = jobs_of(client), files_below(server.state_dir / "inputs")
    with pytest.raises(BadValue, match=r"`lock` cannot be carried into the job: TypeError: .*lock"):
        client.submit_code("1", inputs={"x": 1, "lock": threading.Lock()})
    with pytest.raises(BadValue, match="'a b' in inputs is no name"):
        client.submit_code("1", inputs={"a b": 1})
    with pytest.raises(BadMessage, match="no variable can have"):
        client.submit_code("1", outputs=["a b"])
    assert (jobs_of(client), files_below(server.state_dir / "inputs")) == before


def test_a_result_that_is_not_there_says_why(client: Client) -> None:
    with pytest.raises(NoResult, match="was not asked for any values"):
        client.submit_code("1").result()
    with pytest.raises(NoResult, match=r"it failed \(ZeroDivisionError: division by zero\)"):
        client.submit_code("1 / 0", outputs=["z"]).result(60)


# -- cells -----------------------------------------------------------------------------------------


def test_a_cell_takes_values_along_and_its_job_brings_some_back(notebook: Notebook) -> None:
    notebook.run(
        "factor = 3\n"
        "class Model:\n    rate = 0.5\n    def scaled(self, by): return self.rate * by\n"
        "def apply(model): return model.scaled(factor)\n"
        "model = Model(); model.me = model"
    )
    notebook.run("%%task fit --in model, apply --out fitted,model\nfitted = apply(model)")
    told = notebook.text(
        "job = _\nfitted, same = job.result(60)\n"
        "print(fitted, type(same) is Model, same.me is same, job.handle.name)"
    )
    assert told == "1.5 True True fit\n"
    assert notebook.text("print('fitted' in globals(), (await job).state)") == "True succeeded\n"


def test_waiting_sets_the_values_and_a_failure_leaves_them(notebook: Notebook) -> None:
    notebook.run("x = 20; z = 'old'")
    notebook.run("%%task --wait --in x --out y --out z\ny, z = x + 1, x + 2")
    assert notebook.text("print(y, z)") == "21 22\n"
    told = "".join(
        m["content"]["text"]
        for m in notebook.run("%%task --wait --out z\nz = 1 / 0")
        if m["msg_type"] == "stream"
    )
    assert told.startswith("z stays as it was. Job ")
    assert "ZeroDivisionError" in told
    assert notebook.text("print(z)") == "22\n"


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%task --in nowhere\n1", "`nowhere` is not set in this kernel"),
        ("%%task --in a.b\n1", "'a.b' in --in is no name of a variable"),
        ("%%task --out 1x\n1", "'1x' in --out is no name of a variable"),
        ("%%task --in lock\n1", "`lock` cannot be carried into the job: TypeError"),
        ("%%task --in gen\n1", "cannot pickle 'generator' object"),
        ("%%task --shell --in x\n1", "leave out --shell and --kernel"),
        ("%%task --kernel python3 --out x\n1", "leave out --shell and --kernel"),
    ],
)
def test_what_cannot_be_carried_is_said_in_a_line_and_nothing_is_queued(
    client: Client, notebook: Notebook, cell: str, words: str
) -> None:
    notebook.run("import threading; lock = threading.Lock(); x = 1; gen = (i for i in 'ab')")
    before = jobs_of(client)
    messages = notebook.run(cell)
    assert words in error_of(messages)
    assert not [m for m in messages if m["msg_type"] in ("display_data", "error")]
    assert jobs_of(client) == before


def test_nothing_of_the_values_is_shown(notebook: Notebook, server: LiveServer) -> None:
    notebook.run("x = 'hunter2' + 'secret'")
    data = shown(notebook.run("%%task --in x --out y --wait\ny = x"))
    assert "hunter2secret" not in repr(data)
    assert notebook.text("print(repr(job := _), job.handle)").count("hunter2secret") == 0
    assert "hunter2secret" not in Path(server.log_path).read_text()


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("--in x,y name", ["--in", "x,y", "name"]),
        ("--in x, y name", ["--in", "x,y", "name"]),
        ("--in x , y name", ["--in", "x,y", "name"]),
        ("--in=x, y --out z name", ["--in=x,y", "--out", "z", "name"]),
        ("one, two --in x, --out z", ["one,", "two", "--in", "x,", "--out", "z"]),
        ("--out x ,y ,z", ["--out", "x,y,z"]),
    ],
)
def test_lists_are_read_as_people_write_them(line: str, wanted: list[str]) -> None:
    assert lists.joined(line.split()) == wanted


def test_names_are_taken_once_from_all_lists() -> None:
    assert lists.names(["x, y", "y,,z "]) == ["x", "y", "z"]
    assert lists.names(None) == []
