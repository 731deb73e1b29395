"""Which precision a run uses on which hardware."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

_SHORT = 256
"""Tokens up to which explicit attention pays."""

_WIDE_ENOUGH = 256
"""Hidden size from which bfloat16 pays on a CPU: below it the conversions cost more than the products save (3 x 128: 1.4 times
slower; 6 x 384: 1.8 times faster)."""


def uses_bfloat16(precision: str, device: torch.device, hidden_size: int | None = None) -> bool:
    """Whether matrix products run in bfloat16: as told, or where the hardware multiplies it natively and the model gains.

    Args:
        precision: ``auto``, ``fp32`` or ``bf16``.
        device: Where the model runs.
        hidden_size: Its width; None for wide.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cpu" and hidden_size is not None and hidden_size < _WIDE_ENOUGH:
        return False
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and has_bfloat16_cpu()


def has_bfloat16_cpu() -> bool:
    """Whether this processor has bfloat16 matrix instructions (AVX512-BF16 or AMX)."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if capabilities:
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def training_attention(chosen: str, precision: str, device: torch.device, hidden_size: int, length: int) -> str:
    """Return the attention backend to train with: as told, or the faster one.

    On a CPU in bfloat16 the backward pass of ``scaled_dot_product_attention`` is slow: at a length of 70, explicit products made a step
    of the small model 1.4 times faster; at 512 it was the other way round, and so it is in float32 at any length.

    Args:
        chosen: ``auto``, or a backend.
        precision: Of the training settings.
        device: Where it runs.
        hidden_size: Width of the model.
        length: Most tokens of a sequence.
    """
    if chosen != "auto":
        return chosen
    explicit = device.type == "cpu" and uses_bfloat16(precision, device, hidden_size) and length <= _SHORT
    return "eager" if explicit else "sdpa"


def autocast(precision: str, device: torch.device, hidden_size: int | None = None) -> AbstractContextManager[Any]:
    """Return the context in which a forward pass runs: bfloat16 matrix products, or nothing."""
    if not uses_bfloat16(precision, device, hidden_size):
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
