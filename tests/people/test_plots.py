"""Plots and tables of jobs that have really run."""

import asyncio
from collections.abc import Iterator

import matplotlib as mpl
import pytest

from jupyter_tasks.client import AsyncClient, Client, plots
from jupyter_tasks.client.groups import GroupHandle
from jupyter_tasks.errors import BadValue, NoResult
from tests.live_server import LiveServer

BUSY = """
import time
x = b"x" * 50_000_000
end = time.time() + 2.5
while time.time() < end:
    pass
"""


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    mpl.use("Agg")
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_the_use_of_a_job_is_drawn_over_its_time(client: Client) -> None:
    job = client.submit(["python3", "-c", BUSY], name="costs $5").wait(50)

    ax = job.plot_usage()

    [memory] = ax.get_lines()
    assert max(memory.get_ydata()) > 50
    [cpus] = ax.figure.axes[1].get_lines()
    assert max(cpus.get_ydata()) > 0
    assert ax.get_title() == r"costs \$5 (succeeded)"
    ax.figure.canvas.draw()


def test_a_job_without_samples_says_so(client: Client) -> None:
    with pytest.raises(NoResult, match="has no samples of what it used"):
        client.submit("true").wait(20).plot_usage()


def test_the_calls_of_a_group_are_drawn_by_worker(client: Client) -> None:
    group = client.map(lambda x: 1 / x, [2, 1, 0], max_concurrent=2).wait(50)
    assert isinstance(group, GroupHandle)

    ax = group.plot()

    assert len(ax.patches) == 3
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"succeeded", "failed"}


def test_the_calls_of_a_group_are_a_table(client: Client) -> None:
    group = client.map(lambda x: 1 / x, [2, 1, 0]).wait(50)

    table = group.table()

    assert list(table["state"]) == ["succeeded", "succeeded", "failed"]
    assert list(table["data"])[:2] == [0.5, 1.0]
    assert table["error"][2] == "ZeroDivisionError: division by zero"
    assert list(table["arguments"]) == [2, 1, 0]


def test_arguments_by_name_are_columns_of_the_table(client: Client) -> None:
    sets = [{"rate": 0.1, "depth": 2}, {"rate": 0.2, "depth": 3}]
    group = client.map(lambda rate, depth: rate * depth, sets).wait(50)

    assert list(group.table()["depth"]) == [2, 3]
    found = client.job(group.id)
    assert isinstance(found, GroupHandle)
    assert "depth" not in found.table()


def test_what_is_not_installed_is_named() -> None:
    with pytest.raises(BadValue, match="This needs no_such_library_here, which is not installed"):
        plots._needed("no_such_library_here.part")


def test_the_async_handles_draw_the_same(server: LiveServer) -> None:
    async def scenario() -> None:
        async with AsyncClient(server.url, server.token) as tasks:
            group = await tasks.map(lambda x: x, [1, 2])
            await group.wait(50)
            assert len((await group.plot()).patches) == 2
            assert len(await group.table()) == 2
            job = await tasks.submit("true")
            await job.wait(50)
            with pytest.raises(NoResult):
                await job.plot_usage()

    asyncio.run(scenario())
