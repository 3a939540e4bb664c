"""The error tree: each class explains itself, and arrives at the other side as what it was."""

import json
from collections.abc import Iterator

import pytest

from jupyter_tasks import errors, messages
from jupyter_tasks.errors import CallerError, ServerError, TasksError


def below(parent: type[TasksError]) -> Iterator[type[TasksError]]:
    """The classes of the tree that are the project's own."""
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from below(child)


TREE = list(below(TasksError))


@pytest.mark.parametrize("error", TREE)
def test_a_class_explains_itself_in_one_sentence_that_is_its_message(
    error: type[TasksError],
) -> None:
    words = (error.__doc__ or "").strip()
    assert words.endswith(".")
    assert "\n" not in words
    assert error().message == str(error()) == words


@pytest.mark.parametrize("error", TREE)
def test_the_status_says_whose_fault_it_is(error: type[TasksError]) -> None:
    faults = {CallerError: range(400, 500), ServerError: range(500, 600)}
    (fault,) = [kind for kind in faults if issubclass(error, kind)]
    assert error.status in faults[fault]


def test_each_class_has_a_code_of_its_own() -> None:
    codes = [error.code for error in TREE]
    assert len(set(codes)) == len(codes)
    assert all("code" in vars(error) for error in TREE)


@pytest.mark.parametrize("error", TREE)
def test_an_error_goes_out_whole(error: type[TasksError]) -> None:
    sent = messages.from_error(error("Some words.", job="ab", version=3), "r1")
    assert json.loads(messages.encode(sent)) == {
        "code": error.code,
        "message": "Some words.",
        "details": {"job": "ab", "version": 3},
        "request_id": "r1",
    }


def test_the_drawn_tree_is_the_tree() -> None:
    drawn = [
        line.split("── ")[1].split()[0]
        for line in (errors.__doc__ or "").splitlines()
        if "── " in line
    ]
    assert sorted(drawn) == sorted(error.__name__ for error in TREE)


def test_a_strangers_job_is_as_unknown_as_none() -> None:
    error = errors.no_such_job("abc")
    assert (error.status, error.details) == (404, {"job": "abc"})
    assert "'abc'" in error.message
