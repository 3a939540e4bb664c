"""The OpenAPI document: built from the route table and the messages, so that it cannot lie.

A route is described here once; the application, this document and the tests of who may do what are
all made from the same table (``handlers.routes``).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from jupyter_tasks._version import __version__
from jupyter_tasks.formats import FORMATS, MEDIA_TYPES
from jupyter_tasks.messages import ErrorMessage

Action = Literal["read", "write", "execute"]
_PARAMETER: Final = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one method of a route does.

    ``answers``: status -> the message that is sent (a tuple: one of them), a media type for other
    bodies, or None for no body. ``errors``: statuses that this operation can answer beside those that every one can.
    ``body``: a message, or a media type. ``is_local``: done by the server that is asked, in charge or not.
    """

    summary: str
    action: Action
    answers: Mapping[int, Any]
    errors: tuple[int, ...] = ()
    body: Any = None
    is_body_required: bool = True
    is_local: bool = False
    query: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path below ``tasks/``, who handles it, and what each method does."""

    path: str
    handler: type[Any]
    operations: Mapping[str, Operation]

    @property
    def pattern(self) -> str:
        """The path as a regular expression; a ``path`` may hold slashes."""
        return _PARAMETER.sub(
            lambda found: rf"(?P<{found[1]}>{'.+' if found[1] == 'path' else '[^/]+'})", self.path
        )


def document(routes: Iterable[Route], base_url: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these routes."""
    table = list(routes)
    schemas = _schemas(table)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jupyter_tasks",
            "version": __version__,
            "description": "Long jobs for notebooks: durable, live, cancellable. "
            "Times are seconds since the epoch; durations end in `_s`, sizes in `_bytes`.",
        },
        "servers": [{"url": base_url}],
        "security": [{"token": []}, {"cookie": [], "xsrf": []}],
        "paths": {
            f"/tasks/{route.path}": {
                method.lower(): _operation(route, method, operation, schemas)
                for method, operation in route.operations.items()
            }
            for route in table
        },
        "components": {"schemas": schemas.components, "securitySchemes": _SECURITY},
    }


_SECURITY: Final = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`token <the server's token>`",
    },
    "cookie": {"type": "apiKey", "in": "cookie", "name": "username-localhost-8888"},
    "xsrf": {"type": "apiKey", "in": "header", "name": "X-XSRFToken"},
}

_WORDS: Final = {
    101: "The connection is a WebSocket from now on.",
    200: "Done.",
    201: "Made.",
    202: "Taken on; the answer says how it is now.",
    204: "Done; there is nothing to say.",
    400: "The request is not what this route takes.",
    403: "Not logged in, or not allowed.",
    404: "There is no such thing.",
    406: "No form of the answer is one that the request accepts.",
    405: "A word such as `cancel` is no job's id but a route of its own, for POST alone.",
    409: "The state of the thing forbids it.",
    413: "The body is too large.",
    416: "No record starts at this cursor.",
    426: "This path speaks WebSocket alone.",
    503: "It cannot be done at the moment; try again.",
    507: "The disk with the jobs is full.",
}


class _Schemas:
    """The JSON Schemas of all messages, by reference."""

    def __init__(self, messages: list[Any]) -> None:
        schemas, self.components = msgspec.json.schema_components(
            messages, ref_template="#/components/schemas/{name}"
        )
        self._by_message = list(zip(messages, schemas, strict=True))
        for component in self.components.values():
            _let_kind_be_told_by_the_rest(component)

    def of(self, message: Any) -> Any:
        """The schema of a message that was named at the start."""
        return next(schema for known, schema in self._by_message if known == message)


def _let_kind_be_told_by_the_rest(component: dict[str, Any]) -> None:
    """What comes in may leave out the kind of its spec (``messages.complete``)."""
    properties = component.get("properties", {})
    if component.get("additionalProperties") is False and "kind" in component.get("required", ()):
        component["required"].remove("kind")
    if component.get("additionalProperties") is False and "spec" in properties:
        properties["spec"].pop("discriminator", None)


