"""The tokens of a batch laid out without padding: sequences in order of length, those of one length side by side.

Linear layers see N real tokens. Attention sees slabs: sequences of one length are a rectangle as they lie, so that no padding is
computed and nothing is copied.

Where kernels are made for a number of rows, a few rows that are no tokens follow the N (``rounded``); nothing attends to them.

Legend: B sequences, T positions, N real tokens, A heads, D width of a head, H = A * D.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from litebert.model.attention import usable_mask


@dataclass(frozen=True)
class Slab:
    """Sequences of one length that lie side by side.

    Attributes:
        start: Their first token among the N.
        count: How many.
        length: Tokens of each.
    """

    start: int
    count: int
    length: int

    @property
    def stop(self) -> int:
        """The token after the last."""
        return self.start + self.count * self.length


@dataclass(frozen=True)
class TokenLayout:
    """Where the N real tokens of a padded (B, T) batch lie.

    Attributes:
        shape: (B, T).
        slabs: All sequences, by length.
        indices: (N,) int64, place of each token in the flattened (B*T,) batch; None where the batch lies as it is.
        order: (B,) int64, which sequence stands at each place.
        firsts: (B,) int64, first token of the sequence at each place.
    """

    shape: tuple[int, int]
    slabs: tuple[Slab, ...]
    indices: Tensor | None
    order: Tensor
    firsts: Tensor

    @classmethod
    def of(
        cls, shape: tuple[int, int], attention_mask: Tensor | None, device: torch.device | None = None
    ) -> TokenLayout:
        """Find the tokens of a batch.

        Args:
            shape: (B, T).
            attention_mask: (B, T), non-zero = real token; None: all are.
            device: Where the batch is.
        """
        batch, length = shape
        mask = usable_mask(attention_mask)
        if mask is None:
            firsts = torch.arange(0, batch * length, length, device=device)
            return cls(shape, (Slab(0, batch, length),), None, torch.arange(batch, device=device), firsts)
        lengths = mask.sum(dim=-1)
        order = torch.argsort(lengths, stable=True)
        ordered = mask[order]
        places = ordered.flatten().nonzero().squeeze(-1)  # in the batch as it is ordered
        indices = order[places // length] * length + places % length
        slabs, firsts = _slabs(lengths[order])
        return cls(shape, slabs, indices, order, firsts)

    def without(self, gone: Tensor) -> tuple[TokenLayout, Tensor]:
        """Take sequences out.

        Args:
            gone: (B,) bool by place; at least one stays.

        Returns:
            The layout of the rest, for attention and first tokens only; and which of the N tokens they are.
        """
        stays = ~gone
        lengths = torch.tensor([slab.length for slab in self.slabs]).repeat_interleave(
            torch.tensor([slab.count for slab in self.slabs])
        )
        tokens = stays.repeat_interleave(lengths).nonzero().squeeze(-1)
        slabs, firsts = _slabs(lengths[stays])
        return TokenLayout(self.shape, slabs, tokens, self.order[stays], firsts), tokens

    @property
    def tokens(self) -> int:
        """N."""
        return self.slabs[-1].stop

    def pack(self, padded: Tensor) -> Tensor:
        """Return the real tokens: (B, T, ...) -> (N, ...)."""
        flat = padded.flatten(0, 1)
        return flat if self.indices is None else flat.index_select(0, self.indices)

    def pad(self, packed: Tensor) -> Tensor:
        """Put the tokens back where they came from, zeros elsewhere: (N or more, ...) -> (B, T, ...)."""
        packed = packed[: self.tokens]
        if self.indices is None:
            return packed.view(*self.shape, *packed.shape[1:])
        out = packed.new_zeros((self.shape[0] * self.shape[1], *packed.shape[1:]))
        return out.index_copy_(0, self.indices, packed).view(*self.shape, *packed.shape[1:])

    def by_sequence(self, values: Tensor) -> Tensor:
        """Put what stands for one sequence each into the order of the batch: (B, ...) -> (B, ...)."""
        return values if self.indices is None else torch.empty_like(values).index_copy_(0, self.order, values)

    def positions(self) -> Tensor:
        """Return the position of each token in its row, (N,) int64."""
        if self.indices is None:
            return torch.arange(self.shape[1], device=self.order.device).repeat(self.shape[0])
        return self.indices % self.shape[1]


def _slabs(lengths: Tensor) -> tuple[tuple[Slab, ...], Tensor]:
    """Return slabs and first tokens of sequences of ascending lengths (B,)."""
    values, counts = torch.unique_consecutive(lengths, return_counts=True)
    slabs, start = [], 0
    for each, count in zip(values.tolist(), counts.tolist(), strict=True):
        slabs.append(Slab(start, count, each))
        start += count * each
    return tuple(slabs), F.pad(lengths.cumsum(0)[:-1], (1, 0))


def rounded(x: Tensor) -> Tensor:
    """Add rows of zeros until their number is a round one: (N, ...) -> (N or up to an eighth more, ...).

    oneDNN makes a kernel for every number of rows that it meets and keeps a thousand of them: making the four of a block takes as
    long as computing hundreds of rows with them, and each keeps half a megabyte. Texts as they come have any number of tokens.
    """
    rows = len(x)
    step = next(step for step, most in ((8, 128), (16, 512), (32, 2048), (64, math.inf)) if rows < most)
    more = -rows % step
    return F.pad(x, (0, 0) * (x.dim() - 1) + (0, more)) if more else x


def attend_to_all(qkv: Tensor, heads: int, slabs: Sequence[Slab]) -> Tensor:
    """Attend from every token to every token of its sequence.

    Args:
        qkv: (N, 3 * H) queries, keys and values.
        heads: A.
        slabs: Of the N tokens.

    Returns:
        (N, H), heads side by side; zeros for rows after the N, as many as there are.
    """
    parts = []
    for slab in slabs:
        q, k, v = _heads(qkv, heads, slab).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v)  # (count, A, length, D)
        parts.append(out.transpose(1, 2).reshape(slab.count * slab.length, -1))
    if len(qkv) > slabs[-1].stop:
        parts.append(qkv.new_zeros(len(qkv) - slabs[-1].stop, qkv.shape[1] // 3))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def attend_from_first(qkv: Tensor, heads: int, slabs: Sequence[Slab]) -> Tensor:
    """Attend from the first token of each sequence only; arguments as in ``attend_to_all``, result (B, H)."""
    parts = []
    for slab in slabs:
        q, k, v = _heads(qkv, heads, slab).unbind(0)
        out = F.scaled_dot_product_attention(q[:, :, :1], k, v)  # (count, A, 1, D)
        parts.append(out.reshape(slab.count, -1))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _heads(qkv: Tensor, heads: int, slab: Slab) -> Tensor:
    """Return queries, keys and values of a slab, a view (3, count, A, length, D)."""
    return qkv[slab.start : slab.stop].view(slab.count, slab.length, 3, heads, -1).permute(2, 0, 3, 1, 4)
