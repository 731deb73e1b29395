"""The models a search needs: one that makes vectors, and where chunks are counted in tokens, its tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Offsets = Callable[[str], list[tuple[int, int]]]
"""Where the tokens of a text are, as (start, end) in characters."""


class TextEmbedder(Protocol):
    """What makes vectors: ``litebert.inference.embedding.Embedder``, or anything else with these members."""

    @property
    def size(self) -> int:
        """Numbers of a vector."""

    @property
    def fingerprint(self) -> str:
        """Equal for two embedders whose vectors may be compared."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return (N, size) float32 rows of length 1."""


def load_embedder(model: str, *, device: str = "auto", **settings: Any) -> tuple[TextEmbedder, Offsets]:
    """Load a model for ``embed`` with its tokenizer.

    Args:
        model: Any model reference.
        device: Where it runs.
        **settings: Of ``litebert.load``.

    Returns:
        What makes vectors, and what finds the tokens of a text.
    """
    from litebert.inference.embedding import Embedder
    from litebert.inference.loading import load

    pipeline = load(model, "embed", device=device, **settings)
    return Embedder(pipeline), token_offsets(pipeline.loaded.tokenizer)


def token_offsets(tokenizer: Any) -> Offsets:
    """Return what finds the tokens of a text, special tokens left out.

    Args:
        tokenizer: An ``AlbertTokenizer``.
    """

    def offsets(text: str) -> list[tuple[int, int]]:
        return [(start, end) for start, end in tokenizer.encode(text).offsets[1:-1] if end > start]

    return offsets


def lasting_name(model: str) -> str:
    """Return a model reference that means the same from every folder: paths become absolute."""
    path = Path(model)
    return str(path.resolve()) if path.exists() else model
