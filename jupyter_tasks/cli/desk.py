"""What every verb needs at hand: the client, made when first asked for, and the printer."""

import argparse
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from jupyter_tasks.cli.printer import Printer
from jupyter_tasks.errors import BadMessage

if TYPE_CHECKING:
    from jupyter_tasks.client import Client, JobHandle
    from jupyter_tasks.client.calls import FilterOptions, JobOptions

_OTHERS_SEE_IT = (
    "Others on this machine can see --token in the list of processes; "
    "give --token-file or JUPYTER_TASKS_TOKEN instead."
)


class Desk:
    """The client and the printer of one command."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Connect to nobody yet."""
        self._arguments = arguments
        self.printer = Printer(as_json=arguments.json)

    @cached_property
    def client(self) -> "Client":
        """The client of the server that is meant."""
        from jupyter_tasks.client import Client  # noqa: PLC0415 - not for --help

        if self._arguments.token:
            self.printer.hint(_OTHERS_SEE_IT)
        return Client(self._arguments.url, self._token())

    def close(self) -> None:
        """Close what was opened."""
        if "client" in self.__dict__:
            self.client.close()

    def handles(self, ids: Iterable[str]) -> list["JobHandle"]:
        """The jobs whose ids begin like these."""
        return [self.client.job(job_id) for job_id in ids]

    def _token(self) -> str | None:
        path = self._arguments.token_file
        if path is None:
            token: str | None = self._arguments.token
            return token
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise BadMessage(f"--token-file {path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise BadMessage(
                f"--token-file {path} is no text; a token is a line of text."
            ) from None


def filter_options(arguments: argparse.Namespace) -> "FilterOptions":
    """The filter that the arguments name, as the client takes it."""
    named = {
        "states": arguments.state,
        "kinds": arguments.kind,
        "queues": arguments.queue,
        "tags": arguments.tag,
        "text": arguments.text,
    }
    return cast("FilterOptions", {name: value for name, value in named.items() if value})


def job_options(
    arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ
) -> "JobOptions":
    """What the arguments say about a job, as the client takes it; what is not said is left out."""
    said = {
        "name": arguments.name,
        "tags": arguments.tag,
        "cwd": None if arguments.cwd is None else _folder(arguments.cwd),
        "env": None if arguments.env is None else environment(arguments.env, environ),
        "stdin": None if arguments.stdin is None else _text(arguments.stdin),
        "tty": arguments.tty,
        "merge_stderr": arguments.merge_stderr,
        "queue": arguments.queue,
        "priority": arguments.priority,
        "timeout_s": arguments.timeout,
        "memory_bytes": arguments.memory,
        "grace_s": arguments.grace,
        "max_output_bytes": arguments.max_output,
        "on_lost": arguments.on_lost,
    }
    return cast("JobOptions", {name: value for name, value in said.items() if value is not None})


def _folder(path: str) -> str:
    try:
        return str(Path(path).absolute())
    except FileNotFoundError:
        raise BadMessage(
            f"--cwd {path} is meant below the current folder, and that is there no more."
        ) from None


def environment(given: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """What ``--env NAME=VALUE`` says, and ``--env NAME`` by the caller's own; raises BadMessage."""
    env = {}
    for item in given:
        name, has_value, value = item.partition("=")
        if not has_value and name not in environ:
            raise BadMessage(f"--env {name} has no value here; give --env {name}=VALUE.")
        env[name] = value if has_value else environ[name]
    return env


def code_spec(arguments: argparse.Namespace) -> dict[str, Any]:
    """What ``--code`` and ``--kernel`` say."""
    spec = {"kind": "code", "source": _text(arguments.code, "--code").removeprefix("\ufeff")}
    return spec if arguments.kernel is None else {**spec, "kernel": arguments.kernel}


def file_bytes(path: str, option: str) -> bytes:
    """What the file holds that an option names, ``-`` for our own standard input; raises BadMessage."""
    try:
        return os.fdopen(0, "rb", closefd=False).read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise BadMessage(f"{option} {path} cannot be read: {error.strerror}.") from None


def external_spec(arguments: argparse.Namespace) -> dict[str, Any]:
    """What ``--external``, ``--lease``, ``--program`` and ``--host`` say."""
    said = {"program": arguments.program, "host": arguments.host, "lease_s": arguments.lease}
    return {
        "kind": "external",
        **{name: value for name, value in said.items() if value is not None},
    }


def _text(path: str, option: str = "--stdin") -> str:
    try:
        return file_bytes(path, option).decode()
    except UnicodeDecodeError:
        raise BadMessage(
            f"{option} {path} is no text (UTF-8); let the command read the file: `sh -c 'cmd < file'`."
        ) from None
