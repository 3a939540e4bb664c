"""Which kernelspecs start their kernel by an interpreter that can be kept warm."""

import pytest

from jupyter_tasks.kernelspecs import interpreter_words

LAUNCHER = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (["/usr/bin/python3"], 1),
        (["/usr/bin/python3", "-Xfrozen_modules=off"], 2),
        (["/usr/bin/python3", "-Es", "-Wignore"], 3),
        (["python3"], None),
        (["bin/python3"], None),
        (["/usr/bin/python3", "-i"], None),
        (["/usr/bin/python3", "-X", "frozen_modules=off"], None),
        (["/usr/bin/env", "python3"], None),
        (["/usr/bin/python3", "-c", "pass"], None),
        (["/usr/bin/python3", "-m", "coverage", "run"], None),
        ([], None),
    ],
)
def test_the_words_before_the_launcher_are_an_interpreter_or_not(
    before: list[str], words: int | None
) -> None:
    assert interpreter_words([*before, *LAUNCHER]) == words


@pytest.mark.parametrize(
    "argv", [[], ["/usr/bin/R", "--slave"], ["/usr/bin/python3", "-m", "xeus"]]
)
def test_another_command_is_none(argv: list[str]) -> None:
    assert interpreter_words(argv) is None
