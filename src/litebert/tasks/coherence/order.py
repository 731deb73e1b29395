"""The order of shuffled sentences, from how much each pair of them prefers one order.

An order is worth the sum, over all pairs, of how much the pair prefers to stand as it does: the linear ordering problem. Up to a
dozen sentences it is solved exactly, by dynamic programming over the sets that can stand first (Held & Karp 1962 for this kind of
recursion); more are improved from several beginnings by moving one sentence at a time until no move helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from litebert.tasks.base import Answer
from litebert.tasks.reading.documents import Span

EXACT_UP_TO = 12
"""Sentences: the program looks at 2^n sets."""
STARTS = 8
"""Orders that are improved where there are more."""
MOST = 100
"""Sentences: every pair is asked, in both orders."""


@dataclass(frozen=True)
class SentenceOrder(Answer):
    """The best order of a text's sentences.

    Attributes:
        order: Their numbers in the text, from 0, first one first.
        sentences: Their texts in that order.
        spans: First and past-the-last character of each in the given text.
        score: Mean log-odds, over all pairs, that they stand in order; 0 says nothing.
        given_score: The same of the order they were given in.
    """

    order: tuple[int, ...]
    sentences: tuple[str, ...]
    spans: tuple[Span, ...]
    score: float
    given_score: float

    @property
    def text(self) -> str:
        """The text in the best order."""
        return " ".join(self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it."""
        rows = zip(self.order, self.sentences, self.spans, strict=True)
        sentences = [{"number": n, "sentence": s, "start": a, "end": b} for n, s, (a, b) in rows]
        return {
            "text": self.text, "order": list(self.order), "score": self.score, "given_score": self.given_score, "sentences": sentences,
        }  # fmt: skip


def repaired(text: str, spans: Sequence[Span], preference: np.ndarray) -> SentenceOrder:
    """Return the best order of a text's sentences.

    Args:
        text: As given.
        spans: Of its N sentences.
        preference: (N, N) log-odds that i and j are in order when i stands first.
    """
    order = best_order(preference)
    places = tuple(spans[k] for k in order)
    return SentenceOrder(
        tuple(order), tuple(text[a:b] for a, b in places), places, worth(preference, order),
        worth(preference, list(range(len(order)))),
    )  # fmt: skip


def best_order(preference: np.ndarray) -> list[int]:
    """Return the order that agrees best with the preferences; of equal ones, one that stays near the given order.

    Args:
        preference: (N, N); entry (i, j) says how much i wants to stand before j, of either sign. The diagonal is not looked at.

    Returns:
        The numbers of all N sentences, first one first.
    """
    balance = preference - preference.T
    np.fill_diagonal(balance, 0.0)
    return _exact(balance) if len(balance) <= EXACT_UP_TO else _improved(balance)


def worth(preference: np.ndarray, order: list[int]) -> float:
    """Return the mean, over all pairs, of how much they prefer to stand as an order has them; 0 without pairs.

    Args:
        preference: (N, N) as in ``best_order``.
        order: All numbers below N.
    """
    balance = (preference - preference.T)[np.ix_(order, order)] / 2
    above = np.triu_indices(len(order), 1)
    return float(balance[above].mean()) if len(order) > 1 else 0.0


def _exact(balance: np.ndarray) -> list[int]:
    count = len(balance)
    value = np.full(1 << count, -np.inf)
    last = np.zeros(1 << count, dtype=np.int64)
    before = np.zeros((1 << count, count))  # what a sentence gains behind a set
    value[0] = 0.0
    members = [[k for k in range(count) if mask >> k & 1] for mask in range(1 << count)]
    for mask in range(1, 1 << count):
        lowest = members[mask][0]
        before[mask] = before[mask ^ (1 << lowest)] + balance[lowest]
        # the greatest number of several equal ones comes last, so that what nobody prefers keeps its order
        gains = [(value[mask ^ (1 << k)] + before[mask ^ (1 << k), k], k) for k in members[mask]]
        value[mask], last[mask] = max(gains)
    order: list[int] = []
    mask = (1 << count) - 1
    while mask:
        order.append(int(last[mask]))
        mask ^= 1 << order[-1]
    return order[::-1]


def _improved(balance: np.ndarray) -> list[int]:
    """Return the best of what several beginnings lead to: the sentences by their sums, and random orders that are always the same."""
    draw = np.random.default_rng(0)
    first = np.argsort(-balance.sum(axis=1), kind="stable")
    starts = [first, *(draw.permutation(len(balance)) for _ in range(STARTS - 1))]
    found = [_moved(balance, start.tolist()) for start in starts]
    return max(found, key=lambda order: worth(balance, order))  # of equal ones the first


def _moved(balance: np.ndarray, order: list[int]) -> list[int]:
    """Move one sentence at a time to its best place until none gains."""
    gained = True
    while gained:
        gained = False
        for sentence in range(len(order)):
            rest = [k for k in order if k != sentence]
            gains = balance[sentence, rest]
            # at place p it stands before rest[p:] and behind rest[:p]
            totals = np.concatenate([[gains.sum()], gains.sum() - 2 * np.cumsum(gains)])
            now, best = order.index(sentence), int(totals.argmax())
            if totals[best] > totals[now] + 1e-9:
                order = [*rest[:best], sentence, *rest[best:]]
                gained = True
    return order
