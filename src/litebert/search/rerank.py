"""A second look: a cross-encoder reads query and text together, and what it says orders the candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from litebert.errors import UsageError

Rerank = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
"""Scores (query, text) pairs; higher is better."""


def reranker(pipeline: Any) -> Rerank:
    """Return what scores pairs with a loaded model.

    Args:
        pipeline: Of ``litebert.load``, for ``rerank``, or for ``classify`` with a value in place of labels.

    Raises:
        UsageError: The model is for something else.
    """
    kind = getattr(pipeline.loaded.task, "kind", None)
    if pipeline.task != "rerank" and not (pipeline.task == "classify" and kind == "regression"):
        what = f"{pipeline.task} ({kind})" if kind else pipeline.task
        raise UsageError(
            f"the model is for {what}, which scores no pairs",
            hint="Give one that litebert finetune rerank made, or classify --kind regression on pairs.",
        )

    def score(pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [float(answer.score) for answer in pipeline(list(pairs))]

    return score
