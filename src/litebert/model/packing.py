"""Padded <-> packed batches: a packed batch holds the real tokens only, one after another.

Legend: B sequences, T positions, N real tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the N real tokens of a padded (B, T) batch sit.

    Attributes:
        indices: (N,) int64, positions of the real tokens in the flattened (B*T,) batch, ascending.
        bounds: (B+1,) int64, where each sequence begins and ends among the N tokens.
        batch: B.
        length: T.
        longest: Most real tokens in one sequence.
    """

    indices: Tensor
    bounds: Tensor
    batch: int
    length: int
    longest: int

    @classmethod
    def of(cls, mask: Tensor) -> Packing:
        """Find the real tokens of a batch.

        Args:
            mask: (B, T) bool, True = real token.
        """
        lengths = mask.sum(dim=-1)
        bounds = F.pad(lengths.cumsum(0), (1, 0))
        indices = mask.flatten().nonzero().squeeze(-1)
        return cls(indices, bounds, mask.shape[0], mask.shape[1], int(lengths.max()) if lengths.numel() else 0)

    def pack(self, padded: Tensor) -> Tensor:
        """Return the real tokens: (B, T, ...) -> (N, ...)."""
        return padded.flatten(0, 1).index_select(0, self.indices)

    def pad(self, packed: Tensor) -> Tensor:
        """Put the tokens back where they came from, zeros elsewhere: (N, ...) -> (B, T, ...)."""
        out = packed.new_zeros((self.batch * self.length, *packed.shape[1:]))
        return out.index_copy(0, self.indices, packed).view(self.batch, self.length, *packed.shape[1:])

    def first_tokens(self, packed: Tensor) -> Tensor:
        """Return each sequence's first real token: (N, ...) -> (B, ...)."""
        return packed.index_select(0, torch.clamp(self.bounds[:-1], max=max(packed.shape[0] - 1, 0)))
