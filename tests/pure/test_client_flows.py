"""The client's decisions, without a socket: a flow is handed scripted results and asked what next."""

import json
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_tasks import errors
from jupyter_tasks.client import calls, core, streams
from jupyter_tasks.client.connection import NOTHING_RUNS, Session, ask, locate
from jupyter_tasks.client.core import (
    Broken,
    Emit,
    Open,
    Quiet,
    Read,
    Reply,
    Request,
    Send,
    Server,
    Sleep,
)
from jupyter_tasks.client.sse import Message, Parser
from jupyter_tasks.records import encode_record

HERE = Server(url="http://here/", token="t")  # noqa: S106 - a test's own
THERE = Server(url="http://there/", token="u")  # noqa: S106 - a test's own
GONE = Broken(why="refused", sent=False)
LOST = Broken(why="reset", sent=True)
#: In a script: look no further.
STOP = object()
GET = Request(method="GET", path="jobs/1")


class Clock:
    """A time that flows sleep through."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def session(**known: Any) -> Session:
    return Session(clock=Clock(), **({"server": HERE, "home": ("h", "/s")} | known))


def status(home: str = "/s") -> Reply:
    return reply({"host": "h", "state_dir": home})


def reply(body: Any, code: int = 200, **headers: str) -> Reply:
    return Reply(status=code, headers=headers, body=json.dumps(body).encode())


def failure(code: str, status: int) -> Reply:
    return reply({"code": code, "message": "Words.", "details": {}, "request_id": "r"}, status)


def job(**fields: Any) -> dict[str, Any]:
    base = {"id": "a" * 16, "name": "n", "state": "running", "attempt": 1, "version": 1}
    wishes = {"cancel_requested_at": None, "pause_requested_at": None, "resume_to": None}
    return base | wishes | {"output_bytes": 0} | fields


class Play:
    """A flow that was run to its end with these results for its steps; what it did meanwhile."""

    def __init__(
        self, about: Session, flow: Generator[Any, Any, Any], results: Sequence[Any]
    ) -> None:
        self.emitted: list[Any] = []
        self.steps: list[Any] = []
        self.slept: list[float] = []
        self.value = self._run(about, flow, iter(results))

    def _run(self, about: Session, flow: Generator[Any, Any, Any], results: Any) -> Any:
        result = None
        while True:
            try:
                step = flow.send(result)
            except StopIteration as end:
                assert next(results, "nothing") == "nothing", "more was scripted than was asked for"
                return end.value
            result = None
            if isinstance(step, Emit):
                self.emitted.append(step.value)
            elif isinstance(step, Sleep):
                self.slept.append(step.seconds)
                about.clock.now += step.seconds  # type: ignore[attr-defined]
            else:
                self.steps.append(step)
                result = next(results)
                result = result() if callable(result) else result
                if result is STOP:
                    return None

    @property
    def asked(self) -> list[str]:
        return [
            f"{step.request.method} {step.request.path}" for step in self.steps if has_request(step)
        ]


def has_request(step: Any) -> bool:
    return isinstance(step, Send | Open)


def play(about: Session, flow: Generator[Any, Any, Any], *results: Any) -> Play:
    return Play(about, flow, results)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "a\udcff"}, "no UTF-8 text"),
        ({"env": {"A": "s3cret\udcff"}}, "no UTF-8 text"),
        ({"timeout_s": float("nan")}, "not finite"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_a_sentence_that_does_not_repeat_it(
    options: Any, told: str
) -> None:
    body = calls.job_request("true", options)
    with pytest.raises(errors.BadMessage, match=told) as refused:
        play(session(), calls.submit(session(), body, "key", None))
    assert "s3cret" not in str(refused.value)


def test_a_server_that_does_not_answer_to_its_name_is_not_said_to_refuse_the_token() -> None:
    about = session(server=None, home=None)
    words = {"code": "not_allowed", "message": "Use localhost.", "details": {"host": "x"}}
    with pytest.raises(errors.NoServer, match=r"Use localhost\.") as refused:
        play(about, locate(about), [HERE], reply(words, 403))
    assert "token" not in str(refused.value)


@pytest.mark.parametrize("wanted", [{"ids": []}, {"states": iter(())}, {"tags": ()}])
def test_an_empty_choice_of_jobs_is_refused_and_does_not_become_all(wanted: Any) -> None:
    with pytest.raises(errors.BadMessage, match="is empty; leave it out"):
        play(session(), calls.find(session(), wanted, None))


@pytest.mark.parametrize("key", ["", " k", "two\nlines", "k\u00e9"])
def test_a_key_that_no_header_can_carry_is_refused_at_once(key: str) -> None:
    with pytest.raises(errors.BadMessage, match="idempotency key"):
        play(session(), calls.submit(session(), calls.job_request("true", {}), key, None))


@pytest.mark.parametrize(
    "flow",
    [
        lambda about: calls.get(about, "\udcff" * 16),
        lambda about: calls.find(about, {"tags": ["\udcff"]}, None),
        lambda about: calls.find(about, {"text": "\udcff"}, None),
        lambda about: calls.change_all(about, "cancel", {"tags": ["\udcff"]}),
    ],
)
def test_what_is_no_text_cannot_be_asked_for(flow: Any) -> None:
    with pytest.raises(errors.BadMessage, match="no UTF-8 text"):
        play(session(), flow(session()))


# -- errors ------------------------------------------------------------------------------------


def every_class(parent: type[errors.TasksError]) -> list[type[errors.TasksError]]:
    return [parent, *(cls for child in parent.__subclasses__() for cls in every_class(child))]


@pytest.mark.parametrize("cls", every_class(errors.TasksError))
def test_every_error_comes_back_in_the_class_of_its_code(cls: type[errors.TasksError]) -> None:
    error = core.error_from(failure(cls.code, cls.status))
    assert type(error) is core.error_classes()[cls.code]
    assert error.code == cls.code
    assert error.message == "Words."
    assert error.details == {"request_id": "r"}


def test_no_two_errors_share_a_code() -> None:
    codes = [cls.code for cls in every_class(errors.TasksError)]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (400, errors.CallerError),
        (401, errors.NotAllowed),
        (403, errors.NotAllowed),
        (404, errors.NoSuchThing),
        (409, errors.Conflict),
        (413, errors.TooLarge),
        (416, errors.BadCursor),
        (418, errors.CallerError),
        (500, errors.ServerError),
    ],
)
def test_an_error_that_is_not_ours_is_known_by_its_status(
    code: int, cls: type[errors.TasksError]
) -> None:
    assert type(core.error_from(Reply(status=code, body=b"<html>"))) is cls


# -- asking ------------------------------------------------------------------------------------


def test_a_question_whose_server_went_away_is_asked_again_until_it_is_answered() -> None:
    about = session()
    played = play(about, ask(about, GET), LOST, [HERE], GONE, [HERE], status(), reply(1))
    assert played.value == reply(1)
    assert len(played.slept) == 2


def test_waits_grow_and_stay_bounded() -> None:
    waits = core.delays()
    first = [next(waits) for _ in range(12)]
    assert first == sorted(first)
    assert first[0] <= 0.1
    assert first[-1] == 2.0


def test_a_server_that_stays_away_is_given_up_with_what_to_do() -> None:
    about = session(patience_s=1.0)
    with pytest.raises(errors.NoServer, match=r"start the server again and repeat"):
        play(about, ask(about, GET), GONE, *([[HERE], GONE] * 20))


def test_where_no_server_was_ever_met_nobody_is_waited_for() -> None:
    about = session(server=None, home=None)
    with pytest.raises(errors.NoServer) as caught:
        play(about, ask(about, GET), [])
    assert caught.value.message == NOTHING_RUNS


def test_a_take_over_is_waited_through() -> None:
    about = session()
    busy = failure("no_active_manager", 503)
    assert play(about, ask(about, GET), busy, [HERE], status(), reply(2)).value == reply(2)


def test_a_broken_store_is_told_at_once() -> None:
    about = session()
    with pytest.raises(errors.StoreUnavailable):
        play(about, ask(about, GET), failure("store_unavailable", 503))


def test_a_refused_token_is_looked_up_once_more_and_no_more() -> None:
    about = session()
    newer = replace(HERE, token="new")  # noqa: S106 - a test's own
    refused = failure("not_allowed", 403)
    assert play(about, ask(about, GET), refused, [newer], status(), reply(3)).value == reply(3)
    about = session()
    with pytest.raises(errors.NotAllowed):
        play(about, ask(about, GET), refused, [HERE], status(), refused)


# -- locating ----------------------------------------------------------------------------------


def test_the_first_server_that_serves_us_is_taken() -> None:
    about = session(server=None, home=None)
    bare = Reply(status=404, body=b"<html>")
    assert play(about, locate(about), [THERE, HERE], bare, status()).value == HERE
    assert about.server == HERE


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (GONE, "does not answer: refused"),
        (Reply(status=404), "jupyter server extension enable jupyter_tasks"),
        (Reply(status=403), "refuses the token"),
        (Reply(status=302), "JUPYTER_TASKS_TOKEN"),
        (Reply(status=500), "status 500"),
        (Reply(status=200, body=b"<html>"), "something else"),
        (reply([]), "something else"),
        (status("/elsewhere"), "keeps its jobs in another place"),
    ],
)
def test_a_server_that_cannot_be_used_is_named_with_the_remedy(outcome: Any, words: str) -> None:
    about = session(server=None)
    with pytest.raises(errors.NoServer, match=r"http://here/") as caught:
        play(about, locate(about), [HERE], outcome)
    assert words in caught.value.message


def test_no_token_is_ever_in_a_message_or_in_what_is_printed_of_a_server() -> None:
    secret = Server(url="http://here/", token="secret-token")  # noqa: S106 - a test's own
    about = session(server=None, home=None)
    with pytest.raises(errors.NoServer) as caught:
        play(about, locate(about), [secret], Reply(status=403))
    assert "secret-token" not in f"{secret!r} {caught.value.message} {caught.value.details}"


# -- calls -------------------------------------------------------------------------------------


def test_a_string_is_for_the_shell_and_a_sequence_is_a_list_of_arguments() -> None:
    assert calls.job_request("a | b", {})["spec"]["command"] == "a | b"
    assert calls.job_request(("a", 1), {})["spec"]["command"] == ["a", "1"]  # type: ignore[arg-type]
    assert calls.job_request(("a", b"b"), {})["spec"]["command"] == ["a", "b"]  # type: ignore[arg-type]
    assert calls.job_request("a", {"cwd": Path("/y")})["spec"]["cwd"] == "/y"
    assert calls.job_request({"command": "x", "tty": True}, {"cwd": "/y"})["spec"] == {
        "kind": "shell",
        "command": "x",
        "tty": True,
        "cwd": "/y",
    }


def test_options_stand_where_the_wire_wants_them_and_none_means_the_default() -> None:
    body = calls.job_request(
        "x", {"env": {"A": "b"}, "name": "n", "tags": ("t",), "timeout_s": None}
    )
    assert body == {
        "spec": {"kind": "shell", "command": "x", "env": {"A": "b"}},
        "name": "n",
        "tags": ["t"],
    }


def test_a_submit_whose_answer_was_lost_is_sent_again_with_the_same_key() -> None:
    about = session()
    flow = calls.submit(about, {"spec": {}}, "key", None)
    played = play(about, flow, LOST, [HERE], status(), reply(job()))
    sent = [step.request for step in played.steps if has_request(step) and step.request.body]
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert sent[0].headers["Idempotency-Key"] == "key"


@pytest.mark.parametrize(("host", "cwds"), [("h", ["/here", "/own"]), ("other", [None, "/own"])])
def test_a_job_runs_in_the_callers_folder_where_that_means_something(
    host: str, cwds: list[str | None]
) -> None:
    about = session(host=host, server=None, home=None)
    body: list[dict[str, Any]] = [{"spec": {}}, {"spec": {"cwd": "/own"}}]
    flow = calls.submit(about, body, "key", "/here")
    played = play(about, flow, [HERE], status(), reply({"jobs": []}))
    sent = json.loads(played.steps[-1].request.body)
    assert [job["spec"].get("cwd") for job in sent] == cwds


def test_a_login_page_is_no_answer() -> None:
    about = session()
    login = Reply(status=302)
    with pytest.raises(errors.NotAllowed, match="token"):
        play(about, ask(about, GET), login, [HERE], status(), login)


def test_a_cancel_that_has_happened_is_not_sent_again_for_the_second_would_kill() -> None:
    about = session()
    after = job(cancel_requested_at=1.0)
    flow = calls.change(about, "a" * 16, "cancel")
    played = play(about, flow, LOST, [HERE], status(), reply(after))
    assert played.value == after
    assert [line for line in played.asked if line.startswith("POST")] == [
        f"POST jobs/{'a' * 16}/cancel"
    ]


def test_a_cancel_that_has_not_happened_is_sent_again() -> None:
    about = session()
    flow = calls.change(about, "a" * 16, "cancel")
    played = play(about, flow, LOST, [HERE], status(), reply(job()), reply(job(version=2)))
    assert played.value["version"] == 2


@pytest.mark.parametrize(
    ("verb", "happened", "not_yet"),
    [
        ("pause", {"state": "paused"}, {"state": "running"}),
        ("resume", {"state": "running"}, {"state": "paused"}),
        ("run", {"state": "starting"}, {"state": "queued"}),
        ("cancel", {"state": "cancelled"}, {"state": "running"}),
    ],
)
def test_what_a_verb_leads_to_tells_whether_it_has_happened(
    verb: Any, happened: dict[str, Any], not_yet: dict[str, Any]
) -> None:
    about = session()
    replies = (LOST, [HERE], status(), reply(job(**not_yet)), LOST, [HERE], status())
    played = play(about, calls.change(about, "a" * 16, verb), *replies, reply(job(**happened)))
    assert sum(line.startswith("POST") for line in played.asked) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"state": "failed", "version": 5}, {"state": "queued", "version": 6}),
        ({"state": "failed", "version": 5}, {"state": "failed", "version": 9, "attempt": 2}),
        ({"state": "failed", "version": 5}, {"state": "cancelled", "version": 7}),
        ({"state": "running", "version": 4}, {"state": "failed", "version": 9, "attempt": 2}),
    ],
)
def test_a_restart_that_has_happened_is_not_sent_again_even_if_the_job_has_ended_again(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    about = session()
    flow = calls.change(about, "a" * 16, "restart")
    played = play(about, flow, reply(job(**before)), LOST, [HERE], status(), reply(job(**after)))
    assert played.value["state"] == after["state"]
    assert sum(line.startswith("POST") for line in played.asked) == 1


def test_a_restart_that_has_not_happened_is_sent_again() -> None:
    about = session()
    ended = reply(job(state="failed"))
    flow = calls.change(about, "a" * 16, "restart")
    results = (ended, LOST, [HERE], status(), ended, reply(job(state="queued")))
    assert play(about, flow, *results).value["state"] == "queued"


def test_what_a_server_may_have_done_before_it_went_is_not_simply_repeated() -> None:
    about = session()
    perhaps = reply({"code": "no_active_manager", "details": {"maybe_done": True}}, 503)
    after = job(cancel_requested_at=1.0)
    flow = calls.change(about, "a" * 16, "cancel")
    played = play(about, flow, perhaps, [HERE], status(), reply(after))
    assert played.value == after
    assert sum(line.startswith("POST") for line in played.asked) == 1


def test_a_bulk_change_whose_answer_was_lost_is_not_repeated_but_told() -> None:
    about = session()
    with pytest.raises(errors.NoServer, match="Look at the jobs before you repeat it"):
        play(about, calls.change_all(about, "cancel", {}), LOST)


def test_a_delete_whose_answer_was_lost_may_find_the_job_gone() -> None:
    about = session()
    gone = failure("not_found", 404)
    assert play(about, calls.delete(about, "x"), LOST, [HERE], status(), gone).value is None
    with pytest.raises(errors.NoSuchThing):
        play(about, calls.delete(about, "x"), gone)


def test_an_edit_that_somebody_else_overtook_is_stale() -> None:
    about = session()
    changes = {"version": 1, "priority": 5}
    flow = calls.edit(about, "x", changes)
    mine = job(version=2, priority=5)
    assert play(about, flow, LOST, [HERE], status(), reply(mine)).value == mine
    about, theirs = session(), reply(job(version=2, priority=9))
    with pytest.raises(errors.StaleVersion):
        play(about, calls.edit(about, "x", changes), LOST, [HERE], status(), theirs)


def test_an_edit_of_the_command_that_never_happened_is_not_taken_for_done() -> None:
    old = {"command": "old", "env": {"A": "***"}}
    changes = {"version": 1, "spec": old | {"command": "new"}}
    done = job(version=2, spec=old | {"command": "new"})
    started = job(version=2, spec=old, state="running")
    about = session()
    flow = calls.edit(about, "x", changes)
    assert play(about, flow, LOST, [HERE], status(), reply(done)).value == done
    about = session()
    with pytest.raises(errors.StaleVersion):
        play(about, calls.edit(about, "x", changes), LOST, [HERE], status(), reply(started))
    about = session()
    secret = {"version": 1, "spec": old | {"env": {"A": "n3w"}}}
    with pytest.raises(errors.StaleVersion):
        play(about, calls.edit(about, "x", secret), LOST, [HERE], status(), reply(started))


def test_a_short_id_is_found_among_the_newest_jobs() -> None:
    about = session()
    jobs = [{"id": "abcd" + "0" * 12, "name": "x"}, {"id": "ffff" + "0" * 12, "name": "y"}]
    page = reply({"jobs": jobs, "next": None})
    assert play(about, calls.resolve(about, "ABCD"), page).value == jobs[0]["id"]


def test_a_short_id_that_may_mean_two_jobs_names_both() -> None:
    about = session()
    jobs = [{"id": "abcd" + digit * 12, "name": f"job{digit}"} for digit in "01"]
    with pytest.raises(errors.BadMessage, match=r"job0.*job1"):
        play(about, calls.resolve(about, "abcd"), reply({"jobs": jobs, "next": None}))
    with pytest.raises(errors.NoSuchThing, match="begins with 'dddd'"):
        play(about, calls.resolve(about, "dddd"), reply({"jobs": jobs, "next": None}))
    with pytest.raises(errors.BadMessage, match="at least 4"):
        play(about, calls.resolve(about, "abc"))


def test_a_list_is_read_page_by_page_and_no_further_than_the_limit() -> None:
    about = session()
    pages = [reply({"jobs": [job()] * 500, "next": "k"}), reply({"jobs": [job()] * 2, "next": "l"})]
    played = play(about, calls.find(about, {"states": ["running"]}, 502), *pages)
    assert len(played.emitted) == 502
    assert dict(played.steps[1].request.params) == {"state": "running", "limit": "2", "after": "k"}


# -- events ------------------------------------------------------------------------------------

STREAM = b': \n\nevent: job\nid: 7\ndata: {"a":1,\ndata: "b":2}\n\nevent: progress\ndata: {}\n\n'
MESSAGES = [
    Message(event="job", data='{"a":1,\n"b":2}', id="7"),
    Message(event="progress", data="{}"),
]


def test_a_whole_event_stream_is_understood() -> None:
    assert Parser().feed(STREAM) == MESSAGES


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_an_event_stream_is_understood_byte_by_byte(newline: bytes) -> None:
    parser = Parser()
    stream = STREAM.replace(b"\n", newline)
    assert [m for byte in stream for m in parser.feed(bytes([byte]))] == MESSAGES


def test_an_id_without_an_event_is_remembered() -> None:
    parser = Parser()
    assert parser.feed(b"id: 5\n\n: \n\n") == []
    assert parser.last_id == "5"


def test_a_watch_whose_time_is_nearly_up_is_not_opened_again_for_every_event() -> None:
    about = session()
    flow = streams.watch(about, {}, None, 20.0)
    played = play(about, flow, reply(None), b"id: 6\n\n", told(7), told(8), STOP)
    assert len(played.asked) == 1


def test_a_watch_that_could_miss_its_deadline_is_opened_again_and_misses_nothing() -> None:
    about = session()

    def much_later() -> bytes:
        about.clock.now = 15.0  # type: ignore[attr-defined]
        return b"id: 6\n\n"

    flow = streams.watch(about, {}, None, 20.0)
    played = play(about, flow, reply(None), much_later, reply(None), STOP)
    opened = [step.request for step in played.steps if isinstance(step, Open)]
    assert [request.quiet_s for request in opened] == [20.0, 5.0]
    assert opened[1].headers["Last-Event-ID"] == "6"


def told(seq: int, **fields: Any) -> bytes:
    data = {"seq": seq, "event": "changed", "at": 1.0, "job_id": "a" * 16, "job": job(**fields)}
    return f"event: job\nid: {seq}\ndata: {json.dumps(data)}\n\n".encode()


def test_a_watch_goes_on_after_the_last_event_that_it_saw() -> None:
    about = session()
    flow = streams.watch(about, {}, None, None)
    played = play(about, flow, reply(None), told(7), LOST, reply(None), told(8), Quiet(), STOP)
    opened = [step.request for step in played.steps if isinstance(step, Open)]
    assert [request.headers.get("Last-Event-ID") for request in opened] == [None, "7", "8"]
    assert [event.event for event in played.emitted] == ["live", "changed", "live", "changed"]


def test_waiting_ends_with_the_event_that_tells_the_end() -> None:
    about = session()
    running, ended = reply(job()), told(9, state="failed", version=2)
    flow = streams.wait(about, "a" * 16, None)
    played = play(about, flow, running, reply(None), running, told(8)[:9], told(8)[9:] + ended)
    assert played.value["state"] == "failed"


def test_waiting_reads_the_job_anew_when_the_connection_stands_again() -> None:
    about = session()
    flow = streams.wait(about, "a" * 16, None)
    ended = reply(job(state="succeeded"))
    played = play(about, flow, reply(job()), reply(None), reply(job()), LOST, reply(None), ended)
    assert played.value["state"] == "succeeded"


def test_waiting_for_a_job_that_has_ended_opens_no_stream() -> None:
    about = session()
    played = play(about, streams.wait(about, "x", None), reply(job(state="lost")))
    assert played.asked == ["GET jobs/x"]


def test_waiting_says_when_the_time_is_up_that_the_job_goes_on() -> None:
    about = session()

    def late() -> Quiet:
        about.clock.now = 100.0  # type: ignore[attr-defined]
        return Quiet()

    flow = streams.wait(about, "x", 10)
    with pytest.raises(TimeoutError, match="still running after 10 s; it goes on"):
        play(about, flow, reply(job()), reply(None), reply(job()), late)


# -- output ------------------------------------------------------------------------------------


def records(*texts: bytes, kind: str = "out") -> bytes:
    return b"".join(b"".join(encode_record(kind, 0.0, text)) for text in texts)


def place(**how: Any) -> streams.Place:
    return streams.Place.at(
        **({"follow": True, "tail": None, "attempt": None, "cursor": None} | how)
    )


def payloads(played: Play) -> list[bytes]:
    return [piece.record.payload for piece in played.emitted]


def cursors(played: Play) -> list[str | None]:
    opened = [step.request for step in played.steps if isinstance(step, Open)]
    return [dict(request.params).get("cursor") for request in opened]


def at(cursor: str) -> Reply:
    return Reply(status=200, headers={"x-tasks-cursor": cursor})


def test_output_that_breaks_off_within_a_record_goes_on_at_the_last_whole_one() -> None:
    about, one, two = session(), records(b"one"), records(b"two")
    done = reply(job(state="succeeded", output_bytes=len(one + two)))
    flow = streams.follow(about, "x", place())
    script = [
        at("1.0"),
        Read,
        one + two[:5],
        LOST,
        reply(job()),
        at(f"1.{len(one)}"),
        two,
        b"",
        done,
    ]
    played = play(about, flow, *[part for part in script if part is not Read])
    assert payloads(played) == [b"one", b"two"]
    assert cursors(played) == [None, f"1.{len(one)}"]


def test_output_is_the_same_wherever_the_network_cuts_it() -> None:
    about, data = session(), records(b"a", b"", b"\x00\xff\n{", b"b" * 300)
    done = reply(job(state="succeeded", output_bytes=len(data)))
    chunks = [bytes([byte]) for byte in data]
    played = play(about, streams.follow(about, "x", place()), at("1.0"), *chunks, b"", done)
    assert payloads(played) == [b"a", b"", b"\x00\xff\n{", b"b" * 300]
    assert played.emitted[-1].cursor == f"1.{len(data)}"


def test_following_goes_on_with_the_next_attempt_even_before_it_has_begun() -> None:
    about, data = session(), records(b"x")
    waits = reply(job(state="queued", attempt=1))
    done = reply(job(state="succeeded", attempt=2, output_bytes=len(data)))
    flow = streams.follow(about, "x", place())
    played = play(about, flow, at("1.0"), data, b"", waits, at("2.0"), data, b"", done)
    assert cursors(played) == [None, "2.0"]
    assert payloads(played) == [b"x", b"x"]


def test_an_attempt_that_was_named_is_followed_alone() -> None:
    about = session()
    flow = streams.follow(about, "x", place(attempt=1))
    moved_on = reply(job(state="running", attempt=2))
    assert payloads(play(about, flow, at("1.0"), records(b"x"), b"", moved_on)) == [b"x"]


def test_a_gap_moves_the_cursor_to_its_end() -> None:
    about, data = session(), records(b"late")
    gap = b'{"k":"gap","from":"1.10","to":"1.900"}\n'
    done = reply(job(state="succeeded", output_bytes=900 + len(data)))
    played = play(about, streams.follow(about, "x", place()), at("1.10"), gap + data, b"", done)
    assert [piece.cursor for piece in played.emitted] == ["1.900", f"1.{900 + len(data)}"]


def test_what_is_missing_for_good_is_not_waited_for() -> None:
    about = session()
    done = reply(job(state="lost", output_bytes=500))
    flow = streams.follow(about, "x", place(cursor="1.0"))
    assert payloads(play(about, flow, at("1.0"), b"", done)) == []


def test_without_following_what_is_there_is_read_whole_over_a_broken_connection() -> None:
    about, one, two = session(), records(b"one"), records(b"two")
    flow = streams.follow(about, "x", place(follow=False))
    script = [at("1.0"), one, LOST, reply(job()), at(f"1.{len(one)}"), two, b""]
    assert payloads(play(about, flow, *script)) == [b"one", b"two"]


def test_an_answer_that_the_server_broke_off_is_asked_for_again() -> None:
    about, one, two = session(), records(b"one"), records(b"two")
    headers = {"x-tasks-cursor": "1.0", "x-tasks-next": f"1.{len(one + two)}"}
    first = Reply(status=200, headers=headers)
    second = Reply(status=200, headers=headers | {"x-tasks-cursor": f"1.{len(one)}"})
    flow = streams.follow(about, "x", place(follow=False))
    assert payloads(play(about, flow, first, one, b"", reply(job()), second, two, b"")) == [
        b"one",
        b"two",
    ]


def test_output_that_can_never_be_read_is_given_up() -> None:
    about = session()
    stuck = Reply(status=200, headers={"x-tasks-cursor": "1.5", "x-tasks-next": "1.9"})
    flow = streams.follow(about, "x", place(follow=False, cursor="1.5"))
    with pytest.raises(errors.ServerError, match=r"cannot be read on from 1\.5"):
        play(about, flow, *([stuck, b"", reply(job())] * 10))


def test_an_error_in_an_event_stream_is_raised() -> None:
    about = session()
    flow = streams.watch(about, {}, None, None)
    told_error = b'event: error\ndata: {"code":"store_unavailable","message":"Words."}\n\n'
    with pytest.raises(errors.StoreUnavailable):
        play(about, flow, reply(None), told_error)
