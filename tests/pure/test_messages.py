"""Messages: every good example is taken, every bad one is refused by name, no bytes do harm."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_tasks import messages
from jupyter_tasks.errors import BadMessage
from jupyter_tasks.messages import (
    BulkRequest,
    CancelRequest,
    Decoder,
    FilterMessage,
    JobEdit,
    JobRequest,
    ListQuery,
    tasks,
)
from jupyter_tasks.messages.streams import OutputQuery, SocketRequest
from jupyter_tasks.model import Attempt, Filter, Job, Kind, Progress, ShellSpec, State

EXAMPLES = Path(__file__).parent.parent / "examples" / "messages"
DECODERS: dict[str, Decoder[Any]] = {
    "SubmitRequest": Decoder(messages.SubmitRequest, messages.complete),
    "JobEdit": Decoder(JobEdit, messages.complete),
    "CancelRequest": Decoder(CancelRequest),
    "BulkRequest": Decoder(BulkRequest),
    "ReportRequest": Decoder(messages.ReportRequest),
    "TaskRequest": Decoder(tasks.TaskRequest),
    "TaskJobRequest": Decoder(tasks.TaskJobRequest),
    "TaskRunRequest": Decoder(tasks.TaskRunRequest),
}
SUBMIT = DECODERS["SubmitRequest"]
SECRET = "hunter2"  # noqa: S105 - a word to look for


def examples(which: str) -> list[Any]:
    paths = sorted((EXAMPLES / which).glob("*.json"))
    return [pytest.param(json.loads(path.read_text()), id=path.stem) for path in paths]


def request(**fields: Any) -> JobRequest:
    decoded: JobRequest = SUBMIT.decode(
        json.dumps({"spec": {"command": "true"}, **fields}).encode()
    )
    return decoded


def made(asked: JobRequest, root_dir: str = "/srv") -> Job:
    return messages.to_job(asked, job_id="0" * 16, owner="ada", now=7.0, root_dir=root_dir)


@pytest.mark.parametrize("example", examples("good"))
def test_a_good_example_is_accepted_and_comes_back_the_same(example: dict[str, Any]) -> None:
    decoder = DECODERS[example["message"]]
    accepted = decoder.decode(json.dumps(example["body"]).encode())
    assert decoder.decode(messages.encode(accepted)) == accepted


def read(message: Any, body: Any) -> Any:
    return Decoder[Any](message, messages.complete).decode(json.dumps(body).encode())


@pytest.mark.parametrize("example", examples("bad"))
def test_a_bad_example_is_refused_in_words_that_name_the_field(example: dict[str, Any]) -> None:
    with pytest.raises(BadMessage) as refused:
        DECODERS[example["message"]].decode(json.dumps(example["body"]).encode())
    assert refused.value.details["field"] == example["field"]
    assert example["field"] in refused.value.message
    assert example.get("says", "") in refused.value.message
    assert "regex" not in refused.value.message


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{", b"nope", b"\xff\xfe", b'{"spec": {"command": "\\ud800"}}', b"[,]", b"NaN"],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadMessage, match=r"not JSON|is empty"):
        SUBMIT.decode(body)


@pytest.mark.parametrize("opening", [b"[", b'{"spec":', b'{"spec":{"env":', b'{"filter":'])
@pytest.mark.parametrize("name", DECODERS)
def test_ten_thousand_levels_are_refused(name: str, opening: bytes) -> None:
    with pytest.raises(BadMessage):
        DECODERS[name].decode(opening * 10_000)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_accepted_or_refused_and_nothing_else(body: bytes) -> None:
    for decoder in DECODERS.values():
        _decode(decoder, body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [*JobRequest.__struct_fields__, "command", "env", "filter", "ids", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_json_is_accepted_or_refused_and_what_is_accepted_makes_a_job(body: Any) -> None:
    encoded = json.dumps(body).encode()
    for decoder in DECODERS.values():
        _decode(decoder, encoded)


def _decode(decoder: Decoder[Any], body: bytes) -> None:
    refusal: BadMessage | None = None
    accepted: Any = []
    try:
        accepted = decoder.decode(body)
    except BadMessage as error:
        refusal = error
    if refusal is not None:
        assert len(refusal.message) < 2000
        messages.encode(messages.from_error(refusal, "r"))
    for one in accepted if isinstance(accepted, list) else [accepted]:
        if isinstance(one, JobRequest):
            messages.encode(messages.from_job(made(one)))


def test_ten_thousand_jobs_are_taken_and_one_more_is_not() -> None:
    one = b'{"spec":{"command":"true"}}'
    assert len(SUBMIT.decode(b"[" + b",".join([one] * 10_000) + b"]")) == 10_000
    with pytest.raises(BadMessage, match="length <= 10000"):
        SUBMIT.decode(b"[" + b",".join([one] * 10_001) + b"]")


@pytest.mark.parametrize("command", ["x" * 131_072, "é" * 65_536, ["x" * 70_000, "y" * 70_000]])
def test_a_command_that_no_system_could_start_is_refused(command: object) -> None:
    with pytest.raises(BadMessage, match="put it in a file"):
        request(spec={"command": command})


def test_a_command_just_below_the_bound_is_taken() -> None:
    assert request(spec={"command": "x" * 131_071})


def test_a_refusal_is_short_even_where_the_field_is_not() -> None:
    with pytest.raises(BadMessage) as refused:
        SUBMIT.decode(json.dumps({"x" * 1_000_000: 1}).encode())
    assert len(refused.value.message) < 2000


def test_a_refused_environment_does_not_repeat_its_value() -> None:
    with pytest.raises(BadMessage) as refused:
        request(spec={"command": "true", "env": {"TOKEN": f"{SECRET}\0"}})
    assert SECRET not in refused.value.message
    assert "TOKEN" in refused.value.message


# -- to the model


def test_a_job_takes_the_defaults_of_the_model() -> None:
    spec = ShellSpec(command="true", cwd="/srv")
    expected = Job(id="0" * 16, owner="ada", spec=spec, name="true", created_at=7.0, updated_at=7.0)
    assert made(request()) == replace(expected, reason="slots", queued_at=7.0)


@pytest.mark.parametrize(
    ("cwd", "absolute"),
    [(None, "/srv"), ("runs", "/srv/runs"), ("./a/../b", "/srv/b"), ("/tmp/x", "/tmp/x")],
)
def test_a_folder_is_meant_below_the_servers_root(cwd: str | None, absolute: str) -> None:
    assert made(request(spec={"command": "true", "cwd": cwd})).spec.cwd == absolute


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("make all\nmake test", "make all"),
        ("\n\n  sleep 1\n", "sleep 1"),
        (["python", "-c", "print(1)\nprint(2)"], "python -c print(1)"),
        ("echo \x1b[31mred", "echo  [31mred"),
        ("x" * 300, "x" * 200),
        ("\x07", "command"),
    ],
)
def test_a_job_without_a_name_is_called_by_its_first_line(command: Any, name: str) -> None:
    assert messages.default_name(command) == name


def test_equal_tags_are_one() -> None:
    assert made(request(tags=["b", "a", "b"])).tags == ("b", "a")


def test_an_edit_names_only_what_is_to_change() -> None:
    edit = DECODERS["JobEdit"].decode(b'{"version": 1, "priority": 3, "timeout_s": null}')
    given_ = messages.to_edit(edit, made(request(timeout_s=9)), "/srv")
    assert given_ == {"priority": 3, "limits": (("timeout_s", None),)}


def test_what_is_masked_in_an_edit_stays_as_it_was() -> None:
    spec = {"command": "true", "env": {"TOKEN": SECRET, "OLD": "1"}, "stdin": SECRET}
    former = made(request(spec=spec))
    sent_back = messages.encode(messages.from_job(former).spec)
    edit = DECODERS["JobEdit"].decode(b'{"version": 1, "spec": ' + sent_back + b"}")
    assert messages.to_edit(edit, former, "/srv")["spec"] == former.spec


def test_a_new_variable_may_be_three_stars() -> None:
    edit = JobEdit(version=1, spec=messages.ShellSpecMessage(command="x", env={"STARS": "***"}))
    assert messages.to_edit(edit, made(request()), "/srv")["spec"].env == {"STARS": "***"}


def test_an_edited_spec_without_a_folder_keeps_the_old_one() -> None:
    former = made(request(spec={"command": "true", "cwd": "/srv"}))
    edit = JobEdit(version=1, spec=messages.ShellSpecMessage(command="false"))
    assert messages.to_edit(edit, former, "/srv")["spec"].cwd == "/srv"


def test_a_filter_takes_values_and_lists_in_singular_and_plural() -> None:
    wanted = FilterMessage(state=State.QUEUED, states=[State.RUNNING], tag="a", ids=["1"], q="x")
    assert messages.to_filter(wanted, "ada") == Filter(
        owner="ada", states=(State.QUEUED, State.RUNNING), tags=("a",), ids=("1",), text="x"
    )


# -- the query string


def test_a_query_may_repeat_a_list_and_is_read_as_typed() -> None:
    query = messages.read_query(ListQuery, {"state": ["queued", "running"], "limit": ["5"]})
    assert (query.state, query.limit) == ([State.QUEUED, State.RUNNING], 5)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"stat": ["running"]}, "stat"),
        ({"state": ["done"]}, "state[0]"),
        ({"limit": ["0"]}, "limit"),
        ({"limit": ["501"]}, "limit"),
        ({"limit": ["many"]}, "limit"),
        ({"limit": ["1", "2"]}, "limit"),
        ({"kind": ["x"]}, "kind[0]"),
    ],
)
def test_a_bad_query_is_refused_by_name(arguments: dict[str, list[str]], field: str) -> None:
    with pytest.raises(BadMessage) as refused:
        messages.read_query(ListQuery, arguments)
    assert refused.value.details["field"] == field


@pytest.mark.parametrize(
    ("message", "body", "allowed"),
    [
        (messages.SubmitRequest, {"spec": {"command": "x"}, "on_lost": "bar"}, ["fail", "requeue"]),
        (messages.SubmitRequest, [{"spec": {"command": "x", "kind": "bar"}}], [*get_args(Kind)]),
        (messages.BulkRequest, {"filter": {"state": "bar"}}, [*State]),
        (messages.BulkRequest, {"filter": {"states": ["queued", "bar"]}}, [*State]),
        (messages.BulkRequest, {"filter": {"kind": "bar"}}, [*get_args(Kind)]),
        (SocketRequest, {"type": "bar", "id": 1}, ["watch", "read", "stop", "ping"]),
        (ListQuery, {"state": ["bar"]}, [*State]),
        (OutputQuery, {"format": ["bar"]}, ["text", "records", "json"]),
        (OutputQuery, {"stream": ["bar"]}, ["out", "err", "all"]),
        (OutputQuery, {"follow": ["bar"]}, ["true", "false"]),
    ],
)
def test_a_value_that_is_none_of_few_is_answered_with_those(
    message: Any, body: Any, allowed: list[str]
) -> None:
    is_query = message in (ListQuery, OutputQuery)
    with pytest.raises(BadMessage) as refused:
        messages.read_query(message, body) if is_query else read(message, body)
    assert set(refused.value.details["allowed"]) == set(allowed)
    assert all(value in refused.value.message for value in allowed)


# -- from the model


def test_secrets_do_not_go_out() -> None:
    spec = {"command": "true", "env": {"TOKEN": SECRET}, "stdin": SECRET}
    sent = messages.encode(messages.from_job(made(request(spec=spec))))
    assert SECRET.encode() not in sent
    assert json.loads(sent)["spec"]["env"] == {"TOKEN": "***"}
    assert json.loads(sent)["spec"]["stdin"] == "***"


def test_a_job_goes_out_with_every_field_of_the_model_and_its_kind() -> None:
    sent = json.loads(messages.encode(messages.from_job(made(request()))))
    assert set(sent) == {*Job.__dataclass_fields__, "kind"}
    assert sent["spec"]["kind"] == sent["kind"] == "shell"


def test_progress_and_attempts_go_out_with_every_field() -> None:
    progress = Progress(value=1.0, total=4.0, message="fold 1", source="report")
    attempt = Attempt(job="0" * 16, number=1, state=State.RUNNING)
    assert set(messages.from_progress(progress).__struct_fields__) == set(
        Progress.__dataclass_fields__
    )
    assert set(messages.from_attempt(attempt).__struct_fields__) == set(
        Attempt.__dataclass_fields__
    )
