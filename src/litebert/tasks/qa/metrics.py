"""Exact match and F1 of answers as SQuAD's official scripts compute them (``evaluate-v1.1.py``, ``evaluate-v2.0.py``).

Answers are lower-cased, stripped of punctuation and of the words a, an, the, and their white space is unified; a predicted answer gets
the best of its figures over the right answers. A question without an answer counts as right where nothing is answered, and only then.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Return an answer as it is compared."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(predicted: str, gold: str) -> float:
    """Return 1 where two answers are the same after normalisation, else 0."""
    return float(normalised(predicted) == normalised(gold))


def f1(predicted: str, gold: str, *, empty: bool = True) -> float:
    """Return the harmonic mean of precision and recall over words.

    Args:
        predicted: An answer.
        gold: The right one.
        empty: Two answers without a word are alike, as in SQuAD 2.0; in 1.1 they have nothing in common.
    """
    a, b = normalised(predicted).split(), normalised(gold).split()
    if not a or not b:
        return float(empty and a == b)
    same = sum((Counter(a) & Counter(b)).values())
    return 2 * same / (len(a) + len(b))


@dataclass(frozen=True)
class Scored:
    """Figures of each question, (N,) float64 between 0 and 1.

    Attributes:
        exact: Exact match of what was predicted.
        f1: F1 of it.
        answerable: (N,) bool, whether there is an answer.
    """

    exact: np.ndarray
    f1: np.ndarray
    answerable: np.ndarray


def scored(predicted: Sequence[str], golds: Sequence[Sequence[str]], *, empty: bool = True) -> Scored:
    """Score answers.

    Args:
        predicted: One each; empty for none.
        golds: Right answers of each; none where there is no answer.
        empty: There are questions without an answer, as in SQuAD 2.0: then right answers that vanish in normalisation are left out.
    """
    exact, overlap, answerable = [], [], []
    for answer, right in zip(predicted, golds, strict=True):
        kept = [text for text in right if normalised(text) or not empty] or [""]
        exact.append(max(exact_match(answer, text) for text in kept))
        overlap.append(max(f1(answer, text, empty=empty) for text in kept))
        answerable.append(bool(right))
    return Scored(np.array(exact), np.array(overlap), np.array(answerable, dtype=bool))


def best_threshold(null: np.ndarray, figures: np.ndarray, answerable: np.ndarray) -> tuple[float, float]:
    """Return the best mean figure over all thresholds, and the threshold (``find_best_thresh``).

    Args:
        null: (N,) how much more no answer is preferred to the best one, infinitely where there is none; nothing is answered above the
            threshold.
        figures: (N,) exact match or F1 of the best answer, where there is one.
        answerable: (N,) bool.
    """
    order = np.argsort(null, kind="stable")
    # Nothing is answered at first; then question by question an answer is given, the surest first.
    gains = np.where(answerable[order], figures[order], -1.0)
    sums = (~answerable).sum() + np.concatenate([[0.0], np.cumsum(gains)])
    best = int(sums.argmax())
    values = null[order]
    finite = values[np.isfinite(values)]
    if best == 0 or not finite.size:
        threshold = float(finite[0]) - 1.0 if finite.size else 0.0
    elif best >= finite.size:
        threshold = float(finite[-1]) + 1.0
    else:
        threshold = float(values[best - 1] + values[best]) / 2
    return float(sums[best] / max(null.size, 1)), threshold
