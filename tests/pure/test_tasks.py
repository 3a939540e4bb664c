"""Tasks as people write them: what a definition says, how steps and drivers are called."""

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Annotated, Any

import cloudpickle
import pytest

from jupyter_tasks import About, CommandTask, Done, Field, Task, steps, task
from jupyter_tasks.errors import BadTask
from jupyter_tasks.tasks import calling, commands, definition_of, is_task


@task(category="Models", icon="🏋", tags=["slow"], dangerous="may lock tables", max_concurrent=2)
def train_model(data: Path, epochs: Annotated[int, About(minimum=1)] = 3) -> str:
    """Train it
    well.

    And more that nobody needs in a list.
    """
    return f"{data.name} {epochs}"


@task
class Count(Task):
    """Count to a number."""

    def initialize(self, to: int = 3) -> None:
        self.to, self.now, self.aborted = to, 0, False

    def process(self) -> Any:
        self.now += 1
        return Done(self.now) if self.now == self.to else (self.now, self.to)


def outcome_of(run: Generator[Any, None, Any]) -> tuple[list[Any], Any]:
    """What a generator yields, and what it returns."""
    told = []
    while True:
        try:
            told.append(next(run))
        except StopIteration as end:
            return told, end.value


def test_a_task_stays_the_function_that_it_was() -> None:
    assert train_model(Path("a/b.csv"), 5) == "b.csv 5"


def test_a_definition_says_what_the_decorator_and_the_docstring_said() -> None:
    told = definition_of(train_model)
    assert (told.name, told.title) == ("train_model", "Train model")
    assert told.description == "Train it well."
    assert (told.category, told.icon, told.tags) == ("Models", "🏋", ("slow",))
    assert (told.dangerous, told.expensive, told.max_concurrent) == ("may lock tables", False, 2)
    assert [one.name for one in told.fields] == ["data", "epochs"]


def test_a_class_has_the_fields_of_its_beginning() -> None:
    told = definition_of(Count)
    assert (told.name, told.description) == ("Count", "Count to a number.")
    assert [(one.name, one.default) for one in told.fields] == [("to", 3)]


def test_who_derives_from_a_task_is_not_yet_one() -> None:
    class More(Count):
        """Count on."""

    assert is_task(Count)
    assert not is_task(More)


def test_a_definition_travels_with_a_function_by_value() -> None:
    @task(title="By value")
    def local(n: int) -> int:
        return n

    back = cloudpickle.loads(cloudpickle.dumps(local))
    assert definition_of(back).title == "By value"


def test_a_driver_goes_step_by_step_until_it_is_done() -> None:
    assert outcome_of(calling.prepared(Count)(to=3)) == ([(1, 3), (2, 3)], 3)


def test_a_driver_may_be_a_generator() -> None:
    class Walk(Task):
        """Walk."""

        def process(self) -> Iterator[float]:
            yield 0.5
            return "there"

    assert outcome_of(calling.prepared(Walk)()) == ([0.5], "there")


def test_a_driver_that_is_closed_in_the_middle_is_aborted() -> None:
    aborted = []

    class Walk(Task):
        """Walk."""

        def process(self) -> float:
            return 0.1

        def abort(self) -> None:
            aborted.append(self)

    run = calling.prepared(Walk)()
    next(run)
    run.close()
    assert len(aborted) == 1


def test_a_function_is_called_with_its_own_types() -> None:
    assert calling.prepared(train_model)(data="a/b", epochs=1) == "b 1"
    assert calling.prepared(train_model)(data=Path("a/b"), epochs=1) == "b 1"


def test_steps_hand_on_what_they_return_and_share_the_progress() -> None:
    def fetch(n: int) -> Iterator[Any]:
        yield 0.5
        yield (1, 2, "half")
        return n * 2

    def add(n: int) -> int:
        return n + 1

    chained = task(name="chain")(steps(fetch, add))
    assert [one.name for one in definition_of(chained).fields] == ["n"]
    assert outcome_of(chained(n=5)) == ([(0.5, 2), (0.5, 2, "half"), (1, 2, "add")], 11)


