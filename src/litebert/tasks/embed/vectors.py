"""Vectors of texts from any encoder, as those of ``embed``: the mean of the last states (Sentence-BERT, arXiv:1908.10084, "MEAN")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch

from litebert.config import AlbertConfig
from litebert.model.heads import mean_vectors
from litebert.tasks.base import Passes
from litebert.tasks.examples import TextSettings, WindowCount, encode_records
from litebert.tasks.reading.records import Record
from litebert.tasks.zero_shot import ZeroShotModel, encoded

Windows = tuple[tuple[list[int], list[int]], ...]
"""Token ids and segment types of each window of a text."""


def sentence_vectors(loaded: ZeroShotModel, texts: Sequence[str], passes: Passes) -> np.ndarray:
    """Return the vector of each text, (N, H) float32 of length 1.

    Args:
        loaded: With an encoder.
        texts: N texts; those beyond the window are read in windows, whose vectors are averaged by their tokens.
        passes: How to run the model.
    """
    return vectors_of(loaded, sentence_windows(loaded, texts), passes)


def sentence_windows(loaded: ZeroShotModel, texts: Sequence[str]) -> list[Windows]:
    """Return the windows of texts, for ``vectors_of``."""
    settings = TextSettings(max_length=loaded.max_length)
    return encode_records([Record(t) for t in texts], loaded.tokenizer, settings, count=WindowCount(), limit=None)


@torch.inference_mode()
def vectors_of(loaded: ZeroShotModel, windows: Sequence[Windows], passes: Passes) -> np.ndarray:
    """Return the vectors of texts from their windows, as ``sentence_vectors``."""
    owners = np.array([number for number, own in enumerate(windows) for _ in own])
    sums = np.zeros((len(windows), cast(AlbertConfig, loaded.model.config).hidden_size))
    done = 0
    for indices, batch, states, _ in encoded(loaded, [one for own in windows for one in own], passes):
        mask = batch["attention_mask"]
        units = mean_vectors(states, mask) * mask.sum(dim=1, keepdim=True)  # (W, H)
        np.add.at(sums, owners[indices], units.cpu().numpy())
        done += len(indices)
        passes.report(done)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True).clip(min=1e-12)
    vectors: np.ndarray = (sums / lengths).astype(np.float32)
    return vectors
