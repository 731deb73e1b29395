"""How good an order of texts is: MAP, MRR and nDCG@10 by ``ir-measures``, which asks NIST's ``trec_eval``.

Only queries with at least one relevant text and one that is not can be ranked well or badly; the others are left out, as in the usual
protocol of WikiQA. Equal scores count against the ranking, so that a model that cannot tell texts apart gains nothing from the order
in which they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from litebert.errors import MachineError

METRICS = ("map", "mrr", "ndcg@10")


@dataclass(frozen=True)
class RankingFigures:
    """Scores of rankings.

    Attributes:
        metrics: Mean over the queries of each of ``METRICS``; empty without a query.
        by_query: Average precision of each query that counts, by its position.
    """

    metrics: dict[str, float]
    by_query: dict[int, float]


def measures() -> Mapping[str, Any]:
    """Return the library's measures by our names.

    Raises:
        MachineError: It is not installed.
    """
    try:
        import ir_measures
    except ImportError as error:
        raise MachineError(
            "ranking figures need the package ir-measures, which is not installed",
            hint="pip install 'litebert[rerank]'",
        ) from error
    return {"map": ir_measures.AP, "mrr": ir_measures.RR, "ndcg@10": ir_measures.nDCG @ 10}


def rankable(relevance: np.ndarray) -> bool:
    """Return whether texts with these grades (n,) can be put in a right or wrong order."""
    return bool((relevance > 0).any() and (relevance <= 0).any())


def ranking_figures(relevances: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> RankingFigures:
    """Score rankings.

    Args:
        relevances: For each query, the whole-number grades (n,) of its texts; 0 is not relevant.
        scores: For each query, what its texts (n,) are ranked by, highest first.

    Raises:
        MachineError: The library is not installed.
    """
    chosen = measures()
    grades: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for number, (relevance, score) in enumerate(zip(relevances, scores, strict=True)):
        if not rankable(relevance):
            continue
        order = np.lexsort((relevance, -score))  # by score, of equal ones the less relevant first
        grades[str(number)] = {str(i): int(grade) for i, grade in enumerate(relevance)}
        run[str(number)] = {str(i): float(-place) for place, i in enumerate(order)}
    if not run:
        return RankingFigures({}, {})
    import ir_measures

    names = {str(measure): name for name, measure in chosen.items()}
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    by_query = {}
    for found in ir_measures.iter_calc(list(chosen.values()), grades, run):
        name = names[str(found.measure)]
        values[name].append(found.value)
        if name == "map":
            by_query[int(found.query_id)] = float(found.value)
    return RankingFigures({name: float(np.mean(v)) for name, v in values.items()}, by_query)


def random_average_precision(relevant: int, texts: int) -> float:
    """Return the expected average precision of a random order.

    The text at place k is relevant with probability R/n, and then each of the k - 1 before it with (R - 1)/(n - 1). Source: Bestgen,
    "Exact expected average precision of the random baseline for system evaluation", 2015.

    Args:
        relevant: Relevant texts R, at least one.
        texts: Texts n.
    """
    if texts == 1:
        return 1.0
    places = np.arange(1, texts + 1)
    return float(((1 + (places - 1) * (relevant - 1) / (texts - 1)) / places).mean())
