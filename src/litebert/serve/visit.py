"""One request on its way through: what its headers say, its number, and its answer's headers."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from litebert.serve.engine import Asked
from litebert.serve.wire_errors import WireError, body_of, status_for

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PUBLIC = frozenset(
    {"/", "/health", "/healthz", "/livez", "/readyz", "/startupz", "/ping", "/metrics", "/v2/health/live", "/v2/health/ready",
     "/infinity/health", "/favicon.ico"}
)  # fmt: skip
"""Paths that need no key to be looked at."""
_LOOKING = ("GET", "HEAD")
PUBLIC_FOLDER = "/page/"

_FORGOTTEN = frozenset({"", "application/x-www-form-urlencoded", "text/plain"})
"""Types of bodies that clients send when nobody told them that it is JSON, as curl does; nothing else is taken here."""

_NUMBER = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class Door:
    """Whether requests are taken.

    Attributes:
        leaving: The server is about to end: every answer tells the client to come by another connection.
        closed: What comes is refused, but for questions how the server is.
        taken: Requests that have no answer yet.
    """

    def __init__(self) -> None:
        self.leaving, self.closed, self.taken = False, False, 0


class Refusal(NamedTuple):
    """An answer that is an error.

    Attributes:
        status: Of the protocol whose path it is.
        headers: All but those that every answer of the server has.
        body: JSON.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Visit:
    """One request on its way through.

    Args:
        scope: Of the request.
        patience: Seconds that the server waits for an answer at most.
        door: Whether the server is about to end.
        send: Sends an answer; None: whoever asks for it does.
    """

    def __init__(self, scope: Scope, patience: float, door: Door, send: Send | None = None) -> None:
        self.scope, self._door = scope, door
        self._send: Send = send or _nowhere
        self.started = time.perf_counter()
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        length = self.headers.get("content-length", "0")
        self.length = int(length[:19]) if length.isdecimal() else 0
        said = self.headers.get("x-request-id", "")
        self.number = said if _NUMBER.fullmatch(said) else f"{random.getrandbits(128):032x}"
        self.asked = Asked(_patience(self.headers, patience), asyncio.Event())
        self.status, self.begun, self.last = 0, False, False
        self.kind: str | None = None
        self.body: str | None = None
        self.failure: str | None = None

    @property
    def public(self) -> bool:
        """Whether it only looks at what everybody may see."""
        return self.method in _LOOKING and (self.path in PUBLIC or self.path.startswith(PUBLIC_FOLDER))

    @property
    def route(self) -> str:
        """Template of the path, so that figures do not multiply with what clients make up; none for what was refused before."""
        route = self.scope.get("route")
        return str(getattr(route, "path", ""))

    def look(self) -> None:
        """Let whatever can be got be looked at, and read a body as JSON where its client forgot to say that it is."""
        if self.method == "HEAD":
            self.scope = {**self.scope, "method": "GET"}  # the server's own says that no body is to be sent
        if self.headers.get("content-type", "").split(";")[0] in _FORGOTTEN:
            others = [pair for pair in self.scope["headers"] if pair[0].lower() != b"content-type"]
            self.scope["headers"] = [*others, (b"content-type", b"application/json")]

    async def send(self, message: Message) -> None:
        """Pass an answer on, with our headers."""
        if message["type"] == "http.response.start":
            self.begun, self.status = True, message["status"]
            message["headers"] = [*message.get("headers", []), *self._extra()]
        elif self.method == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)

    def _extra(self) -> list[tuple[bytes, bytes]]:
        found = {"x-request-id": self.number}
        if self.last or self._door.leaving:
            found["connection"] = "close"
        asked = self.asked
        if asked.items:
            total = 1000 * (time.perf_counter() - self.started)
            found |= {
                "x-compute-type": "cpu", "x-compute-time": f"{total:.0f}", "x-compute-characters": str(asked.characters),
                "x-compute-tokens": str(asked.tokens), "x-total-time": f"{total:.0f}",
                "x-tokenization-time": f"{1000 * asked.tokenising:.0f}",
                "x-queue-time": f"{1000 * asked.queued:.0f}", "x-inference-time": f"{1000 * asked.computing:.0f}",
            }  # fmt: skip
        return [(name.encode(), value.encode()) for name, value in found.items()]

    def refusal(self, error: WireError) -> Refusal:
        """Note an error that is the answer, and return it."""
        self.kind, self.status = error.kind, status_for(error, self.path)
        self.last = self.last or error.status in (408, 413, 415)  # the rest of the body is still to come
        body = json.dumps(body_of(error, self.path)).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
        return Refusal(self.status, [*((n.encode(), v.encode()) for n, v in headers.items()), *self._extra()], body)

    async def refuse(self, error: WireError) -> None:
        """Answer with an error, unless an answer has begun."""
        if self.begun or error.status == 499:
            self.kind, self.status = error.kind, self.status or 499
            return
        answer = self.refusal(error)
        self.begun = True
        await self._send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else answer.body})


async def _nowhere(_message: Message) -> None:
    raise AssertionError("nobody sends the answer")


def _patience(headers: dict[str, str], most: float) -> float:
    """Return the seconds that a client waits, as it says, at most the server's own."""
    said = headers.get("x-request-timeout-ms", "")
    return min(int(said[:9]) / 1000, most) if said.isdecimal() and int(said[:9]) > 0 else most
