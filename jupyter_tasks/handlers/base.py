"""What every handler shares: who asks, bodies in and answers out, one shape for all errors.

``TasksMixin`` is for every kind of handler (also WebSocket and event streams), ``TasksHandler`` for
REST. A handler decodes, asks the manager and encodes; it has no ``try``.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from http.client import responses
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast
from urllib.parse import quote, unquote

import msgspec
from jupyter_server.auth.decorator import authorized as jupyter_authorized
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.httpclient import HTTPResponse

from jupyter_tasks import access, formats, messages
from jupyter_tasks.errors import (
    BadMessage,
    CallerError,
    NoActiveManager,
    NoSuchThing,
    NotAllowed,
    Superseded,
    TasksError,
    TooLarge,
    shortened,
)
from jupyter_tasks.formats import Format
from jupyter_tasks.handlers.forward import Forwarded, delays, is_set_within, send
from jupyter_tasks.manager import Manager
from jupyter_tasks.openapi import Action

#: Honoured on the owner-only UNIX socket alone, where whoever connects is the account itself.
OWNER_HEADER: Final = "X-Tasks-Owner"
ROOT_DIR_HEADER: Final = "X-Tasks-Root-Dir"
REQUEST_ID_HEADER: Final = "X-Request-Id"
#: The key to ask on with, where the form of the answer is a table.
NEXT_HEADER: Final = "X-Tasks-Next"
#: Asks for the jobs of all owners (a following server watches for all of its users).
ALL_OWNERS: Final = "*"
_REQUEST_ID: Final = re.compile(r"^[\w.:-]{1,100}$", re.ASCII)
#: Where Jupyter's own providers live: none of them tells people apart.
_ANONYMOUS_HOME: Final = "jupyter_server."
_WHO: Final = (
    "get_user",
    "_get_user",
    "get_user_token",
    "get_user_cookie",
    "generate_anonymous_user",
)
#: Query arguments that belong to Jupyter, whatever the route.
_NOT_OURS: Final = frozenset({"token", "_xsrf", "no_track_activity"})

H = TypeVar("H", bound="TasksHandler")
P = ParamSpec("P")
Q = TypeVar("Q")
F = TypeVar("F", bound=Callable[..., Any])


def authorized(action: Action) -> Callable[[F], F]:
    """Let the server's authorizer decide whether this user may do that to tasks."""
    return cast("Callable[[F], F]", jupyter_authorized(action, resource="tasks"))


