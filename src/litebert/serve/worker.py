"""The thread that computes, one batch after the other, and what watches over it.

An exception in a batch of several is not held against all: each item is computed again alone, once, and only those that fail again are
refused. A batch too large for the memory is halved, and so are those after it. If the thread ends or hangs, everything it was at fails
at once and another takes its place; after too many of them within a minute the process is no good any more, and says so (``broken``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from litebert.errors import LitebertError
from litebert.serve.logs import told
from litebert.serve.waiting import Batch, OverloadError, Request, WaitingLine

logger = logging.getLogger("litebert.serve")

RESTARTS, WITHIN = 3, 60.0
"""Threads that may be replaced, in so many seconds."""

SLOWEST = 20.0
"""Times a batch's estimate after which its thread counts as hanging."""

LEAST_BATCH = 256
"""Tokens that a batch may always have."""

_ENDING = "the server is shutting down"


class WorkerLostError(Exception):
    """What was to compute an answer is gone; the request may be sent again."""


class FailedError(Exception):
    """The model failed on this input, and the log says where; asking again will not help."""


class TooLateError(Exception):
    """The deadline was over before the answer was there."""


class Listener(Protocol):
    """What is told of batches, for the metrics."""

    def batch(self, items: int, tokens: int, padded: int, seconds: float) -> None:
        """Tell of a batch that was computed."""
        ...

    def restarted(self) -> None:
        """Tell that a thread was replaced."""
        ...

    def dropped(self, items: int, reason: str) -> None:
        """Tell of items that nobody waited for any more."""
        ...


@dataclass
class _Now:
    """What a thread is at."""

    batch: Batch | None = None
    since: float = 0.0


