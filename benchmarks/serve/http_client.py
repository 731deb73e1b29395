"""A small HTTP client for load: one request after the other on connections that are kept, hardly any work of its own."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What became of one request.

    Attributes:
        status: Of the answer; 0 where there was none.
        seconds: From the moment it was due to the last byte of its answer.
        bytes: Of the answer's body.
    """

    status: int
    seconds: float
    bytes: int


class Client:
    """Connections to one server.

    Args:
        port: Of the server on this machine.
        path: Asked.
    """

    def __init__(self, port: int, path: str) -> None:
        self.port, self.path = port, path
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: Any, due: float | None = None) -> Outcome:
        """Send a request.

        Args:
            body: Becomes JSON.
            due: When it should have been sent, on ``time.perf_counter``; None: now.
        """
        started = time.perf_counter() if due is None else due
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"POST {self.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        try:
            reader, writer = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(head.encode() + data)
            status, length, keep = await _head(reader)
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            return Outcome(0, time.perf_counter() - started, 0)
        if keep:
            self._free.append((reader, writer))
        else:
            writer.close()
        return Outcome(status, time.perf_counter() - started, length)

    def close(self) -> None:
        """Close all connections."""
        for _, writer in self._free:
            writer.close()
        self._free.clear()


async def _head(reader: asyncio.StreamReader) -> tuple[int, int, bool]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return (
        int(lines[0].split()[1]),
        int(headers.get("content-length", 0)),
        headers.get("connection", "").lower() != "close",
    )


async def closed_loop(client: Client, bodies: list[bytes], *, clients: int, seconds: float) -> list[Outcome]:
    """Let some clients send one request after the other, each as soon as it has its answer."""
    end, outcomes, turn = time.perf_counter() + seconds, [], iter(range(10**9))

    async def ask() -> None:
        while time.perf_counter() < end:
            outcomes.append(await client.post(bodies[next(turn) % len(bodies)]))

    await asyncio.gather(*(ask() for _ in range(clients)))
    return outcomes


async def open_loop(client: Client, bodies: list[bytes], *, rate: float, seconds: float) -> list[Outcome]:
    """Send requests at a steady rate, whatever becomes of those before: what users do, who know nothing of each other."""
    started, tasks = time.perf_counter(), []
    for number in range(round(rate * seconds)):
        due = started + number / rate
        delay = due - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        tasks.append(asyncio.ensure_future(client.post(bodies[number % len(bodies)], due)))
    return list(await asyncio.gather(*tasks))
