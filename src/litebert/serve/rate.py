"""How fast the models compute, as measured while they do."""

from __future__ import annotations

import math

from litebert.serve.waiting import Batch

MEMORY = 1.0
"""Seconds of computing after which a measurement counts for a third."""


class Rate:
    """How many tokens a second are computed, by all hands together.

    Of each batch its tokens count, and the time since the one before it ended: batches that are computed at once share their time.
    What was measured fades with the time that has been measured since: single batches differ by a third, and what is promised to
    somebody who waits for two seconds is the mean of as many.

    Args:
        rate: Until batches have been measured.
        seconds: How long it counts as measured.
        memory: Seconds of computing after which it counts for a third.
    """

    def __init__(self, rate: float, seconds: float, memory: float = MEMORY) -> None:
        self._tokens, self._seconds, self._mark, self._sound = rate * seconds, seconds, 0.0, True
        self._memory = memory

    @property
    def value(self) -> float:
        """Tokens a second."""
        return self._tokens / self._seconds

    def begin(self, batch: Batch, now: float, *, alone: bool) -> None:
        """Note that a batch is begun, and whether none else is computed."""
        if alone:
            self._mark, self._sound = now, True
        self._sound = self._sound and batch.lane.typical

    def spoil(self) -> None:
        """Measure nothing until all that is computed now has ended: it does not have its time to itself."""
        self._sound = False

    def end(self, batch: Batch, now: float) -> None:
        """Note that a batch has been computed."""
        if self._sound:
            seconds = max(now - self._mark, 1e-6)
            kept = math.exp(-seconds / self._memory)
            self._tokens = kept * self._tokens + batch.tokens
            self._seconds = kept * self._seconds + seconds
        self._mark = now
