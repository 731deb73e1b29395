"""Refusing while there is too much to do, before a request is looked at: what is refused must take no time from what is answered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.routing import BaseRoute, Route

from litebert.serve.engine import Asked, Engine
from litebert.serve.waiting import OverloadError

FREE = frozenset({"/tokenize", "/decode"})
"""Paths whose answers nobody waits in line for."""


class Rush:
    """Knows which requests will wait in line, by method and path alone.

    Args:
        routes: Of the application.
        engine: Where they will wait.
    """

    def __init__(self, routes: Iterable[BaseRoute], engine: Engine) -> None:
        waiting = [r for r in routes if isinstance(r, Route) and "POST" in (r.methods or ()) and r.path not in FREE]
        self._plain = {route.path: route for route in waiting if not route.param_convertors}
        self._others = [route for route in waiting if route.param_convertors]
        self._engine = engine

    def enter(self, scope: Any, length: int, asked: Asked) -> None:
        """Let a request in or refuse it, and note its route for the figures if it is refused.

        Args:
            scope: Of the request.
            length: Of its body, in bytes: about as many letters.
            asked: Receives what is kept free for it.

        Raises:
            OverloadError: It would wait too long.
        """
        if self._waits(scope):
            self._engine.admit(length, asked)

    def crowded(self) -> bool:
        """Whether anything may be refused at all; takes no time."""
        return self._engine.worker.crowded()

    def refused(self, scope: Any, length: int) -> OverloadError | None:
        """Return why a request would be refused now; None if it would not be. Arguments as in ``enter``, and nothing is kept free."""
        return self._engine.refused(length) if self._waits(scope) else None

    def leave(self, asked: Asked) -> None:
        """Forget a request that has ended."""
        self._engine.leave(asked)

    def _waits(self, scope: Any) -> bool:
        """Return whether a request will wait in line; its route is noted then."""
        route = self._route(scope["path"]) if scope["method"] == "POST" else None
        if route is not None:
            scope["route"] = route
        return route is not None

    def _route(self, path: str) -> Route | None:
        found = self._plain.get(path)
        return found or next((route for route in self._others if route.path_regex.match(path)), None)
