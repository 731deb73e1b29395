"""HTTP on a connection: patience with who is slow, an end to it, and answers that are sent at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from litebert.serve.event_loop import ServingLoop
from litebert.serve.visit import Refusal, Scope

TURNED_AWAY = "turned_away"
"""Name under which the application's lifespan gives us what answers from the head of a request alone."""

_ENDLESS = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Together:
    """A transport that sends at once what one step of the event loop writes: sending wakes the client, and an answer is two writes.

    Args:
        transport: What sends.
        soon: Calls something before the event loop looks for news.
    """

    most = 65_536

    def __init__(self, transport: asyncio.Transport, soon: Callable[[Callable[[], None]], object]) -> None:
        self._transport, self._soon = transport, soon
        self._held = bytearray()

    def write(self, data: bytes) -> None:
        """Send soon, in order."""
        if len(data) > self.most:  # not worth a copy
            self._send()
            self._transport.write(data)
            return
        if not self._held:
            self._soon(self._send)
        self._held += data
        if len(self._held) > self.most:
            self._send()

    def close(self) -> None:
        """Send what is left, and close."""
        self._send()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        """Return the bytes that have not been sent."""
        return len(self._held) + self._transport.get_write_buffer_size()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send(self) -> None:
        if self._held:
            held, self._held = self._held, bytearray()
            self._transport.write(held)


class PatientProtocol(HttpToolsProtocol):
    """Lets go of who would hold a connection for ever, or all memory: sends headers too slowly or without end, or reads no answer."""

    patience = 10.0
    most = 65_536
    _seen = 0
    _headers: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _away = False
    _ended = False

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the headers."""
        super().connection_made(transport)
        soon = self.loop.before_looking if isinstance(self.loop, ServingLoop) else self.loop.call_soon
        self.transport = cast(asyncio.Transport, Together(self.transport, soon))
        self._headers = self.loop.call_later(self.patience, self.transport.close)

    def data_received(self, data: bytes) -> None:
        """Take what has come; refuse headers that do not end."""
        self._ended = False
        super().data_received(data)
        if not self._ended:  # where another request ends in it, nobody knows how much of it is this one's
            self._seen += len(data)
        reading = self._headers is not None and not self._away
        if reading and self._seen > self.most and not self.transport.is_closing():
            self.transport.write(_ENDLESS)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to wait for the headers of a further request."""
        super().on_message_begin()
        self._seen = 0
        if self._headers is None:
            self._headers = self.loop.call_later(self.patience, self.transport.close)

    def on_headers_complete(self) -> None:
        """Stop waiting for headers; answer at once what is turned away."""
        self._away = self._turned_away()
        if self._away:
            return  # and be as patient with its body as with the headers
        _cancel(self._headers)
        self._headers = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, or throw it away."""
        if not self._away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request is here."""
        self._ended = True
        if not self._away:
            super().on_message_complete()
            return
        _cancel(self._headers)
        self._headers, self._away = None, False
        self.on_response_complete()

    def _turned_away(self) -> bool:
        """Answer from the head alone, where that can be done; returns whether it was."""
        answer: Callable[[Scope], Refusal | None] | None = self.app_state.get(TURNED_AWAY)
        busy = self.flow.write_paused or (self.cycle is not None and not self.cycle.response_complete)
        if answer is None or busy or self.root_path or b"%" in self.url or not self.parser.should_keep_alive():
            return False
        path = httptools.parse_url(self.url).path.decode("ascii")
        found = answer({"method": self.parser.get_method().decode("ascii"), "path": path, "headers": self.headers})
        if found is None:
            return False
        headers = b"".join(b"%b: %b\r\n" % pair for pair in (*self.server_state.default_headers, *found.headers))
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[found.status], headers, found.body))
        return True

    def pause_writing(self) -> None:
        """Begin to look whether the client reads."""
        super().pause_writing()
        self._look(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Stop looking: it has read enough."""
        super().resume_writing()
        _cancel(self._reading)
        self._reading = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting for anything."""
        _cancel(self._headers)
        _cancel(self._reading)
        super().connection_lost(exc)

    def _look(self, unread: int) -> None:
        self._reading = self.loop.call_later(self.patience, self._go_on, unread)

    def _go_on(self, unread: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= unread:
            self.transport.abort()
        else:
            self._look(left)


def _cancel(handle: asyncio.TimerHandle | None) -> None:
    if handle is not None:
        handle.cancel()
