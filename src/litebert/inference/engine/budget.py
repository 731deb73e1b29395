"""How deep a model may go within a time: measured on this machine, when the model is loaded."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch

from litebert.inference.engine.encoder import PackedEncoder

_ROUNDS = 5


@dataclass(frozen=True)
class DepthCurve:
    """Time of one input by the applications of the shared block: a straight line.

    Attributes:
        tokens: Of the input that was timed.
        fixed_ms: Milliseconds beside the applications; below 0 where the last one computes first tokens only, and so takes less.
        each_ms: Milliseconds of one application.
    """

    tokens: int
    fixed_ms: float
    each_ms: float

    def milliseconds(self, depth: int) -> float:
        """Return the time at a depth."""
        return self.fixed_ms + depth * self.each_ms

    def deepest_within(self, budget_ms: float, depth: int) -> int:
        """Return the greatest depth, at least 1 and at most ``depth``, whose time is within a budget."""
        return max([1, *(d for d in range(1, depth + 1) if self.milliseconds(d) <= budget_ms)])


@torch.inference_mode()
def measure(encoder: PackedEncoder, tokens: int) -> DepthCurve:
    """Time an encoder on one input at depth 1 and at its full depth.

    Args:
        encoder: On the CPU; its depth is left as it was.
        tokens: Of the input.
    """
    before, full = encoder.depth, encoder.config.num_hidden_layers
    ids = torch.full((1, min(tokens, encoder.config.max_position_embeddings)), 5)
    try:
        shallow = _median_ms(encoder, 1, ids)
        deep = _median_ms(encoder, full, ids) if full > 1 else shallow
    finally:
        encoder.depth = before
    each = max(deep - shallow, 0.0) / max(full - 1, 1) if full > 1 else shallow
    return DepthCurve(ids.shape[1], shallow - each, each)


def _median_ms(encoder: PackedEncoder, depth: int, ids: torch.Tensor) -> float:
    encoder.depth = depth
    times = []
    for _ in range(_ROUNDS + 1):
        started = time.perf_counter()
        encoder(ids)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[1:])
