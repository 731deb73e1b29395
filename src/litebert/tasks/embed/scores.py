"""How good sentence vectors are: rank correlation with similarities, finding what belongs to a text, closeness to a teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from litebert.tasks.base import Score
from litebert.tasks.embed.data import Positive
from litebert.tasks.metrics import regression_metrics
from litebert.tasks.reading.records import Record
from litebert.train.evaluation import Evaluation, WorstExample

_SHOWN = 20
_AT = 10
_COMPARED = 2000
"""Texts between which a teacher's cosines are compared: two million pairs."""


def score_similarities(first: np.ndarray, second: np.ndarray, records: Sequence[Record]) -> Score:
    """Score cosines against similarities by Spearman's correlation.

    Args:
        first: (N, H) of length 1.
        second: The same, of the other texts.
        records: N pairs with numbers.
    """
    cosines = (first * second).sum(axis=1).astype(float)
    gold = np.array([float(record.label) for record in records])  # type: ignore[arg-type]
    found = regression_metrics(gold.tolist(), cosines)
    ranks = [np.argsort(np.argsort(values)) / max(len(values) - 1, 1) for values in (gold, cosines)]
    off = np.abs(ranks[0] - ranks[1])
    worst = [
        WorstExample(
            text=records[i].text, pair=records[i].pair, gold=f"{gold[i]:g}", predicted=f"{cosines[i]:.3f}", loss=float(off[i])
        )
        for i in np.argsort(-off)[:_SHOWN]
    ]  # fmt: skip
    metrics = {"spearman": found["spearman"], "pearson": found["pearson"]}
    return Score(
        metrics["spearman"], Evaluation(metrics=metrics, worst=worst, regression=(gold.tolist(), cosines.tolist()))
    )


def score_positives(first: np.ndarray, others: np.ndarray, records: Sequence[Record]) -> Score:
    """Score by the place of each text's own among all: the mean reciprocal rank.

    Args:
        first: (N, H) of length 1.
        others: (N + M, H), the first N belong to the texts; then come the negatives of all labels, in order.
        records: N pairs; texts that belong to the same first text, that equal it, or that equal its own are not counted as wrong, nor
            are negatives of other pairs that do.
    """
    names: dict[str, int] = {}
    seconds = [record.pair or "" for record in records]
    negatives = [text for record in records if isinstance(record.label, Positive) for text in record.label.negatives]
    identity, own_text, against = (
        np.array([names.setdefault(text, len(names)) for text in texts], dtype=np.int64)
        for texts in ([record.text for record in records], seconds, negatives)
    )
    ranks = np.empty(len(first), dtype=np.int64)
    best = np.empty(len(first), dtype=np.int64)
    guesses = np.empty(len(first))
    reciprocal = np.cumsum(1 / np.arange(1, _AT + 1))
    for start in range(0, len(first), 512):
        rows = slice(start, start + 512)
        scores = first[rows] @ others.T
        own = scores[np.arange(len(scores)), np.arange(start, start + len(scores))]
        same = (
            (identity[rows, None] == identity) | (own_text[rows, None] == own_text) | (identity[rows, None] == own_text)
        )
        same = np.hstack([same, (identity[rows, None] == against) | (own_text[rows, None] == against)])
        scores[same] = -np.inf
        ranks[rows] = 1 + (~(scores < own[:, None])).sum(axis=1)  # what is no number finds nothing
        compared = 1 + len(others) - same.sum(axis=1)
        guesses[rows] = reciprocal[np.minimum(compared, _AT) - 1] / compared
        best[rows] = scores.argmax(axis=1)
    metrics = {
        f"mrr@{_AT}": float(np.where(ranks <= _AT, 1 / ranks, 0).mean()), "recall@1": float((ranks == 1).mean()),
        f"recall@{_AT}": float((ranks <= _AT).mean()),
    }  # fmt: skip
    worst = [
        WorstExample(
            text=records[i].text, gold=seconds[i], predicted=seconds[best[i]] if best[i] < len(seconds) else "(a negative)"
        )
        for i in np.argsort(-ranks)[:_SHOWN]
        if ranks[i] > 1
    ]  # fmt: skip
    baseline = {f"mrr@{_AT}": float(guesses.mean())}
    return Score(metrics[f"mrr@{_AT}"], Evaluation(metrics=metrics, worst=worst, baseline=baseline))


def score_teacher(vectors: np.ndarray, teacher: np.ndarray) -> Score:
    """Score by the rank correlation between the cosines of texts and the teacher's, and the mean cosine with its vectors.

    Args:
        vectors: (N, H) of length 1.
        teacher: (N, D) of length 1.
    """
    teacher = teacher.astype(np.float32)
    some = np.random.default_rng(0).permutation(len(vectors))[:_COMPARED]
    upper = np.triu_indices(len(some), k=1)
    ours, theirs = ((x[some] @ x[some].T)[upper] for x in (vectors, teacher))
    metrics = {"spearman": regression_metrics(theirs.tolist(), ours)["spearman"] if len(some) > 1 else 0.0}
    if vectors.shape == teacher.shape:
        metrics["cosine"] = float((vectors * teacher).sum(axis=1).mean())
    return Score(metrics["spearman"], Evaluation(metrics=metrics))
