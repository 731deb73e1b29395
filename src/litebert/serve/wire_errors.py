"""Errors as the clients of each protocol expect them.

Two shapes serve all: OpenAI's object under ``error``, and for everybody else a text under each of the names that some client reads
(``error`` and ``error_type`` of Text Embeddings Inference, ``message`` of Cohere, ``detail`` of Jina, ``error`` of KServe).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from fastapi.exceptions import RequestValidationError

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


LONGEST = 1500
"""Characters of a message."""
_TOO_DEEP = "the body is nested too deeply"
_OPENAI_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
_WRONG = "invalid_request_error"


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
    if isinstance(error, LitebertError | RecursionError):
        return _of_user(error)
    return WireError(500, "Backend", "the model failed on this input; the log says why")


def _of_user(error: LitebertError | RecursionError) -> WireError:
    if isinstance(error, RecursionError):  # nothing but what is sent is nested as deeply
        return WireError(422, "Validation", _TOO_DEEP)
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
    """Return the body of an error for a path; what a message quotes of a request may be a megabyte, and is cut."""
    if len(error.message) > LONGEST:
        error = error._replace(message=f"{error.message[: LONGEST // 2]} ... {error.message[-LONGEST // 3 :]}")
    if is_openai(path):
        status = status_for(error, path)
        if error.kind == "NotFound":
            return {"error": {"message": error.message, "type": _WRONG, "param": None, "code": "model_not_found"}}
        kind = _OPENAI_TYPES.get(status, _WRONG if status < 500 else "server_error")
        return {"error": {"message": error.message, "type": kind, "param": None, "code": error.kind.lower()}}
    return {"error": error.message, "error_type": error.kind, "message": error.message, "detail": error.message}


# --- What is wrong with a body --------------------------------------------------------------------------------------------


def invalid_body(error: RequestValidationError, kind: str = "") -> str:
    """Return what is wrong with a request, the first few fields of it, in one line.

    Args:
        error: As FastAPI found it.
        kind: Content type of the body.
    """
    if isinstance(error.body, bytes):  # it was not even read
        return f"the body is {kind[:100] or 'of no type'}, and must be JSON, which its header names: content-type: application/json"
    said: list[str] = []
    for problem in error.errors()[:5]:
        if problem.get("type") == "json_invalid":
            return _broken(error.body, problem)
        place = ".".join(str(part) for part in problem.get("loc", ()) if part != "body" and not _is_kind(part))
        text = problem.get("msg", "is wrong")
        if not place:
            text = {"missing": "a body is needed", "model_attributes_type": "the body must be an object"}.get(
                problem["type"], text
            )
        said.append(f"{place}: {text}" if place else str(text))
    return "; ".join(dict.fromkeys(said))


def _is_kind(part: Any) -> bool:
    """Tell whether a part of a place is no field, but one of the kinds that a field may have: ``list[constrained-int]``."""
    return isinstance(part, str) and ("[" in part or part in ("str", "int", "float", "bool"))


def _broken(text: Any, problem: Mapping[str, Any]) -> str:
    """Return where JSON ends to be any, and why, as Python's reader says it."""
    at = int(problem["loc"][-1])
    line = column = 1
    if isinstance(text, str):
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return f"the body is not JSON: {problem['ctx']['error']} at line {line}, column {column}"


def unreadable(cause: BaseException) -> str:
    """Return why a body cannot be read, other than that it is not JSON."""
    if isinstance(cause, UnicodeDecodeError):
        return f"the body is not UTF-8: byte {cause.start} is 0x{cause.object[cause.start]:02x}"
    if isinstance(cause, RecursionError):
        return _TOO_DEEP
    if isinstance(cause, ValueError):
        said = "a number has too many digits" if "digits" in str(cause) else str(cause)
        return f"the body cannot be read: {said}"
    return "the body cannot be read"
