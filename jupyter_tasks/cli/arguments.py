"""The arguments of each verb, and their help. Pure: argv in, a namespace out.

A command after ``--`` is a list of arguments, taken as it is; one word without ``--`` is for the shell.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from jupyter_tasks import units
from jupyter_tasks._version import __version__
from jupyter_tasks.cli import exits
from jupyter_tasks.model import State

EXAMPLES: Final = """\
examples:
  jupyter tasks submit --name train -- python train.py --epochs 10
  jupyter tasks submit -f 'make all 2>&1 | tee log'
  jupyter tasks list --state running
  jupyter tasks logs -f 3f2a        an id may be cut to its first digits
  jupyter tasks cancel 3f2a

The server is found by itself: the one that started this terminal or kernel, else the newest that
runs on this machine, else its UNIX socket. JUPYTER_TASKS_URL and JUPYTER_TASKS_TOKEN name another.
"""

_CHANGES: Final = {
    "cancel": "end jobs, by SIGTERM first; a second cancel kills at once",
    "pause": "let jobs stand still, or wait",
    "resume": "let paused jobs go on",
    "restart": "make another attempt of jobs that have ended",
    "run": "start waiting jobs now, whatever the line",
    "delete": "delete ended jobs and their output",
}


class _WrongUsage(Exception):
    """The arguments are not what the parser's verb takes."""

    def __init__(self, parser: argparse.ArgumentParser, message: str) -> None:
        super().__init__(message)
        self.parser = parser


