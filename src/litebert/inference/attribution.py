"""Integrated gradients (Sundararajan et al., arXiv:1703.01365, equation 1) on the word embeddings of a network.

The path runs straight from a baseline, the same sequence with ``[MASK]`` or ``[PAD]`` in place of every word, to the sequence itself;
the integral is taken at Gauss-Legendre points. What the positions are given adds up to the difference of the score between the two ends
("completeness"), up to the error of the integral, which is told. Scores can be steep on a short part of the path; since completeness
holds for every part, the parts where the sum is wrong are known, and are halved until it is near enough.

Legend: W windows of one record, T positions, E embedding width, S points on the path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from litebert.model.albert import AlbertModel
from litebert.tasks.examples import Batch

PARTS, POINTS, MOST_POINTS = 4, 8, 512
"""Parts of the path at first, points on each, and points in all, where their number is not given."""
NEAR = 0.02
"""How far the sums of the parts may be from what they should be, of the sum of the sizes of the values."""

ScoreFunction = Callable[[Tensor], Tensor]
"""From what a network gives for (S * W) windows, window by window, to S scores."""


@dataclass(frozen=True)
class Integral:
    """What the positions of a record's windows contribute to a score.

    Attributes:
        values: (W, T) float64; zero on special tokens and padding.
        score: Of the record as it is.
        baseline: Of the record without its words.
    """

    values: np.ndarray
    score: float
    baseline: float

    @property
    def gap(self) -> float:
        """How far the sum of the values is from the difference of the two scores."""
        return abs(float(self.values.sum()) - (self.score - self.baseline))


def integrated_gradients(
    network: Callable[[Batch], Tensor], model: nn.Module, batch: Batch, words: Tensor, score: ScoreFunction, *,
    substitute: int, steps: int | None = None, tokens: int = 4096,
) -> Integral:  # fmt: skip
    """Attribute a score to the positions of the input.

    Args:
        network: Computes the outputs of a batch, one for each window.
        model: What it computes with; its word embedding is replaced on the way.
        batch: The W windows of one record.
        words: (W, T) bool, true where there is a word and no special token.
        score: What is explained.
        substitute: Id of the piece that stands for a missing word.
        steps: Points on the path; None for as many as it takes, within bounds.
        tokens: Budget of positions in one pass.
    """
    table = cast(AlbertModel, model.albert).embeddings.word
    ids = batch["input_ids"]
    with torch.no_grad():
        end = table(ids)  # (W, T, E)
        start = table(torch.where(words, torch.full_like(ids, substitute), ids))
        first, last = (float(_scores(network, table, batch, x.unsqueeze(0), score)[0]) for x in (start, end))
    path = _Path(network, table, batch, score, start, end, max(1, tokens // ids.numel()))
    if steps is not None:
        return Integral(path.values([(0.0, 1.0)], steps)[0], last, first)
    return Integral(_refined(path), last, first)


Part = tuple[float, float]


@dataclass(frozen=True)
class _Path:
    """The way from the baseline to the record.

    Attributes:
        network: As in ``integrated_gradients``, like the next three.
        table: The word embedding.
        batch: The windows.
        score: What is explained.
        start: (W, T, E), the baseline's word embeddings.
        end: (W, T, E), the record's.
        at_once: Points in one pass.
    """

    network: Callable[[Batch], Tensor]
    table: nn.Module
    batch: Batch
    score: ScoreFunction
    start: Tensor
    end: Tensor
    at_once: int

    def values(self, parts: Sequence[Part], points: int) -> list[np.ndarray]:
        """Return the integral over each part, (W, T) float64."""
        nodes, weights = np.polynomial.legendre.leggauss(points)  # on [-1, 1]
        shares = np.concatenate([(a + b) / 2 + (b - a) / 2 * nodes for a, b in parts])
        slopes = [self._slopes(part) for part in np.array_split(shares, -(-len(shares) // self.at_once))]
        by_part = np.concatenate(slopes).reshape(len(parts), points, *self.start.shape[:2])
        return [(b - a) / 2 * np.tensordot(weights, one, 1) for (a, b), one in zip(parts, by_part, strict=True)]

    def scores(self, shares: Sequence[float]) -> list[float]:
        """Return the score at points of the path."""
        parts = np.array_split(np.array(shares), -(-len(shares) // self.at_once))
        with torch.no_grad():
            return [float(x) for part in parts for x in self._scored(self._inputs(part))]

    def _slopes(self, shares: np.ndarray) -> np.ndarray:
        """Return (S, W, T): how much the score rises with each position at points of the path."""
        inputs = self._inputs(shares).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self._scored(inputs).sum(), inputs)
        rises = (gradient.double() * (self.end - self.start).double()).sum(dim=-1)
        return np.asarray(rises.cpu().numpy())

    def _inputs(self, shares: np.ndarray) -> Tensor:
        at = torch.tensor(shares, dtype=self.end.dtype, device=self.end.device).view(-1, 1, 1, 1)
        return self.start + at * (self.end - self.start)  # (S, W, T, E)

    def _scored(self, inputs: Tensor) -> Tensor:
        return _scores(self.network, self.table, self.batch, inputs, self.score)


def _refined(path: _Path) -> np.ndarray:
    """Return the integral over the whole path, whose steep parts are halved."""
    edges = [number / PARTS for number in range(PARTS + 1)]
    new = list(pairwise(edges))
    score = dict(zip(edges, path.scores(edges), strict=True))
    values: dict[Part, np.ndarray] = {}
    points = 0
    while True:
        values |= zip(new, path.values(new, POINTS), strict=True)
        points += POINTS * len(new)
        total: np.ndarray = sum(values.values(), start=np.zeros(1))
        errors = {(a, b): abs(float(v.sum()) - (score[b] - score[a])) for (a, b), v in values.items()}
        allowed = NEAR * float(np.abs(total).sum())
        if sum(errors.values()) <= allowed or points >= MOST_POINTS:
            return total
        steep = [part for part, error in errors.items() if error > allowed / len(errors)] or [
            max(errors, key=errors.__getitem__)
        ]
        steep = sorted(steep, key=errors.__getitem__)[-max(1, (MOST_POINTS - points) // (2 * POINTS)) :]
        middles = [(a + b) / 2 for a, b in steep]
        score |= zip(middles, path.scores(middles), strict=True)
        new = [half for (a, b), m in zip(steep, middles, strict=True) for half in ((a, m), (m, b))]
        for part in steep:
            del values[part]


def _scores(
    network: Callable[[Batch], Tensor], table: nn.Module, batch: Batch, inputs: Tensor, score: ScoreFunction
) -> Tensor:
    """Return (S,) scores of (S, W, T, E) word embeddings."""
    copies = inputs.shape[0]
    repeated = {k: v.repeat(copies, *[1] * (v.dim() - 1)) for k, v in batch.items()}
    repeated["owner"] = torch.arange(repeated["input_ids"].shape[0], device=inputs.device)  # windows are told apart
    with _replaced(table, inputs.flatten(0, 1)):
        return score(network(repeated))


@contextmanager
def _replaced(table: nn.Module, embedded: Tensor) -> Iterator[None]:
    """Let an embedding return what it is told."""

    def instead(_module: nn.Module, _inputs: Any, _output: Any) -> Tensor:
        return embedded

    handle = table.register_forward_hook(instead)
    try:
        yield
    finally:
        handle.remove()
