"""Jobs on a terminal: theirs alone, whole, and with an end of input."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import programs
from tests.eventually import eventually
from tests.supervised import Supervised, a_plain_supervisor, of_this_test

LINES = 50_000


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    with a_plain_supervisor(tmp_path) as supervised:
        yield supervised
    eventually(lambda: not of_this_test(), what="no process of the test is left")


def test_it_is_the_controlling_terminal_of_the_jobs_own_session(supervised: Supervised) -> None:
    supervised.run_to_end(
        programs.python(
            "import os\n"
            "tty = os.open('/dev/tty', os.O_RDWR)\n"
            "print(os.getsid(0) == os.getpid() == os.tcgetpgrp(tty), os.ttyname(0))\n"
        ),
        tty=True,
    )
    assert supervised.text().startswith(b"True /dev/pts/")


def test_nothing_printed_just_before_the_end_is_lost(supervised: Supervised) -> None:
    supervised.run_to_end(f"seq {LINES}", tty=True)
    assert supervised.text().replace(b"\r\n", b"\n").split() == [
        b"%d" % n for n in range(1, LINES + 1)
    ]


@pytest.mark.parametrize(
    ("stdin", "read"), [(None, b""), ("", b""), ("one\ntwo\n", b"onetwo"), ("one\ntwo", b"onetwo")]
)
def test_what_is_fed_to_it_has_an_end(
    supervised: Supervised, stdin: str | None, read: bytes
) -> None:
    end = supervised.run_to_end("stty -echo; cat | tr -d '\\n'; echo .", tty=True, stdin=stdin)
    assert end["exit_code"] == 0
    assert supervised.text().endswith(read + b".\r\n")


def test_more_input_than_it_holds_is_fed_bit_by_bit(supervised: Supervised) -> None:
    lines = "line\n" * 20_000
    supervised.run_to_end("stty -echo; sleep 0.2; wc -l", tty=True, stdin=lines)
    # What was fed before stty came to run is echoed, and the last of that breaks off in a line.
    assert supervised.text().endswith(b"20000\r\n"), supervised.text()[-200:]


def test_who_closes_it_for_a_while_is_not_hung_up_on(supervised: Supervised) -> None:
    command = "tty=$(tty); exec </dev/null >/dev/null 2>&1; sleep 0.3; echo back > $tty"
    end = supervised.run_to_end(command, tty=True)
    assert end["exit_code"] == 0
    assert supervised.text() == b"back\r\n"


def test_control_c_is_what_interrupt_means(supervised: Supervised) -> None:
    supervised.run(
        "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.05; done", tty=True
    )
    supervised.wait_for(b"ready")
    supervised.tell(do="interrupt")
    assert supervised.end()["exit_code"] == 7
    assert b"caught" in supervised.text()
