"""Where a server may be: arguments, environment, runtime files, the owner-only UNIX socket.

Reads the environment and Jupyter's runtime folder, and sees which sockets somebody listens on; sends
nothing: who is really there is for `connection` to find out. The likeliest comes first.
"""

import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from jupyter_tasks.client.core import Server
from jupyter_tasks.errors import NoServer

URL_VARIABLE = "JUPYTER_TASKS_URL"
TOKEN_VARIABLE = "JUPYTER_TASKS_TOKEN"  # noqa: S105 - the name of a variable
#: Pages that people copy from their browser.
_PAGES = ("/lab", "/tree", "/notebooks", "/consoles", "/edit", "/doc")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeFile:
    """What a running Jupyter server has written about itself."""

    server: Server
    pid: int
    base_url: str
    written_at: float


def find(environ: Mapping[str, str], url: str | None, token: str | None) -> list[Server]:
    """Every server that may be meant, the likeliest first; one alone where a URL was named."""
    url, named_by = (url, "") if url else (environ.get(URL_VARIABLE), URL_VARIABLE)
    token = _usable(token or environ.get(TOKEN_VARIABLE))
    files = live_servers()
    if url:
        return [_named(url, token, named_by, files)]
    found = [
        *_of_ancestors(environ, files),
        *_of_hub(environ, files),
        *_of_variable(environ),
        *(file.server for file in files),
        *_sockets(),
    ]
    if token:
        found = [_with_token(server, token) for server in found]
    return list(dict.fromkeys(found))


def live_servers() -> list[RuntimeFile]:
    """The runtime files whose process still lives, the newest first."""
    from jupyter_core.paths import jupyter_runtime_dir  # noqa: PLC0415 - not for --help

    paths = Path(jupyter_runtime_dir()).glob("jpserver-*.json")
    files = [file for path in paths if (file := _read(path)) and _lives(file)]
    return sorted(files, key=lambda file: file.written_at, reverse=True)


def split_url(url: str) -> tuple[str, str | None]:
    """The server's base URL and the token of a URL as people have it: with a page, with a token."""
    parts = _parsed(url)
    path = parts.path
    for page in _PAGES:
        head, found, tail = path.partition(page)
        if found and tail[:1] in ("", "/"):
            path = head
            break
    token = parse_qs(parts.query).get("token", [None])[0]
    return f"{parts.scheme}://{parts.netloc}{path.rstrip('/')}/", token


def _parsed(url: str) -> SplitResult:
    """The parts of a server's URL; raises NoServer with what may be shown of it."""
    with suppress(ValueError):
        parts = urlsplit(url if "://" in url else f"http://{url}")
        # Asking for the port checks it.
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    shown = re.sub(r"^(\w+://)?.*@", r"\1", re.split(r"[?#]", url)[0])
    raise NoServer(f"{shown!r} is no URL of a server; write it like http://localhost:8888/.")


def _usable(token: str | None) -> str | None:
    """The token without a line's end; raises NoServer, and shows nothing of it, for what is none."""
    token = (token or "").strip()
    if not _can_be_sent(token):
        raise NoServer(
            "The token that was given holds characters that no header can carry. Give the right one "
            "by JUPYTER_TASKS_TOKEN or --token-file (`jupyter server list` shows the tokens of "
            "running servers)."
        )
    return token or None


def _can_be_sent(token: str) -> bool:
    return token.isascii() and token.isprintable()


def _named(url: str, token: str | None, named_by: str, files: list[RuntimeFile]) -> Server:
    base, token_inside = split_url(url)
    token = token or _usable(token_inside)
    if token is None:
        for file in files:
            # Its own name for itself: the token must not reach another listener at that port.
            if file.server.socket is None and _is_same_place(file.server.url, base):
                return replace(file.server, found_by=named_by)
    return Server(url=base, token=token, found_by=named_by)


def _is_same_place(one: str, other: str) -> bool:
    """Whether two base URLs mean one server; this machine has several names."""
    return _place(one) == _place(other)


