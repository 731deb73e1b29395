"""Requests at moments drawn beforehand, whatever becomes of those before: what users do, who know nothing of each other.

Server and client share the processors of one machine, and at three times what a server can answer most of what a client does is to send
what is refused. So this one has no task, no timer and no future for a request: one thread looks every two milliseconds at what is due and
what has come, and reads and writes plain sockets. What that makes late counts in the latencies, for a request's time counts from
the moment when it was due (Tene's "coordinated omission").
"""

from __future__ import annotations

import asyncio
import errno
import random
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httptools
from http_client import NO_ANSWER, Client, Outcome, Run, uncollected

LOOK = 0.005
"""Seconds between looks."""

MOST_BYTES = 1 << 18
"""Read at once."""


async def open_loop(client: Client, requests: Sequence[bytes], *, rate: float, seconds: float, seed: int = 0) -> Run:
    """Send requests at random moments, over connections that are kept as long as the run; in a thread.

    Args:
        client: Whose port and patience it is.
        requests: In turn, from a place that the seed draws.
        rate: Requests a second on average.
        seconds: In which they are due.
        seed: Of the moments.
    """
    due = arrivals(rate, seconds, seed)
    first = random.Random(seed).randrange(len(requests))
    with uncollected():
        return await asyncio.to_thread(_Sender(client.port, client.patience).run, requests, due, first, seconds)


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Return the moments of a Poisson process, from 0."""
    draw, moment, found = random.Random(seed), 0.0, []
    while True:
        moment += draw.expovariate(rate)
        if moment >= seconds:
            return found
        found.append(moment)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request on its way.

    Attributes:
        number: Which of the bodies.
        data: All of it.
        due: When it was to be sent.
        sent: When it was first.
    """

    number: int
    data: bytes
    due: float
    sent: float


class _Line:
    """One connection, one request at a time.

    Attributes:
        asked: The request; None while it is free.
        unsent: What the system has not taken yet.
        kept: Whether it has been answered on before.
        begun: Whether any of the answer has come.
        ended: Whether all of it has.
        status: Of the answer, once it has ended.
        keeps: Whether the server keeps the connection after it.
    """

    def __init__(self, port: int) -> None:
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.failed = self.sock.connect_ex(("127.0.0.1", port)) not in (0, errno.EINPROGRESS)
        self.parser = httptools.HttpResponseParser(self)
        self.asked: _Asked | None = None
        self.unsent, self.kept, self.begun, self.ended = b"", False, False, False
        self.status, self.keeps = NO_ANSWER, False

    def on_message_complete(self) -> None:
        self.ended, self.status, self.keeps = True, self.parser.get_status_code(), self.parser.should_keep_alive()

    def send(self, asked: _Asked) -> None:
        self.asked, self.unsent, self.begun, self.ended = asked, asked.data, False, False
        self.go_on()

    def go_on(self) -> None:
        """Send what the system takes."""
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self.failed = self.failed or error.errno != errno.ENOTCONN  # it is being connected

    def read(self) -> None:
        """Read what has come; ``failed`` if nothing more will."""
        try:
            data = self.sock.recv(MOST_BYTES)
            self.begun = self.begun or bool(data)
            self.failed = not data
            self.parser.feed_data(data)
        except BlockingIOError:
            pass
        except (OSError, httptools.HttpParserError):
            self.failed = True


class _Sender:
    """Sends what is due and reads what comes.

    Args:
        port: Of the server on this machine.
        patience: Seconds until an answer counts as none.
    """

    def __init__(self, port: int, patience: float) -> None:
        self.port, self.patience = port, patience
        self._selector = selectors.DefaultSelector()
        self._free: list[_Line] = []
        self._busy: set[_Line] = set()
        self._outcomes: list[Outcome] = []

    def run(self, requests: Sequence[bytes], due: Sequence[float], first: int, seconds: float) -> Run:
        """Send all, and wait for the answers.

        Args:
            requests: In turn.
            due: When, from now.
            first: Number of the first request.
            seconds: That the run lasts at least.
        """
        started, worked, sent = time.perf_counter(), time.process_time(), 0
        while True:
            now = time.perf_counter()
            while sent < len(due) and started + due[sent] <= now:
                number = (first + sent) % len(requests)
                self._ask(_Asked(number, requests[number], started + due[sent], time.perf_counter()), again=False)
                sent += 1
            if sent == len(due) and not self._busy and now >= started + seconds:
                break
            self._look(now)
        share = (time.process_time() - worked) / (time.perf_counter() - started)
        for line in self._free:
            line.sock.close()
        self._selector.close()
        return Run(self._outcomes, started, seconds, share)

    def _look(self, now: float) -> None:
        """Wait a little, read what has come, and give up what is too late."""
        time.sleep(LOOK)
        for key, events in self._selector.select(0):
            line: _Line = key.data
            if events & selectors.EVENT_WRITE:
                line.go_on()
                if not line.unsent:
                    self._selector.modify(line.sock, selectors.EVENT_READ, line)
            if events & selectors.EVENT_READ:
                line.read()
            if line.asked is not None and (line.ended or line.failed):
                self._ended(line)
            elif line.asked is None and line.failed:  # closed while it was free
                self._free.remove(line)
                self._close(line)
        late = [line for line in self._busy if line.asked is not None and now - line.asked.sent > self.patience]
        for line in late:
            self._end(line, NO_ANSWER)

    def _ask(self, asked: _Asked, *, again: bool) -> None:
        line = self._free.pop() if self._free and not again else _Line(self.port)
        line.send(asked)
        self._busy.add(line)
        if not line.kept:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.unsent else 0)
            self._selector.register(line.sock, events, line)
        elif line.unsent:
            self._selector.modify(line.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, line)
        if line.failed:
            self._ended(line)

    def _ended(self, line: _Line) -> None:
        """Note an answer or its lack. A server may close a connection that was idle just as it is used: every client then asks once more."""
        asked = line.asked
        assert asked is not None
        if line.ended:
            self._end(line, line.status)
        elif line.kept and not line.begun:
            self._busy.discard(line)
            self._close(line)
            self._ask(asked, again=True)
        else:
            self._end(line, NO_ANSWER)

    def _end(self, line: _Line, status: int) -> None:
        asked = line.asked
        assert asked is not None
        self._outcomes.append(Outcome(asked.number, status, asked.due, asked.sent, time.perf_counter()))
        self._busy.discard(line)
        line.asked = None
        if status != NO_ANSWER and line.keeps and not line.failed:
            line.kept = True
            line.parser = httptools.HttpResponseParser(line)
            self._free.append(line)
        else:
            self._close(line)

    def _close(self, line: _Line) -> None:
        self._selector.unregister(line.sock)
        line.sock.close()
