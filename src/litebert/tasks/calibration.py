"""Probabilities that mean what they say: temperature scaling, and how far off probabilities are before and after it.

Guo et al., arXiv:1706.04599: one number divides all logits and is fitted by the likelihood of held-out records (section 4.2), which
leaves the most probable label as it is; the expected calibration error (equation 3) over 15 bins. For several labels one temperature
serves all, and each label's probability is a statement of its own. The Brier score is scikit-learn's: halved for two labels.

Legend: N records, C labels; of choices the most options, where those that a question does not have are minus infinity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litebert.report.charts import CalibrationBin
from litebert.tasks import metrics

Floats = NDArray[np.float64]
Gold = NDArray[np.int64] | NDArray[np.bool_]
"""(N,) class numbers, or (N, C) true where a label holds."""

FEWEST = 50
"""Held-out records below which no temperature is fitted: fewer say too little."""
LARGEST = 20.0
"""Temperatures lie between 1/20 and 20."""


@dataclass(frozen=True)
class Reliability:
    """How good probabilities are.

    Attributes:
        nll: Mean negative log-likelihood.
        brier: Mean squared difference from what was the case.
        ece: Expected calibration error.
        bins: Of the reliability diagram.
    """

    nll: float
    brier: float
    ece: float
    bins: list[CalibrationBin]


def fit_temperature(logits: Floats, gold: Gold, *, fewest: int = FEWEST) -> float:
    """Return the temperature under which held-out records are most likely.

    Args:
        logits: (N, C).
        gold: Of the records.
        fewest: With fewer records it stays 1.

    Returns:
        The temperature; 1 where none is best because all answers are right, which tells nothing about how sure to be.
    """
    from scipy.optimize import minimize_scalar

    if len(logits) < max(fewest, 1):
        return 1.0
    bounds = (-np.log(LARGEST), np.log(LARGEST))
    # In 1/T the loss is convex, so it has one minimum in log T as well.
    found = minimize_scalar(
        lambda x: _nll(logits * np.exp(-x), gold), bounds=bounds, method="bounded", options={"xatol": 1e-4}
    )
    at = float(found.x)
    return 1.0 if at < bounds[0] + 0.01 else float(np.exp(at))


def cross_fitted(logits: Floats, gold: Gold) -> Floats:
    """Return for each of N records the temperature fitted on the half of the records that it is not in.

    So the figures of the very records that a temperature is fitted on are those of a temperature that has not seen them.
    """
    if len(logits) < FEWEST:
        return np.ones(len(logits))
    first = np.random.default_rng(0).permutation(len(logits)) % 2 == 0
    result = np.empty(len(logits))
    for half in (first, ~first):
        result[half] = fit_temperature(logits[~half], gold[~half], fewest=2)
    return result


def scaled(logits: Floats, temperature: float | Floats | None, *, several: bool) -> Floats:
    """Return (N, C) probabilities: a softmax, or a sigmoid for each of ``several`` labels.

    Args:
        logits: (N, C).
        temperature: One, or (N,); None for 1.
        several: Whether labels exclude each other.
    """
    from scipy.special import expit, softmax

    divided = logits if temperature is None else logits / np.reshape(temperature, (-1, 1))
    return np.asarray(expit(divided) if several else softmax(divided, axis=-1), dtype=np.float64)


def reliability(logits: Floats, gold: Gold, temperature: float | Floats | None) -> Reliability:
    """Judge the probabilities that logits mean at a temperature, one for all or (N,)."""
    several = gold.ndim == 2
    probabilities = scaled(logits, temperature, several=several)
    if several:
        truth = gold.astype(np.float64)
        bins, ece = metrics.reliability(probabilities.ravel(), gold.astype(np.bool_).ravel())
        brier = float(np.mean((probabilities - truth) ** 2))
    else:
        truth = np.eye(logits.shape[1])[gold]
        bins, ece = metrics.calibration(probabilities, gold.astype(np.int64))
        brier = float(((probabilities - truth) ** 2).sum(axis=1).mean()) / (2 if logits.shape[1] == 2 else 1)
    divided = logits if temperature is None else logits / np.reshape(temperature, (-1, 1))
    return Reliability(_nll(divided, gold), brier, ece, bins)


@dataclass(frozen=True)
class Calibration:
    """Probabilities with the temperature, and without it; the latter None where no temperature was fitted."""

    after: Reliability
    before: Reliability | None

    def metrics(self) -> dict[str, float]:
        """Return the figures by name; ``loss`` is that of training, without the temperature."""
        plain = self.before or self.after
        found = {"loss": plain.nll, "nll": self.after.nll, "brier": self.after.brier, "ece": self.after.ece}
        if self.before is not None:
            found |= {"uncalibrated_brier": self.before.brier, "uncalibrated_ece": self.before.ece}
        return found

    def diagrams(self) -> dict[str, Any]:
        """Return the fields of an ``Evaluation`` that tell of it."""
        found: dict[str, Any] = {"calibration": self.after.bins, "ece": self.after.ece}
        if self.before is not None:
            found |= {"uncalibrated": self.before.bins, "uncalibrated_ece": self.before.ece}
        return found


def judged(logits: Floats, gold: Gold, temperature: float | Floats | None) -> Calibration:
    """Judge probabilities with a temperature and without it; arguments as in ``reliability``."""
    before = None if temperature is None else reliability(logits, gold, None)
    return Calibration(reliability(logits, gold, temperature), before)


def _nll(logits: Floats, gold: Gold) -> float:
    from scipy.special import logsumexp

    if gold.ndim == 2:
        return float(np.mean(np.logaddexp(0.0, logits) - gold * logits))
    return float(np.mean(logsumexp(logits, axis=-1) - logits[np.arange(len(gold)), gold]))
