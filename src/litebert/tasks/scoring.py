"""From predictions to a full evaluation: metrics with the main one first, confusion, calibration, baselines, worst examples.

The metrics themselves are in ``metrics.py``; a main metric named ``glue/TASK`` means that benchmark's official ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from litebert.errors import ConfigError, nearest
from litebert.tasks import metrics
from litebert.tasks.base import Score
from litebert.tasks.records import Record
from litebert.train.evaluation import Evaluation, WorstExample, lower_is_better

_GLUE = "glue/"
_SHOWN = 20
"""Worst examples kept for the report."""


def score_single(
    metric: str, probabilities: np.ndarray, records: Sequence[Record], gold: Sequence[int], labels: Sequence[str]
) -> Score:
    """Score one label per record; ``probabilities`` (N, C), ``gold`` N class numbers."""
    predicted = probabilities.argmax(axis=-1)
    found = metrics.classification_metrics(gold, probabilities, labels)
    if metric.startswith(_GLUE):
        found = metrics.glue_metrics(metric, list(gold), predicted.tolist()) | {"ece": found["ece"]}
        metric = next(iter(found))
    losses = -np.log(probabilities[np.arange(len(gold)), list(gold)].clip(1e-12))
    found["loss"] = float(losses.mean())
    bins, ece = metrics.calibration(probabilities, gold)
    majority, share = metrics.majority_baseline(gold)
    evaluation = Evaluation(
        metrics=_main_first(found, metric),
        labels=list(labels),
        confusion=metrics.confusion_matrix(gold, predicted.tolist(), len(labels)).tolist(),
        calibration=bins,
        ece=ece,
        per_label=[asdict(row) for row in metrics.label_scores(gold, predicted.tolist(), labels)],
        worst=[
            WorstExample(
                text=records[i].text, pair=records[i].pair, gold=labels[gold[i]], predicted=labels[predicted[i]],
                confidence=float(probabilities[i].max()), loss=float(losses[i]),
            )
            for i in np.argsort(-losses, kind="stable")[:_SHOWN]
            if predicted[i] != gold[i]
        ],
        baseline=_majority(metric, gold, majority, share, labels),
    )  # fmt: skip
    return Score(_value(evaluation), evaluation, predicted.tolist())


def _majority(metric: str, gold: Sequence[int], majority: int, share: float, labels: Sequence[str]) -> dict[str, float]:
    """Score the answer that is always the most frequent label, on the main metric where that is comparable."""
    if metric == "accuracy":
        return {"accuracy": share}
    if metric == "matthews":
        return {"matthews": 0.0}
    constant = np.zeros((len(gold), len(labels)))
    constant[:, majority] = 1.0
    return {metric: metrics.classification_metrics(gold, constant, labels).get(metric, share)}


def score_multi(
    metric: str, probabilities: np.ndarray, records: Sequence[Record], gold: np.ndarray, labels: Sequence[str],
    thresholds: Sequence[float],
) -> Score:  # fmt: skip
    """Score several labels per record; ``probabilities`` and ``gold`` (N, C)."""
    found = metrics.multilabel_metrics(gold, probabilities, list(thresholds))
    p = probabilities.clip(1e-12, 1 - 1e-12)
    losses = -(gold * np.log(p) + (~gold) * np.log(1 - p)).mean(axis=-1)
    found["loss"] = float(losses.mean())
    chosen = probabilities >= np.array(thresholds)

    def names(row: np.ndarray) -> str:
        return ", ".join(label for label, on in zip(labels, row, strict=True) if on) or "(none)"

    evaluation = Evaluation(
        metrics=_main_first(found, metric),
        labels=list(labels),
        per_label=[asdict(row) for row in metrics.multilabel_scores(gold, probabilities, labels, list(thresholds))],
        worst=[
            WorstExample(
                text=records[i].text,
                pair=records[i].pair,
                gold=names(gold[i]),
                predicted=names(chosen[i]),
                loss=float(losses[i]),
            )
            for i in np.argsort(-losses, kind="stable")[:_SHOWN]
            if (chosen[i] != gold[i]).any()
        ],
    )
    return Score(_value(evaluation), evaluation)


def score_regression(metric: str, predicted: np.ndarray, records: Sequence[Record], gold: Sequence[float]) -> Score:
    """Score values; ``predicted`` (N,), ``gold`` N numbers."""
    values = predicted.astype(np.float64)
    found = metrics.regression_metrics(gold, values)
    if metric.startswith(_GLUE):
        found = metrics.glue_metrics(metric, list(gold), values.tolist()) | found
        metric = next(iter(found))
    errors = np.abs(values - np.array(gold))
    found["loss"] = float((errors**2).mean())
    evaluation = Evaluation(
        metrics=_main_first(found, metric),
        worst=[
            WorstExample(
                text=records[i].text,
                pair=records[i].pair,
                gold=f"{gold[i]:g}",
                predicted=f"{values[i]:.3f}",
                loss=float(errors[i] ** 2),
            )
            for i in np.argsort(-errors, kind="stable")[:_SHOWN]
        ],
        regression=(list(map(float, gold)), values.tolist()),
        baseline={"rmse": float(np.std(gold))},
    )
    return Score(_value(evaluation), evaluation)


def best_thresholds(probabilities: np.ndarray, gold: np.ndarray) -> list[float]:
    """Return the threshold per label that gives the best F1 on held-out records."""
    return metrics.best_thresholds(gold, probabilities)


def _main_first(found: Mapping[str, float], metric: str) -> dict[str, float]:
    if metric not in found:
        raise ConfigError(f"this kind of task has no metric {metric!r}", hint=nearest(metric, found))
    return {metric: found[metric]} | dict(found)


def _value(evaluation: Evaluation) -> float:
    name, value = next(iter(evaluation.metrics.items()))
    return -value if lower_is_better(name) else value
