"""The threads that compute, one batch after the other each, and what watches over them.

While there is little to do, one of them computes with the whole processor, and what comes meanwhile waits for it: so a batch is ready
soonest. As soon as a full batch waits, the next thread takes it, and each has a part of the processor to itself: none waits for
another's slowest part then, nor for what is done between two batches. Other work than batches of texts (a search, an explanation) is
computed while nothing else is.

A text longer than a batch is computed in parts, and between two of them its thread computes a batch of what waits: they take turns, so
nobody waits for the whole of it. If nobody waits for the text itself any more, the rest of it is left.

An exception in a batch of several is not held against all: each item is computed again alone, once, and only those that fail again are
refused. A batch too large for the memory is halved, and so are those after it. If a thread ends or hangs, everything it was at fails
at once and another takes its place; after too many of them within a minute the process is no good any more, and says so (``broken``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from litebert.errors import LitebertError
from litebert.serve.logs import told
from litebert.serve.rate import Rate
from litebert.serve.waiting import Batch, OverloadError, Request, WaitingLine
from litebert.tasks.parts import looking_up

logger = logging.getLogger("litebert.serve")

RESTARTS, WITHIN = 3, 60.0
"""Threads that may be replaced, in so many seconds."""

SLOWEST = 20.0
"""Times a batch's estimate after which its thread counts as hanging."""

SURE = 1.2
"""Times the expected wait that 99 of 100 requests wait at most: batches take longer or shorter than their tokens tell."""

OF_THE_WAIT, LONGEST = 0.25, 2.5
"""Part of the work that waits that a batch may be, where that is more than a batch otherwise has; and times that it may be at most."""

LEAST_BATCH = 256
"""Tokens that a batch may always have."""

_ENDING = "the server is shutting down"


class WorkerLostError(Exception):
    """What was to compute an answer is gone; the request may be sent again."""


class FailedError(Exception):
    """The model failed on this input, and the log says where; asking again will not help."""


class TooLateError(Exception):
    """The deadline was over before the answer was there."""


class _NobodyWaitsError(BaseException):
    """Whoever asked for what is computed has left or been told; not for those who catch the exceptions of a model."""


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


@dataclass(eq=False)
class _Hand:
    """A thread, and what it is at.

    Attributes:
        thread: None before it is begun.
        batch: That it computes; None while it waits.
        between: That it computes between two parts of it; None otherwise.
        since: When it began with the batch.
        seen: When it last gave a sign of life.
        lent: Seconds that others had of it since it began.
        beside: How many hands computed then, itself included.
    """

    thread: threading.Thread | None = None
    batch: Batch | None = None
    between: Batch | None = None
    since: float = 0.0
    seen: float = 0.0
    lent: float = 0.0
    beside: int = 1

    def begin(self, batch: Batch, now: float, beside: int) -> None:
        """Note what it is at."""
        self.batch, self.since, self.seen, self.lent, self.beside = batch, now, now, 0.0, beside

    def requests(self) -> Iterator[Request]:
        """Yield those whose items it computes; one may come several times."""
        for batch in (self.batch, self.between):
            yield from batch.requests if batch is not None else ()

    def running(self) -> bool:
        """Whether its thread runs."""
        return self.thread is not None and self.thread.is_alive()


