"""What every request passes before a route sees it: its size, its key, its number; and what is noted when it ends.

The body is read here, whole, within a limit of bytes and of time, so that a route only ever computes; while it does, somebody listens
whether the client leaves.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from litebert.serve.engine import Asked
from litebert.serve.gate import AT_ONCE, Gate, RefusedError
from litebert.serve.logs import told
from litebert.serve.visit import Message, Receive, Scope, Send, Visit
from litebert.serve.wire_errors import WireError, wire_error

logger = logging.getLogger("litebert.serve")


class Guard:
    """Middleware around the application.

    Args:
        app: What is guarded.
        gate: Who is let in.
    """

    def __init__(self, app: Any, gate: Gate) -> None:
        self.app, self.gate, self.settings = app, gate, gate.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        gate = self.gate
        visit = Visit(scope, self.settings.request_timeout, gate.door, send)
        gate.metrics.inflight.inc()
        gate.door.taken += 1
        try:
            await self._serve(visit, receive)
        except RefusedError as refusal:
            await visit.refuse(refusal.error)
        except Exception as error:
            logger.error("a request failed: %s", told(error))
            await visit.refuse(wire_error(error))
        finally:
            gate.door.taken -= 1
            gate.metrics.inflight.dec()
            gate.leave(visit)

    async def _serve(self, visit: Visit, receive: Receive) -> None:
        self.gate.check(visit)
        body = await self._body(visit, receive)
        if visit.length <= AT_ONCE:
            self.gate.enter(visit, len(body))
        visit.look()
        if self.settings.log_inputs:
            visit.body = body.decode("utf-8", "replace")
        state = visit.scope.setdefault("state", {})
        state |= {"asked": visit.asked, "visit": visit}
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
            del state["asked"], state["visit"]  # or scope, state and visit are a circle, which waits for the collector

    async def _body(self, visit: Visit, receive: Receive) -> bytes:
        packed = visit.headers.get("content-encoding", "identity").strip().lower()
        if packed not in ("", "identity"):
            raise RefusedError(_packed(packed))
        most = self.settings.most_bytes
        too_large = WireError(413, "TooLarge", f"the body has more than {most} bytes")
        if visit.length > most:
            raise RefusedError(too_large)
        if visit.length > AT_ONCE:
            self.gate.enter(visit, visit.length)
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


def _packed(how: str) -> WireError:
    said = f"the body is compressed ({how[:40]}), and must be sent as it is"
    return WireError(415, "Validation", said, {"accept-encoding": "identity"})


async def _listen(receive: Receive, asked: Asked) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            asked.gone.set()
            return
