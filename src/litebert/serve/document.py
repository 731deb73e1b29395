"""The OpenAPI document: what FastAPI makes of the routes, with the errors of each protocol and the keys, as they are sent.

FastAPI sees what a route takes and sends. It does not see what is sent instead of a route's answer, since that is decided around the
routes (``guard.py``, ``wire_errors.py``); the same functions that decide it tell it here.
"""

from __future__ import annotations

from importlib.metadata import version
from threading import Lock
from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel

from litebert.serve.answers import Json
from litebert.serve.keys import Keys
from litebert.serve.routes.native_answers import Sent
from litebert.serve.visit import PUBLIC
from litebert.serve.wire_errors import WireError, is_openai, status_for


class ProtocolError(Sent):
    """What is wrong, under each of the names that some client reads."""

    error: str
    """What is wrong, and what to do about it."""
    error_type: str
    """Validation, Empty, NotFound, Unauthorized, Overloaded, Timeout, Unhealthy, Unsupported or Backend."""
    message: str
    """As ``error``."""
    detail: str
    """As ``error``."""


class OpenAIProblem(Sent):
    """What is wrong, in OpenAI's words."""

    message: str
    type: str
    param: None
    code: str


class OpenAIError(Sent):
    """An error of OpenAI's protocol, and of infinity's."""

    error: OpenAIProblem


_SCHEMAS = "#/components/schemas/"
_ASKING = {
    400: "There is nothing to answer.", 404: "There is no such model.", 408: "The body did not come in time.",
    413: "The body is too large.", 415: "The body is compressed.",
    422: "Something is wrong with the request, or it is more than is taken at once.",
    429: "It would wait too long.", 500: "The model failed on this input.", 501: "The server lacks a package for this.",
    503: "The server is ending, or what was to compute the answer was lost.", 504: "The deadline was over.",
}  # fmt: skip
"""What may be sent instead of an answer to what is posted."""
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
}
"""Where a key may be."""


def complete_document(app: FastAPI, keys: Keys) -> None:
    """Let an application tell all that it sends, at ``/openapi.json``; it is made when first asked for, beside the event loop.

    Args:
        app: With its routes.
        keys: Whether any are needed when the document is first asked for.
    """
    of_routes, one_at_a_time = app.openapi, Lock()
    made: list[dict[str, Any]] = []

    def openapi() -> dict[str, Any]:
        with one_at_a_time:
            if not made:
                made.append(_complete(of_routes(), keyed=bool(keys)))
            return made[0]

    def document(request: Request) -> Json:
        below = request.scope.get("root_path", "").rstrip("/")  # where a proxy, or Ray Serve, has put the application
        return Json({**openapi(), "servers": [{"url": below}]} if below else openapi())

    app.openapi = openapi  # type: ignore[method-assign]
    app.add_api_route("/openapi.json", document, methods=["GET"], include_in_schema=False)


def _complete(document: dict[str, Any], *, keyed: bool) -> dict[str, Any]:
    document["info"]["version"] = version("litebert")
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which is never sent
        schemas.pop(name, None)
    for kind in (ProtocolError, OpenAIError):
        schemas |= _definitions(kind)
    if keyed:
        document["components"]["securitySchemes"] = _KEYS
    for path, item in document["paths"].items():
        for method, operation in item.items():
            needs_key = keyed and not (method == "get" and path in PUBLIC)
            if needs_key:
                operation["security"] = [{name: []} for name in _KEYS]
            _tell_errors(path, method, operation, needs_key=needs_key)
    return document


def _definitions(kind: type[BaseModel]) -> dict[str, Any]:
    found = kind.model_json_schema(ref_template=_SCHEMAS + "{model}")
    return {**found.pop("$defs", {}), kind.__name__: found}


def _tell_errors(path: str, method: str, operation: dict[str, Any], *, needs_key: bool) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    told = dict(_ASKING) if method == "post" else _looking(path, operation)
    if needs_key:
        told[401] = "A key is needed."
    kind = OpenAIError if is_openai(path) else ProtocolError
    schema = {"$ref": _SCHEMAS + kind.__name__}
    for status, why in told.items():
        number = str(status_for(WireError(status, "", ""), path))
        known = responses.get(number)
        if known is None:
            responses[number] = {"description": why, "content": {"application/json": {"schema": dict(schema)}}}
            continue
        content = known["content"]["application/json"]
        if content["schema"] != schema:  # a route's own answer of this status, or an error
            content["schema"] = {"anyOf": [content["schema"], schema]}
    for number, response in responses.items():
        response["headers"] = _headers(number)
    operation["responses"] = dict(sorted(responses.items()))


def _looking(path: str, operation: dict[str, Any]) -> dict[int, str]:
    """Return what may be sent instead of an answer to a question about the server itself."""
    asked = operation.get("parameters", ())
    found = {} if path in PUBLIC else {503: _ASKING[503]}
    if any(one["name"] in ("name", "model") for one in asked):
        found[404] = _ASKING[404]
    if any(one["schema"].get("type") not in (None, "string") for one in asked):
        found[422] = _ASKING[422]
    return found


def _headers(status: str) -> dict[str, Any]:
    text = {"type": "string"}
    found = {"x-request-id": {"description": "The client's, or one of its own.", "required": True, "schema": text}}
    if status == "401":
        found["www-authenticate"] = {"description": "How a key is sent.", "required": True, "schema": text}
    if status == "429":
        whole = {"type": "integer", "minimum": 1}
        for name, unit in (("retry-after", "Seconds"), ("retry-after-ms", "Milliseconds")):
            said = f"{unit} until it is worth asking again."
            found[name] = {"description": said, "required": True, "schema": whole}
    return found
