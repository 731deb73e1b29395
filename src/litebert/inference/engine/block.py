"""One block in packed form: what ``model/albert.py``'s ``Block`` computes, on tokens without padding.

Legend: N tokens, B sequences, H hidden width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litebert.config import AlbertConfig
from litebert.inference.engine.linear import PackedLinear
from litebert.inference.engine.tokens import TokenLayout, attend_from_first, attend_to_all
from litebert.model.albert import Block


class Norm:
    """A layer norm with its parameters in one type; the statistics are computed in float32."""

    def __init__(self, norm: nn.LayerNorm, dtype: torch.dtype) -> None:
        self.shape, self.epsilon = norm.normalized_shape, norm.eps
        self.weight, self.bias = norm.weight.detach().to(dtype), norm.bias.detach().to(dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Return (N, H) for (N, H)."""
        return F.layer_norm(x, self.shape, self.weight, self.bias, self.epsilon)


class PackedBlock:
    """A block in float32 or bfloat16.

    Args:
        block: The trained one.
        config: Of its model.
        dtype: Of all products and states.

    Attributes:
        rounds: Whether it is given a round number of rows, as kernels of oneDNN are made for a number of them.
    """

    def __init__(self, block: Block, config: AlbertConfig, dtype: torch.dtype) -> None:
        attention, ffn = block.attention_part.attention, block.feed_forward_part.ffn
        self.heads = attention.heads
        self.qkv = PackedLinear(attention.qkv.weight, attention.qkv.bias, dtype)
        self.output = PackedLinear(attention.output.weight, attention.output.bias, dtype)
        self.attention_norm = Norm(block.attention_part.norm, dtype)
        self.widen = PackedLinear(ffn.widen.weight, ffn.widen.bias, dtype, config.hidden_act)
        self.narrow = PackedLinear(ffn.narrow.weight, ffn.narrow.bias, dtype)
        self.ffn_norm = Norm(block.feed_forward_part.norm, dtype)
        self.rounds = self.qkv.fused

    def __call__(self, x: Tensor, layout: TokenLayout, application: int, *, firsts_only: bool = False) -> Tensor:
        """Apply the block.

        Args:
            x: (N, H).
            layout: Of the N tokens.
            application: Which one it is, from 0; float arithmetic is the same in all.
            firsts_only: Compute the first token of each sequence only, where nothing else is read any more.

        Returns:
            (N, H), or (B, H) in the order of the layout.
        """
        qkv = self.qkv(x)
        if firsts_only:
            attended, x = attend_from_first(qkv, self.heads, layout.slabs), x.index_select(0, layout.firsts)
        else:
            attended = attend_to_all(qkv, self.heads, layout.slabs)
        x = self.attention_norm(self.output.plus(attended, x))
        return self.ffn_norm(self.narrow.plus(self.widen(x), x))
