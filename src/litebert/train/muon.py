"""Muon for the block's matrices, AdamW for everything else.

Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers"): the momentum of a matrix is replaced by the nearest
semi-orthogonal matrix, found by a quintic Newton-Schulz iteration, so that every direction moves alike. One shared block makes it
nearly free: a handful of matrices a step, however deep the encoder. Queries, keys and values are one tensor here but three matrices.
AdamW is Loshchilov and Hutter's, with bias correction. Where processes hold parts of a matrix (FSDP2), each gathers all of it and does
the whole iteration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from litebert.train.sharded_tensors import like, whole

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
MOMENTUM = 0.95
"""Nesterov momentum of the matrices."""


def orthogonalised(matrix: Tensor) -> Tensor:
    """Push the singular values of a matrix towards 1, to between about 0.7 and 1.2.

    Args:
        matrix: (rows, columns), any dtype; computed in bfloat16, which the iteration forgives.
    """
    a, b, c = _COEFFICIENTS
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    out: Tensor = (x.T if tall else x).to(matrix.dtype)
    return out


class Muon(Optimizer):
    """Muon on the groups marked ``matrix``, AdamW on the others.

    Args:
        groups: From ``parameter_groups``.
        betas: Decay of AdamW's moments.
        epsilon: Of AdamW.
    """

    def __init__(self, groups: list[dict[str, Any]], *, betas: tuple[float, float], epsilon: float) -> None:
        kept = [{k: v for k, v in group.items() if k != "names"} for group in groups]
        defaults = {"lr": 0.0, "betas": betas, "eps": epsilon, "weight_decay": 0.0, "matrix": False, "fused": True}
        super().__init__(kept, defaults)  # "fused" makes torch load the step counters onto the device

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                (self._muon if group["matrix"] else self._adamw)(parameters, group)
        return loss

    def _muon(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for p in parameters:
            gradient = cast(Tensor, p.grad)
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            momentum: Tensor = state["momentum"]
            momentum.lerp_(gradient, 1 - MOMENTUM)
            update = gradient.lerp(momentum, MOMENTUM)
            p.mul_(1 - group["lr"] * group["weight_decay"])
            full = whole(p)
            for weight, part in zip(full.chunk(group["parts"]), whole(update).chunk(group["parts"]), strict=True):
                scale = max(1.0, part.shape[0] / part.shape[1]) ** 0.5
                weight.add_(orthogonalised(part), alpha=-group["lr"] * scale)
            if full is not p:
                p.copy_(like(full, p))

    def _adamw(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p] = {
                    "step": torch.zeros((), device=p.device), "m": torch.zeros_like(p), "v": torch.zeros_like(p),
                }  # fmt: skip
        states = [self.state[p] for p in parameters]
        adamw(
            parameters, [cast(Tensor, p.grad) for p in parameters], [s["m"] for s in states], [s["v"] for s in states],
            [], [s["step"] for s in states], fused=True, amsgrad=False, beta1=group["betas"][0], beta2=group["betas"][1],
            lr=group["lr"], weight_decay=group["weight_decay"], eps=group["eps"], maximize=False,
        )  # fmt: skip
