"""Matrix products in the layout the machine's kernels want, with bias, activation and residual in one call where the library can.

On a CPU this is oneDNN (PyTorch's own, through the operators its compiler emits): the weight is reordered once. Where those operators
are missing, and on other devices, plain ``linear`` does the same arithmetic.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from litebert.model.albert import ACTIVATION_FUNCTIONS

FUSED: dict[str, tuple[str, str]] = {
    "gelu_new": ("gelu", "tanh"), "gelu_pytorch_tanh": ("gelu", "tanh"), "gelu": ("gelu", "none"), "relu": ("relu", ""),
    "tanh": ("tanh", ""), "silu": ("swish", ""), "swish": ("swish", ""), "linear": ("none", ""),
}  # fmt: skip
"""oneDNN's name of each activation, and of its algorithm."""


def cheaper(activation: str, dtype: torch.dtype) -> str:
    """Return the activation to compute in a type: outside float32, GELU by erf for GELU by tanh.

    The two differ by at most 5e-4, a bfloat16 near 1 is rounded by up to 4e-3, and oneDNN's tanh costs as much again as the product.

    Args:
        activation: Of ``FUSED``.
        dtype: Of the result.
    """
    by_tanh = FUSED[activation] == ("gelu", "tanh")
    return "gelu" if by_tanh and dtype != torch.float32 else activation


class PackedLinear:
    """x W' + b, then an activation or the addition of a residual.

    Args:
        weight: (out, in), any float type.
        bias: (out,).
        dtype: float32 or bfloat16, of weight, input and output.
        activation: Of ``FUSED``; "linear" for none.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, activation: str = "linear") -> None:
        self.dtype, self.activation = dtype, cheaper(activation, dtype)
        self.bias = bias.detach().to(dtype)
        weight = weight.detach().to(dtype).contiguous()
        self.fused = weight.device.type == "cpu" and packs(dtype)
        self.weight = _mkldnn()._reorder_linear_weight(weight, None) if self.fused else weight
        self.post = FUSED[self.activation]

    def __call__(self, x: Tensor) -> Tensor:
        """Return (N, out) for (N, in)."""
        if self.fused:
            name, algorithm = self.post
            out: Tensor = _mkldnn()._linear_pointwise(x, self.weight, self.bias, name, [], algorithm)
            return out
        return ACTIVATION_FUNCTIONS[self.activation](F.linear(x, self.weight, self.bias))

    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        """Return the product and the residual added up, (N, out); without the activation."""
        if self.fused:
            part = rows_at_once(x.shape[0], self.dtype)
            if part < x.shape[0]:
                pairs = zip(torch.split(x, part), torch.split(residual, part), strict=True)
                return torch.cat([_mkldnn()._linear_pointwise.binary(*p, self.weight, self.bias, "add") for p in pairs])
            out: Tensor = _mkldnn()._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")
            return out
        return F.linear(x, self.weight, self.bias) + residual


def rows_at_once(rows: int, dtype: torch.dtype) -> int:
    """Return how many rows to give to one product with as many columns as a state has.

    Between 385 and 1,407 rows oneDNN 3 computes such a bfloat16 product in one thread of two; parts of at most 384 get both.
    """
    if dtype != torch.bfloat16 or not 384 < rows < 1408 or torch.get_num_threads() != 2:
        return rows
    parts = -(-rows // 384)
    return -(-rows // parts)


@cache
def packs(dtype: torch.dtype) -> bool:
    """Whether oneDNN's packed products are there and right for a type: tried once on a small product."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, 32, generator=generator).to(dtype) for n in (8, 16))
    bias = torch.linspace(-1, 1, 16).to(dtype)
    try:
        packed = _mkldnn()._reorder_linear_weight(weight, None)
        plain = _mkldnn()._linear_pointwise(x, packed, bias, "gelu", [], "tanh")
        added = _mkldnn()._linear_pointwise.binary(x, plain, packed, bias, "add")
    except (RuntimeError, AttributeError, NotImplementedError, TypeError):
        return False
    product = F.linear(x.float(), weight.float(), bias.float())
    expected = F.gelu(product, approximate="tanh")
    error = max(float((plain - expected).abs().max()), float((added - product - expected).abs().max()))
    return error < (1e-4 if dtype == torch.float32 else 0.2)


def _mkldnn() -> Any:
    return torch.ops.mkldnn
