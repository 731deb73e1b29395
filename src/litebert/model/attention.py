"""Multi-head attention: one function, several backends, the same result (paper section 3.1; Google's ``attention_layer``).

Legend: B sequences, T positions, N real tokens of a packed batch, A heads, D width of a head.

Backends:
    ``eager``  matrix product, softmax in float32, matrix product; readable, and the one that can drop probabilities on any device.
    ``sdpa``   ``scaled_dot_product_attention``; given no mask at all when nothing is padded, so that the fast kernels apply.
    ``packed`` no padding outside attention: the linear layers see N tokens, see ``packing.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from litebert.errors import ConfigError, nearest
from litebert.model.packing import Packing

Backend = Literal["eager", "sdpa", "packed"]

BACKENDS: tuple[str, ...] = ("eager", "sdpa", "packed")

VARLEN_WIDTHS = 8
"""The kernel for packed sequences takes heads whose width is a multiple of this."""


@dataclass(frozen=True)
class Layout:
    """How the tokens of a batch lie in memory, shared by all applications of the block.

    Attributes:
        backend: One of ``BACKENDS``.
        mask: (B, T) bool, True = real token; or (B, T, T) bool, True where the second position may be seen from the first; None when
            nothing is padded. No query row is without any True.
        packing: Where the N real tokens sit in the padded batch; None unless the batch is packed.
    """

    backend: Backend
    mask: Tensor | None = None
    packing: Packing | None = None


def check_backend(name: str) -> Backend:
    """Return the name of a backend, checked.

    Raises:
        ConfigError: No such backend.
    """
    if name not in BACKENDS:
        raise ConfigError(f"unknown attention backend {name!r}", hint=nearest(name, BACKENDS))
    return cast(Backend, name)


def usable_mask(attention_mask: Tensor | None) -> Tensor | None:
    """Turn a user's mask into the bool mask that the backends take.

    Args:
        attention_mask: (B, T) of bool or numbers, non-zero = real token; or None.

    Returns:
        (B, T) bool, or None when nothing is padded. A row that is padding only becomes all True: its outputs mean nothing, but stay
        finite, and equal those of Google's additive mask, which shifts all scores of such a row alike (checklist B2).
    """
    if attention_mask is None:
        return None
    mask = attention_mask.to(torch.bool)
    if not torch.compiler.is_compiling() and bool(mask.all()):
        return None
    return mask | ~mask.any(dim=-1, keepdim=True)


def within_sequences(sequence_ids: Tensor) -> Tensor:
    """Let every token of a row see its own sequence only, where several sequences share a row.

    Args:
        sequence_ids: (B, T) integers, equal within a sequence; 0 = padding, which sees padding (finite, and read by nobody).

    Returns:
        (B, T, T) bool.
    """
    return sequence_ids[:, :, None] == sequence_ids[:, None, :]


def attend(q: Tensor, k: Tensor, v: Tensor, layout: Layout, *, dropout: float = 0.0) -> Tensor:
    """Attend from every token to every real token of its sequence.

    Args:
        q: Queries, (B, T, A, D), or (N, A, D) when packed. ``k`` and ``v`` likewise.
        k: Keys.
        v: Values.
        layout: Mask or packing of the batch.
        dropout: Probability of dropping an attention probability; 0 outside training.

    Returns:
        The attended values in the shape of ``q``, with the heads side by side: (B, T, A*D) or (N, A*D).
    """
    if layout.packing is None:
        return _attend_padded(q, k, v, layout, dropout)
    if q.is_cuda and dropout == 0.0 and q.dtype in (torch.float16, torch.bfloat16):
        return _attend_varlen(q, k, v, layout.packing)
    packing = layout.packing
    padded = _attend_padded(packing.pad(q), packing.pad(k), packing.pad(v), layout, dropout)
    return packing.pack(padded)


def _attend_padded(q: Tensor, k: Tensor, v: Tensor, layout: Layout, dropout: float) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, A, T, D)
    mask = None
    if layout.mask is not None:  # (B, 1, 1, T), or (B, 1, T, T)
        mask = layout.mask[:, None, None, :] if layout.mask.dim() == 2 else layout.mask[:, None]
    if layout.backend == "eager":
        out = _eager(q, k, v, mask, dropout)
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    return out.transpose(1, 2).flatten(2)  # (B, T, A*D)


def _eager(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5  # (B, A, T, T)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    precise = torch.promote_types(scores.dtype, torch.float32)  # half precision would lose small probabilities
    probabilities = scores.softmax(dim=-1, dtype=precise).to(v.dtype)
    return F.dropout(probabilities, dropout) @ v if dropout else probabilities @ v


def _attend_varlen(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    bounds, width = packing.bounds.to(torch.int32), q.shape[-1]
    more: dict[str, Any] = {}
    if width % VARLEN_WIDTHS:  # zeros add nothing to a score, and give zeros
        q, k, v = (F.pad(x, (0, -width % VARLEN_WIDTHS)) for x in (q, k, v))
        more = {"scale": width**-0.5}
    out = cast(Tensor, varlen_attn(q, k, v, bounds, bounds, packing.longest, packing.longest, **more))
    return out[..., :width].flatten(1)
