"""How fast the models compute, as measured while they do."""

from __future__ import annotations

from litebert.serve.waiting import Batch


class Rate:
    """How many tokens a second are computed, by all hands together.

    Of each batch its tokens count, and the time since the one before it ended: batches that are computed at once share their time.

    Args:
        rate: Until batches have been measured.
        seconds: How long it counts as measured.
    """

    def __init__(self, rate: float, seconds: float) -> None:
        self._tokens, self._seconds, self._mark, self._sound = rate * seconds, seconds, 0.0, True

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
            self._tokens = 0.8 * self._tokens + 0.2 * batch.tokens
            self._seconds = 0.8 * self._seconds + 0.2 * max(now - self._mark, 1e-6)
        self._mark = now
