"""ALBERT, "A Lite BERT": checkpoints, tokenizer, training, evaluation, answers.

The public names load on first use: ``import litebert`` imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litebert.checkpoint.pretrained import (
        AlbertForMaskedLM,
        AlbertForMultipleChoice,
        AlbertForPreTraining,
        AlbertForQuestionAnswering,
        AlbertForSequenceClassification,
        AlbertForTokenClassification,
        AlbertModel,
        AlbertTokenizer,
    )
    from litebert.config import AlbertConfig
    from litebert.errors import LitebertError
    from litebert.inference.loading import load
    from litebert.inference.pipeline import Pipeline

_PRETRAINED = "litebert.checkpoint.pretrained"
_HOMES = {
    "AlbertConfig": "litebert.config",
    "LitebertError": "litebert.errors",
    "Pipeline": "litebert.inference.pipeline",
    "load": "litebert.inference.loading",
    "AlbertForMaskedLM": _PRETRAINED,
    "AlbertForMultipleChoice": _PRETRAINED,
    "AlbertForPreTraining": _PRETRAINED,
    "AlbertForQuestionAnswering": _PRETRAINED,
    "AlbertForSequenceClassification": _PRETRAINED,
    "AlbertForTokenClassification": _PRETRAINED,
    "AlbertModel": _PRETRAINED,
    "AlbertTokenizer": _PRETRAINED,
}

__all__ = [
    "AlbertConfig",
    "AlbertForMaskedLM",
    "AlbertForMultipleChoice",
    "AlbertForPreTraining",
    "AlbertForQuestionAnswering",
    "AlbertForSequenceClassification",
    "AlbertForTokenClassification",
    "AlbertModel",
    "AlbertTokenizer",
    "LitebertError",
    "Pipeline",
    "load",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "__version__":
        from importlib.metadata import version

        return version("litebert")
    if name == "search":
        return import_module("litebert.search")
    if name not in _HOMES:
        raise AttributeError(f"module 'litebert' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted([*__all__, "__version__"])
