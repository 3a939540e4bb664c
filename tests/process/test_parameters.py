"""Parameters as source text: what the language makes of it is the value that was given."""

import json
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_tasks.errors import BadMessage
from jupyter_tasks.parameters import translated

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | _TEXT
_PLAIN |= st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    _PLAIN, lambda one: st.lists(one) | st.dictionaries(_TEXT, one), max_leaves=8
)


@given(_VALUES)
def test_python_reads_the_value_that_was_given(value: Any) -> None:
    found: dict[str, Any] = {}
    exec(translated("python3", "python", {"x": value}), found)  # noqa: S102 - that is what a kernel does
    assert found["x"] == value


def test_a_shell_reads_the_words_that_were_given() -> None:
    words = ["plain", "it's", "$(echo no) `echo no` $HOME", "two\nlines", 'é "quoted" \\', "*", ""]
    source = translated("bash", "bash", {"x": words, "n": 3, "t": True})
    script = f'{source}\nprintf "%s\\0" "${{x[@]}}" "$n" "$t"'
    printed = subprocess.run(["bash", "-c", script], check=True, capture_output=True).stdout
    assert printed.decode().split("\0")[:-1] == [*words, "3", "true"]


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("R", 'x = list("é$a\\"b\\n", TRUE, NULL, list("k" = 0.5))'),
        ("julia", 'x = ["é\\$a\\"b\\n", true, nothing, Dict("k" => 0.5)]'),
        ("scala", 'val x = Seq("é$a\\"b\\n", true, None, Map("k" -> 0.5))'),
    ],
)
def test_other_languages_are_written_as_they_read_it(language: str, line: str) -> None:
    source = translated("any", language, {"x": ['é$a"b\n', True, None, {"k": 0.5}]})
    assert source.splitlines()[1:] == [line]


@pytest.mark.parametrize(
    ("language", "parameters", "words"),
    [
        ("python", {"a b": 1}, "'a b' is no name"),
        ("python", {"class": 1}, "'class' is no name"),
        ("R", {"_a": 1}, "'_a' is no name"),
        ("bash", {"é": 1}, "'é' is no name"),
        ("bash", {"x; rm -rf y": 1}, "is no name"),
        ("bash", {"a": {"b": 1}}, "'a' is an object"),
        ("bash", {"a": [[1]]}, "'a' is a list of lists"),
        ("python", {"a": float("nan")}, "'a' is a number that JSON does not have"),
        ("python", {"a": [10**30]}, "more than 64 bits"),
        ("python", {"a": {"b": "\0"}}, "NUL"),
        ("python", {"a": json.loads("[" * 60 + "]" * 60)}, "nested"),
        ("cobol", {"a": 1}, "notebook in 'cobol'; there are"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_name(
    language: str, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadMessage) as refused:
        translated("any", language, parameters)
    assert words in refused.value.message
