"""Which server is talked to, and how a request gets its answer: try again, look again, give up.

Owns the rules of patience. A request that may be sent twice is sent until it is answered; of any
other the caller is told that its answer was lost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from jupyter_tasks.client.core import (
    Broken,
    Flow,
    Look,
    Open,
    Reply,
    Request,
    Send,
    Server,
    Sleep,
    checked,
    decoded,
    delays,
    error_from,
    is_ours,
    is_passing,
)
from jupyter_tasks.errors import NoServer, NoSuchThing, ServerError

STATUS: Final = Request(method="GET", path="status", quiet_s=10.0)
#: How long a server that has gone is waited for.
PATIENCE_S: Final = 60.0

NOTHING_RUNS: Final = (
    "No running Jupyter server with jupyter_tasks was found on this machine. "
    "Start one (`jupyter lab` or `jupyter server`), or name one by its URL and token: "
    "the environment's JUPYTER_TASKS_URL and JUPYTER_TASKS_TOKEN, `Client(url, token)` "
    "or `jupyter tasks --url URL --token-file FILE`."
)


@dataclass(slots=True)
class Session:
    """What a client remembers: its server, and where that one keeps its jobs (machine, folder).

    After a crash another server may be in charge; it is taken for the same if it keeps its jobs in
    the same place.
    """

    clock: Callable[[], float]
    host: str = ""
    patience_s: float = PATIENCE_S
    server: Server | None = None
    home: tuple[str, str] | None = None

    @property
    def has_met(self) -> bool:
        """Whether a server has ever answered."""
        return self.home is not None


def ask(session: Session, request: Request) -> Flow[Reply]:
    """Send a request that may be sent twice until it is answered; raise the error of the answer."""
    outcome = yield from _tried(session, request, Send, may_repeat=True)
    assert isinstance(outcome, Reply)
    return outcome


def ask_once(session: Session, request: Request) -> Flow[Reply | Broken]:
    """Send a request that must not be carried out twice; Broken where nobody can tell if it was."""
    return (yield from _tried(session, request, Send, may_repeat=False))


def open_stream(session: Session, request: Request) -> Flow[Reply]:
    """Open a stream, as patiently as ``ask``."""
    outcome = yield from _tried(session, request, Open, may_repeat=True)
    assert isinstance(outcome, Reply)
    return outcome


def remove(session: Session, path: str) -> Flow[None]:
    """Send a DELETE until it is answered; raises NoSuchThing where there was nothing before, either."""
    request, was_lost = Request(method="DELETE", path=path), False
    while True:
        try:
            outcome = yield from ask_once(session, request)
        except NoSuchThing:
            if was_lost:
                return
            raise
        if not isinstance(outcome, Broken):
            return
        was_lost = True


def locate(session: Session) -> Flow[Server]:
    """Find the server anew; raises NoServer with what was tried and what to do."""
    candidates: list[Server] = yield Look()
    refusals = []
    for server in candidates:
        outcome: Reply | Broken = yield Send(server, STATUS)
        refusal = _refusal(session, server, outcome)
        if refusal is None:
            session.server = server
            return server
        refusals.append(refusal)
    raise NoServer(" ".join(refusals) if refusals else NOTHING_RUNS, tried=refusals)


def _tried(
    session: Session, request: Request, step: type[Send | Open], *, may_repeat: bool
) -> Flow[Reply | Broken]:
    since, waits, refused_by = session.clock(), delays(), None
    while True:
        server, outcome = yield from _attempt(session, request, step)
        if isinstance(outcome, Reply) and not is_passing(outcome):
            if not _wants_login(outcome) or refused_by == server:
                return checked(outcome)
            # A server that was started again has another token: look once more before giving up.
            refused_by, session.server = server, None
            continue
        session.server = None
        if not may_repeat and _may_have_happened(outcome):
            return outcome if isinstance(outcome, Broken) else Broken(why="it", sent=True)
        if session.clock() - since > session.patience_s:
            raise _given_up(session, server, outcome)
        yield Sleep(next(waits))


def _attempt(
    session: Session, request: Request, step: type[Send | Open]
) -> Flow[tuple[Server | None, Reply | Broken]]:
    server = session.server
    if server is None:
        try:
            server = yield from locate(session)
        except NoServer as nobody:
            if not session.has_met:
                raise
            return None, Broken(why=nobody.message, sent=False)
    return server, (yield step(server, request))


def _wants_login(reply: Reply) -> bool:
    """Whether the server does not know us; a redirection leads to a login page."""
    return reply.status in (401, 403) or 300 <= reply.status < 400


def _may_have_happened(outcome: Reply | Broken) -> bool:
    if isinstance(outcome, Broken):
        return outcome.sent
    return not is_ours(outcome) or bool(error_from(outcome).details.get("maybe_done"))


def _given_up(session: Session, server: Server | None, outcome: Reply | Broken) -> ServerError:
    if isinstance(outcome, Reply):
        try:
            checked(outcome)
        except ServerError as error:
            return error
    why = outcome.why if isinstance(outcome, Broken) else f"status {outcome.status}"
    where = server.place if server else "The server that was used before"
    return NoServer(
        f"{where} has not answered for {session.patience_s:.0f} s ({why}). "
        "The jobs themselves go on; start the server again and repeat the command."
    )


def _refusal(session: Session, server: Server, outcome: Reply | Broken) -> str | None:
    """Why this server cannot be used, and what to do; None where it can (then it is remembered)."""
    where = f"{server.place} ({server.found_by})" if server.found_by else server.place
    if isinstance(outcome, Broken):
        return f"{where} does not answer: {outcome.why}."
    if outcome.status == 404:
        return (
            f"{where} runs without jupyter_tasks: install it into that server's environment, "
            "`jupyter server extension enable jupyter_tasks`, and start the server again. "
            "(A URL must hold the server's base URL, as `jupyter server list` shows it.)"
        )
    if _wants_login(outcome):
        told = error_from(outcome)
        # It was not the token: the server does not answer to this name.
        return (
            f"{where}: {told.message}" if "host" in told.details else _refused_token(where, server)
        )
    if outcome.status != 200:
        return f"{where} answers with status {outcome.status}; look at the server's log."
    return _remember(session, where, outcome)


def _refused_token(where: str, server: Server) -> str:
    what = "refuses the token" if server.token else "wants a token"
    return (
        f"{where} {what}: give the right one by JUPYTER_TASKS_TOKEN or --token-file "
        "(`jupyter server list` shows the tokens of running servers)."
    )


def _remember(session: Session, where: str, outcome: Reply) -> str | None:
    try:
        status: Any = decoded(outcome)
        home = (str(status["host"]), str(status["state_dir"]))
    except (ServerError, KeyError, TypeError):
        return f"{where} is something else than a Jupyter server with jupyter_tasks."
    if session.home not in (None, home):
        return f"{where} keeps its jobs in another place ({home[1]})."
    session.home = home
    return None
