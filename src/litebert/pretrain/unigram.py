"""The unigram plateau: the loss of a model that knows only how often each piece occurs, where many ALBERT runs stay for ever."""

from __future__ import annotations

import numpy as np

from litebert.corpus.shards import Corpus

SAMPLE = 2_000_000
"""Pieces counted at most, evenly over the shards."""


def unigram_entropy(corpus: Corpus) -> float:
    """Return the entropy of the pieces in nats, measured on a sample."""
    counts = np.zeros(corpus.vocab_size, dtype=np.int64)
    share = max(1, SAMPLE // len(corpus.shards))
    for shard in corpus.shards:
        counts += np.bincount(shard.tokens[:share], minlength=counts.size)[: counts.size]
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())
