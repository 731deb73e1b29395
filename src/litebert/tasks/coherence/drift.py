"""Where a document loses its thread: boundaries of sentences whose two sides have less to do with each other than their neighbours'.

TextTiling (Hearst 1997): each boundary has a score, its depth is how far the scores rise on both sides before they fall again, and
a valley that is deeper than usual in this document is a break. The score is the words both sides share, the likeness of their
vectors, or the sentence-order head's opinion that they are in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from litebert.tasks.base import Answer
from litebert.tasks.reading.documents import Span
from litebert.tasks.summarize.rouge import rouge_words

Measure = Literal["words", "vectors", "order"]


@dataclass(frozen=True)
class Boundary:
    """A place between two sentences.

    Attributes:
        sentence: Number of the sentence behind it, from 0.
        position: First character of that sentence.
        score: How much both sides belong together, 0 to 1.
        depth: How much less than their neighbours.
        breaks: Whether the thread is lost here.
    """

    sentence: int
    position: int
    score: float
    depth: float
    breaks: bool


@dataclass(frozen=True)
class Drift(Answer):
    """Every boundary of a document, in order.

    Attributes:
        boundaries: One less than the sentences; none in a text of one.
        score: The lowest score of a boundary; 1 where there is none.
    """

    boundaries: tuple[Boundary, ...]

    @property
    def score(self) -> float:
        """The lowest score."""
        return min((one.score for one in self.boundaries), default=1.0)

    @property
    def breaks(self) -> tuple[Boundary, ...]:
        """Where the thread is lost."""
        return tuple(one for one in self.boundaries if one.breaks)

    def to_dict(self) -> dict[str, Any]:
        """Return breaks and boundaries."""
        return {
            "score": self.score,
            "breaks": [vars(one).copy() for one in self.breaks],
            "boundaries": [vars(one).copy() for one in self.boundaries],
        }


def sides(text: str, spans: Sequence[Span], width: int) -> list[tuple[str, str]]:
    """Return the text before and behind each boundary.

    Args:
        text: A document.
        spans: Of its N sentences.
        width: Sentences on each side, fewer at the ends.

    Returns:
        N - 1 pairs.
    """
    return [
        (text[spans[max(0, at - width)][0] : spans[at - 1][1]], text[spans[at][0] : spans[min(len(spans), at + width) - 1][1]])
        for at in range(1, len(spans))
    ]  # fmt: skip


def shared(first: str, second: str) -> float:
    """Return the words of two texts that both have, over the geometric mean of how many each has (Ochiai's coefficient), as stems."""
    one, two = (set(rouge_words(text, stemming=True)) for text in (first, second))
    return len(one & two) / (len(one) * len(two)) ** 0.5 if one and two else 0.0


def drift(spans: Sequence[Span], scores: Sequence[float], strictness: float) -> Drift:
    """Return the boundaries of a document with what they are.

    Args:
        spans: Of its N sentences.
        scores: Of the N - 1 boundaries, 0 to 1.
        strictness: A valley breaks whose depth is at least the mean of all depths and so many standard deviations.
    """
    values = np.asarray(scores, dtype=np.float64)
    depth = depths(values)
    least = float(depth.mean() + strictness * depth.std()) if len(depth) else 0.0
    valleys = [_lowest_around(values, at) and depth[at] > 0 for at in range(len(values))]
    return Drift(
        tuple(
            Boundary(
                at + 1, spans[at + 1][0], float(values[at]), float(depth[at]), bool(valleys[at] and depth[at] >= least)
            )
            for at in range(len(values))
        )
    )


def depths(values: np.ndarray) -> np.ndarray:
    """Return for each value how far one climbs to its left and to its right until it goes down, together."""

    def climbed(at: int, step: int) -> float:
        top, place = values[at], at + step
        while 0 <= place < len(values) and values[place] >= top:
            top, place = values[place], place + step
        return float(top - values[at])

    return np.array([climbed(at, -1) + climbed(at, 1) for at in range(len(values))])


def _lowest_around(values: np.ndarray, at: int) -> bool:
    return bool((values[max(0, at - 1) : at + 2] >= values[at]).all())