class Worker:
    """Computes what waits.

    Args:
        line: What waits.
        listener: Told of what happens.
        rate: Tokens a second until batches have been measured.
        most_wait: Seconds that a new request may be expected to wait; beyond it is refused.
        hang: Seconds after which a batch counts as hanging, whatever was estimated.
        batch_seconds: That a batch should take at most.
        clock: Of deadlines and durations.
    """

    def __init__(
        self, line: WaitingLine, listener: Listener, *, rate: float, most_wait: float = 2.0, hang: float = 60.0,
        batch_seconds: float = 0.2, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.line, self.listener, self.most_wait, self.hang, self.clock = line, listener, most_wait, hang, clock
        self._most_tokens, self._batch_seconds = line.budget, batch_seconds
        self.rate = rate
        self._set_budget()
        self.coming = 0
        self.broken = False
        self._changed = threading.Condition()
        self._closing = False
        self._now = _Now()
        self._replaced: deque[float] = deque()
        self._thread: threading.Thread | None = None

    # --- From outside ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to compute."""
        with self._changed:
            self._launch()

    def put(self, request: Request, *, promised: int | None = None) -> None:
        """Let a request wait for its turn, all of it or nothing.

        Args:
            request: With what is to be computed.
            promised: What ``promise`` returned for it, and is now redeemed; None: nothing was promised, so it may be refused.

        Raises:
            OverloadError: It would wait too long.
            WorkerLostError: Nothing computes any more.
        """
        with self._changed:
            if self.broken or self._closing:
                raise WorkerLostError(_ENDING if self._closing else "the worker is gone")
            if promised is None:
                self._admit(request.waiting_tokens)
            request.arrived = self.clock()
            self.line.put(request)
            self.coming -= promised or 0  # not before: what the line refuses is released by who was promised
            self._changed.notify_all()

    def promise(self, tokens: int) -> int:
        """Refuse at once what would wait too long, before anything is done for it; what is let in is not refused any more.

        Args:
            tokens: Of the request, or a guess.

        Returns:
            What is kept free for it until it comes (``put``) or will not come (``release``), in tokens: a turn at most.

        Raises:
            OverloadError: It would wait too long.
        """
        with self._changed:
            self._admit(tokens)
            turn = min(tokens, self.line.budget)
            self.coming += turn
            return turn

    def release(self, promised: int) -> None:
        """Take a promise back."""
        with self._changed:
            self.coming -= promised

    def _admit(self, tokens: int) -> None:
        wait = self.expected_wait(tokens)
        if wait > self.most_wait:
            raise OverloadError(wait - self.most_wait)

    def expected_wait(self, tokens: int) -> float:
        """Return the seconds until a request of so many tokens is expected to be begun; 0 where nothing else is to be done."""
        at = self._now.batch
        return (self.line.ahead_of(tokens) + self.coming + (at.tokens if at is not None else 0)) / self.rate

    def alive(self) -> bool:
        """Whether the thread computes or waits, and its batch is not older than it may be."""
        now = self._now
        thread = self._thread
        if self.broken or thread is None or not thread.is_alive():
            return False
        return now.batch is None or self.clock() - now.since < self.longest(now.batch)

    def longest(self, batch: Batch) -> float:
        """Return the seconds after which a batch counts as hanging."""
        return max(self.hang, SLOWEST * batch.tokens / self.rate)

    def idle(self) -> bool:
        """Whether nothing waits and nothing is computed."""
        with self._changed:
            return not len(self.line) and self._now.batch is None

    def close(self) -> None:
        """Take no more work; what waits is still computed."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def join(self, seconds: float) -> bool:
        """Wait until the thread has ended, which it does when it is closed and nothing waits; returns whether it has."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def abandon(self) -> None:
        """Take no more work, and fail what waits and what is computed at once."""
        with self._changed:
            self._closing = True
            batch, self._now.batch = self._now.batch, None
            lost = [*(r for r, _ in (batch.items if batch else ())), *self.line.requests()]
            self._changed.notify_all()
        for request in dict.fromkeys(lost):
            request.fail(WorkerLostError(_ENDING))

    def supervise(self) -> None:
        """Replace the thread if it has ended or hangs; to be called every second or so."""
        if self.broken or self._thread is None or self.alive() or (self._closing and self.idle()):
            return
        hangs = self._thread.is_alive()
        with self._changed:
            lost, self._now = self._now.batch, _Now()
            self._replaced.append(self.clock())
            while self._replaced[0] < self.clock() - WITHIN:
                self._replaced.popleft()
            self.broken = len(self._replaced) > RESTARTS
            waiting = list(self.line.requests()) if self.broken else []
            if not self.broken:
                self._launch()
        logger.error(
            "the worker %s%s",
            "hangs" if hangs else "has ended",
            "; giving up" if self.broken else "; a new one takes over",
        )
        self.listener.restarted()
        error = WorkerLostError("the worker that computed this is gone; send it again")
        for request in dict.fromkeys([*(r for r, _ in (lost.items if lost else ())), *waiting]):
            request.fail(error)

    # --- The thread -----------------------------------------------------------------------------------------------------

    def _launch(self) -> None:
        self._now = _Now()
        self._thread = threading.Thread(target=self._work, args=(self._now,), name="compute", daemon=True)
        self._thread.start()

    def _work(self, now: _Now) -> None:
        """Compute until another thread has taken over, or all is done and nothing more comes."""
        while True:
            batch = self._next(now)
            if batch is None:
                return
            self._compute(batch, now)

    def _next(self, now: _Now) -> Batch | None:
        while True:
            with self._changed:
                if self._now is not now:
                    return None
                now.batch = None
                batch, given_up = self.line.take(self.clock())
                if batch is not None:
                    now.batch, now.since = batch, self.clock()
                elif not given_up:
                    if self._closing:
                        return None
                    self._changed.wait(1.0)
            for request in given_up:
                self._give_up(request)
            if batch is not None:
                return batch

    def _give_up(self, request: Request) -> None:
        if not request.ended:
            self.listener.dropped(request.left, "gone" if request.gone else "deadline")
        request.fail(TooLateError("the deadline was over before there was an answer"))

    def _compute(self, batch: Batch, now: _Now) -> None:
        started = self.clock()
        for request in dict.fromkeys(r for r, _ in batch.items):
            request.queued = request.queued or started - request.arrived
        outcomes = self._outcomes(batch)
        seconds = max(self.clock() - started, 1e-6)
        if self._now is not now:  # it was given up, and its requests have been told
            return
        longest = max(request.tokens[index] for request, index in batch.items)
        if batch.lane.typical:
            self.rate += 0.2 * (batch.tokens / seconds - self.rate)
            self._set_budget()
        weight = batch.lane.weight
        self.listener.batch(
            len(batch.items), round(batch.tokens / weight), round(longest * len(batch.items) / weight), seconds
        )
        for request in dict.fromkeys(r for r, _ in batch.items):
            request.computing += seconds
        for (request, index), outcome in zip(batch.items, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                request.fail(outcome)
            else:
                request.answer(index, outcome)

    def _set_budget(self) -> None:
        """Let a batch have as many tokens as are computed in the time it may take."""
        self.line.budget = round(min(max(self.rate * self._batch_seconds, LEAST_BATCH), self._most_tokens))

    def _outcomes(self, batch: Batch) -> Sequence[Any]:
        """Return an answer or an exception for each item."""
        try:
            return batch.lane.compute(batch.inputs)
        except Exception as error:
            if len(batch.items) == 1:
                return [_told(error)]
            if _memory(error):
                self._most_tokens = max(min(batch.tokens, self._most_tokens) // 2, 1)
                logger.warning("out of memory: batches of %d tokens from now on", self._most_tokens)
                half = len(batch.items) // 2
                parts = (Batch(batch.lane, batch.items[:half]), Batch(batch.lane, batch.items[half:]))
                return [outcome for part in parts for outcome in self._outcomes(part)]
            logger.warning(
                "a batch of %d failed (%s); computing its items alone", len(batch.items), type(error).__name__
            )
            return [_alone(batch, number) for number in range(len(batch.items))]


def _alone(batch: Batch, number: int) -> Any:
    request, index = batch.items[number]
    if request.ended:
        return WorkerLostError("another item of the request has failed")
    try:
        return batch.lane.compute([request.inputs[index]])[0]
    except Exception as error:
        return _told(error)


def _told(error: Exception) -> Exception:
    if isinstance(error, LitebertError):
        return error
    logger.error("an item failed: %s", told(error))
    return FailedError(type(error).__name__)


def _memory(error: Exception) -> bool:
    said = str(error).lower() if isinstance(error, RuntimeError) else ""
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said
