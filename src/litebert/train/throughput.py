"""Tokens a second of the last steps, and how much of the machine's arithmetic they use (model FLOP utilisation)."""

from __future__ import annotations

import time
from collections import deque

import torch

from litebert.config import AlbertConfig


class Throughput:
    """Count over the last steps.

    Args:
        peak_tokens: Tokens a second if all arithmetic ran at the measured peak; None if unknown.
        steps: How many steps are the last ones.
    """

    def __init__(self, peak_tokens: float | None = None, steps: int = 50) -> None:
        self.peak_tokens = peak_tokens
        self._last: deque[tuple[int, float, float]] = deque(maxlen=steps)

    def add(self, tokens: int, seconds: float, arithmetic: float = 1.0) -> None:
        """Count a step.

        Args:
            tokens: Real ones.
            seconds: It took.
            arithmetic: Of a token, as a part of the whole model's.
        """
        self._last.append((tokens, seconds, arithmetic))

    def figures(self) -> dict[str, float]:
        """Return ``tokens_per_second`` and ``mfu``, where known."""
        tokens, seconds = sum(t for t, _, _ in self._last), sum(s for _, s, _ in self._last)
        if not tokens or not seconds:
            return {}
        figures = {"tokens_per_second": round(tokens / seconds, 1)}
        if self.peak_tokens:
            full = sum(t * a for t, _, a in self._last)
            figures["mfu"] = round(full / seconds / self.peak_tokens, 4)
        return figures


def training_flops(config: AlbertConfig, length: int, *, predicted: float) -> float:
    """Return the floating-point operations of a training step per token: matrix products only, backward twice the forward.

    Args:
        config: The model; sharing saves memory, not arithmetic.
        length: Positions of a row.
        predicted: Share of positions whose vocabulary scores are computed.
    """
    h, f, e = config.hidden_size, config.intermediate_size, config.embedding_size
    block = 2 * (4 * h * h + 2 * h * f) + 4 * length * h
    applications = config.num_hidden_layers * config.inner_group_num
    head = predicted * 2 * (h * e + e * config.vocab_size)
    return 3 * (applications * block + 2 * e * h + head)


def measured_peak(device: torch.device, dtype: torch.dtype, *, size: int = 2048, seconds: float = 0.3) -> float:
    """Return the machine's FLOP/s on one large matrix product, the ceiling that a utilisation is measured against.

    Args:
        device: Where to multiply.
        dtype: Of the factors.
        size: Rows and columns.
        seconds: How long to measure.
    """
    a = torch.randn(size, size, device=device).to(dtype)
    best = float("inf")
    end = time.monotonic() + seconds
    while time.monotonic() < end or best == float("inf"):
        started = time.perf_counter()
        _ = a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
