"""An application asked without a socket, from outside of its thread: what is not answered in time fails a test, and no other."""

import asyncio
import json
from contextlib import contextmanager
from threading import Thread
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

PATIENCE = 300
"""Seconds after which there will be no answer; nothing here is expected to take any time."""


class Answer(NamedTuple):
    """What was sent."""

    status: int
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)


class Inside:
    """What a test needs of a running application."""

    def __init__(self, app, loop):
        self.app, self._loop = app, loop

    @property
    def models(self):
        """Names of its models."""
        return list(self.app.state.engine.models)

    def do(self, work):
        """Wait for something that runs in its thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def ask(self, url, *chunks, method="POST", headers=()):
        """Return the answer to a request whose body comes in some chunks; ``headers`` are pairs, or a dict."""
        given = {"content-type": "application/json"} if headers == () else dict(headers)
        return self.do(self._ask(url, chunks or (b"",), method, given))

    async def _ask(self, url, chunks, method, headers):
        parts = urlsplit(url)
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "root_path": "",
            "path": unquote(parts.path), "raw_path": parts.path.encode(), "query_string": parts.query.encode(), "state": {},
            "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
            "server": ("testserver", 80), "client": ("testclient", 50000),
        }  # fmt: skip
        waiting, sent = list(chunks), []

        async def receive():
            if not waiting:
                await asyncio.Event().wait()
            chunk = waiting.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

        async def send(message):
            sent.append(message)

        await self.app(scope, receive, send)
        begin, *rest = sent
        found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in begin["headers"]}
        return Answer(begin["status"], found, b"".join(message.get("body", b"") for message in rest))


@contextmanager
def inside(app):
    """Run an application in a thread of its own."""
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, daemon=True).start()
    found, lifespan = Inside(app, loop), app.router.lifespan_context(app)
    found.do(lifespan.__aenter__())
    try:
        yield found
    finally:
        found.do(lifespan.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
