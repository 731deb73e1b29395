"""The scores users compare: accuracy, F1, Matthews, correlations, calibration.

Where scikit-learn or SciPy has a metric, it is theirs; this file settles the corner cases in one place. GLUE's metrics are
those of Wang et al., arXiv:1804.07461. Calibration is Guo et al., arXiv:1706.04599, equation 3: bins of equal width, open
below and closed above. An average over labels is scikit-learn's: of one label per example over the labels that occur in gold
or predictions, of several labels per example over all labels; what is undefined counts 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from litebert.errors import DataError, RunError
from litebert.report.charts import CalibrationBin
from litebert.tasks.official.glue import GlueTask, glue_task

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """How one label fared.

    Args:
        label: Its name.
        precision: Share of its predictions that were right; 0 if it was never predicted.
        recall: Share of its examples that were found; 0 if it never occurs.
        f1: Their harmonic mean.
        support: Examples that have it.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


# One label per example ------------------------------------------------------------------------------------------------


def classification_metrics(
    gold: Sequence[int], probabilities: ArrayLike, labels: Sequence[str], *, predicted: ArrayLike | None = None,
    positive: int | None = None,
) -> dict[str, float]:  # fmt: skip
    """Score a classifier by its probabilities.

    Args:
        gold: (N,) class numbers, 0 to C - 1.
        probabilities: (N, C), rows sum to 1.
        labels: C names.
        predicted: (N,) class numbers; None for the first of the highest values of each row.
        positive: The class that precision and recall are of; None for the second of two.

    Returns:
        ``accuracy``, ``macro_f1``, ``micro_f1``, ``macro_recall``, ``matthews``, ``ece``; with a positive class also its ``f1``,
        ``precision``, ``recall`` and ``average_precision``.

    Raises:
        DataError: No examples, or a class number out of range.
        RunError: A probability is not finite.
    """
    truth, scores = _classes(gold, len(labels)), _scores(probabilities, (len(gold), len(labels)))
    answers = scores.argmax(axis=1) if predicted is None else _classes(np.asarray(predicted), len(labels))
    result = {
        "accuracy": _accuracy(truth, answers),
        "macro_f1": _f1(truth, answers, average="macro"),
        "micro_f1": _f1(truth, answers, average="micro"),
        "macro_recall": float(np.mean([(answers[truth == one] == one).mean() for one in np.unique(truth)])),
        "matthews": _matthews(truth, answers),
    }
    positive = positive_class(labels, positive)
    if positive is not None:
        there, given = truth == positive, answers == positive
        hits = (there & given).sum()
        result["f1"] = _ratio(2 * hits, given.sum() + there.sum())
        result["precision"], result["recall"] = _ratio(hits, given.sum()), _ratio(hits, there.sum())
        result["average_precision"] = average_precisions(there[:, None], scores[:, [positive]])[0] or 0.0
    result["ece"] = calibration(scores, truth)[1]
    return result


def positive_class(labels: Sequence[str], named: int | None) -> int | None:
    """Return the class that precision and recall are of: the one that is named, else the second of two; None if there is none."""
    return 1 if named is None and len(labels) == 2 else named


def confusion_matrix(gold: Sequence[int] | Ints, predicted: Sequence[int] | Ints, classes: int) -> Ints:
    """Return (C, C) counts; rows are gold classes, columns predicted ones."""
    truth, answers = _classes(gold, classes), _classes(predicted, classes)
    _same_length(truth, answers)
    result = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(result, (truth, answers), 1)
    return result


def label_scores(
    gold: Sequence[int] | Ints, predicted: Sequence[int] | Ints, labels: Sequence[str]
) -> list[LabelScore]:
    """Return precision, recall, F1 and support of each label, in the order of ``labels``."""
    counts = confusion_matrix(gold, predicted, len(labels))
    return _from_counts(labels, np.diag(counts), counts.sum(axis=0), counts.sum(axis=1))