class Worker:
    """Computes what waits.

    Args:
        line: What waits.
        listener: Told of what happens.
        rate: Tokens a second until batches have been measured.
        most_wait: Seconds that a new request may be expected to wait; beyond it is refused.
        hang: Seconds after which a batch counts as hanging, whatever was estimated.
        batch_seconds: That a batch should take at most.
        hands: Threads that compute.
        sharing: Given how many of them compute at once: lets one use its part of the processor, for as long as it is open.
        clock: Of deadlines and durations.
    """

    def __init__(
        self, line: WaitingLine, listener: Listener, *, rate: float, most_wait: float = 2.0, hang: float = 60.0,
        batch_seconds: float = 0.2, hands: int = 1,
        sharing: Callable[[int], AbstractContextManager[None]] = lambda _hands: nullcontext(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.line, self.listener, self.most_wait, self.hang, self.clock = line, listener, most_wait, hang, clock
        self._most_tokens, self._batch_seconds = line.budget, batch_seconds
        self._rate, self._sharing = Rate(rate, batch_seconds), sharing
        self._hands = [_Hand() for _ in range(hands)]
        self._set_budget()
        self.coming = 0
        self.broken = False
        self._changed = threading.Condition()
        self._closing = False
        self._replaced: deque[float] = deque()

    @property
    def rate(self) -> float:
        """Tokens that are computed in a second."""
        return self._rate.value

    # --- From outside ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to compute."""
        with self._changed:
            for hand in self._hands:
                self._launch(hand)

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
            self._call()

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

    def refused(self, tokens: int) -> OverloadError | None:
        """Return why ``promise`` would refuse a request of so many tokens; None if it would not."""
        with self._changed:
            wait = self.expected_wait(tokens)
            return self._overload(wait) if self._too_long(wait) else None

    def _admit(self, tokens: int) -> None:
        wait = self.expected_wait(tokens)
        if self._too_long(wait):
            raise self._overload(wait)

    def _too_long(self, wait: float) -> bool:
        return wait * SURE > self.most_wait

    def _overload(self, wait: float) -> OverloadError:
        return OverloadError(max(wait - self.most_wait, 0.0))

    def expected_wait(self, tokens: int) -> float:
        """Return the seconds until a request of so many tokens is expected to be begun; 0 where nothing else is to be done."""
        running, budget = self._batches(), self.line.budget
        at_it = sum(min(batch.tokens, budget) if batch.lane.typical else batch.tokens for batch in running)
        turns = 2 if any(map(self._is_long, running)) else 1  # every second one is the long one's
        return turns * (self.line.ahead_of(tokens) + self.coming + at_it) / self.rate

    def _is_long(self, batch: Batch) -> bool:
        """Whether it is one text that is computed in parts, with a batch of the others between two of them."""
        return batch.lane.typical and len(batch.items) == 1 and batch.tokens > self.line.budget

    def alive(self) -> bool:
        """Whether every thread computes or waits, and no batch is older than it may be."""
        return not self.broken and all(self._sound(hand) for hand in self._hands)

    def _sound(self, hand: _Hand) -> bool:
        batch, since = hand.batch, hand.seen
        if self._closing and batch is None and not len(self.line):
            return True  # it may end before the others
        return hand.running() and (batch is None or self.clock() - since < self.longest(batch))

    def longest(self, batch: Batch) -> float:
        """Return the seconds after which a batch counts as hanging."""
        return max(self.hang, SLOWEST * batch.tokens / self.rate)

    def crowded(self) -> bool:
        """Whether a full batch waits; asked without a lock."""
        return self.line.tokens >= self.line.budget

    def backlog(self) -> float:
        """Return the seconds of work that waits, 0 where it is no full batch; asked without a lock."""
        return self.line.tokens / self.rate if self.crowded() else 0.0

    def idle(self) -> bool:
        """Whether nothing waits and nothing is computed."""
        with self._changed:
            return not len(self.line) and not self._batches()

    def _batches(self) -> list[Batch]:
        return [hand.batch for hand in self._hands if hand.batch is not None]

    def close(self) -> None:
        """Take no more work; what waits is still computed."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def join(self, seconds: float) -> bool:
        """Wait until the threads have ended, which they do when it is closed and nothing waits; returns whether they have."""
        until = time.monotonic() + seconds
        for hand in self._hands:
            if hand.thread is not None:
                hand.thread.join(max(until - time.monotonic(), 0.0))
        return not any(hand.running() for hand in self._hands)

    def abandon(self) -> None:
        """Take no more work, and fail what waits and what is computed at once."""
        with self._changed:
            self._closing = True
            lost = [*(r for hand in self._hands for r in hand.requests()), *self.line.requests()]
            for hand in self._hands:
                hand.batch = hand.between = None
            self._changed.notify_all()
        for request in dict.fromkeys(lost):
            request.fail(WorkerLostError(_ENDING))

    def supervise(self) -> None:
        """Replace threads that have ended or hang; to be called every second or so."""
        if self._closing and self.idle():
            return
        for number, hand in enumerate(self._hands):
            if not self.broken and hand.thread is not None and not self._sound(hand):
                self._replace(number)

    def _replace(self, number: int) -> None:
        with self._changed:
            gone = self._hands[number]
            hangs, lost = gone.running(), list(gone.requests())
            self._hands[number] = new = _Hand()
            self._replaced.append(self.clock())
            while self._replaced[0] < self.clock() - WITHIN:
                self._replaced.popleft()
            self.broken = len(self._replaced) > RESTARTS
            waiting = list(self.line.requests()) if self.broken else []
            if not self.broken:
                self._launch(new)
        after = "; giving up" if self.broken else "; a new one takes over"
        logger.error("the worker %s%s", "hangs" if hangs else "has ended", after)
        self.listener.restarted()
        error = WorkerLostError("the worker that computed this is gone; send it again")
        for request in dict.fromkeys([*lost, *waiting]):
            request.fail(error)

    # --- The threads ----------------------------------------------------------------------------------------------------

    def _launch(self, hand: _Hand) -> None:
        hand.thread = threading.Thread(target=self._work, args=(hand,), name="compute", daemon=True)
        hand.thread.start()

    def _call(self) -> None:
        """Wake a hand if there may be something to do for it; waking it for nothing would cost those that compute."""
        if not self._batches() or self._enough():
            self._changed.notify()

    def _enough(self) -> bool:
        """Whether so much waits that another hand may help."""
        if not self.crowded():
            return False
        lane = self.line.next_lane(self.clock())
        return lane is not None and lane.typical and all(batch.lane.typical for batch in self._batches())

    def _work(self, hand: _Hand) -> None:
        """Compute until another thread has taken over, or all is done and nothing more comes."""
        while True:
            batch = self._next(hand)
            if batch is None:
                return
            self._compute(batch, hand)

    def _next(self, hand: _Hand) -> Batch | None:
        while True:
            with self._changed:
                if hand not in self._hands:
                    return None
                batch: Batch | None = None
                given_up: list[Request] = []
                hand.batch = None
                if not self._batches() or self._enough():
                    batch, given_up = self.line.take(self.clock())
                if batch is not None:
                    hand.begin(batch, self.clock(), 1 + len(self._batches()))
                    self._rate.begin(batch, hand.since, alone=hand.beside == 1)
                    self._call()
                elif not given_up:
                    if self._closing and not len(self.line):
                        self._changed.notify_all()
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

    def _compute(self, batch: Batch, hand: _Hand) -> None:
        _note_wait(batch, hand.since)
        try:
            with self._sharing(hand.beside), looking_up(lambda: self._look_up(batch, hand)):
                outcomes = self._outcomes(batch)
        except _NobodyWaitsError:
            with self._changed:
                self._rate.spoil()
            for request in batch.requests:
                self._give_up(request)
            return
        with self._changed:
            now = self.clock()
            if hand not in self._hands:  # it was given up, and its requests have been told
                return
            self._rate.end(batch, now)
            self._set_budget()
        self._deliver(batch, outcomes, now - hand.since - hand.lent)

    def _look_up(self, batch: Batch, hand: _Hand) -> None:
        """Between two parts of a batch: leave it if nobody waits for it any more; if it is a long one, compute one of the others'."""
        now = self.clock()
        given_up: list[Request] = []
        with self._changed:
            if hand not in self._hands or all(request.given_up(now) for request in batch.requests):
                raise _NobodyWaitsError
            hand.seen = now
            if self._is_long(batch):
                hand.between, given_up = self.line.take(now, short=True)
            other = hand.between
            if other is not None:
                self._rate.spoil()
        for request in given_up:
            self._give_up(request)
        if other is None:
            return
        _note_wait(other, now)
        with looking_up(None):
            outcomes = self._outcomes(other)
        with self._changed:
            if hand not in self._hands:
                raise _NobodyWaitsError
            hand.between, hand.seen = None, self.clock()
            hand.lent += hand.seen - now
        self._deliver(other, outcomes, hand.seen - now)

    def _deliver(self, batch: Batch, outcomes: Sequence[Any], seconds: float) -> None:
        seconds = max(seconds, 1e-6)
        longest = max(request.tokens[index] for request, index in batch.items)
        weight = batch.lane.weight
        self.listener.batch(
            len(batch.items), round(batch.tokens / weight), round(longest * len(batch.items) / weight), seconds
        )
        with self._changed:  # another hand may be at other items of the same request
            for request in batch.requests:
                request.computing += seconds
            for (request, index), outcome in zip(batch.items, outcomes, strict=True):
                if isinstance(outcome, BaseException):
                    request.fail(outcome)
                else:
                    request.answer(index, outcome)

    def _set_budget(self) -> None:
        """Let a batch have as many tokens as are computed in the time it may take, when all hands compute.

        That is a part of what everybody waits for, if that is longer: larger batches get more done.
        """
        longer = min(OF_THE_WAIT * self.line.tokens / self.rate, LONGEST * self._batch_seconds)
        tokens = self.rate * max(self._batch_seconds, longer) / len(self._hands)
        self.line.budget = round(min(max(tokens, LEAST_BATCH), self._most_tokens))

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


def _note_wait(batch: Batch, now: float) -> None:
    for request in batch.requests:
        request.queued = request.queued or now - request.arrived


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
