"""What the command line reads and says: arguments, units, words, tables, exit codes."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from jupyter_tasks import errors, units, words
from jupyter_tasks.cli import exits, screen, tables
from jupyter_tasks.cli.arguments import parse
from jupyter_tasks.cli.board import Board
from jupyter_tasks.cli.following import last_lines, record_json
from jupyter_tasks.client import JobEvent
from jupyter_tasks.client.streams import Piece
from jupyter_tasks.model import State
from jupyter_tasks.records import Record, encode_record, read_records


def job(**fields: Any) -> dict[str, Any]:
    base = {
        "id": "0123456789abcdef",
        "name": "train",
        "state": "running",
        "reason": "",
        "message": "",
        "spec": {
            "command": ["python", "train me.py"],
            "cwd": "/work",
            "env": {"B": "***", "A": "***"},
        },
        "tags": ["night"],
        "queue": "default",
        "priority": 0,
        "number": 1,
        "version": 1,
        "attempt": 1,
        "timeout_s": None,
        "memory_bytes": None,
        "exit_code": None,
        "signal": None,
        "cancel_requested_at": None,
        "created_at": 1000.0,
        "due_at": None,
        "started_at": 1000.0,
        "ended_at": None,
        "cpu_s": None,
        "peak_rss_bytes": None,
        "output_bytes": 0,
        "progress": None,
    }
    return base | fields


def progress(value: float | None, total: float | None = None, message: str = "") -> dict[str, Any]:
    return {"value": value, "total": total, "message": message, "source": "report"}


# -- arguments ---------------------------------------------------------------------------------


def test_what_stands_after_the_dashes_is_a_list_of_arguments_taken_as_it_is() -> None:
    given = parse(["submit", "--name", "n", "--", "python", "-c", "x", "--wait", "--", "-v"])
    assert given.command == ["python", "-c", "x", "--wait", "--", "-v"]
    assert (given.name, given.wait) == ("n", False)


def test_one_quoted_word_is_for_the_shell() -> None:
    assert parse(["submit", "a | b"]).command == "a | b"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["submit"], "give a command"),
        (["submit", "--"], "after --"),
        (["submit", "make", "all"], "`-- make all`"),
        (["submit", "make", "--", "all"], "nothing of it before"),
        (["list", "--", "x"], "takes no command"),
        (["submit", "--timeout", "soon", "x"], "90s, 5m, 1h30m"),
        (["submit", "--memory", "much", "x"], "500M or 2G"),
        (["list", "--state", "asleep"], "invalid choice"),
        (["list", "-n", "0"], "from 1 on"),
        (["logs", "--cursor", "1.x", "abcd"], "'1.x' is no cursor"),
        (["logs", "--cursor", "\u00b2.0", "abcd"], "is no cursor"),
        (["submit", "--code", "x.py", "true"], "a command or --code FILE, not both"),
        (["submit", "--kernel", "ir", "true"], "--kernel goes with --code"),
        (["dance"], "invalid choice"),
        ([], "VERB"),
    ],
)
def test_wrong_usage_leaves_with_2_and_says_what_is_right(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse(argv)
    assert left.value.code == exits.USAGE
    assert words in " ".join(capsys.readouterr().err.split())


def test_the_servers_address_may_stand_before_or_after_the_verb() -> None:
    assert parse(["--url", "u", "--json", "status"]).url == "u"
    assert parse(["status", "--url", "u"]).url == "u"
    assert parse(["--json", "status"]).json is True
    assert parse(["status", "--json"]).json is True
    assert parse(["status"]).json is False


def test_the_help_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--help"], ["submit", "--help"], ["wait", "--help"]):
        with pytest.raises(SystemExit):
            parse(argv)
        assert exits.TABLE in capsys.readouterr().out


# -- units -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("2d", 172800),
        ("250ms", 0.25),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, value: float) -> None:
    assert units.seconds(text) == value


@pytest.mark.parametrize("text", ["", "s", "5x", "-5s", "1h 5m", "5mm"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        units.seconds(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1000", 1000),
        ("64K", 65536),
        ("500M", 524288000),
        ("1.5GiB", 1610612736),
        ("2 gb", 2147483648),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, value: int) -> None:
    assert units.size_bytes(text) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [("40%", (0.4, None)), ("3/12", (3, 12)), ("0.4", (0.4, None)), ("7", (7, None))],
)
def test_progress_is_read_as_people_write_it(text: str, told: tuple[float, float | None]) -> None:
    assert units.share(text) == told


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (-0.1, "0.0s"),
        (0.44, "0.4s"),
        (12.4, "12s"),
        (59.6, "1m00s"),
        (185, "3m05s"),
        (7620, "2h07m"),
        (90000, "1d01h"),
    ],
)
def test_durations_are_written_shortly(value: float | None, text: str) -> None:
    assert units.duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(512, "512 B"), (1536, "1.5 KiB"), (3 * 1024**3, "3.0 GiB"), (2**41, "2.0 TiB")],
)
def test_sizes_are_written_shortly(value: int, text: str) -> None:
    assert units.size(value) == text


# -- words -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_every_state_has_an_icon_of_its_own_and_one_in_ascii(state: State) -> None:
    assert len(words.icon(state)) == 1
    assert words.icon(state, ascii_only=True).isascii()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"state": "queued", "reason": "slots"}, "queued (slots)"),
        ({"state": "failed", "reason": "exit", "exit_code": 3}, "failed (exit 3)"),
        ({"state": "failed", "reason": "signal", "signal": 9}, "failed (signal 9)"),
        ({"state": "failed", "reason": "timeout"}, "failed (timeout)"),
        ({"state": "cancelled", "reason": "user"}, "cancelled"),
        ({"state": "running", "cancel_requested_at": 1.0}, "running (cancel asked)"),
        ({"state": "succeeded"}, "succeeded"),
    ],
)
def test_a_state_is_said_with_its_reason(fields: dict[str, Any], said: str) -> None:
    assert words.state(job(**fields)) == said


@pytest.mark.parametrize(
    ("told", "part", "said"),
    [
        (None, None, ""),
        (progress(None, None, "warming up"), None, "warming up"),
        (progress(0.4), 0.4, "40%"),
        (progress(3, 12, "fold 3"), 0.25, "3/12 25% fold 3"),
        (progress(15, 12), 1.0, "15/12 100%"),
        (progress(-1, 12), 0.0, "-1/12 0%"),
        (progress(1, 0), None, ""),
    ],
)
def test_progress_is_said_as_far_as_it_is_known(
    told: dict[str, Any] | None, part: float | None, said: str
) -> None:
    assert words.fraction(job(progress=told)) == part
    assert words.progress(job(progress=told)) == said


def test_pace_and_time_left_follow_from_what_has_been_done() -> None:
    half_way = job(progress=progress(50, 200))
    assert words.pace(half_way, 1010.0) == words.Pace(5.0, 30.0)
    assert words.pace_words(half_way, 1010.0) == "5/s, 30s left"
    assert words.pace_words(job(progress=progress(50_000, 200_000)), 1010.0) == "5000/s, 30s left"
    assert words.pace_words(job(progress=progress(0.5)), 1010.0) == "10s left"
    assert words.pace_words(job(progress=progress(0.5), state="paused"), 1010.0) == ""


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\x1b]0;title\x07b", "a\rb\nc\x9b2J", "a\u202eb"])
def test_a_name_cannot_move_the_cursor(name: str) -> None:
    said = words.plain(name)
    assert said.isprintable()
    assert said.startswith("a")


# -- tables ------------------------------------------------------------------------------------


def test_a_table_keeps_its_columns_below_each_other() -> None:
    lines = tables.table(("A", "B"), [("long one", "x"), ("y", "z")]).splitlines()
    assert lines == ["A         B", "long one  x", "y         z"]


def test_a_card_tells_what_is_known_and_how_to_see_the_output() -> None:
    text = tables.card(tables.job_facts(job(ended_at=1065.0, cpu_s=2.0), 2000.0))
    assert "Command      python 'train me.py'" in text
    assert "Environment  A, B" in text
    assert "Took         1m05s" in text
    assert "Logs         jupyter tasks logs 01234567" in text
    assert "Limits" not in text
    assert "***" not in text


@pytest.mark.parametrize(
    ("part", "text"), [(None, ""), (0.0, "----"), (0.5, "##--"), (1.0, "####")]
)
def test_a_bar_is_filled_as_far_as_the_job_is(part: float | None, text: str) -> None:
    assert tables.bar(part, width=4, ascii_only=True) == text


def drawn(width: int, *jobs: dict[str, Any], ascii_only: bool = False) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=True)
    console.print(screen.jobs_table(jobs, 1020.0, width=width, ascii_only=ascii_only))
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())


def test_a_wide_screen_shows_bar_pace_and_time_left() -> None:
    text = drawn(140, job(progress=progress(3, 12, "fold 3"), name="x" * 300))
    for told in (
        "01234567 ",
        "● running",
        "━━━━━╌╌╌",
        "3/12 25% fold 3",
        "0.15/s, 1m00s left",
        "x…",
    ):
        assert told in text
    assert len(text.splitlines()) == 2


def test_on_a_narrow_screen_the_name_gives_way_and_every_job_has_one_line() -> None:
    text = drawn(80, job(progress=progress(3, 12, "fold 3"), name="x" * 300), job(state="paused"))
    for told in ("01234567 ", "● running", "━━╌╌", "3/12 25% fold 3", "x…", "‖ paused"):
        assert told in text
    assert len(text.splitlines()) == 3
    assert max(map(len, text.splitlines())) <= 80


BUSY = (
    job(progress=progress(123456, 200000, "fold 3 of the longest name"), name="train-" + "x" * 60),
    job(state="failed", reason="exit", exit_code=137, ended_at=4700.0),
    job(state="running", cancel_requested_at=1010.0, progress=progress(0.5)),
)


@pytest.mark.parametrize("width", [30, 40, 50, 60, 80, 100, 120, 160])
def test_at_every_width_figures_are_whole_and_every_job_has_one_line(width: int) -> None:
    text = drawn(width, *BUSY)
    lines = text.splitlines()
    assert len(lines) == 1 + len(BUSY)
    assert max(map(len, lines)) <= width
    with_figures = {word for word in text.split() if re.search(r"\d", word)}
    assert with_figures <= set(drawn(250, *BUSY).split())
    assert "62%" in text


def test_on_a_phones_screen_state_share_and_name_are_left() -> None:
    lines = drawn(40, *BUSY).splitlines()
    assert lines[0].split() == ["ID", "STATE", "DONE", "NAME"]
    assert re.fullmatch(r"01234567  ● running +62%   train-\S+… *", lines[1])
    assert re.fullmatch(r"01234567  ✗ failed +train *", lines[2])


def test_a_screen_without_unicode_gets_ascii_alone() -> None:
    assert drawn(120, job(progress=progress(0.5)), ascii_only=True).isascii()


def test_markup_in_a_name_is_no_markup() -> None:
    assert "[red]x[/red]" in drawn(120, job(name="[red]x[/red]"))


# -- exit codes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"state": "succeeded", "exit_code": 0}, 0),
        ({"state": "failed", "reason": "exit", "exit_code": 3}, 3),
        ({"state": "failed", "reason": "signal", "signal": 9}, 137),
        ({"state": "failed", "reason": "timeout", "signal": 15}, 124),
        ({"state": "failed", "reason": "memory", "signal": 9}, 137),
        ({"state": "failed", "reason": "start", "exit_code": 127}, 127),
        ({"state": "failed", "reason": "start"}, 126),
        ({"state": "cancelled", "signal": 15}, 130),
        ({"state": "lost"}, 75),
    ],
)
def test_a_jobs_exit_code_is_the_one_a_shell_would_give(fields: dict[str, Any], code: int) -> None:
    assert exits.of_job(job(**fields)) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadMessage(), 2),
        (errors.NoServer(), 3),
        (errors.no_such_job("x"), 4),
        (errors.StaleVersion(), 5),
        (errors.IllegalTransition(), 5),
        (errors.NotAllowed(), 1),
        (errors.StoreUnavailable(), 1),
    ],
)
def test_each_fault_has_its_exit_code(error: errors.TasksError, code: int) -> None:
    assert exits.of_error(error) == code


# -- the board ---------------------------------------------------------------------------------


def test_a_board_shows_what_runs_then_what_waits_then_what_has_ended_last() -> None:
    board = Board()
    board.put(
        [
            job(id="e1", state="failed", ended_at=1.0),
            job(id="q1", state="queued", number=1),
            job(id="q2", state="queued", number=2, priority=5),
            job(id="e2", state="succeeded", ended_at=2.0),
            job(id="r", state="running", number=9),
        ]
    )
    assert [shown["id"] for shown in board.shown()] == ["r", "q2", "q1", "e2", "e1"]
    assert not board.has_ended


def test_an_older_telling_of_a_job_never_replaces_a_newer_one() -> None:
    board = Board()
    board.put([job(version=5, state="succeeded")])
    board.apply(JobEvent(event="started", job_id=job()["id"], job=job(version=4)))
    assert board.shown()[0]["state"] == "succeeded"


def test_a_board_takes_progress_deletions_and_new_connections() -> None:
    board = Board()
    board.put([job()])
    moved = JobEvent(event="progress", job_id=job()["id"], progress=progress(0.5))
    assert not board.apply(moved)
    assert words.fraction(board.shown()[0]) == 0.5
    assert board.apply(JobEvent(event="live"))
    assert board.apply(JobEvent(event="reset", seq=9))
    assert not board.apply(JobEvent(event="deleted", job_id=job()["id"]))
    assert board.shown() == []


# -- output ------------------------------------------------------------------------------------


def pieces(*printed: tuple[str, bytes]) -> list[Piece]:
    data = b"".join(b"".join(encode_record(kind, 0.5, text)) for kind, text in printed)
    return [Piece(record=record, cursor=f"1.{record.end}") for record in read_records(data)]


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
@pytest.mark.parametrize("text", [b"a\nb\nc\n", b"a\nb\nc", b"\n\n\n", b"abc", b"a\tb\x00\n\xff\n"])
@pytest.mark.parametrize("lines", [1, 2, 3, 9])
def test_the_last_lines_are_the_same_however_the_output_was_cut(
    text: bytes, lines: int, chunk: int
) -> None:
    cut = [("out", text[at : at + chunk]) for at in range(0, len(text), chunk)]
    kept = b"".join(piece.record.payload or b"" for piece in last_lines(pieces(*cut), lines))
    assert kept == b"".join(text.splitlines(keepends=True)[-lines:])


def test_the_last_lines_of_one_stream_leave_the_other_alone() -> None:
    printed = pieces(("out", b"1\n2\n"), ("err", b"e\n"), ("out", b"3\n"))
    assert [piece.record.payload for piece in last_lines(printed, 2, "out")] == [b"2\n", b"3\n"]
    assert [piece.record.payload for piece in last_lines(printed, 2)] == [b"e\n", b"3\n"]


@pytest.mark.parametrize(("data", "field"), [(b"a", {"text": "a"}), (b"\xff", {"b64": "/w=="})])
def test_a_record_as_json_holds_any_bytes(data: bytes, field: dict[str, str]) -> None:
    (piece,) = pieces(("out", data))
    told = record_json(piece)
    assert told == {"k": "out", "t": 0.5, "cursor": piece.cursor} | field


def test_a_record_without_a_payload_is_told_as_it_is() -> None:
    record = Record({"k": "usage", "t": 1.0, "cpu_s": 2}, None, 0, 30)
    told = record_json(Piece(record=record, cursor="1.30"))
    assert told == {"k": "usage", "t": 1.0, "cpu_s": 2, "cursor": "1.30"}