def majority_baseline(gold: Sequence[int] | Ints) -> tuple[int, float]:
    """Return the most frequent class (the lowest of equals) and the accuracy of always answering it."""
    truth = _classes(gold, None)
    counts = np.bincount(truth)
    return int(counts.argmax()), float(counts.max() / len(truth))


def calibration(
    probabilities: ArrayLike, gold: Sequence[int] | Ints, bins: int = 15
) -> tuple[list[CalibrationBin], float]:
    """Compare confidence with accuracy.

    Args:
        probabilities: (N, C); the confidence is the highest of a row.
        gold: (N,) class numbers.
        bins: Intervals of equal width; a confidence on an edge belongs to the lower one.

    Returns:
        All bins in ascending order, empty ones with zeros, and the expected calibration error, 0 to 1.
    """
    scores = np.asarray(probabilities, dtype=np.float64)
    if scores.ndim != 2 or bins < 1:
        raise ValueError(f"expected (N, C) probabilities and at least one bin, got shape {scores.shape}, {bins} bins")
    truth = _classes(gold, scores.shape[1])
    scores = _scores(scores, (len(truth), scores.shape[1]))
    return reliability(scores.max(axis=1), scores.argmax(axis=1) == truth, bins)


def reliability(confidence: Floats, right: Bools, bins: int = 15) -> tuple[list[CalibrationBin], float]:
    """Compare how sure single statements were with how often they held; as ``calibration``, for (N,) of each."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    result = []
    error = 0.0
    for index in range(bins):
        inside = place == index
        count = int(inside.sum())
        mean = float(confidence[inside].mean()) if count else 0.0
        accuracy = float(right[inside].mean()) if count else 0.0
        error += count / len(confidence) * abs(accuracy - mean)
        edge = (float(edges[index]), float(edges[index + 1]))
        result.append(CalibrationBin(lower=edge[0], upper=edge[1], count=count, confidence=mean, accuracy=accuracy))
    return result, error


# Several labels per example -------------------------------------------------------------------------------------------


def multilabel_metrics(gold: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike = 0.5) -> dict[str, float]:
    """Score a tagger by its probabilities.

    Args:
        gold: (N, C) true where a label holds.
        probabilities: (N, C).
        thresholds: One, or (C,): a label is given from this probability on.

    Returns:
        ``micro_f1``, ``macro_f1``, ``micro_precision``, ``micro_recall``, ``exact_match`` (share of examples with all labels
        right), ``hamming_accuracy`` (share of single decisions that are right), and ``map``: average precision, averaged over
        the labels that occur.
    """
    truth, scores = _matrix(gold, probabilities)
    answers = scores >= np.asarray(thresholds, dtype=np.float64)
    hits, given, there = (truth & answers).sum(axis=0), answers.sum(axis=0), truth.sum(axis=0)
    return {
        "micro_f1": _ratio(2 * hits.sum(), given.sum() + there.sum()),
        "macro_f1": float(np.mean([_ratio(2 * h, g + t) for h, g, t in zip(hits, given, there, strict=True)])),
        "micro_precision": _ratio(hits.sum(), given.sum()),
        "micro_recall": _ratio(hits.sum(), there.sum()),
        "exact_match": float((truth == answers).all(axis=1).mean()),
        "hamming_accuracy": float((truth == answers).mean()),
        "map": _mean_average_precision(truth, scores),
    }


def multilabel_scores(
    gold: ArrayLike, probabilities: ArrayLike, labels: Sequence[str], thresholds: ArrayLike = 0.5
) -> list[LabelScore]:
    """Return precision, recall, F1 and support of each label of a tagger; arguments as in ``multilabel_metrics``."""
    truth, scores = _matrix(gold, probabilities)
    answers = scores >= np.asarray(thresholds, dtype=np.float64)
    return _from_counts(labels, (truth & answers).sum(axis=0), answers.sum(axis=0), truth.sum(axis=0))


def best_threshold(gold: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """Find the threshold of one label with the highest F1.

    Args:
        gold: (N,) true where the label holds.
        scores: (N,) probabilities.

    Returns:
        The threshold, half-way between two neighbouring scores (of equally good ones the nearest to 0.5), and its F1;
        (0.5, 0.0) when the label never holds.
    """
    truth, values = _vectors(gold, scores)
    truth = truth.astype(np.bool_)
    if not truth.any():
        return 0.5, 0.0
    order = np.argsort(-values, kind="stable")
    ranked, hits = values[order], np.cumsum(truth[order])
    # Cutting between equal scores is impossible: only the last of a run of equals ends a group of answers.
    ends = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    f1 = 2 * hits[ends] / (ends + 1 + truth.sum())
    below = np.append(ranked[ends[:-1] + 1], min(0.0, float(ranked[-1])))
    middle = (ranked[ends] + below) / 2
    cuts = np.where(middle > below, middle, ranked[ends])  # neighbours in floating point have nothing between them
    best = np.flatnonzero(f1 == f1.max())
    chosen = best[np.argmin(np.abs(cuts[best] - 0.5))]
    return float(cuts[chosen]), float(f1[chosen])


def best_thresholds(gold: ArrayLike, probabilities: ArrayLike) -> list[float]:
    """Return the threshold of each of C labels with the highest F1 on (N, C) held-out examples."""
    truth, scores = _matrix(gold, probabilities)
    return [best_threshold(truth[:, i], scores[:, i])[0] for i in range(truth.shape[1])]


# Numbers --------------------------------------------------------------------------------------------------------------


def regression_metrics(gold: Sequence[float], predicted: ArrayLike) -> dict[str, float]:
    """Score predicted numbers.

    Args:
        gold: (N,).
        predicted: (N,).

    Returns:
        ``pearson``, ``spearman`` (0 where undefined: fewer than two examples, or all values equal), ``rmse``, ``mae``.
    """
    truth, values = _vectors(gold, predicted)
    return {
        "pearson": _correlation("pearsonr", truth, values),
        "spearman": _correlation("spearmanr", truth, values),
        "rmse": float(np.sqrt(np.mean((truth - values) ** 2))),
        "mae": float(np.mean(np.abs(truth - values))),
    }


# GLUE -----------------------------------------------------------------------------------------------------------------


def glue_metrics(
    task: str | GlueTask, gold: Sequence[str | int | float], predicted: Sequence[str | int | float]
) -> dict[str, float]:
    """Score answers as GLUE does.

    Args:
        task: A task or its name.
        gold: N label names or class numbers in the order of ``task.labels``; numbers for STS-B.
        predicted: N answers of the same kind.

    Returns:
        The task's metrics, the main one first, then ``glue_score``, their mean. F1 of MRPC and QQP is that of label "1".
    """
    task = glue_task(task) if isinstance(task, str) else task
    if task.regression:
        found = regression_metrics([float(x) for x in gold], [float(x) for x in predicted])
    else:
        truth, answers = _numbers(task, gold), _numbers(task, predicted)
        _same_length(truth, answers)
        found = {"accuracy": _accuracy(truth, answers), "matthews": _matthews(truth, answers)}
        if "f1" in task.metrics:
            found["f1"] = _binary_f1(truth, answers)
    result = {task.main: found[task.main]} | {name: found[name] for name in task.metrics}
    return result | {"glue_score": float(np.mean([found[name] for name in task.metrics]))}


def _numbers(task: GlueTask, values: Sequence[str | int | float]) -> Ints:
    places = {label: number for number, label in enumerate(task.labels)}
    unknown = [value for value in values if isinstance(value, str) and value not in places]
    if unknown:
        raise DataError(f"{unknown[0]!r} is no label of GLUE {task.folder}", hint=f"Allowed: {', '.join(task.labels)}.")
    return _classes([places[value] if isinstance(value, str) else int(value) for value in values], len(task.labels))


# Checked inputs, guarded formulas -------------------------------------------------------------------------------------


def _classes(values: Sequence[int] | Ints, classes: int | None) -> Ints:
    result = np.asarray(values)
    if result.ndim != 1 or not (result.size == 0 or np.issubdtype(result.dtype, np.integer)):
        raise ValueError(f"expected (N,) class numbers, got shape {result.shape} of {result.dtype}")
    _some(result)
    if result.min() < 0 or (classes is not None and result.max() >= classes):
        raise DataError(
            f"class numbers run from {result.min()} to {result.max()}, allowed are 0 to {(classes or 0) - 1}"
        )
    return result.astype(np.int64)


def _scores(values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    result = np.asarray(values, dtype=np.float64)
    if result.shape != shape:
        raise ValueError(f"expected scores of shape {shape}, got {result.shape}")
    if not np.isfinite(result).all():
        raise RunError("predictions are not finite numbers", hint="The model is damaged or its training diverged.")
    return result


def _matrix(gold: ArrayLike, probabilities: ArrayLike) -> tuple[Bools, Floats]:
    truth = np.asarray(gold)
    if truth.size == 0:
        _some(truth)
    if truth.ndim != 2:
        raise ValueError(f"expected (N, C) gold labels, got shape {truth.shape}")
    return truth.astype(np.bool_), _scores(probabilities, truth.shape)


def _vectors(gold: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    truth = np.asarray(gold, dtype=np.float64)
    _some(truth)
    if truth.ndim != 1:
        raise ValueError(f"expected (N,) gold values, got shape {truth.shape}")
    return truth, _scores(values, truth.shape)


def _some(values: NDArray[Any]) -> None:
    if values.size == 0:
        raise DataError("there are no examples to score", hint="Give labelled data.")


def _same_length(a: NDArray[Any], b: NDArray[Any]) -> None:
    if len(a) != len(b):
        raise ValueError(f"{len(a)} gold labels but {len(b)} predictions")


def _accuracy(truth: Ints, predicted: Ints) -> float:
    return float((truth == predicted).mean())


def _f1(truth: Ints, predicted: Ints, **options: Any) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(truth, predicted, zero_division=0, **options))


def _binary_f1(truth: Ints, predicted: Ints) -> float:
    return _f1(truth == 1, predicted == 1, average="binary", pos_label=True)


def _matthews(truth: Ints, predicted: Ints) -> float:
    from sklearn.metrics import matthews_corrcoef

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a single class in gold and predictions: 0, as documented
        return float(matthews_corrcoef(truth, predicted))


def _correlation(name: str, truth: Floats, values: Floats) -> float:
    from scipy import stats

    if len(truth) < 2 or np.ptp(truth) == 0 or np.ptp(values) == 0:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nearly constant input
        found = float(getattr(stats, name)(truth, values).statistic)
    return found if np.isfinite(found) else 0.0


def _ratio(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole else 0.0


def _from_counts(labels: Sequence[str], hits: Any, given: Any, there: Any) -> list[LabelScore]:
    if len(labels) != len(hits):
        raise ValueError(f"{len(labels)} labels for {len(hits)} columns")
    return [
        LabelScore(
            label=label,
            precision=_ratio(hit, predicted),
            recall=_ratio(hit, support),
            f1=_ratio(2 * hit, predicted + support),
            support=int(support),
        )
        for label, hit, predicted, support in zip(labels, hits, given, there, strict=True)
    ]


def average_precisions(gold: ArrayLike, probabilities: ArrayLike) -> list[float | None]:
    """Return the average precision of each of C labels on (N, C) examples; None for a label that never holds."""
    from sklearn.metrics import average_precision_score

    truth, scores = _matrix(gold, probabilities)
    return [
        float(average_precision_score(truth[:, i], scores[:, i])) if truth[:, i].any() else None
        for i in range(truth.shape[1])
    ]


def _mean_average_precision(truth: Bools, scores: Floats) -> float:
    found = [value for value in average_precisions(truth, scores) if value is not None]
    return float(np.mean(found)) if found else 0.0
