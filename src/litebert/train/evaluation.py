"""The outcome of one evaluation as plain data, for the report and for ``litebert.json``.

Nothing here computes a score: tasks do that (``tasks/``) and fill these classes. They hold lists, numbers and strings
only, so that a report can be built again from saved JSON without a model, a data set or torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from litebert.report.charts import CalibrationBin

RANDOM_ORDER = "random order"
"""Name of a baseline that knows nothing, where the main metric has none of its own."""
NOTHING = 0.02
"""Of a figure without a baseline, where 1 is the best: less is not worth having."""


@dataclass(frozen=True, kw_only=True)
class WorstExample:
    """One example on which the model was most wrong.

    Args:
        text: The input, or the first text of a pair.
        gold: The label or value in the data.
        predicted: The label or value the model gave.
        confidence: Probability of the predicted label, where the task has one.
        loss: The example's own loss, where the task has one.
        pair: The second text of a pair.
    """

    text: str
    gold: str
    predicted: str
    confidence: float | None = None
    loss: float | None = None
    pair: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything one evaluation of one model on one data set found.

    Args:
        metrics: Score by name; the first one is the main metric.
        labels: Label names in the order of ``confusion``.
        confusion: Counts, rows the gold label, columns the predicted label.
        calibration: Bins of confidence in ascending order.
        ece: Expected calibration error, 0 to 1.
        uncalibrated: The bins without the temperature that probabilities are calibrated with, where there is one.
        uncalibrated_ece: Their error.
        per_label: Rows with ``label``, ``precision``, ``recall``, ``f1`` and ``support``, perhaps ``average_precision``.
        worst: Examples in descending order of loss.
        regression: Gold values and predicted values, equally long.
        baseline: Scores of a trivial predictor. A key that is also in ``metrics`` is compared with it; any other key
            (for example ``"majority class"``) is taken as the name of the predictor, scored on the main metric.
        notes: What a reader of the figures must know, in sentences.
    """

    metrics: dict[str, float]
    labels: list[str] | None = None
    confusion: list[list[int]] | None = None
    calibration: list[CalibrationBin] | None = None
    ece: float | None = None
    uncalibrated: list[CalibrationBin] | None = None
    uncalibrated_ece: float | None = None
    per_label: list[dict[str, Any]] = field(default_factory=list)
    worst: list[WorstExample] = field(default_factory=list)
    regression: tuple[list[float], list[float]] | None = None
    baseline: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def main_metric(self) -> str | None:
        """Return the name of the first metric, or None where there is none."""
        return next(iter(self.metrics), None)


@dataclass(frozen=True)
class ConfusedPair:
    """How often one gold label was predicted as another.

    Args:
        gold: The label in the data.
        predicted: The wrong label the model gave.
        count: How often.
        share: ``count`` divided by the number of examples with this gold label, 0 to 1.
    """

    gold: str
    predicted: str
    count: int
    share: float


def most_confused(confusion: Sequence[Sequence[int]], labels: Sequence[str], *, limit: int = 15) -> list[ConfusedPair]:
    """List the off-diagonal cells of a confusion matrix, most frequent first.

    Args:
        confusion: Counts, rows the gold label, columns the predicted label.
        labels: Label names in the same order.
        limit: At most so many pairs.

    Returns:
        Pairs by descending count, then by descending share; pairs that never happened are left out.
    """
    pairs = [
        ConfusedPair(labels[gold], labels[predicted], int(count), count / sum(row))
        for gold, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if gold != predicted and count > 0
    ]
    return sorted(pairs, key=lambda pair: (-pair.count, -pair.share))[:limit]


def baseline_of(evaluation: Evaluation) -> tuple[str, float] | None:
    """Find the baseline to set beside the main metric.

    Args:
        evaluation: Its ``baseline`` holds either the main metric's name or the name of a trivial predictor.

    Returns:
        What to call the baseline and its score, or None where there is none.
    """
    baseline: Mapping[str, float] = evaluation.baseline
    main = evaluation.main_metric
    if main is not None and main in baseline:
        return "baseline", baseline[main]
    return next(((name, score) for name, score in baseline.items() if name not in evaluation.metrics), None)


def baseline_rows(evaluation: Evaluation) -> list[tuple[str, float]]:
    """Return what to call each figure of the baseline, and the figure: ``accuracy without learning``, ``rouge1 of lead``."""
    return [
        (f"{name} without learning" if name in evaluation.metrics else f"{evaluation.main_metric} of {name}", score)
        for name, score in evaluation.baseline.items()
    ]


def learnt_nothing(evaluation: Evaluation) -> str | None:
    """Return a warning where the main figure is no better than that of an answer without learning; short runs end so, too."""
    main = evaluation.main_metric
    if main is None:
        return None
    reached, small = evaluation.metrics[main], lower_is_better(main)
    if not evaluation.baseline:
        return f"{main} {reached:.4f} is next to nothing" if not small and reached < NOTHING else None
    without = evaluation.baseline.get(main, evaluation.baseline.get(RANDOM_ORDER))
    if without is None or (reached < without if small else reached > without):
        return None
    return f"{main} {reached:.4f} is no better than {without:.4f} without learning"


def lower_is_better(name: str) -> bool:
    """Tell from a metric's name, such as ``dev/loss`` or ``mean absolute error``, whether small values are the good ones."""
    words = name.rsplit("/", 1)[-1].lower().replace("_", " ").split()
    return bool(words) and words[-1] in ("loss", "error", "perplexity", "mae", "mse", "rmse", "ece", "brier", "nll")


def seed_scores(main: str | None, seeds: Sequence[Mapping[str, Any]]) -> list[float]:
    """Collect each seed's main metric.

    Args:
        main: Its name; a row may carry it as it is, after ``dev/``, or as ``score``.
        seeds: One row of scores per seed.

    Returns:
        The finite scores in the order of the rows.
    """
    keys = [key for key in (main, f"dev/{main}", "score") if key is not None]
    found = [next((row[key] for key in keys if key in row), None) for row in seeds]
    return [float(score) for score in found if isinstance(score, int | float) and math.isfinite(score)]
