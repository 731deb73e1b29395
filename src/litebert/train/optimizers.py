"""Google-exact LAMB and AdamW, and torch's AdamW, over parameter groups that know what a matrix is.

LAMB: arXiv:1904.00962 as released in google-research/albert ``lamb_optimizer.py``; AdamW: ``AdamWeightDecayOptimizer`` in its
``optimization.py``. Neither corrects the bias of the moments, and both leave layer norms and biases out of weight decay; LAMB
leaves them out of the trust ratio too. Q, K and V are one tensor here but three matrices there, so each third has its own ratio.
The norm of a matrix needs all of it: where processes hold parts (FSDP2), LAMB gathers each matrix and its update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from litebert.train.muon import Muon
from litebert.train.sharded_tensors import like, whole

OptimizerName = Literal["adamw", "google-adamw", "lamb", "muon"]


def is_decayed(name: str) -> bool:
    """Whether a parameter decays: all but biases and layer norms (Google's pattern ``LayerNorm|layer_norm|bias``)."""
    return not (name.endswith("bias") or "norm" in name)


def logical_parts(name: str) -> int:
    """Return how many matrices a parameter stacks by rows: three for fused queries, keys and values."""
    return 3 if name.endswith("qkv.weight") else 1


def is_block_matrix(name: str) -> bool:
    """Whether a parameter is a matrix of the shared block, which Muon updates."""
    return "encoder.groups." in name and is_decayed(name)


def parameter_groups(
    model: nn.Module, *, weight_decay: float, head_factor: float = 1.0, matrix_factor: float | None = None
) -> list[dict[str, Any]]:
    """Sort the distinct parameters into groups: a shared tensor appears once (checklist E8).

    Args:
        model: Frozen parameters are left out.
        weight_decay: For decayed parameters.
        head_factor: Learning-rate factor of everything outside the encoder.
        matrix_factor: Learning-rate factor of the block's matrices under Muon; None for other optimisers.

    Returns:
        Groups for an optimiser, with the keys ``params``, ``names``, ``weight_decay``, ``adapt``, ``parts``, ``matrix``, ``lr_factor``.
    """
    groups: dict[tuple[bool, int, float, bool], dict[str, Any]] = {}
    has_head = hasattr(model, "albert")
    for name, parameter in model.named_parameters():  # yields a shared parameter once
        if not parameter.requires_grad:
            continue
        factor = head_factor if has_head and not name.startswith("albert.") else 1.0
        decayed, parts = is_decayed(name), logical_parts(name)
        matrix = matrix_factor is not None and is_block_matrix(name)
        factor = factor * cast(float, matrix_factor) if matrix else factor
        group = groups.setdefault(
            (decayed, parts, factor, matrix),
            {
                "params": [], "names": [], "weight_decay": weight_decay if decayed else 0.0,
                "adapt": decayed, "parts": parts, "matrix": matrix, "lr_factor": factor,
            },
        )  # fmt: skip
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def make_optimizer(
    name: OptimizerName,
    groups: Iterable[dict[str, Any]],
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-6,
) -> Optimizer:
    """Build an optimiser; its learning rate is set at every step by ``set_learning_rate``.

    Args:
        name: ``adamw`` (torch's, with bias correction), ``google-adamw`` or ``lamb`` (both without), ``muon`` (see ``muon.py``).
        groups: From ``parameter_groups``.
        betas: Decay of the moments.
        epsilon: Added outside the square root.
    """
    groups = list(groups)
    if name == "lamb":
        return Lamb(groups, betas=betas, epsilon=epsilon)
    if name == "muon":
        return Muon(groups, betas=betas, epsilon=epsilon)
    if name == "google-adamw":
        return GoogleAdamW(groups, betas=betas, epsilon=epsilon)
    kept = [{k: v for k, v in group.items() if k != "names"} for group in groups]
    return torch.optim.AdamW(kept, lr=0.0, betas=betas, eps=epsilon, fused=True)


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set the rate of every group, times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("lr_factor", 1.0)


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> float:
    """Scale all gradients so that their joint norm is at most ``limit``, exactly as ``tf.clip_by_global_norm`` (checklist E2).

    Args:
        parameters: Those without a gradient are skipped.
        limit: Largest norm; 0 measures without clipping.

    Returns:
        The joint norm before clipping.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    value = float(norm)
    if limit and value > limit:
        torch._foreach_mul_(gradients, limit / value)
    return value


class _GoogleAdam(Optimizer):
    """Moments without bias correction; subclasses say how large a step is."""

    def __init__(self, groups: list[dict[str, Any]], *, betas: tuple[float, float], epsilon: float) -> None:
        kept = [{k: v for k, v in group.items() if k != "names"} for group in groups]
        super().__init__(
            kept, {"lr": 0.0, "betas": betas, "eps": epsilon, "weight_decay": 0.0, "adapt": True, "parts": 1}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            for p in parameters:
                if not self.state[p]:
                    self.state[p] = {"m": torch.zeros_like(p), "v": torch.zeros_like(p)}
            gradients = [cast(Tensor, p.grad) for p in parameters]
            m = [self.state[p]["m"] for p in parameters]
            v = [self.state[p]["v"] for p in parameters]
            beta1, beta2 = group["betas"]
            torch._foreach_mul_(m, beta1)
            torch._foreach_add_(m, gradients, alpha=1 - beta1)
            torch._foreach_mul_(v, beta2)
            torch._foreach_addcmul_(v, gradients, gradients, 1 - beta2)
            denominator = torch._foreach_sqrt(v)
            torch._foreach_add_(denominator, group["eps"])
            updates = list(torch._foreach_div(m, denominator))
            if group["weight_decay"]:
                torch._foreach_add_(updates, parameters, alpha=group["weight_decay"])
            self._apply(parameters, updates, group)
        return loss

    def _apply(self, parameters: list[Tensor], updates: list[Tensor], group: dict[str, Any]) -> None:
        raise NotImplementedError


class GoogleAdamW(_GoogleAdam):
    """Adam with decoupled weight decay and no bias correction (Google's ``AdamWeightDecayOptimizer``)."""

    def _apply(self, parameters: list[Tensor], updates: list[Tensor], group: dict[str, Any]) -> None:
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])


class Lamb(_GoogleAdam):
    """The same update, scaled per matrix by |w| / |update|, 1 where either is 0, never clamped (Google's ``LAMBOptimizer``)."""

    def _apply(self, parameters: list[Tensor], updates: list[Tensor], group: dict[str, Any]) -> None:
        if not group["adapt"]:
            torch._foreach_add_(parameters, updates, alpha=-group["lr"])
            return
        wholes = [whole(p) for p in parameters]
        matrices = [part for p in wholes for part in p.chunk(group["parts"])]
        steps = [part for u in updates for part in whole(u).chunk(group["parts"])]
        weight_norms = torch.stack(torch._foreach_norm(matrices))
        step_norms = torch.stack(torch._foreach_norm(steps))
        usable = (weight_norms > 0) & (step_norms > 0)
        ratios = torch.where(usable, weight_norms / step_norms.where(usable, torch.ones_like(step_norms)), 1.0)
        for matrix, step, ratio in zip(matrices, steps, ratios.unbind(), strict=True):
            matrix.sub_(step * (ratio * group["lr"]))
        for p, full in zip(parameters, wholes, strict=True):
            if full is not p:
                p.copy_(like(full, p))