def changes(
    method: Callable[Concatenate[H, P], Awaitable[None]],
) -> Callable[Concatenate[H, P], Awaitable[None]]:
    """For methods that write or execute: a server that follows sends them to the active one.

    Stands below ``@authorized``, so that each server's own authorizer has its say first.
    """

    @wraps(method)
    async def decide(self: H, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.manager.is_active:
            try:
                await method(self, *args, **kwargs)
            except Superseded:
                pass  # the store has changed nothing: whoever decides by now does it
            else:
                return
        await self.forward(lambda: method(self, *args, **kwargs))

    decide.__dict__["is_forwarded"] = True
    return cast("Callable[Concatenate[H, P], Awaitable[None]]", decide)


def identifies_people(handler: JupyterHandler) -> bool:
    """Whether the server's identity provider tells people apart (a hub, a custom provider)."""
    provider = handler.identity_provider
    deciders = [getattr(type(provider), name, None) for name in _WHO]
    login = getattr(provider, "login_handler_class", None)
    deciders += [getattr(login, "get_user", None), type(handler).get_current_user]
    return any(
        decider is not None and not decider.__module__.startswith(_ANONYMOUS_HOME)
        for decider in deciders
    )


class TasksMixin(JupyterHandler):
    """Who asks, whom to ask, and how errors look: for handlers of every kind."""

    auth_resource = "tasks"
    _is_host_known = True

    @property
    def manager(self) -> Manager:
        """The one that decides."""
        return cast("Manager", self.settings["jupyter_tasks_manager"])

    @property
    def is_private(self) -> bool:
        """Whether the request came through the owner-only UNIX socket."""
        return bool(self.settings.get("jupyter_tasks_private", False))

    @property
    def owner(self) -> str | None:
        """Whose jobs this request is about; None: everybody's (another server of ours asks)."""
        account: str = self.settings["jupyter_tasks_account"]
        if self.is_private:
            named = unquote(self.request.headers.get(OWNER_HEADER, quote(account)))
            return None if named == ALL_OWNERS else named
        user = self.current_user
        return access.owner_of(user.username, identifies_people(self), account)

    @property
    def one_owner(self) -> str:
        """The owner of what this request makes."""
        owner = self.owner
        if owner is None:
            raise NotAllowed("A job has one owner; name it to submit jobs.")
        return owner

    @property
    def root_dir(self) -> str:
        """The folder that relative folders are meant below: that of the server that was asked."""
        if self.is_private and (named := self.request.headers.get(ROOT_DIR_HEADER)):
            return unquote(named)
        return str(Path(self.settings["serverapp"].root_dir).absolute())

    @property
    def idempotency_key(self) -> str | None:
        """By which the same request is known again, where the caller gave one; raises BadMessage."""
        key = self.request.headers.get("Idempotency-Key")
        if key is not None and not 0 < len(key) <= messages.MAX_KEY:
            raise BadMessage(
                f"The header `Idempotency-Key` must have 1 to {messages.MAX_KEY} characters.",
                field="Idempotency-Key",
            )
        return key

    @property
    def request_id(self) -> str:
        """A name for this request, in its answer and in the log; the caller may give one."""
        if not hasattr(self, "_request_id"):
            given = self.request.headers.get(REQUEST_ID_HEADER, "")
            self._request_id = given if _REQUEST_ID.match(given) else secrets.token_hex(8)
        return self._request_id

    def set_default_headers(self) -> None:
        """Name the request in every answer, and let no cache keep what is somebody's own."""
        super().set_default_headers()
        self.set_header(REQUEST_ID_HEADER, self.request_id)
        self.set_header("Cache-Control", "no-store")

    def query(self, message: type[Q]) -> Q:
        """The query string as a message; raises BadMessage."""
        given = {
            name: [value.decode("utf-8", "replace") for value in values]
            for name, values in self.request.query_arguments.items()
            # JupyterLab adds the time, without a value, so that no cache answers.
            if name not in _NOT_OURS
            and not (name.isdigit() and not any(values))
            and (name != "format" or "format" in message.__struct_fields__)  # type: ignore[attr-defined]
        }
        return messages.read_query(message, given)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with the error's own status."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        super().send_error(error.status if isinstance(error, TasksError) else status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer every error in the one shape."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if isinstance(error, TasksError):
            answer = messages.from_error(error, self.request_id)
        else:
            answer = self.refusal(status_code, self._words(status_code, error))
        self.set_header("Content-Type", "application/json")
        if status_code == 405:
            self.set_header("Allow", ", ".join(_methods_of(type(self))))
        self.finish(messages.encode(answer))

    def refusal(self, status_code: int, words: str) -> messages.ErrorMessage:
        """The one shape for what is refused before we are asked at all."""
        details = {} if self._is_host_known else {"host": self.request.host}
        return messages.ErrorMessage(_code(status_code), words, details, self.request_id)

    def check_host(self) -> bool:
        """Whether this server may be called by that name; remembered, so that it can be told."""
        self._is_host_known = super().check_host()
        return self._is_host_known

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what is our fault with its traceback; what is the caller's needs one line."""
        if isinstance(value, CallerError):
            self.log.debug("Refused request %s: %s", self.request_id, value.code)
        elif isinstance(value, TasksError):
            self.log.warning("Failed request %s: %s", self.request_id, value)
        elif isinstance(value, web.HTTPError):
            super().log_exception(typ, value, tb)
        else:
            self.log.error(
                "Failed request %s: %s %s",
                self.request_id,
                self.request.method,
                self.request.path,
                exc_info=(typ, value, tb),
            )

    def _words(self, status: int, error: BaseException | None) -> str:
        if not self._is_host_known:
            return (
                f"This server is called {shortened(self.request.host)} here, and that is none of this "
                "machine's own names. Use localhost, or let it be reached from elsewhere: "
                "ServerApp.local_hostnames, ServerApp.allow_remote_access."
            )
        if status in (401, 403) and not self.current_user:
            return (
                "You are not logged in here. Log in with the browser, or send the server's token "
                "in the header `Authorization: token …`."
            )
        if status == 405:
            allowed = ", ".join(_methods_of(type(self)))
            return f"{self.request.method} cannot be done here; these can: {allowed}."
        if isinstance(error, web.HTTPError) and error.log_message:
            return error.log_message % error.args if error.args else error.log_message
        return f"{responses.get(status, 'Error')}. The server's log says more under the request id."


_CODES: Final = {
    401: "not_allowed",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    503: "unavailable",
}


def _code(status: int) -> str:
    return _CODES.get(status, "server_error" if status >= 500 else "bad_request")


def _methods_of(handler: type[web.RequestHandler]) -> list[str]:
    missing = web.RequestHandler._unimplemented_method  # noqa: SLF001 - tornado's only mark for it
    return [
        method
        for method in ("GET", "POST", "PATCH", "DELETE")
        if getattr(handler, method.lower()) is not missing
    ]


@web.stream_request_body
class TasksHandler(TasksMixin, APIHandler):
    """A REST handler: takes and gives messages. Bodies are bounded before they are read."""

    _body: bytearray
    _body_size: int

    def initialize(self) -> None:
        """Start with no body."""
        self._body = bytearray()
        self._body_size = 0

    @property
    def _track_activity(self) -> bool:  # type: ignore[override]
        """Looking at jobs must not keep an idle server from being culled."""
        return self.request.method not in ("GET", "HEAD")

    @property
    def max_body_bytes(self) -> int:
        """The largest body that is taken."""
        return int(self.settings.get("jupyter_tasks_max_body_bytes", messages.MAX_BODY_BYTES))

    async def prepare(self) -> None:  # type: ignore[override]
        """Authenticate, then refuse a body that says that it is too large."""
        await super().prepare()
        if not self._finished:
            if self.request.method not in ("GET", "HEAD"):
                _ = self.form  # once something has been changed it is too late to refuse
            await self.before_body()

    async def before_body(self) -> None:
        """Refuse what need not be read; the one who asks is known."""
        announced = self.request.headers.get("Content-Length", "")
        if announced.isdigit() and int(announced) > self.max_body_bytes:
            raise self._too_large()

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Keep the body as it comes, and let go of it where it outgrows its bound."""
        self._body_size += len(chunk)
        if self._body_size > self.max_body_bytes:
            self._body.clear()
        else:
            self._body += chunk
        return None

    def body(self) -> bytes:
        """The whole body; raises TooLarge."""
        if self._body_size > self.max_body_bytes:
            raise self._too_large()
        return bytes(self._body)

    def _too_large(self) -> TooLarge:
        limit = self.max_body_bytes
        return TooLarge(
            f"The body is larger than the {limit} bytes that this server takes; send it in parts, "
            "or set TasksExtension.max_body_bytes.",
            max_body_bytes=limit,
        )

    def compute_etag(self) -> str | None:
        """No hash of every answer: nothing here is cached."""
        return None

    def reply(
        self, answer: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a message; None sends no body."""
        self.set_status(status)
        for name, value in (headers or {}).items():
            self.set_header(name, value)
        if answer is None:
            self.finish()
        elif (form := self.form) == "json":
            self.finish(messages.encode(answer))
        else:
            self._finish_in(form, msgspec.json.decode(messages.encode(answer)))

    @property
    def form(self) -> Format:
        """In which form the answer is wanted; raises BadMessage or NotAcceptable."""
        asked = self.get_query_argument("format", None)
        return formats.chosen(asked, self.request.headers.get("Accept", ""))

    def _finish_in(self, form: Format, answer: Any) -> None:
        if isinstance(answer, dict) and isinstance(after := answer.get("next"), str):
            self.set_header(NEXT_HEADER, after)  # (a table of jobs has no room for it)
        media = f"{formats.MEDIA_TYPES[form]}; charset=utf-8"
        self.set_header("Content-Type", media)
        self.finish(formats.encoded(answer, form), set_content_type=media)

    async def forward(self, do_here: Callable[[], Awaitable[None]]) -> None:
        """Have the active server do it and pass its answer on; do it here after a take-over."""
        if self.is_private:
            raise NoActiveManager
        request = Forwarded(
            method=self.request.method or "",
            path="/" + self.request.path.removeprefix(self.base_url),
            headers=self._forwarded_headers(),
            body=self.body(),
        )
        for delay_s in delays():
            answer = await send(self.settings["jupyter_tasks_socket"], request)
            if answer is not None:
                self._pass_on(answer)
                return
            if await is_set_within(self.manager.activated, delay_s):
                await do_here()
                return
        raise NoActiveManager

    def _forwarded_headers(self) -> dict[str, str]:
        headers = {
            OWNER_HEADER: quote(self.one_owner),
            ROOT_DIR_HEADER: quote(self.root_dir),
            REQUEST_ID_HEADER: self.request_id,
        }
        key = self.request.headers.get("Idempotency-Key")
        return headers if key is None else headers | {"Idempotency-Key": key}

    def _pass_on(self, answer: HTTPResponse) -> None:
        """Answer as the active server did; what it says about places is below our own prefix."""
        self.set_status(answer.code)
        if location := answer.headers.get("Location"):
            self.set_header("Location", url_path_join(self.base_url, location))
        if answer.body and answer.code < 400 and self.form != "json":
            self._finish_in(self.form, msgspec.json.decode(answer.body))
            return
        if answer.body:
            self.write(answer.body)
        self.finish()


class UnknownRouteHandler(TasksHandler):
    """Everything below ``tasks/`` that is no route."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse, once it is known who asks."""
        await super().prepare()
        if not self.current_user:
            raise web.HTTPError(403)
        raise NoSuchThing(
            f"There is no {shortened(self.request.path)} here; GET tasks/api/openapi.json lists all routes."
        )


class UnavailableHandler(TasksHandler):
    """Everything below ``tasks/`` while the server cannot work; ``error`` says why."""

    def initialize(self, error: Exception) -> None:  # type: ignore[override]
        """Know what is wrong."""
        super().initialize()
        self._error = error

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse, once it is known who asks."""
        await super().prepare()
        if not self.current_user:
            raise web.HTTPError(403)
        raise self._error
