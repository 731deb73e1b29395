"""The block in int8: weights per output channel, inputs by ranges of each application, sums in int32, the residual in float32.

Products run in oneDNN's int8 kernels with bias, GELU and residual inside; the widened states leave one product as the quantised
input of the next. Attention itself runs in bfloat16 where the machine has it.

Legend: N tokens, H hidden width.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from litebert.config import AlbertConfig
from litebert.inference.engine.block import Norm
from litebert.inference.engine.linear import FUSED, PackedLinear, cheaper
from litebert.inference.engine.ranges import LEVELS, MATRICES, SMOOTHED, BlockRanges, Range
from litebert.inference.engine.tokens import TokenLayout, attend_from_first, attend_to_all
from litebert.model.albert import Block
from litebert.train.precision import has_bfloat16_cpu


class Int8Linear:
    """One matrix in int8, with the ranges of its input in every application.

    Args:
        weight: (out, in).
        bias: (out,).
        inputs: Range of the input by application.
        smoothing: (in,) divisors of the input's channels, or None.
        activation: Of ``FUSED``.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        inputs: tuple[Range, ...],
        smoothing: Tensor | None,
        activation: str = "linear",
    ) -> None:
        weight = weight.detach().float()
        if smoothing is not None:
            weight = weight * smoothing
        scale = weight.abs().amax(dim=1).clamp(min=1e-8) / 127
        rounded = (weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
        self.packed = (_onednn().qlinear_prepack(rounded, None), scale, torch.zeros(len(scale), dtype=torch.int8))
        self.bias, self.inputs, self.activation = bias.detach().float(), inputs, cheaper(activation, torch.uint8)
        factor = torch.ones(weight.shape[1]) if smoothing is None else 1 / smoothing
        self._factors = [factor / one.scale for one in inputs]
        self._offsets = [torch.tensor(one.zero_point + 0.5) for one in inputs]

    def quantised(self, x: Tensor, application: int) -> Tensor:
        """Return (N, in) uint8 for (N, in)."""
        scaled = torch.addcmul(self._offsets[application], x.float(), self._factors[application])
        return scaled.clamp_(0, LEVELS).to(torch.uint8)

    def __call__(self, x: Tensor, application: int, out: torch.dtype | Range) -> Tensor:
        """Return (N, out), in a float type or quantised to a range.

        Args:
            x: (N, in) uint8.
            application: Whose ranges.
            out: float32 or bfloat16, or the range of the result.
        """
        name, algorithm = FUSED[self.activation]
        one = self.inputs[application]
        scale, zero, dtype = (out.scale, out.zero_point, torch.uint8) if isinstance(out, Range) else (1.0, 0, out)
        result: Tensor = _onednn().qlinear_pointwise(
            x, one.scale, one.zero_point, *self.packed, self.bias, scale, zero, dtype, name, [], algorithm
        )
        return result

    def plus(self, x: Tensor, application: int, residual: Tensor) -> Tensor:
        """Return the product and the residual added up, (N, out) float32; the residual's memory is used for it."""
        one = self.inputs[application]
        result: Tensor = _onednn().qlinear_pointwise.binary(
            x, one.scale, one.zero_point, *self.packed, residual, self.bias, 1.0, 0, torch.float32, 1.0, 0, "sum", 1.0, "none", [], ""
        )  # fmt: skip
        return result


class Int8Block:
    """A block in int8.

    Args:
        block: The trained one.
        config: Of its model.
        ranges: From calibration.
        keep: Matrices that stay in float, of ``MATRICES``.
    """

    def __init__(self, block: Block, config: AlbertConfig, ranges: BlockRanges, keep: Collection[str] = ()) -> None:
        attention, ffn = block.attention_part.attention, block.feed_forward_part.ffn
        self.heads, self.rounds = attention.heads, True
        self.half = torch.bfloat16 if has_bfloat16_cpu() else torch.float32
        parts = {"qkv": attention.qkv, "output": attention.output, "widen": ffn.widen, "narrow": ffn.narrow}
        self.int8: dict[str, Int8Linear] = {}
        self.float: dict[str, PackedLinear] = {}
        for name in MATRICES:
            part, activation = parts[name], config.hidden_act if name == "widen" else "linear"
            if name in keep:
                self.float[name] = PackedLinear(part.weight, part.bias, self.half, activation)
            else:
                smoothing = ranges.smoothing[name] if name in SMOOTHED else None
                self.int8[name] = Int8Linear(part.weight, part.bias, ranges.inputs[name], smoothing, activation)
        self.attention_norm = Norm(block.attention_part.norm, torch.float32)
        self.ffn_norm = Norm(block.feed_forward_part.norm, torch.float32)

    def __call__(self, x: Tensor, layout: TokenLayout, application: int, *, firsts_only: bool = False) -> Tensor:
        """Apply the block; as ``PackedBlock``, with (N, H) float32 in and out."""
        qkv = self._product("qkv", x, application)
        if firsts_only:
            attended, x = attend_from_first(qkv, self.heads, layout.slabs), x.index_select(0, layout.firsts)
        else:
            attended = attend_to_all(qkv, self.heads, layout.slabs)
        x = self.attention_norm(self._sum("output", attended, application, x))
        return self.ffn_norm(self._feed_forward(x, application))

    def _feed_forward(self, x: Tensor, application: int) -> Tensor:
        widen, narrow = self.int8.get("widen"), self.int8.get("narrow")
        if widen is None or narrow is None:
            return self._sum("narrow", self._product("widen", x, application), application, x)
        wide = widen(widen.quantised(x, application), application, narrow.inputs[application])
        return narrow.plus(wide, application, x)

    def _product(self, name: str, x: Tensor, application: int) -> Tensor:
        matrix = self.int8.get(name)
        if matrix is None:
            return self.float[name](x.to(self.half))
        return matrix(matrix.quantised(x, application), application, self.half)

    def _sum(self, name: str, x: Tensor, application: int, residual: Tensor) -> Tensor:
        matrix = self.int8.get(name)
        if matrix is None:
            return self.float[name](x.to(self.half)).float() + residual
        return matrix.plus(matrix.quantised(x, application), application, residual)


def has_int8() -> bool:
    """Whether this processor multiplies int8 without saturating (VNNI or AMX) and the library has the kernels."""
    there = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    fast = any(there.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))
    return bool(fast) and hasattr(torch.ops.onednn, "qlinear_pointwise")


def _onednn() -> Any:
    return torch.ops.onednn