def _schemas(routes: list[Route]) -> _Schemas:
    messages: list[Any] = [ErrorMessage]
    for route in routes:
        for operation in route.operations.values():
            wanted = [operation.body]
            for answer in operation.answers.values():
                wanted += answer if isinstance(answer, tuple) else [answer]
            if operation.query is not None:
                wanted += [one.type for one in msgspec.structs.fields(operation.query)]
            for message in wanted:
                if message is None or isinstance(message, str) or message in messages:
                    continue
                messages.append(message)
    return _Schemas(messages)


def _operation(
    route: Route, method: str, operation: Operation, schemas: _Schemas
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(route, method),
        "summary": operation.summary,
        "x-jupyter-action": operation.action,
        "parameters": _parameters(route, operation, schemas),
        "responses": _responses(route, operation, schemas),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.is_body_required,
            "content": _content(operation.body, schemas),
        }
    return described


def _content(body: Any, schemas: _Schemas) -> dict[str, Any]:
    """What a body may hold; of one that is no message only the media type is known."""
    return (
        {body: {}} if isinstance(body, str) else {"application/json": {"schema": schemas.of(body)}}
    )


def _operation_id(route: Route, method: str) -> str:
    words = _PARAMETER.sub("one", route.path.removeprefix("api/"))
    return f"{method.lower()}_{re.sub(r'[^A-Za-z0-9]+', '_', words)}"


def _parameters(route: Route, operation: Operation, schemas: _Schemas) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    if operation.query is not None:
        parameters += [
            {"name": one.name, "in": "query", "schema": _with_default(one, schemas.of(one.type))}
            for one in msgspec.structs.fields(operation.query)
        ]
    if _has_forms(operation):
        parameters.append(_FORMAT)
    parameters += [
        {"name": name, "in": "header", "description": words, "schema": {"type": "string"}}
        for name, words in operation.headers.items()
    ]
    return parameters


_FORMAT: Final = {
    "name": "format",
    "in": "query",
    "description": "The form of the answer; it goes before the header `Accept`.",
    "schema": {"enum": list(FORMATS)},
}


def _has_forms(operation: Operation) -> bool:
    """Whether an answer is a message, which can be had in several forms."""
    return any(
        message is not None and not isinstance(message, str)
        for answer in operation.answers.values()
        for message in (answer if isinstance(answer, tuple) else (answer,))
    )


def _with_default(one: msgspec.structs.FieldInfo, schema: dict[str, Any]) -> dict[str, Any]:
    known = one.default not in (msgspec.NODEFAULT, None)
    return {**schema, "default": one.default} if known else schema


def _responses(route: Route, operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    error = {"application/json": {"schema": schemas.of(ErrorMessage)}}
    statuses = {403, 503, *operation.errors}
    if _PARAMETER.search(route.path):
        statuses |= {400, 404}
    if operation.body is not None or operation.query is not None:
        statuses |= {400}
    if operation.body is not None:
        statuses |= {413}
    if _has_forms(operation):
        statuses |= {400, 406}
    answers = {
        str(status): _response(status, message, schemas)
        for status, message in operation.answers.items()
    }
    return answers | {
        str(status): {"description": _WORDS[status], "content": error}
        for status in sorted(statuses)
    }


def _response(status: int, message: Any, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _WORDS[status]}
    if isinstance(message, str):
        described["content"] = {message: {}}
    elif isinstance(message, tuple) and isinstance(message[0], str):
        described["content"] = {media: {} for media in message}
    elif isinstance(message, tuple) and isinstance(message[-1], str):
        described["content"] = {
            media: content
            for one in message
            for media, content in (
                {one: {}} if isinstance(one, str) else _forms(schemas.of(one))
            ).items()
        }
    elif isinstance(message, tuple):
        one_of = {"oneOf": [schemas.of(one) for one in message]}
        described["content"] = _forms(one_of)
    elif message is not None:
        described["content"] = _forms(schemas.of(message))
    return described


def _forms(schema: Any) -> dict[str, Any]:
    """JSON as described, and the other forms of the same."""
    others: dict[str, Any] = {media: {} for media in MEDIA_TYPES.values()}
    return {**others, "application/json": {"schema": schema}}
