"""From which probability on a label counts, and between which probabilities a person should look.

A threshold serves one of three aims on held-out records: the best F1, the highest precision at a fixed recall, the highest recall at
a fixed precision. It lies half-way between two neighbouring probabilities. A review band is the interval of probabilities around a
threshold that holds the records nearest to it, measured in log-odds, in which the distances of several labels can be compared.

Legend: N records, K labels that have a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litebert.errors import ConfigError, nearest
from litebert.tasks import metrics

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Band = tuple[float, float]

_AIMS = ("f1", "recall", "precision")
_EDGE = 1e-9
"""Least distance of a probability from 0 and 1 where log-odds are taken."""


@dataclass(frozen=True)
class Aim:
    """What a threshold is chosen for.

    Attributes:
        kept: ``f1``; or what must reach ``value``, ``recall`` or ``precision``, while the other is as high as it can be.
        value: Above 0, up to 1; None for ``f1``.
    """

    kept: str = "f1"
    value: float | None = None

    @classmethod
    def parse(cls, given: Any) -> Aim:
        """Read ``f1``, ``recall=0.9`` or ``precision=0.95``.

        Raises:
            ConfigError: It is none of them.
        """
        name, sign, number = str(given).replace(" ", "").partition("=")
        examples = '"f1", "recall=0.9" or "precision=0.95"'
        if name not in _AIMS:
            raise ConfigError(f"options.thresholds is {given!r}, not {examples}", hint=nearest(name, _AIMS))
        if (name == "f1") == bool(sign):
            raise ConfigError(f"options.thresholds is {given!r}, not {examples}", hint="A fixed value belongs to two.")
        try:
            value = float(number) if sign else None
        except ValueError:
            value = -1.0
        if value is not None and not 0 < value <= 1:
            raise ConfigError(f"options.thresholds fixes {name} at {number!r}", hint="It is above 0 and at most 1.")
        return cls(name, value)

    def __str__(self) -> str:
        return self.kept if self.value is None else f"{self.kept}={self.value:g}"

    @property
    def figure(self) -> str | None:
        """Name of what is maximised, such as ``precision_at_recall_0.9``; None for F1."""
        return None if self.value is None else f"{self._other}_at_{self.kept}_{self.value:g}"

    @property
    def _other(self) -> str:
        return "precision" if self.kept == "recall" else "recall"

    def threshold(self, gold: Bools, scores: Floats) -> float:
        """Return the threshold of one label that serves the aim best.

        Args:
            gold: (N,) true where the label holds.
            scores: (N,) probabilities.

        Returns:
            Half-way between two neighbouring scores; 0.5 where the label never holds. Where no threshold reaches the value, the one
            that comes nearest to it.
        """
        if self.value is None:
            return metrics.best_threshold(gold, scores)[0]
        if not gold.any():
            return 0.5
        cuts, precision, recall = _curve(gold, scores)
        return float(cuts[self._best(precision, recall)])

    def reached(self, gold: Bools, scores: Floats) -> float | None:
        """Return the highest precision at the fixed recall (or the other way round) of one label; None where it never holds.

        It is 0 where no threshold reaches the fixed value.
        """
        if not gold.any():
            return None
        _, precision, recall = _curve(gold, scores)
        at = self._best(precision, recall)
        fixed, other = (recall, precision) if self.kept == "recall" else (precision, recall)
        return float(other[at]) if fixed[at] >= (self.value or 0.0) - 1e-12 else 0.0

    def _best(self, precision: Floats, recall: Floats) -> int:
        fixed, other = (recall, precision) if self.kept == "recall" else (precision, recall)
        enough = fixed >= (self.value or 0.0) - 1e-12
        if not enough.any():  # of precision alone: everything given has a recall of 1
            return int(np.lexsort((other, fixed))[-1])
        rank = np.lexsort((fixed, np.where(enough, other, -1.0)))
        return int(rank[-1])


def _curve(gold: Bools, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Return every threshold that makes a difference, from the highest, with its precision and recall."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(gold[order])
    ends = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))  # equal scores cannot be told apart
    below = np.append(ranked[ends[:-1] + 1], min(0.0, float(ranked[-1])))
    middle = (ranked[ends] + below) / 2
    cuts = np.where(middle > below, middle, ranked[ends])  # neighbours in floating point have nothing between them
    return cuts, hits[ends] / (ends + 1), hits[ends] / gold.sum()


# --- The review band ------------------------------------------------------------------------------------------------------


def checked_share(value: Any) -> float | None:
    """Return ``options.review``.

    Raises:
        ConfigError: It is no share.
    """
    if value is None:
        return None
    share = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else -1.0
    if not 0 < share < 1:
        raise ConfigError(
            f"options.review is {value!r}",
            hint="It is the share of records for a person, such as 0.1: between 0 and 1.",
        )
    return share


def fit_bands(probabilities: Floats, thresholds: Sequence[float], share: float) -> tuple[Band, ...]:
    """Return the interval around each threshold inside which a record goes to a person.

    Args:
        probabilities: (N, K) of held-out records.
        thresholds: (K,).
        share: Of the records, those with a probability in any of the intervals; fewer where some are equally near.

    Returns:
        K intervals of one width in log-odds.
    """
    middle = _log_odds(np.array(thresholds, dtype=np.float64))
    distance = np.abs(_log_odds(probabilities) - middle).min(axis=1)
    width = _cut(np.sort(distance), share)
    low, high = _logistic(middle - width), _logistic(middle + width)
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))


def fit_confidence_band(confidence: Floats, share: float) -> tuple[Band, ...]:
    """Return the one interval, from 0, that holds the ``share`` of records whose (N,) confidence is lowest."""
    return ((0.0, _cut(np.sort(confidence), share)),)


def inside(probabilities: Floats, bands: Sequence[Band]) -> Bools:
    """Return (N,) whether any of a record's (N, K) probabilities lies in its label's interval, ends included."""
    edges = np.array(bands, dtype=np.float64)
    return np.asarray(((probabilities >= edges[:, 0]) & (probabilities <= edges[:, 1])).any(axis=1))


def _cut(values: Floats, share: float) -> float:
    """Return a number between sorted values that ``share`` of them lie below."""
    count = min(round(share * len(values)), len(values) - 1)
    while count > 0 and values[count - 1] == values[count]:
        count -= 1  # equal ones are kept together, outside
    return float(values[0] / 2 if count == 0 else (values[count - 1] + values[count]) / 2)


def _log_odds(p: Floats) -> Floats:
    q = np.clip(p, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(q) - np.log1p(-q), dtype=np.float64)


def _logistic(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)), dtype=np.float64)