def _place(base: str) -> tuple[str, str, int, str]:
    parts = urlsplit(base)
    host = parts.hostname or ""
    is_here = host in ("localhost", "::1") or host.startswith("127.")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, "localhost" if is_here else host, port, parts.path


def _of_ancestors(environ: Mapping[str, str], files: list[RuntimeFile]) -> Iterator[Server]:
    """The server that started this kernel or this terminal."""
    by_pid = {file.pid: file.server for file in files}
    if not by_pid:
        return
    parent = environ.get("JPY_PARENT_PID", "")
    for pid in (int(parent) if parent.isdigit() else 0, *_ancestors()):
        if pid in by_pid:
            yield by_pid[pid]


def _of_hub(environ: Mapping[str, str], files: list[RuntimeFile]) -> Iterator[Server]:
    """This user's server on a JupyterHub: it lets in by the hub's token, not by one of its own."""
    prefix, token = environ.get("JUPYTERHUB_SERVICE_PREFIX"), environ.get("JUPYTERHUB_API_TOKEN")
    for file in files:
        if prefix and token and file.base_url.rstrip("/") == prefix.rstrip("/"):
            yield _with_token(file.server, token)


def _of_variable(environ: Mapping[str, str]) -> Iterator[Server]:
    """The server that started what has started us: jobs and what they start have its socket's path."""
    from jupyter_tasks import posix  # noqa: PLC0415 - not for --help

    path = environ.get(posix.SOCKET_VARIABLE)
    if path and _is_private(Path(path).parent) and _is_listened_on(path):
        yield Server(url="http://localhost/", socket=path, found_by=posix.SOCKET_VARIABLE)


def _sockets() -> Iterator[Server]:
    """The UNIX sockets of this account's own servers, the newest first."""
    from jupyter_tasks import posix  # noqa: PLC0415 - not for --help

    folder = Path(posix.default_runtime_dir())
    if not _is_private(folder):
        return
    for path in sorted(folder.glob("server-*.sock"), key=_age):
        if _is_listened_on(str(path)):
            yield Server(url="http://localhost/", socket=str(path), found_by="UNIX socket")


def _is_listened_on(path: str) -> bool:
    """Whether a server is behind the socket: one that was killed leaves it lying about."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _is_private(folder: Path) -> bool:
    """Whether nobody but this account can have put something there."""
    try:
        status = folder.stat(follow_symlinks=False)
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _age(path: Path) -> float:
    with suppress(OSError):
        return -path.stat().st_mtime
    return 0.0


def _read(path: Path) -> RuntimeFile | None:
    """The file's server; None where it goes away meanwhile or is not what it should be."""
    try:
        info = json.loads(path.read_bytes())
        if not isinstance(info, dict):
            return None
        return RuntimeFile(
            server=_server_of(info),
            pid=int(info["pid"]),
            base_url=str(info["base_url"]),
            written_at=path.stat().st_mtime,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _server_of(info: dict[str, Any]) -> Server:
    path = info.get("sock") or None
    token = str(info.get("token") or "")
    url = f"http://localhost{info['base_url']}" if path else str(info["url"])
    return Server(
        url=url.rstrip("/") + "/",
        # (Where a server has a token that cannot be sent, its owner still comes by the socket.)
        token=token if token and _can_be_sent(token) else None,
        socket=path,
        found_by=f"process {info['pid']}",
    )


def _with_token(server: Server, token: str) -> Server:
    return Server(url=server.url, token=token, socket=server.socket, found_by=server.found_by)


def _lives(file: RuntimeFile) -> bool:
    import psutil  # noqa: PLC0415 - not for --help

    path = file.server.socket
    return bool(psutil.pid_exists(file.pid)) and (path is None or _is_listened_on(path))


def _ancestors() -> Iterator[int]:
    import psutil  # noqa: PLC0415 - not for --help

    with suppress(psutil.Error):
        yield from (parent.pid for parent in psutil.Process().parents())
