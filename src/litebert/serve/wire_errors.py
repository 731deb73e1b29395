"""Errors as the clients of each protocol expect them.

Two shapes serve all: OpenAI's object under ``error``, and for everybody else a text under each of the names that some client reads
(``error`` and ``error_type`` of Text Embeddings Inference, ``message`` of Cohere, ``detail`` of Jina, ``error`` of KServe).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from litebert.errors import DataError, LitebertError, MachineError, UsageError
from litebert.serve.engine import ClientGoneError, NothingAskedError
from litebert.serve.models import UnknownModelError
from litebert.serve.waiting import OverloadError
from litebert.serve.worker import TooLateError, WorkerLostError


class WireError(NamedTuple):
    """What goes over the wire.

    Attributes:
        status: Of the answer.
        kind: Name of the kind, Text Embeddings Inference's where it has one.
        message: For the caller.
        headers: Further ones.
    """

    status: int
    kind: str
    message: str
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


_OPENAI_TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 413: "invalid_request_error",
                 422: "invalid_request_error", 429: "rate_limit_error"}  # fmt: skip


def wire_error(error: BaseException) -> WireError:
    """Return what an exception becomes; what nobody expected becomes a 500 that tells nothing of the inside."""
    if isinstance(error, OverloadError):
        seconds = max(error.retry_after, 0.1)
        headers = {"retry-after": str(max(math.ceil(seconds), 1)), "retry-after-ms": str(math.ceil(1000 * seconds))}
        return WireError(429, "Overloaded", "Model is overloaded", headers)
    if isinstance(error, TooLateError):
        return WireError(504, "Timeout", str(error))
    if isinstance(error, WorkerLostError):
        return WireError(503, "Unhealthy", str(error), {"retry-after": "1"})
    if isinstance(error, ClientGoneError):
        return WireError(499, "Gone", "the client has left")
    if isinstance(error, LitebertError):
        return _of_user(error)
    return WireError(500, "Backend", "the model failed on this input; the log says why")


def _of_user(error: LitebertError) -> WireError:
    if isinstance(error, UnknownModelError):
        return WireError(404, "NotFound", _text(error))
    if isinstance(error, NothingAskedError):
        return WireError(400, "Empty", _text(error))
    if isinstance(error, UsageError | DataError):
        return WireError(422, "Validation", _text(error))
    if isinstance(error, MachineError):
        return WireError(501, "Unsupported", _text(error))
    return WireError(500, "Backend", "the model failed on this input; the log says why")


def _text(error: LitebertError) -> str:
    return f"{error.message}. {error.hint}" if error.hint else error.message


def is_openai(path: str) -> bool:
    """Whether a path belongs to OpenAI's protocol, or to infinity's, which has its errors."""
    if path.startswith("/infinity/"):
        return True
    path = path.removeprefix("/openai")
    return path in ("/v1/embeddings", "/embeddings", "/v1/models") or path.startswith("/v1/models/")


def status_for(error: WireError, path: str) -> int:
    """Return the status that a protocol uses: OpenAI, KServe and Cohere say 400 where others say 422."""
    if error.status == 422 and (is_openai(path) or path.startswith("/v2/")):
        return 400
    return error.status


def body_of(error: WireError, path: str) -> dict[str, Any]:
    """Return the body of an error for a path."""
    if is_openai(path):
        status = status_for(error, path)
        kind = _OPENAI_TYPES.get(status, "server_error")
        return {"error": {"message": error.message, "type": kind, "param": None, "code": error.kind.lower()}}
    return {"error": error.message, "error_type": error.kind, "message": error.message, "detail": error.message}