def test_steps_of_a_task_are_a_task_of_their_own_only_when_made_one() -> None:
    assert not is_task(steps(train_model))


def unhinted(x: complex) -> None:
    """Take what JSON has not."""


class NoTask:
    """No task."""


@pytest.mark.parametrize(
    ("thing", "said", "words"),
    [
        (train_model, {"name": "no spaces"}, "cannot be called 'no spaces'"),
        (train_model, {"title": "a\x1b[2J"}, "`title` must have"),
        (train_model, {"tags": ["a\nb"]}, "`tags` must have"),
        (train_model, {"max_concurrent": 0}, "`max_concurrent` must be at least 1"),
        (train_model, {"description": "x" * 5000}, "`description` must have at most 4000"),
        (unhinted, {}, "`x` has a type that no field can have"),
        (NoTask, {}, "derive it from Task"),
        (3, {}, "neither a function nor a Task"),
    ],
)
def test_what_cannot_be_a_task_is_refused_where_it_is_written(
    thing: Any, said: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadTask, match=words):
        task(**said)(thing)


# -- commands ------------------------------------------------------------------------------------


def thumb(**said: Any) -> CommandTask:
    fields = [
        Field(name="files", type="path", many=True),
        Field(name="size", type="int", required=False, default=64),
        Field(name="note", type="str", nullable=True, required=False),
    ]
    given = {"command": ["thumb", "--size={size}", "{note}", "{{}}", "--", "{files}"]}
    return CommandTask(**{"name": "thumb", "fields": fields, **given, **said})


def test_a_command_is_filled_without_a_shell() -> None:
    values = {"files": ["a b", "$HOME"], "size": 3, "note": None}
    words = commands.filled(thumb().command, values)
    assert words == ["thumb", "--size=3", "{}", "--", "a b", "$HOME"]


def test_a_command_task_is_defined_as_others_are() -> None:
    told = definition_of(thumb(tags=["images"], dangerous="fills the disk"))
    assert (told.source, told.tags, told.dangerous) == ("command", ("images",), "fills the disk")
    assert [one.name for one in told.fields] == ["files", "size", "note"]
    assert is_task(thumb())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"command": []}, "`command` is empty"),
        ({"command": [" "]}, "`command` is empty"),
        ({"command": ["a", "{wrong}"]}, "there are: files, note, size"),
        ({"command": ["a", "{files[0]}"]}, "no such field"),
        ({"command": ["a", "{size:>10000000}"]}, "no such field"),
        ({"command": ["a", "{size.__class__}"]}, "no such field"),
        ({"command": ["a", "{"]}, "cannot be filled"),
        ({"command": ["a", "{}"]}, "no such field"),
        ({"command": ["a\0"]}, "NUL"),
        ({"progress": "("}, "no regular expression"),
        ({"progress": "\\d+"}, "needs a group"),
        ({"progress": "(?P<value>1)(?P<other>2)"}, "needs a group"),
        ({"progress": "x" * 501}, "at most 500"),
    ],
)
def test_a_command_that_cannot_be_filled_is_refused(said: dict[str, Any], words: str) -> None:
    with pytest.raises(BadTask, match=words):
        definition_of(thumb(**said))


@pytest.mark.parametrize(
    ("rule", "line", "told"),
    [
        (r"(?P<percent>\d+)%", "at 40% now", {"value": 0.4}),
        (r"(?P<value>\d+)/(?P<total>\d+)", "epoch 3/12", {"value": 3.0, "total": 12.0}),
        (r"(?P<value>\d+) (?P<message>\w+)", "3 cleaning", {"value": 3.0, "message": "cleaning"}),
        (r"(?P<value>\w+)", "abc", None),
        (r"(?P<value>\d+)", "nothing", None),
    ],
)
def test_a_rule_finds_progress_in_a_line(rule: str, line: str, told: dict[str, Any] | None) -> None:
    assert commands.told_by(re.compile(rule), line) == told
