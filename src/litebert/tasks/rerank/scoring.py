"""From scores of pairs to figures: of the order of each query's texts, and of the pairs by themselves.

MAP, MRR and nDCG@10 are over the queries that have relevant and other texts (``ranking.py``). A pair by itself is right when its score
is on the same side of one half as its share of the highest grade: what Quora's question pairs are scored by.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from litebert.errors import DataError
from litebert.tasks.base import Score
from litebert.tasks.reading.records import Record
from litebert.tasks.rerank.data import UNORDERED
from litebert.tasks.rerank.queries import by_query
from litebert.tasks.rerank.ranking import METRICS, random_average_precision, rankable, ranking_figures
from litebert.train.evaluation import RANDOM_ORDER, Evaluation, WorstExample

RANKING_METRICS = METRICS
PAIR_METRICS = ("accuracy", "f1", "average_precision")
_SHOWN = 20

Floats = NDArray[np.float64]


def score_pairs(
    logits: Floats, records: Sequence[Record], *, metric: str, top_grade: float, pairs: bool = True
) -> Score:
    """Score pairs.

    Args:
        logits: (N,) what the model says about each pair.
        records: N pairs with labels.
        metric: Main metric.
        top_grade: Highest label of the training data.
        pairs: Whether a logit means something by itself; listwise training only learns differences.

    Raises:
        DataError: No query has texts to be ranked, and the main metric is one of rankings.
    """
    labels = np.array([float(str(record.label)) for record in records])
    groups = [np.array(group) for group in by_query(records)]
    grades = _grades(labels, top_grade)
    ranking = ranking_figures([grades[g] for g in groups], [logits[g] for g in groups])
    metrics = dict(ranking.metrics)
    if pairs:
        metrics |= _pair_figures(logits, labels / top_grade)
    if metric not in metrics:
        raise nothing_to_rank(metric)
    evaluation = Evaluation(
        metrics={metric: metrics[metric]} | metrics,
        worst=_worst(ranking.by_query, groups, logits, grades, records),
        baseline=_baseline(metric, groups, grades, records, labels / top_grade),
    )
    return Score(metrics[metric], evaluation)


def nothing_to_rank(metric: str) -> DataError:
    """Return the error that no query of the data can be ranked well or badly."""
    return DataError(
        f"no query has both a relevant text and another, so there is no {metric}",
        hint="For pairs that stand alone, score each by itself: --set options.metric=accuracy when training.",
    )


def _grades(labels: Floats, top_grade: float) -> NDArray[np.int64]:
    """Return whole numbers: grades as they are; where some label is a fraction, 1 from half of the highest grade on."""
    whole = bool((labels == np.round(labels)).all())
    return labels.astype(np.int64) if whole else (labels >= top_grade / 2).astype(np.int64)


def _pair_figures(logits: Floats, targets: Floats) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, f1_score

    gold, said = targets >= 0.5, logits >= 0
    targets = targets.clip(0, 1)
    losses = np.logaddexp(0, logits) - targets * logits
    precision = float(average_precision_score(gold, logits)) if gold.any() else 0.0
    return {
        "accuracy": float((gold == said).mean()), "f1": float(f1_score(gold, said, zero_division=0)),
        "average_precision": precision, "loss": float(losses.mean()),
    }  # fmt: skip


def _baseline(
    metric: str,
    groups: Sequence[NDArray[np.int64]],
    grades: NDArray[np.int64],
    records: Sequence[Record],
    targets: Floats,
) -> dict[str, float]:
    if metric == "accuracy":
        share = float((targets >= 0.5).mean())
        return {"accuracy": max(share, 1 - share)}
    if metric not in RANKING_METRICS:
        return {"every pair": float((targets >= 0.5).mean())} if metric == "average_precision" else {}
    found: dict[str, float] = {}
    if not any(UNORDERED in record.extra for record in records):
        given = ranking_figures([grades[g] for g in groups], [-np.arange(len(g), dtype=np.float64) for g in groups])
        found["order given"] = given.metrics[metric]
    if metric == "map":
        random = [random_average_precision(int((grades[g] > 0).sum()), len(g)) for g in groups if rankable(grades[g])]
        found[RANDOM_ORDER] = float(np.mean(random))
    return found


def _worst(
    by_query_ap: dict[int, float], groups: Sequence[NDArray[np.int64]], logits: Floats, grades: NDArray[np.int64],
    records: Sequence[Record],
) -> list[WorstExample]:  # fmt: skip
    """Return the queries ranked worst: what stands first, and the relevant text that stands highest."""
    shown = []
    for number in sorted(by_query_ap, key=lambda n: by_query_ap[n])[:_SHOWN]:
        group = groups[number]
        order = group[np.lexsort((grades[group], -logits[group]))]
        first, best = int(order[0]), int(order[np.flatnonzero(grades[order] > 0)[0]])
        if grades[first] > 0:
            continue
        place = int(np.flatnonzero(order == best)[0]) + 1
        shown.append(
            WorstExample(
                text=records[first].text,
                pair=records[first].pair,
                predicted="first",
                gold=f"place {place}: {records[best].pair}",
                loss=1 - by_query_ap[number],
            )
        )
    return shown
