"""Shares of a batch computed side by side, each by a thread with kernels of its own.

Threads that share every product wait for each other after each, and oneDNN gives some products of 400 to 1,400 rows to one thread only.
Shares of a batch meet once, at its end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import accumulate, pairwise
from typing import TypeVar

import torch
from torch import Tensor

from litebert.model.attention import usable_mask

T = TypeVar("T")

LEAST = 32
"""Tokens below which a share is not worth a thread."""

UNEVEN = 1.2
"""How many times the mean a share may have."""


def shares(lengths: Sequence[int], threads: int) -> list[slice]:
    """Cut sequences into runs of about as many tokens each.

    Args:
        lengths: Tokens of each sequence.
        threads: That the machine offers.

    Returns:
        Runs that cover all sequences in order; their number divides ``threads``. One run where more would be uneven or tiny.
    """
    total = sum(lengths)
    ends = list(accumulate(lengths))
    for count in range(min(threads, len(lengths)), 1, -1):
        if threads % count or total < count * LEAST:
            continue
        bounds = [0]
        for number in range(1, count):
            target = number * total / count
            bounds.append(min(range(1, len(ends)), key=lambda i: abs(ends[i - 1] - target)))
        bounds.append(len(lengths))
        cuts = [slice(a, b) for a, b in pairwise(bounds)]
        if max(sum(lengths[cut]) for cut in cuts) <= UNEVEN * total / count:
            return cuts
    return [slice(0, len(lengths))]


def side_by_side(compute: Callable[[slice], T], cuts: Sequence[slice]) -> list[T]:
    """Compute shares at once.

    Args:
        compute: Called once for each, in a thread; PyTorch's gradient and inference modes are those of the caller.
        cuts: From ``shares``.

    Returns:
        The results in order.
    """
    threads, inference, gradients = torch.get_num_threads(), torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    each = threads // len(cuts)

    def one(cut: slice) -> T:
        if torch.get_num_threads() != each:
            torch.set_num_threads(each)
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return compute(cut)

    try:
        return list(_pool().map(one, cuts))
    finally:
        torch.set_num_threads(threads)  # it is also what threads to come begin with


def in_shares(
    compute: Callable[..., T], input_ids: Tensor | None, attention_mask: Tensor | None, *others: Tensor | None
) -> list[T]:
    """Compute a batch in shares of its rows where that pays, on a CPU.

    Args:
        compute: Called with the same rows of all inputs.
        input_ids: (B, T).
        attention_mask: (B, T), or None.
        others: (B, T), (1, T) or None.

    Returns:
        The results in the order of the rows; one where the batch is not shared out.
    """
    if input_ids is None or input_ids.device.type != "cpu":
        return [compute(input_ids, attention_mask, *others)]
    batch, length = input_ids.shape
    mask = usable_mask(attention_mask)
    cuts = shares([length] * batch if mask is None else mask.sum(dim=-1).tolist(), torch.get_num_threads())
    if len(cuts) == 1:
        return [compute(input_ids, attention_mask, *others)]
    inputs = (input_ids, attention_mask, *others)
    return side_by_side(lambda cut: compute(*(x if x is None or len(x) == 1 else x[cut] for x in inputs)), cuts)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="lane")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
