"""Who is let in, and what is noted when a request has ended.

While there is too much to do, most requests are refused, and what that takes is missing to those that were let in: they share the
processors, and the interpreter's lock. So ``turned_away`` answers from the head of a request alone, without a task, a body or a
middleware; whatever might be answered in another way is left to the guard, who asks the same things in the same order.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection

from litebert.serve.keys import Keys
from litebert.serve.metrics import Metrics
from litebert.serve.rush import Rush
from litebert.serve.settings import ServeSettings
from litebert.serve.tracing import UNTRACED, Tracing
from litebert.serve.visit import Door, Refusal, Scope, Visit
from litebert.serve.waiting import OverloadError
from litebert.serve.wire_errors import WireError, wire_error

access = logging.getLogger("litebert.serve.access")

AT_ONCE = 2**16
"""Bytes of a body that is there as soon as it is looked for: where there is too much to do, a longer one is not waited for."""

_ELSEWHERE = frozenset({"content-encoding", "transfer-encoding", "expect", "upgrade", "x-request-timeout-ms", "origin"})
"""Headers with which a request may be answered otherwise than by its path, its key and its length."""


class RefusedError(Exception):
    """A request that is answered before any route sees it."""

    def __init__(self, error: WireError) -> None:
        super().__init__(error.message)
        self.error = error


class Gate:
    """Lets requests in.

    Args:
        settings: Limits.
        keys: Who may ask.
        metrics: Told of every request.
        door: Whether it is open.
        routes: Paths that there are, for the figures.
        tracing: Told of requests.
        rush: Knows what is refused for now.
    """

    def __init__(
        self, settings: ServeSettings, keys: Keys, metrics: Metrics, door: Door, routes: Collection[str] = (),
        tracing: Tracing = UNTRACED, rush: Rush | None = None,
    ) -> None:  # fmt: skip
        self.settings, self.keys, self.metrics, self.door = settings, keys, metrics, door
        self.routes, self.tracing, self.rush = frozenset(routes), tracing, rush

    def check(self, visit: Visit) -> None:
        """Look at whether somebody may ask at all.

        Raises:
            RefusedError: He may not, or the server is about to end.
        """
        if not visit.public:
            visit.asked.notes = self.tracing.begin(visit.method, visit.headers)
        if self.door.closed and not visit.public:
            raise RefusedError(WireError(503, "Unhealthy", "the server is shutting down", {"retry-after": "1"}))
        if not visit.public and not self.keys.allow(visit.headers):
            raise RefusedError(WireError(401, "Unauthorized", "a key is needed", {"www-authenticate": "Bearer"}))
        said = visit.headers.get("x-request-timeout-ms", "1")
        if not said.isdecimal() or not int(said[:9]):
            raise RefusedError(
                WireError(422, "Validation", "x-request-timeout-ms is a number of milliseconds, at least 1")
            )

    def enter(self, visit: Visit, length: int) -> None:
        """Let a request in, and keep its place free.

        Args:
            visit: Whose.
            length: Of its body, in bytes.

        Raises:
            RefusedError: It would wait too long.
        """
        if self.rush is None:
            return
        try:
            self.rush.enter(visit.scope, length, visit.asked)
        except OverloadError as error:
            visit.last = visit.length > AT_ONCE  # the rest of the body is still to come
            raise RefusedError(wire_error(error)) from None

    def leave(self, visit: Visit) -> None:
        """Forget a request that has ended, and note what became of it."""
        if self.rush is not None:
            self.rush.leave(visit.asked)
        self._note(visit)

    def turned_away(self, scope: Scope) -> Refusal | None:
        """Return the answer to a request that would wait too long; None where it has to be looked at.

        Args:
            scope: Its method, path and headers.
        """
        ending = self.door.closed or self.door.leaving
        if self.rush is None or ending or self.tracing is not UNTRACED or not self.rush.crowded():
            return None
        visit = Visit(scope, self.settings.request_timeout, self.door)
        if not 0 < visit.length <= AT_ONCE or not _ELSEWHERE.isdisjoint(visit.headers):
            return None
        refused = self.rush.refused(scope, visit.length)
        if refused is None or not self.keys.allow(visit.headers):
            return None
        answer = visit.refusal(wire_error(refused))
        self._note(visit)
        return answer

    def _note(self, visit: Visit) -> None:
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
