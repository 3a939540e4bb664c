"""Registered tasks: found in modules, registered by REST, run as jobs, with typed fields."""

import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks.client import Client
from jupyter_tasks.errors import BadFields, BadMessage, NotConfirmed
from tests.eventually import eventually
from tests.live_server import LiveServer
from tests.values_client import uploaded

pytestmark = pytest.mark.timeout(120)
ENDED = ("succeeded", "failed", "cancelled", "lost")

MODULE = """
import os
import signal
import sys
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated

from jupyter_tasks import About, Done, Task, steps, task

class Colour(Enum):
    RED = "red"
    BLUE = "blue"

@task(category="Sums", tags=["quick"])
def add(a: int, b: Annotated[int, About(minimum=0, help="No less than nothing.")] = 1):
    "Add two numbers."
    return a + b

@task
def types(path: Path, when: datetime, colour: Colour = Colour.RED, names: list[str] = []):
    return [type(path).__name__, when.year, colour.name, names]

@task(dangerous="may lock tables")
def vacuum():
    return "done"

def double(n: int):
    yield 0.5
    return n * 2

def add_one(n):
    return n + 1

chain = task(name="chain")(steps(double, add_one))

@task
class Wait(Task):
    "Wait for ever, and say how it was ended."
    def initialize(self, file: Path):
        self.file = file
        file.with_suffix(".begun").touch()
    def process(self):
        return None
    def abort(self):
        self.file.write_text("aborted")

@task(max_concurrent=1)
class WaitAlone(Wait):
    pass

@task
class Count(Task):
    def initialize(self, to: int):
        self.to, self.now = to, 0
    def process(self):
        self.now += 1
        return Done(self.now * 10) if self.now == self.to else (self.now, self.to)
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jt-tasks-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[LiveServer]:
    (folder / "good.py").write_text(MODULE)
    (folder / "bad.py").write_text("raise RuntimeError('no licence here')")
    places = [f"--TasksExtension.task_modules={folder}/{name}.py" for name in ("bad", "good")]
    with LiveServer(
        "--TasksExtension.max_running=2", "--TasksExtension.max_direct=2", *places
    ) as server:
        yield server


def ask(server: LiveServer, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    return server.ask(method, f"tasks/api/{path}", body)


def run(server: LiveServer, name: str, **arguments: Any) -> dict[str, Any]:
    """The job of the task, and its result, once it has ended."""
    status, job = ask(server, "POST", f"tasks/{name}/jobs", {"arguments": arguments})
    assert status == 201, job
    return ended(server, job["id"])


def ended(server: LiveServer, job_id: str) -> dict[str, Any]:
    def has_ended() -> Any:
        _, job = ask(server, "GET", f"jobs/{job_id}")
        return job if job["state"] in ENDED else None

    job = eventually(has_ended, what=f"job {job_id} ends")
    return {"job": job, "result": ask(server, "GET", f"jobs/{job_id}/result")[1]}


def names(server: LiveServer) -> list[str]:
    status, told = ask(server, "GET", "tasks")
    assert status == 200, told
    return [one["name"] for one in told["tasks"]]


# -- tasks of modules ----------------------------------------------------------------------------


def test_the_list_has_the_tasks_of_modules_and_notes_of_those_that_raised(
    server: LiveServer, folder: Path
) -> None:
    status, told = ask(server, "GET", "tasks")
    assert status == 200
    by_name = {one["name"]: one for one in told["tasks"]}
    assert {"add", "types", "vacuum", "chain", "Wait", "Count"} <= set(by_name)
    assert by_name["add"]["description"] == "Add two numbers."
    assert by_name["add"]["fields"][1]["help"] == "No less than nothing."
    assert by_name["add"]["json_schema"]["required"] == ["a"]
    assert by_name["add"]["place"] == f"{folder / 'good.py'}:add"
    assert told["notes"] == [
        {
            "place": str(folder / "bad.py"),
            "error": "RuntimeError: no licence here",
            "where": f"{folder / 'bad.py'}:1",
        }
    ]


def test_one_task_is_told_by_its_name_and_an_unknown_one_is_not_there(server: LiveServer) -> None:
    assert ask(server, "GET", "tasks/add")[1]["category"] == "Sums"
    status, told = ask(server, "GET", "tasks/" + "x" * 300)
    assert (status, told["code"]) == (404, "not_found")


def test_a_task_runs_as_a_job_of_kind_function(server: LiveServer) -> None:
    told = run(server, "add", a=2)
    assert (told["job"]["kind"], told["job"]["name"]) == ("function", "add")
    assert told["job"]["spec"]["arguments"] == {"a": 2, "b": 1}
    assert told["result"]["data"] == 3


def test_the_function_gets_its_own_types(server: LiveServer) -> None:
    told = run(server, "types", path="x", when="2031-05-01T00:00", colour="blue", names=["a"])
    assert told["result"]["data"] == [type(Path()).__name__, 2031, "BLUE", ["a"]], told


def test_steps_are_one_task(server: LiveServer) -> None:
    told = run(server, "chain", n=4)
    assert told["result"]["data"] == 9, told


def test_a_driver_counts_its_steps(server: LiveServer) -> None:
    told = run(server, "Count", to=3)
    assert told["result"]["data"] == 30, told
    assert (told["job"]["progress"]["value"], told["job"]["progress"]["total"]) == (2, 3)


def test_a_driver_that_is_cancelled_is_aborted(server: LiveServer, tmp_path: Path) -> None:
    file = tmp_path / "end"
    _, job = ask(server, "POST", "tasks/Wait/jobs", {"arguments": {"file": str(file)}})
    eventually(file.with_suffix(".begun").exists, what="the driver has begun")
    ask(server, "POST", f"jobs/{job['id']}/cancel")
    told = ended(server, job["id"])
    assert told["job"]["state"] == "cancelled"
    assert file.read_text() == "aborted"


def test_a_task_with_many_sets_of_arguments_is_a_group(server: LiveServer) -> None:
    with Client(server.url, server.token) as client:
        group = client.map("add", [{"a": 1}, {"a": 2, "b": 5}], tags=["sums"])
        assert group.results(60) == [2, 7]
        assert (group.name, group.tags, group.job.spec.task) == ("add", ("sums",), "add")
        dated = {"path": Path("/x"), "when": datetime(2020, 1, 2)}  # noqa: DTZ001
        assert client.map("types", [dated]).results(60)[0][1:3] == [2020, "RED"]
        with pytest.raises(BadFields, match="Argument set 1: ") as refused:
            client.map("add", [{"a": 1}, {"a": 1, "b": -1}])
        assert refused.value.details["argument_set"] == 1
        assert list(refused.value.details["fields"]) == ["b"]
        with pytest.raises(NotConfirmed):
            client.map("vacuum", [{}])
        with pytest.raises(BadMessage, match="Argument set 0 is int"):
            client.map("add", [1])
        assert client.map("vacuum", [{}, {}], confirmed=True).results(60) == ["done", "done"]


def test_a_command_with_many_sets_of_arguments_is_a_group(server: LiveServer) -> None:
    body = {
        "name": "say",
        "command": ["echo", "{words}"],
        "fields": [{"name": "words", "type": "str"}],
    }
    assert ask(server, "POST", "tasks", body)[0] == 201
    with Client(server.url, server.token) as client:
        group = client.map("say", [{"words": "one"}, {"words": "two words"}], max_concurrent=1)
        group.wait(60)
        assert (group.state, group.output("out")) == ("succeeded", b"one\ntwo words\n")
    assert ask(server, "DELETE", "tasks/say")[0] == 204


def test_every_bad_argument_is_told_in_one_answer_and_nothing_is_queued(server: LiveServer) -> None:
    before = ask(server, "GET", "jobs")[1]["jobs"]
    status, told = ask(server, "POST", "tasks/add/jobs", {"arguments": {"b": -1, "c": 0}})
    assert (status, told["code"]) == (400, "bad_fields")
    assert told["details"]["fields"] == {
        "c": "There is no field `c` here; known are a, b.",
        "a": "`a` is missing; it must be a whole number.",
        "b": "`b` must be at least 0, not -1.",
    }
    assert ask(server, "GET", "jobs")[1]["jobs"] == before


def test_a_dangerous_task_wants_a_word_that_it_is_meant(server: LiveServer) -> None:
    status, told = ask(server, "POST", "tasks/vacuum/jobs", {})
    assert (status, told["code"]) == (409, "not_confirmed")
    assert "may lock tables" in told["message"]
    status, job = ask(server, "POST", "tasks/vacuum/jobs", {"confirmed": True})
    assert status == 201
    assert ended(server, job["id"])["result"]["data"] == "done"


def test_a_repetition_with_the_same_key_is_the_same_job(server: LiveServer) -> None:
    body, key = {"arguments": {"a": 1}}, {"Idempotency-Key": "same"}
    first = server.ask("POST", "tasks/api/tasks/add/jobs", body, **key)
    second = server.ask("POST", "tasks/api/tasks/add/jobs", body, **key)
    assert (first[0], second[0]) == (201, 200)
    assert first[1]["id"] == second[1]["id"]


def test_a_module_that_was_mended_is_found_when_asked_again(
    server: LiveServer, folder: Path
) -> None:
    (folder / "bad.py").write_text(
        "from jupyter_tasks import task\n@task\ndef mended(): return 1\n"
    )
    status, told = ask(server, "POST", "tasks/refresh")
    assert (status, told["notes"]) == (200, [])
    assert run(server, "mended")["result"]["data"] == 1
    (folder / "bad.py").write_text("raise RuntimeError('no licence here')")
    assert "mended" not in names(server)


@pytest.mark.parametrize("form", ["csv", "xml", "yaml", "text"])
def test_tasks_and_results_come_in_every_form(server: LiveServer, form: str) -> None:
    job = run(server, "types", path="=1+1", when="2031-05-01T00:00", names=["<&>\x1b"])["job"]
    for path in ("tasks", "tasks/types", f"jobs/{job['id']}/result"):
        status, told = server.ask("GET", f"tasks/api/{path}?format={form}")
        assert status == 200, told
        assert told


# -- run and wait --------------------------------------------------------------------------------


def run_now(server: LiveServer, name: str, **body: Any) -> tuple[int, Any]:
    return ask(server, "POST", f"tasks/{name}/run", body)


def test_a_run_answers_with_the_result(server: LiveServer) -> None:
    status, told = run_now(server, "add", arguments={"a": 1, "b": 2})
    assert status == 200, told
    assert (told["job"]["state"], told["job"]["queue"]) == ("succeeded", "direct")
    assert told["result"]["data"] == 3


def test_a_run_that_takes_longer_answers_with_its_job(server: LiveServer, tmp_path: Path) -> None:
    status, told = run_now(server, "Wait", arguments={"file": str(tmp_path / "x")}, wait_s=0)
    assert (status, told["result"]) == (202, None)
    ask(server, "POST", f"jobs/{told['job']['id']}/cancel")
    assert ended(server, told["job"]["id"])["job"]["state"] == "cancelled"


def test_runs_go_on_beside_what_fills_all_slots_and_have_a_bound_of_their_own(
    server: LiveServer, tmp_path: Path
) -> None:
    def waiting(n: int) -> dict[str, Any]:
        return {"arguments": {"file": str(tmp_path / f"{n}")}}

    slow = [ask(server, "POST", "tasks/Wait/jobs", waiting(n))[1] for n in range(3)]
    for n in range(2):
        eventually((tmp_path / f"{n}.begun").exists, what=f"job {n} runs")
    assert ask(server, "GET", f"jobs/{slow[2]['id']}")[1]["state"] == "queued"
    assert run_now(server, "add", arguments={"a": 1})[0] == 200
    direct = [run_now(server, "Wait", **waiting(n), wait_s=0)[1]["job"] for n in (10, 11, 12)]
    for n in (10, 11):
        eventually((tmp_path / f"{n}.begun").exists, what=f"direct job {n} runs")
    last = direct[2]["id"]
    assert ask(server, "GET", f"jobs/{last}")[1]["state"] == "queued"
    assert "2 are taken" in ask(server, "GET", f"jobs/{last}/explain")[1]["message"]
    ask(server, "POST", f"jobs/{direct[0]['id']}/cancel")
    eventually((tmp_path / "12.begun").exists, what="the third direct job runs")
    assert ask(server, "GET", f"jobs/{slow[2]['id']}")[1]["state"] == "queued"
    for job in (*slow, *direct):
        ask(server, "POST", f"jobs/{job['id']}/cancel")
        ended(server, job["id"])


def test_no_more_jobs_of_a_task_run_than_it_says(server: LiveServer, tmp_path: Path) -> None:
    def waiting(n: int) -> dict[str, Any]:
        return {"arguments": {"file": str(tmp_path / f"{n}")}}

    jobs = [ask(server, "POST", "tasks/WaitAlone/jobs", waiting(n))[1]["id"] for n in range(3)]
    eventually((tmp_path / "0.begun").exists, what="the first job runs")
    # The slot beside it is free, and given to others.
    assert run(server, "add", a=1)["result"]["data"] == 2
    told = ask(server, "GET", f"jobs/{jobs[1]}/explain")[1]
    assert (told["state"], told["reason"], told["max_running"]) == ("queued", "task_limit", 1)
    assert "As many jobs of its task run as may" in told["message"]
    ask(server, "POST", f"jobs/{jobs[1]}/cancel")
    ask(server, "POST", f"jobs/{jobs[0]}/cancel")
    eventually((tmp_path / "2.begun").exists, what="the third job runs")
    assert not (tmp_path / "1.begun").exists()
    ask(server, "POST", f"jobs/{jobs[2]}/cancel")
    ended(server, jobs[2])


def test_many_that_wait_for_their_task_keep_nobody_else_from_starting(server: LiveServer) -> None:
    spec = {"load": {"module": "signal", "name": "pause"}, "task": "still", "task_limit": 1}
    status, told = ask(server, "POST", "jobs", [{"spec": spec, "tags": ["still"]}] * 600)
    assert status == 201, told
    other = ask(server, "POST", "jobs", {"spec": {"command": "true"}})[1]
    first = ended(server, other["id"])
    assert first["job"]["state"] == "succeeded"
    query = "jobs?tag=still&state=running&state=starting&limit=9"
    assert len(ask(server, "GET", query)[1]["jobs"]) == 1
    ask(server, "POST", "jobs/cancel", {"filter": {"tag": "still"}})
    for job in told["jobs"][::599]:
        assert ended(server, job["id"])["job"]["state"] == "cancelled"


# -- registered while it runs --------------------------------------------------------------------

COMMAND = {
    "name": "say",
    "command": [sys.executable, "-c", "import sys; print(*sys.argv[1:])", "{words}", "n={n}"],
    "fields": [
        {"name": "words", "type": "str", "many": True},
        {"name": "n", "type": "int", "required": False, "default": 3, "maximum": 9},
    ],
}


@pytest.fixture
def say(server: LiveServer) -> Iterator[dict[str, Any]]:
    status, told = ask(server, "POST", "tasks", COMMAND)
    assert status == 201, told
    yield told
    assert ask(server, "DELETE", "tasks/say")[0] in (204, 404)


def output(server: LiveServer, job_id: str) -> str:
    return str(server.ask("GET", f"tasks/api/jobs/{job_id}/output")[1].decode())


def test_a_command_is_registered_and_run_without_a_shell(
    server: LiveServer, say: dict[str, Any]
) -> None:
    assert (say["source"], say["title"]) == ("command", "Say")
    told = run(server, "say", words=["a b", "$HOME"])
    assert told["job"]["state"] == "succeeded", told
    assert output(server, told["job"]["id"]) == "a b $HOME n=3\n"


@pytest.mark.usefixtures("say")
def test_its_fields_are_checked_as_others_are(server: LiveServer) -> None:
    body = {"arguments": {"words": "a", "n": 10}}
    status, told = ask(server, "POST", "tasks/say/jobs", body)
    assert status == 400
    assert set(told["details"]["fields"]) == {"words", "n"}


def test_a_command_tells_its_progress_by_its_rule_and_ends_with_its_code(
    server: LiveServer,
) -> None:
    task = {
        "name": "epochs",
        "command": [sys.executable, "-c", "print('epoch 3 of 12'); raise SystemExit(7)"],
        "progress": r"epoch (?P<value>\d+) of (?P<total>\d+)",
    }
    assert ask(server, "POST", "tasks", task)[0] == 201
    told = run(server, "epochs")
    assert (told["job"]["state"], told["job"]["exit_code"]) == ("failed", 7), told
    assert (told["job"]["progress"]["value"], told["job"]["progress"]["total"]) == (3, 12)
    assert output(server, told["job"]["id"]) == "epoch 3 of 12\n"
    assert ask(server, "DELETE", "tasks/epochs")[0] == 204


@pytest.mark.usefixtures("say")
def test_a_name_that_exists_is_refused_whoever_had_it(server: LiveServer) -> None:
    for name in ("say", "add"):
        status, told = ask(server, "POST", "tasks", {**COMMAND, "name": name})
        assert (status, told["code"]) == (409, "exists")
        assert f"'{name}' exists already" in told["message"]


def test_of_many_that_register_one_name_at_once_one_wins(server: LiveServer) -> None:
    answers: list[int] = []

    def register() -> None:
        answers.append(ask(server, "POST", "tasks", {**COMMAND, "name": "raced"})[0])

    threads = [threading.Thread(target=register) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201, *[409] * 7]
    assert ask(server, "DELETE", "tasks/raced")[0] == 204


@pytest.mark.usefixtures("say")
def test_removing_one_removes_exactly_that_one(server: LiveServer) -> None:
    assert ask(server, "POST", "tasks", {**COMMAND, "name": "say.twice"})[0] == 201
    before = names(server)
    assert ask(server, "DELETE", "tasks/say.twice")[0] == 204
    assert names(server) == [name for name in before if name != "say.twice"]
    status, told = ask(server, "DELETE", "tasks/say.twice")
    assert (status, told["code"]) == (404, "not_found")


def test_what_a_module_has_cannot_be_removed_here(server: LiveServer) -> None:
    status, told = ask(server, "DELETE", "tasks/add")
    assert status == 404
    assert "was not registered here: it is from" in told["message"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "../up"}, "cannot be called '../up'"),
        ({"name": ".hidden"}, "cannot be called '.hidden'"),
        ({"name": "refresh"}, "cannot be called 'refresh'"),
        ({"command": None}, "`command` or `upload` must say"),
        ({"upload": "0" * 32}, "one of them alone"),
        ({"command": ["{wrong}"]}, "there is no such field"),
        ({"progress": "("}, "no regular expression"),
        ({"fields": [{"name": "words", "type": "complex"}]}, "`fields[0].type`"),
        ({"fields": [{"name": "a b", "type": "str"}]}, "cannot be called 'a b'"),
        ({"max_concurrent": 0}, "at least 1"),
        ({"title": "a\nb"}, "control character"),
        ({"command": None, "upload": "0" * 32}, "no uploaded function"),
    ],
)
def test_what_cannot_be_a_task_is_refused_in_words(
    server: LiveServer, changes: dict[str, Any], words: str
) -> None:
    status, told = ask(server, "POST", "tasks", {**COMMAND, **changes})
    assert status == 400
    assert words in told["message"], told
    assert "say" not in names(server)


def test_a_function_by_value_is_registered_and_run_until_it_is_removed(server: LiveServer) -> None:
    def power(base: int, when: Any = None) -> Any:
        return base**2, str(when)

    power.__module__ = "__main__"
    upload = uploaded(server, function=power, is_task=True)
    task = {
        "name": "power",
        "upload": upload,
        "fields": [
            {"name": "base", "type": "int"},
            {"name": "when", "type": "str", "nullable": True, "required": False},
        ],
    }
    status, told = ask(server, "POST", "tasks", task)
    assert (status, told["source"]) == (201, "value"), told
    assert run(server, "power", base=3)["result"]["data"] == [9, "None"]
    assert run(server, "power", base=4)["result"]["data"] == [16, "None"]
    assert ask(server, "DELETE", "tasks/power")[0] == 204
    assert ask(server, "POST", "tasks/power/jobs", {"arguments": {"base": 3}})[0] == 404