class _Parser(argparse.ArgumentParser):
    """Leaves it to ``parse`` how to tell what is wrong."""

    def error(self, message: str) -> NoReturn:
        raise _WrongUsage(self, message)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; leaves with code 2 and a sentence where they are wrong."""
    words, command = _split(argv)
    parser = _parser()
    try:
        arguments = parser.parse_args(words)
        arguments.command = _command(parser, arguments, command)
    except _WrongUsage as wrong:
        _leave(wrong, as_json="--json" in words)
    return arguments


def _leave(wrong: _WrongUsage, *, as_json: bool) -> NoReturn:
    if as_json:
        told = {"code": "wrong_usage", "message": str(wrong), "details": {}}
        wrong.parser.exit(exits.USAGE, json.dumps(told, ensure_ascii=False) + "\n")
    wrong.parser.print_usage(sys.stderr)
    wrong.parser.exit(exits.USAGE, f"{wrong.parser.prog}: error: {wrong}\n")


def _split(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    if "--" not in argv:
        return list(argv), None
    at = list(argv).index("--")
    return list(argv[:at]), list(argv[at + 1 :])


def _command(
    parser: argparse.ArgumentParser, given: argparse.Namespace, words: list[str] | None
) -> str | list[str] | None:
    typed: list[str] = getattr(given, "typed", [])
    if words is not None and given.verb not in ("submit", "edit"):
        parser.error(f"{given.verb} takes no command after --")
    if words is not None and not (words and not typed):
        parser.error("give the command after -- and nothing of it before")
    if words is None and len(typed) > 1:
        parser.error(
            f"put -- before a command of several words (`-- {' '.join(typed)}`), "
            "or quote it as one for the shell"
        )
    code = getattr(given, "code", None)
    if code is not None and (words is not None or typed):
        parser.error("give a command or --code FILE, not both")
    if code is None and getattr(given, "kernel", None) is not None:
        parser.error("--kernel goes with --code FILE")
    is_external = getattr(given, "external", False)
    if is_external and (words is not None or typed or code is not None):
        parser.error("--external starts nothing here: give no command")
    if given.verb == "submit" and words is None and not typed and code is None and not is_external:
        parser.error("give a command: submit -- COMMAND…, or submit 'a line for the shell'")
    return words if words is not None else (typed[0] if typed else None)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="jupyter tasks",
        description="Long jobs that outlive notebooks, kernels and servers.",
        epilog=f"{EXAMPLES}\n{exits.TABLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    shared = _shared()
    _add_connection(parser, is_default=True)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, words: str) -> argparse.ArgumentParser:
        return verbs.add_parser(
            name,
            help=words,
            description=words[:1].upper() + words[1:] + ".",
            epilog=exits.TABLE if name in ("submit", "notebook", "wait") else None,
            parents=[shared],
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    for add in (
        _add_submit,
        _add_notebook,
        _add_reading,
        _add_artifacts,
        _add_following,
        _add_changes,
        _add_edit,
        _add_report,
        _add_rest,
    ):
        add(verb)
    return parser


_Verb = Callable[[str, str], argparse.ArgumentParser]


def _shared() -> _Parser:
    shared = _Parser(add_help=False)
    _add_connection(shared, is_default=False)
    return shared


def _add_connection(parser: argparse.ArgumentParser, *, is_default: bool) -> None:
    """The same options before and after the verb; only the first sets defaults."""
    default: dict[str, Any] = {"default": None if is_default else argparse.SUPPRESS}
    group = parser.add_argument_group("server and output")
    group.add_argument("--url", **default, help="the Jupyter server's URL")
    group.add_argument(
        "--token-file", metavar="FILE", **default, help="read the server's token from FILE"
    )
    group.add_argument(
        "--token", **default, help="the token itself; others can see it in the list of processes"
    )
    group.add_argument(
        "--json",
        action="store_true",
        default=False if is_default else argparse.SUPPRESS,
        help="print JSON: one document, or one a line; errors too, on standard error",
    )


def _add_submit(verb: _Verb) -> None:
    parser = verb("submit", "submit a job")
    parser.usage = "jupyter tasks submit [options] (-- COMMAND… | 'a line for the shell' | --code FILE | --external)"
    parser.add_argument("typed", nargs="*", metavar="COMMAND", help="see above")
    code = parser.add_argument_group("code instead of a command")
    code.add_argument(
        "--code", metavar="FILE", help="run FILE in a fresh kernel; - for our own stdin"
    )
    code.add_argument("--kernel", metavar="NAME", help="of a kernelspec; default: the server's own")
    external = parser.add_argument_group("a program that runs elsewhere, and reports itself")
    external.add_argument("--external", action="store_true", help="see `jupyter tasks report`")
    external.add_argument(
        "--lease",
        type=parsed_by(units.seconds),
        metavar="TIME",
        help="it is lost where it says nothing for so long; default: 5m",
    )
    external.add_argument("--program", help="what it is, for people")
    external.add_argument("--host", help="where it runs, for people")
    _add_job_options(parser)
    _add_then(parser)


def _add_notebook(verb: _Verb) -> None:
    parser = verb("notebook", "run a notebook, cell by cell, as a job")
    add = parser.add_argument
    add("path", metavar="PATH", help="with a server elsewhere: below its root folder")
    add(
        *("-p", "--parameter"),
        action="append",
        metavar="NAME=VALUE",
        help="a value of a parameter: JSON where it is JSON, else text",
    )
    add("-r", "--raw", action="append", metavar="NAME=TEXT", help="the same, always as text")
    add("--kernel", metavar="NAME", help="of a kernelspec; default: the notebook's own")
    add("--output", metavar="PATH", help="default: beside the notebook, with the job's id")
    add("--allow-errors", action="store_true", help="go on after a cell that fails")
    _add_job_options(parser)
    _add_then(parser)


def _add_then(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("then")
    what.add_argument("--wait", action="store_true", help="wait for its end; exit with its code")
    what.add_argument(
        "-f", "--follow", action="store_true", help="print its output; exit with its code"
    )
    what.add_argument(
        "--idempotency-key", metavar="KEY", help="with the same key there is one job, for 24 hours"
    )


def _add_job_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the job").add_argument
    add("--name", help="default: the command")
    add("--tag", action="append", metavar="TAG", help="may be repeated")
    add(
        "--cwd",
        metavar="FOLDER",
        help="default: the current one; with a server elsewhere, its root",
    )
    add(
        "--env",
        action="append",
        metavar="NAME[=VALUE]",
        help="without a value: the caller's own, which keeps it out of the list of processes",
    )
    add("--stdin", metavar="FILE", help="standard input from FILE, - for our own")
    add("--tty", action="store_true", default=None, help="give it a terminal")
    add("--merge-stderr", action="store_true", default=None, help="keep the exact order of both")
    add("--queue")
    add("--priority", type=int, help="-1000 to 1000; higher goes first")
    add("--timeout", type=parsed_by(units.seconds), metavar="TIME", help="like 90s, 5m, 1h30m")
    add(
        "--memory",
        type=parsed_by(units.size_bytes),
        metavar="SIZE",
        help="of all its processes: 500M",
    )
    add("--grace", type=parsed_by(units.seconds), metavar="TIME", help="from SIGTERM to SIGKILL")
    add("--max-output", type=parsed_by(units.size_bytes), metavar="SIZE", help="how much is kept")
    add(
        "--on-lost", choices=("fail", "requeue"), help="what to do where its result cannot be known"
    )


def _add_filter(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group(
        "which jobs (several values mean or; tags mean and)"
    ).add_argument
    add("--state", action="append", choices=[str(state) for state in State], metavar="STATE")
    add("--kind", action="append", metavar="KIND")
    add("--queue", action="append", metavar="QUEUE")
    add("--tag", action="append", metavar="TAG")
    add("-q", "--text", metavar="TEXT", help="what the name holds")


def _add_reading(verb: _Verb) -> None:
    parser = verb("list", "list jobs, the newest first")
    _add_filter(parser)
    parser.add_argument("-n", "--limit", type=_positive, default=50, help="default: 50")
    parser.add_argument("--all", action="store_true", help="without a limit")
    verb("show", "show all about a job").add_argument("id", metavar="ID")
    verb("explain", "say why a job is as it is").add_argument("id", metavar="ID")
    verb("status", "show how the server is and what its jobs survive")


def _add_artifacts(verb: _Verb) -> None:
    parser = verb("artifacts", "list the files that a job left, show or fetch them")
    parser.add_argument("id", metavar="ID")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--get", metavar="PATH", help="write this one")
    what.add_argument(
        "--show", metavar="PATH", help="print this one, if it is a text or a notebook"
    )
    what.add_argument("--all", choices=("zip", "tar"), help="write all into one file of that kind")
    parser.add_argument(
        "--to", metavar="FILE", help="where to; - is standard output; default: the current folder"
    )


def _add_following(verb: _Verb) -> None:
    parser = verb("logs", "print a job's output, byte for byte")
    parser.add_argument("id", metavar="ID")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the job ends")
    parser.add_argument("-n", "--tail", type=_positive, metavar="LINES", help="only the last lines")
    parser.add_argument("--stream", choices=("out", "err", "all"), default="all")
    parser.add_argument("--attempt", type=_positive, metavar="N", help="default: the newest")
    parser.add_argument("--cursor", type=_cursor, help="go on there; Ctrl-C tells it")
    parser = verb("tasks", "list the tasks that can be run, or show one with its fields")
    parser.add_argument("name", nargs="?", metavar="NAME")
    _add_call(verb)
    _add_filter(verb("watch", "show running and waiting jobs, live"))
    parser = verb("wait", "wait for the end of jobs")
    parser.add_argument("ids", nargs="+", metavar="ID")
    parser.add_argument("--timeout", type=parsed_by(units.seconds), metavar="TIME")


def _add_call(verb: _Verb) -> None:
    parser = verb("call", "run a task: in the background, or at once with --wait")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "fields", nargs="*", metavar="FIELD=VALUE", help="a list: several times, or as JSON"
    )
    parser.add_argument("--yes", action="store_true", help="a dangerous task is meant")
    parser.add_argument("--wait", action="store_true", help="wait for it; print what it returned")
    parser.add_argument(
        "--within",
        type=parsed_by(units.seconds),
        default=3600.0,
        metavar="TIME",
        help="how long --wait waits; default: 1h",
    )


def _add_changes(verb: _Verb) -> None:
    for name, words in _CHANGES.items():
        parser = verb(name, words)
        parser.add_argument("ids", nargs="*", metavar="ID")
        parser.add_argument("--all", action="store_true", help="all that the filter accepts")
        _add_filter(parser)
        if name == "cancel":
            parser.add_argument("--reason", help="a word that is kept with the job")


def _add_edit(verb: _Verb) -> None:
    parser = verb("edit", "change a waiting job")
    parser.usage = "jupyter tasks edit ID [options] [-- COMMAND…]"
    parser.add_argument("id", metavar="ID")
    _add_job_options(parser)


def _add_rest(verb: _Verb) -> None:
    parser = verb("progress", "report progress, from inside a job")
    parser.add_argument("value", nargs="?", help="like 40%%, 3/12 or 0.4")
    parser.add_argument("total", nargs="?", type=float, help="what the value is a part of")
    parser.add_argument("-m", "--message", help="what is being done")


def _add_report(verb: _Verb) -> None:
    parser = verb("report", "report on a job whose program runs elsewhere (submit --external)")
    parser.add_argument("id", metavar="ID")
    add = parser.add_argument_group("what it says of itself; nothing: that it lives").add_argument
    add("--progress", metavar="SHARE", help="like 40%%, 3/12 or 0.4, with words after it")
    add("-m", "--message", help="what is being done; at the end, how it ended")
    add("--output", metavar="FILE", help="what it printed, - for our own stdin")
    add("--error-output", metavar="FILE", help="what it printed to its standard error")
    add("--paused", action="store_true", help="it stands still, as it was asked to")
    add("--result", metavar="JSON", help="what it found")
    add("--end", choices=("succeeded", "failed", "cancelled"), help="it has ended like this")
    add("--exit-code", type=int, metavar="N", help="it has ended, by itself: 0 is success")
    add("--attempt", type=_positive, metavar="N", help="refuse it where the job is at another")
    add("--idempotency-key", metavar="KEY", help="the same report again is known by it")


def parsed_by(parse: Callable[[str], float | int]) -> Callable[[str], float | int]:
    """The type of an argument that ``parse`` reads: its complaint is told as wrong usage."""

    def checked(text: str) -> float | int:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _cursor(text: str) -> str:
    attempt, dot, byte = text.partition(".")
    if not (dot and attempt.isdecimal() and byte.isdecimal() and text.isascii()):
        raise argparse.ArgumentTypeError(f"{text!r} is no cursor; one looks like 1.4096")
    return text


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)
