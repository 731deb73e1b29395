"""What every request passes before a route sees it: its size, its key, its number; and what is noted when it ends.

The body is read here, whole, within a limit of bytes and of time, so that a route only ever computes; while it does, somebody listens
whether the client leaves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from litebert.serve.engine import Asked
from litebert.serve.keys import Keys
from litebert.serve.logs import told
from litebert.serve.metrics import Metrics
from litebert.serve.rush import Rush
from litebert.serve.settings import ServeSettings
from litebert.serve.tracing import UNTRACED, Tracing
from litebert.serve.waiting import OverloadError
from litebert.serve.wire_errors import WireError, body_of, status_for, wire_error

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

logger = logging.getLogger("litebert.serve")
access = logging.getLogger("litebert.serve.access")

PUBLIC = frozenset(
    {"/", "/health", "/healthz", "/livez", "/readyz", "/startupz", "/ping", "/metrics", "/v2/health/live", "/v2/health/ready",
     "/infinity/health", "/favicon.ico"}
)  # fmt: skip
"""Paths that need no key to be looked at."""
_LOOKING = ("GET", "HEAD")
PUBLIC_FOLDER = "/page/"

_FORGOTTEN = frozenset({"", "application/x-www-form-urlencoded", "text/plain"})
"""Types of bodies that clients send when nobody told them that it is JSON, as curl does; nothing else is taken here."""

AT_ONCE = 2**16
"""Bytes of a body that is there as soon as it is looked for: where there is too much to do, a longer one is not waited for."""

_NUMBER = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class RefusedError(Exception):
    """A request that is answered before any route sees it."""

    def __init__(self, error: WireError) -> None:
        super().__init__(error.message)
        self.error = error


class Door:
    """Whether requests are taken.

    Attributes:
        leaving: The server is about to end: every answer tells the client to come by another connection.
        closed: What comes is refused, but for questions how the server is.
        taken: Requests that have no answer yet.
    """

    def __init__(self) -> None:
        self.leaving, self.closed, self.taken = False, False, 0


class Guard:
    """Middleware around the application.

    Args:
        app: What is guarded.
        settings: Limits.
        keys: Who may ask.
        metrics: Told of every request.
        door: Whether it is open.
        routes: Paths that there are, for the figures.
        tracing: Told of requests.
        rush: Knows what is refused for now.
    """

    def __init__(
        self, app: Any, settings: ServeSettings, keys: Keys, metrics: Metrics, door: Door, routes: Collection[str] = (),
        tracing: Tracing = UNTRACED, rush: Rush | None = None,
    ) -> None:  # fmt: skip
        self.app, self.settings, self.keys, self.metrics = app, settings, keys, metrics
        self.door, self.routes, self.tracing, self.rush = door, frozenset(routes), tracing, rush

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = _Visit(scope, self.settings, send, self.door)
        self.metrics.inflight.inc()
        self.door.taken += 1
        try:
            await self._serve(visit, receive)
        except RefusedError as refusal:
            await visit.refuse(refusal.error)
        except Exception as error:
            logger.error("a request failed: %s", told(error))
            await visit.refuse(wire_error(error))
        finally:
            if self.rush is not None:
                self.rush.leave(visit.asked)
            self.door.taken -= 1
            self.metrics.inflight.dec()
            self._note(visit)

    async def _serve(self, visit: _Visit, receive: Receive) -> None:
        headers, public = visit.headers, visit.public
        if not public:
            visit.asked.notes = self.tracing.begin(visit.method, headers)
        if self.door.closed and not public:
            raise RefusedError(WireError(503, "Unhealthy", "the server is shutting down", {"retry-after": "1"}))
        if not public and not self.keys.allow(headers):
            raise RefusedError(WireError(401, "Unauthorized", "a key is needed", {"www-authenticate": "Bearer"}))
        said = headers.get("x-request-timeout-ms", "1")
        if not said.isdecimal() or not int(said[:9]):
            raise RefusedError(
                WireError(422, "Validation", "x-request-timeout-ms is a number of milliseconds, at least 1")
            )
        body = await self._body(visit, receive)
        if visit.length <= AT_ONCE:
            self._check_rush(visit, len(body))
        visit.look()
        if self.settings.log_inputs:
            visit.body = body.decode("utf-8", "replace")
        visit.scope.setdefault("state", {})["asked"] = visit.asked
        visit.scope["state"]["visit"] = visit
        given = False

        async def replay() -> Message:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            await visit.asked.gone.wait()
            return {"type": "http.disconnect"}

        listening = asyncio.ensure_future(_listen(receive, visit.asked))
        try:
            await self.app(visit.scope, replay, visit.send)
        finally:
            listening.cancel()

    async def _body(self, visit: _Visit, receive: Receive) -> bytes:
        packed = visit.headers.get("content-encoding", "identity").strip().lower()
        if packed not in ("", "identity"):
            raise RefusedError(_packed(packed))
        most = self.settings.most_bytes
        too_large = WireError(413, "TooLarge", f"the body has more than {most} bytes")
        if visit.length > most:
            raise RefusedError(too_large)
        if visit.length > AT_ONCE:
            self._check_rush(visit, visit.length)
        body = bytearray()
        try:
            async with asyncio.timeout(self.settings.read_timeout):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        visit.asked.gone.set()
                        raise RefusedError(WireError(499, "Gone", "the client has left"))
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise RefusedError(too_large)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise RefusedError(WireError(408, "Timeout", "the body did not come in time")) from None

    def _check_rush(self, visit: _Visit, length: int) -> None:
        if self.rush is None:
            return
        try:
            self.rush.enter(visit.scope, length, visit.asked)
        except OverloadError as error:
            visit.last = visit.length > AT_ONCE  # the rest of the body is still to come
            raise RefusedError(wire_error(error)) from None

    def _note(self, visit: _Visit) -> None:
        seconds = time.perf_counter() - visit.started
        if not visit.status:  # it was cancelled: the server could not wait any longer
            visit.status, visit.kind = 499, "Gone"
        route = visit.route or (visit.path if visit.path in self.routes else "other")
        self.metrics.finished(route, visit.status, visit.failure or visit.kind, visit.asked, seconds)
        asked = visit.asked
        asked.notes.end(route, visit.status, visit.kind, {
            "request_id": visit.number, "model": asked.model, "task": asked.task, "items": asked.items, "tokens": asked.tokens,
        })  # fmt: skip
        if self.settings.log == "off" or (visit.public and visit.status < 400):
            return
        line = {
            "request_id": visit.number, "method": visit.method, "path": visit.path, "status": visit.status,
            "seconds": round(seconds, 4), "model": asked.model or None, "task": asked.task or None, "inputs": asked.items,
            "tokens": asked.tokens, "queue_seconds": round(asked.queued, 4), "error": visit.kind,
        }  # fmt: skip
        if asked.notes.trace_id is not None:
            line["trace_id"] = asked.notes.trace_id
        if visit.body is not None:
            line["body"] = visit.body
        if self.settings.log == "json":
            access.info("%s", json.dumps({"time": round(time.time(), 3), **line}, ensure_ascii=False))
        else:
            access.info("%s", " ".join(f"{k}={v}" for k, v in line.items() if v not in (None, 0)))


def _packed(how: str) -> WireError:
    said = f"the body is compressed ({how[:40]}), and must be sent as it is"
    return WireError(415, "Validation", said, {"accept-encoding": "identity"})


async def _listen(receive: Receive, asked: Asked) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            asked.gone.set()
            return


class _Visit:
    """One request on its way through."""

    def __init__(self, scope: Scope, settings: ServeSettings, send: Send, door: Door) -> None:
        self.scope, self._send, self._door = scope, send, door
        self.started = time.perf_counter()
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        length = self.headers.get("content-length", "0")
        self.length = int(length[:19]) if length.isdecimal() else 0
        said = self.headers.get("x-request-id", "")
        self.number = said if _NUMBER.fullmatch(said) else f"{random.getrandbits(128):032x}"
        self.asked = Asked(_patience(self.headers, settings.request_timeout), asyncio.Event())
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

    async def refuse(self, error: WireError) -> None:
        """Answer with an error, unless an answer has begun."""
        self.kind = error.kind
        if self.begun or error.status == 499:
            self.status = self.status or 499
            return
        body = json.dumps(body_of(error, self.path)).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
        self.last = self.last or error.status in (408, 413, 415)  # the rest of the body is still to come
        start = {
            "type": "http.response.start", "status": status_for(error, self.path),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        await self.send(start)
        await self.send({"type": "http.response.body", "body": body})


def _patience(headers: dict[str, str], most: float) -> float:
    """Return the seconds that a client waits, as it says, at most the server's own."""
    said = headers.get("x-request-timeout-ms", "")
    return min(int(said[:9]) / 1000, most) if said.isdecimal() and int(said[:9]) > 0 else most
