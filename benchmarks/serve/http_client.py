"""A small HTTP client for load: hardly any work of its own, and it tells how much that is.

Requests are written whole, bodies are encoded beforehand, answers are read by ``httptools`` and only their status and moment are kept.
A request's time counts from the moment when it was due, so that a client or a server that falls behind is seen in the latencies. For requests
at moments drawn beforehand there is ``open_loop``.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httptools

NO_ANSWER = 0
"""Status where there was none: the connection broke, or patience was over."""

REFUSED_PAUSE = 0.1
"""Seconds until a client of the closed loop that was not answered asks again: it would do nothing else otherwise."""


def allow_many_connections() -> None:
    """Take as many file handles as the system lets this process and those it starts have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@dataclass(frozen=True)
class Outcome:
    """What became of one request; moments are on ``time.perf_counter``.

    Attributes:
        number: Which of the bodies.
        status: Of the answer, or ``NO_ANSWER``.
        due: When it was to be sent.
        sent: When it was.
        ended: When the last byte of the answer was there.
        body: Of the answer, if it is to be kept.
    """

    number: int
    status: int
    due: float
    sent: float
    ended: float
    body: bytes = b""

    @property
    def seconds(self) -> float:
        """From the moment it was due."""
        return self.ended - self.due


class Connection(asyncio.Protocol):
    """One connection, one request at a time.

    Args:
        keep: Whether bodies of answers are kept.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.keep, self.open, self.begun = keep, False, False
        self.transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, float, bytes]] | None = None
        self._parts: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.open = transport, True  # type: ignore[assignment]

    def send(self, data: bytes) -> asyncio.Future[tuple[int, float, bytes]]:
        """Send a request; returns what becomes the status, the moment of the last byte, and the body."""
        self._answer, self.begun = asyncio.get_running_loop().create_future(), False
        self._parser = httptools.HttpResponseParser(self)
        self.transport.write(data)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self.begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_body(self, data: bytes) -> None:
        if self.keep:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.open = False
            self.transport.close()
        body = b"".join(self._parts)
        self._parts = []
        self._end((self._parser.get_status_code(), time.perf_counter(), body))

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._end((NO_ANSWER, time.perf_counter(), b""))

    def close(self) -> None:
        """Close it at once, answered or not."""
        self.open = False
        if self.transport is not None:
            self.transport.abort()

    def _end(self, found: tuple[int, float, bytes]) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(found)


class Client:
    """Connections to one server, kept.

    Args:
        port: Of the server on this machine.
        keep: Whether bodies of answers are kept.
        patience: Seconds until an answer counts as none.
    """

    def __init__(self, port: int, *, keep: bool = False, patience: float = 60.0) -> None:
        self.port, self.keep, self.patience = port, keep, patience
        self._free: list[Connection] = []

    async def connect(self) -> Connection:
        """Open a connection of one's own."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(keep=self.keep), "127.0.0.1", self.port)
        return connection

    async def ask(self, request: bytes, number: int = 0, due: float | None = None) -> Outcome:
        """Send a request that ``encoded`` made, and wait for its answer.

        Args:
            request: Head and body.
            number: Noted in the outcome.
            due: When it was to be sent; None: now.
        """
        sent = time.perf_counter()
        due = sent if due is None else due
        connection = None
        try:
            async with asyncio.timeout(self.patience):
                while True:
                    kept = self._kept()
                    connection = kept or await self.connect()
                    status, ended, body = await connection.send(request)
                    # A server may close a connection that was idle just as it is used again; every client then asks once more.
                    if status != NO_ANSWER or kept is None or connection.begun:
                        break
        except (OSError, TimeoutError):
            if connection is not None:
                connection.close()
            return Outcome(number, NO_ANSWER, due, sent, time.perf_counter())
        if connection.open:
            self._free.append(connection)
        return Outcome(number, status, due, sent, ended, body)

    def _kept(self) -> Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.open:
                return connection
        return None

    def close(self) -> None:
        """Close the connections that are idle."""
        for connection in self._free:
            connection.close()
        self._free.clear()


def encoded(path: str, body: bytes | None, *, method: str = "POST", headers: Mapping[str, str] | None = None) -> bytes:
    """Return a request as it goes over the wire.

    Args:
        path: Asked.
        body: JSON; None for none.
        method: POST or GET.
        headers: Others than the usual, or in their place.
    """
    usual = {"host": "localhost"}
    if body is not None:
        usual |= {"content-type": "application/json", "content-length": str(len(body))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in (usual | dict(headers or {})).items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


@dataclass(frozen=True)
class Run:
    """Requests of some seconds.

    Attributes:
        outcomes: In no order.
        started: On ``time.perf_counter``.
        seconds: In which requests were sent.
        client_share: Of one core, that the client itself used.
    """

    outcomes: list[Outcome]
    started: float
    seconds: float
    client_share: float


async def closed_loop(client: Client, requests: Sequence[bytes], *, clients: int, seconds: float) -> Run:
    """Let some clients send one request after the other, each as soon as it has its answer."""
    outcomes: list[Outcome] = []
    turn = iter(range(10**9))

    async def one() -> None:
        while time.perf_counter() < started + seconds:
            number = next(turn) % len(requests)
            outcomes.append(await client.ask(requests[number], number))
            if outcomes[-1].status != 200:
                await asyncio.sleep(REFUSED_PAUSE)

    with uncollected():
        started, worked = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one() for _ in range(clients)))
    return _run(outcomes, started, worked, seconds)


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector out of a run: what goes through thousands of requests that wait makes the next ones late."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _run(outcomes: list[Outcome], started: float, worked: float, seconds: float) -> Run:
    share = (time.process_time() - worked) / max(time.perf_counter() - started, 1e-9)
    return Run(outcomes, started, seconds, share)
