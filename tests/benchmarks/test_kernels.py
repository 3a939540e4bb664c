"""Code in kernels: how soon its first output is there, beside a kernel as jupyter_client starts one."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from tests.benchmarks import peers
from tests.benchmarks.conftest import ROUNDS, Board, Row, percentile
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.stream_client import get, until

pytestmark = pytest.mark.benchmark

SOURCE = "print('x')"
WARM = 40 * ROUNDS
COLD = 4 * ROUNDS


@pytest.fixture
def servers() -> Iterator[tuple[LiveServer, LiveServer]]:
    """One whose kernels start warm, and one whose kernels start cold."""
    options = "--TasksExtension.max_running=2", "--TasksExtension.warm_kernels={}"
    with (
        LiveServer(options[0], options[1].format(True)) as warm,
        LiveServer(options[0], options[1].format(False)) as cold,
    ):
        for server in (warm, cold):
            until_first_output_ms(server)
        eventually(lambda: " start warm " in warm.log, within_s=60, what="it is warm")
        yield warm, cold


def until_first_output_ms(server: LiveServer) -> float:
    """From the submit to the first byte that somebody who follows the job receives."""
    begin = time.perf_counter()
    _, job = server.ask("POST", "tasks/api/jobs", {"spec": {"kind": "code", "source": SOURCE}})
    with get(server, f"jobs/{job['id']}/output?follow=true") as answer:
        assert answer.read(1) == b"x"
        took_ms = (time.perf_counter() - begin) * 1000
        answer.read()
    until(server, job["id"])
    return took_ms


def jupyter_clients_ms() -> float:
    """As every client of kernels does it: start, wait until it is ready, execute, wait for the output."""
    begin = time.perf_counter()
    manager = KernelManager()
    manager.start_kernel()
    client: Any = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute(SOURCE)
        while client.get_iopub_msg(timeout=60)["msg_type"] != "stream":
            pass
        return (time.perf_counter() - begin) * 1000
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_submit_to_first_output(servers: tuple[LiveServer, LiveServer], board: Board) -> None:
    warm, cold = servers
    warm_ms, cold_ms, others_ms, scheduled_ms = [], [], [], []
    with peers.scheduler() as scheduler:
        for number in range(WARM):
            warm_ms.append(until_first_output_ms(warm))
            if number % (WARM // COLD) == 0:
                cold_ms.append(until_first_output_ms(cold))
                others_ms.append(jupyter_clients_ms())
                if scheduler is not None:
                    scheduled_ms.append(scheduler.until_output_ms())
    for percent, goal_ms in ((50, 100), (99, 300)):
        mine = percentile(warm_ms, percent)
        board.add(
            Row(
                what=f"code: submit to first output over REST, durable, warm, p{percent}",
                unit="ms",
                ours=mine,
                goal=f"at most {goal_ms} ms",
                is_met=mine <= goal_ms,
                beside={
                    "cold, ours": percentile(cold_ms, percent),
                    "jupyter_client, cold": percentile(others_ms, percent),
                }
                | (
                    {"jupyter-scheduler": percentile(scheduled_ms, percent)} if scheduled_ms else {}
                ),
            )
        )
    mine, beside = percentile(cold_ms, 50), percentile(others_ms, 50)
    board.add(
        Row(
            what="code: submit to first output over REST, durable, cold, p50",
            unit="ms",
            ours=mine,
            goal="at most 1.2 x jupyter_client",
            is_met=mine <= 1.2 * beside,
            beside={"jupyter_client, cold": beside},
        )
    )
