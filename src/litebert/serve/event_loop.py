"""The event loop of the server: what it leaves out of asyncio's, where processors are shared with those who compute.

It looks for news less often while there is more to do than can be done. Each packet that comes wakes the loop, which takes a
processor and the interpreter's lock from a thread that computes: at hundreds of requests a second, most of them refused, that costs
more than handling them. While a full batch waits anyway nobody notices ten milliseconds, and what has come in that time is handled at
once (network drivers do the same: interrupt coalescing). Otherwise everything is handled as it comes. What is to be sent is sent just
before it looks: asked for by ``call_soon``, that would be work at hand, which makes the loop look again at once.

And it takes few connections at a time: asyncio takes all that have come, so of several processes at one socket a single one would
get a whole burst of clients, and keep it.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any

PAUSE, LONGEST = 0.01, 0.02
"""Seconds between looks, while there is too much to do, at least and at most."""

OF_THE_WAIT = 0.01
"""Between these, the part of a request's wait that it may wait to be looked at, or to be refused."""

AT_A_TIME = 2
"""Connections that are taken each time the loop looks."""


class _Selector(selectors.DefaultSelector):
    """Does what is due before it looks, and waits a little if it is told to."""

    waiting: Callable[[], float] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.due: list[Callable[[], object]] = []
        self.has_work: Callable[[], bool] = lambda: False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; ``timeout`` is 0 while the loop has work at hand, which is never held up."""
        if self.due:
            due, self.due = self.due, []
            for one in due:
                one()
            if self.has_work():  # what could not be sent has been told to somebody
                timeout = 0
        if self.waiting is not None and (timeout is None or timeout > 0) and (waiting := self.waiting()):
            pause = min(max(PAUSE, OF_THE_WAIT * waiting), LONGEST)
            pause = pause if timeout is None else min(pause, timeout)
            time.sleep(pause)
            timeout = None if timeout is None else timeout - pause
        return super().select(timeout)


class ServingLoop(asyncio.SelectorEventLoop):
    """The loop that serves."""

    def __init__(self) -> None:
        self._looks = _Selector()
        super().__init__(self._looks)
        self._looks.has_work = lambda: bool(self._ready)  # type: ignore[attr-defined]

    def before_looking(self, callback: Callable[[], object]) -> None:
        """Call something when all that is at hand has been done, just before the loop looks for news.

        Args:
            callback: Must take no time; what it does later is done at once.
        """
        self._looks.due.append(callback)

    def while_crowded(self, waiting: Callable[[], float]) -> None:
        """Look less often from now on, while there is too much to do.

        Args:
            waiting: Returns the seconds of work that waits, 0 if it is not too much; asked before each look, so it must take no time.
        """
        self._looks.waiting = waiting

    async def create_server(self, *args: Any, backlog: int = 100, **options: Any) -> asyncio.Server:
        """Create a server as asyncio does, but take few connections at a time; ``backlog`` wait in the system's queue, as ever."""
        server = await super().create_server(*args, backlog=AT_A_TIME, **options)
        if (sock := options.get("sock")) is not None:
            sock.listen(backlog)  # asyncio has given the queue the number that it takes at a time
        return server
