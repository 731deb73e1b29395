"""From predictions to a full evaluation: metrics with the main one first, confusion, calibration, baselines, worst examples.

The metrics themselves are in ``tasks/metrics.py``; a main metric named ``glue/TASK`` means that benchmark's official ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from litebert.errors import ConfigError, nearest
from litebert.tasks import metrics
from litebert.tasks.base import Score
from litebert.tasks.calibration import Gold, judged
from litebert.tasks.classify.decisions import Decision
from litebert.tasks.reading.records import Record
from litebert.train.evaluation import Evaluation, WorstExample, lower_is_better

_GLUE = "glue/"
_SHOWN = 20
"""Worst examples kept for the report."""


def score_single(
    metric: str, logits: np.ndarray, records: Sequence[Record], gold: Sequence[int], labels: Sequence[str],
    decision: Decision, temperatures: np.ndarray | None = None,
) -> Score:  # fmt: skip
    """Score one label per record.

    Args:
        metric: The main one.
        logits: (N, C).
        records: N records.
        gold: N class numbers.
        labels: C names.
        decision: What is answered.
        temperatures: (N,) for the figures of calibration alone; None for the decision's.
    """
    truth = np.array(gold, dtype=np.int64)
    probabilities = decision.probabilities(logits)
    predicted = decision.labels_of(probabilities)
    calibrated = judged(logits, truth, decision.temperature if temperatures is None else temperatures)
    found = metrics.classification_metrics(gold, probabilities, labels, predicted=predicted, positive=decision.positive)
    if metric.startswith(_GLUE):
        found = metrics.glue_metrics(metric, list(gold), predicted.tolist())
        metric = next(iter(found))
    found |= calibrated.metrics() | decision.figures(probabilities, truth)
    losses = -np.log(probabilities[np.arange(len(gold)), truth].clip(1e-12))
    precisions = metrics.average_precisions(np.eye(len(labels), dtype=bool)[truth], probabilities)
    evaluation = Evaluation(
        metrics=_main_first(found, metric),
        labels=list(labels),
        confusion=metrics.confusion_matrix(gold, predicted.tolist(), len(labels)).tolist(),
        per_label=_rows(metrics.label_scores(gold, predicted.tolist(), labels), precisions),
        worst=[
            WorstExample(
                text=records[i].text, pair=records[i].pair, gold=labels[gold[i]], predicted=labels[predicted[i]],
                confidence=float(probabilities[i, predicted[i]]), loss=float(losses[i]),
            )
            for i in np.argsort(-losses, kind="stable")[:_SHOWN]
            if predicted[i] != gold[i]
        ],
        baseline=_without_learning(metric, gold, labels, decision.positive),
        **calibrated.diagrams(),
        notes=_notes(decision, probabilities, truth, labels),
    )  # fmt: skip
    return Score(_value(evaluation), evaluation, predicted.tolist())


def _rows(scores: Sequence[metrics.LabelScore], precisions: Sequence[float | None]) -> list[dict[str, Any]]:
    return [asdict(row) | {"average_precision": value} for row, value in zip(scores, precisions, strict=True)]


def _notes(decision: Decision, probabilities: np.ndarray, gold: Gold, labels: Sequence[str]) -> list[str]:
    missed = decision.missed(probabilities, gold, labels)
    return [missed] if missed else []


def _without_learning(
    metric: str, gold: Sequence[int], labels: Sequence[str], positive: int | None
) -> dict[str, float]:
    """Score the better of two answers on the main metric: always the most frequent label, always the positive one if there is one."""
    most = metrics.majority_baseline(gold)[0]
    asked = metrics.positive_class(labels, positive)
    found = []
    for label in {most, most if asked is None else asked}:
        constant = np.eye(len(labels))[[label] * len(gold)]  # (N, C)
        found.append(metrics.classification_metrics(gold, constant, labels, positive=positive))
    better = min if lower_is_better(metric) else max
    return {metric: better(figures[metric] for figures in found)} if metric in found[0] else {}


def score_multi(
    metric: str, logits: np.ndarray, records: Sequence[Record], gold: np.ndarray, labels: Sequence[str],
    decision: Decision, temperatures: np.ndarray | None = None,
) -> Score:  # fmt: skip
    """Score several labels per record; ``gold`` (N, C) bool, the rest as in ``score_single``."""
    probabilities = decision.probabilities(logits)
    thresholds = list(decision.thresholds)
    calibrated = judged(logits, gold, decision.temperature if temperatures is None else temperatures)
    found = metrics.multilabel_metrics(gold, probabilities, thresholds)
    found |= calibrated.metrics() | decision.figures(probabilities, gold)
    p = probabilities.clip(1e-12, 1 - 1e-12)
    losses = -(gold * np.log(p) + (~gold) * np.log(1 - p)).mean(axis=-1)
    chosen = decision.chosen(probabilities)

    def names(row: np.ndarray) -> str:
        return ", ".join(label for label, on in zip(labels, row, strict=True) if on) or "(none)"

    scores = metrics.multilabel_scores(gold, probabilities, labels, thresholds)
    evaluation = Evaluation(
        metrics=_main_first(found, metric),
        labels=list(labels),
        per_label=_rows(scores, metrics.average_precisions(gold, probabilities)),
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
        **calibrated.diagrams(),
        notes=_notes(decision, probabilities, gold, labels),
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


def _main_first(found: Mapping[str, float], metric: str) -> dict[str, float]:
    # Which weights are better must not hang on a temperature fitted on the same records.
    metric = f"uncalibrated_{metric}" if f"uncalibrated_{metric}" in found else metric
    if metric not in found:
        raise ConfigError(f"this kind of task has no metric {metric!r}", hint=nearest(metric, found))
    return {metric: found[metric]} | dict(found)


def _value(evaluation: Evaluation) -> float:
    name, value = next(iter(evaluation.metrics.items()))
    return -value if lower_is_better(name) else value
