"""Where the inputs of the shared matrices lie, for each application: the same matrix sees other inputs in every one.

Users of naive tools, which keep one range for all applications, report F1 falling from 0.80 to 0.05. Here every application has its
own range for each of the four matrices; the weights stay one copy. Ranges are chosen to make the squared error of rounding least on
calibration text. Channels that are much wider than the others are evened out first (SmoothQuant, arXiv:2211.10438 equation 4), with one
vector for all applications, since they share the weights that take up the factor.

Legend: L applications (of all blocks), H hidden width, F feed-forward width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from litebert.errors import CheckpointError

MATRICES = ("qkv", "output", "widen", "narrow")
"""The matrices of a block, by the part they play."""
SMOOTHED = ("qkv", "widen")
"""Those whose input comes from a layer norm, where the wide channels are."""

LEVELS = 255
_BINS = 2048
_CLIPS = np.linspace(0.3, 1.0, 36)


@dataclass(frozen=True)
class Range:
    """An affine map of floats to 0..255: ``q = round(x / scale) + zero_point``."""

    scale: float
    zero_point: int

    @classmethod
    def covering(cls, low: float, high: float) -> Self:
        """Return the range from ``low`` to ``high``, widened to hold 0."""
        low, high = min(float(low), 0.0), max(float(high), 0.0)
        scale = max((high - low) / LEVELS, 1e-8)
        return cls(scale, int(np.clip(round(-low / scale), 0, LEVELS)))

    @property
    def low(self) -> float:
        """The least float it holds."""
        return -self.zero_point * self.scale

    @property
    def high(self) -> float:
        """The greatest float it holds."""
        return (LEVELS - self.zero_point) * self.scale


@dataclass(frozen=True)
class BlockRanges:
    """What int8 needs to know of one block.

    Attributes:
        inputs: By matrix, a range for each application of the block.
        smoothing: By matrix of ``SMOOTHED``, (H,) float32 divisors of its input's channels.
    """

    inputs: Mapping[str, tuple[Range, ...]]
    smoothing: Mapping[str, Tensor]

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "inputs": {name: [[r.scale, r.zero_point] for r in ranges] for name, ranges in self.inputs.items()},
            "smoothing": {name: vector.tolist() for name, vector in self.smoothing.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore it."""
        inputs = {name: tuple(Range(float(s), int(z)) for s, z in data["inputs"][name]) for name in MATRICES}
        return cls(inputs, {name: torch.tensor(data["smoothing"][name]) for name in SMOOTHED})


class Channels:
    """The widest value of every channel so far."""

    def __init__(self) -> None:
        self.widest: Tensor | None = None

    def add(self, x: Tensor) -> None:
        """Take (N, channels) in."""
        found = x.abs().amax(dim=0).float()
        self.widest = found if self.widest is None else torch.maximum(self.widest, found)


class Histogram:
    """How often the values of a tensor fall where; grows by doubling its span.

    Attributes:
        counts: (bins,) float64 from ``-span`` to ``span``.
        span: Half the width.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS)
        self.span = 0.0
        self.low = self.high = 0.0

    def add(self, x: Tensor) -> None:
        """Take a tensor in.

        Raises:
            CheckpointError: It holds what is no finite number.
        """
        flat = x.detach().float().flatten()
        low, high = (float(v) for v in flat.aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise CheckpointError(
                "the network computes numbers that are not finite",
                hint="Its weights are damaged, or training diverged.",
            )
        self.low, self.high = min(self.low, low), max(self.high, high)
        widest = max(-low, high, 1e-6)
        if not self.span:
            self.span = widest
        while self.span < widest:
            pairs = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.zeros(_BINS)
            self.counts[_BINS // 4 : _BINS // 4 + _BINS // 2] = pairs
            self.span *= 2
        self.counts += torch.histc(flat, bins=_BINS, min=-self.span, max=self.span).double().numpy()

    def best_range(self) -> Range:
        """Return the range with the least squared error of rounding and clipping."""
        centres = (np.arange(_BINS) + 0.5) * (2 * self.span / _BINS) - self.span
        best, least = Range.covering(self.low, self.high), float("inf")
        for clip in _CLIPS:
            tried = Range.covering(self.low * clip, self.high * clip)
            outside = np.maximum(tried.low - centres, 0) + np.maximum(centres - tried.high, 0)
            error = float((self.counts * np.where(outside > 0, outside**2, tried.scale**2 / 12)).sum())
            if error < least:
                best, least = tried, error
        return best


def smoothing_of(widest: Tensor, weight: Tensor, strength: float = 0.5) -> Tensor:
    """Return the divisors that even out an input's channels: wide inputs give way to their weights.

    Args:
        widest: (in,) widest absolute value of each channel over all applications.
        weight: (out, in).
        strength: SmoothQuant's alpha: 0 leaves the inputs, 1 makes their channels equal.

    Returns:
        (in,) float32, with a geometric mean of 1.
    """
    columns = weight.detach().abs().amax(dim=0).float().clamp(min=1e-5)
    raw = widest.clamp(min=1e-5) ** strength / columns ** (1 - strength)
    return raw / raw.log().mean().exp()
