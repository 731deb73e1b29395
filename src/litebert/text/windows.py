"""Overlapping windows over texts that are longer than a model's input.

Every token is in at least one window, and neighbouring windows share ``stride`` tokens. For a pair with one short side the
other is windowed (questions over a passage); if both are long they advance in lockstep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from litebert.errors import UsageError


class Window(NamedTuple):
    """One model input: a slice of the tokens of the first sequence, and of the second if there is one."""

    first: slice
    second: slice | None


def windows(
    length_a: int, length_b: int | None, max_length: int, stride: int, specials: int | None = None
) -> list[Window]:
    """Cut one or two token sequences into windows.

    Args:
        length_a: Number of tokens of the first sequence, without specials.
        length_b: Number of tokens of the second; None for a single text.
        max_length: Largest input, in tokens, specials included.
        stride: Number of tokens that neighbouring windows share.
        specials: Number of special tokens per window; 3 for a pair and 2 for a single text unless given.

    Returns:
        At least one window, in reading order.

    Raises:
        UsageError: The windows would have no room to advance.
    """
    budget = max_length - (specials if specials is not None else 2 if length_b is None else 3)
    # Checked against the smallest room a side can get, so that the call fails for every text or for none.
    room = budget if length_b is None else budget // 2
    if stride < 0 or room <= stride:
        raise UsageError(
            f"Windows of max_length={max_length} with stride={stride} cannot advance.",
            hint=f"stride is the overlap in tokens: use 0 to {room - 1}." if room > 0 else "Raise max_length.",
        )
    if length_b is None:
        return [Window(part, None) for part in _cut(length_a, budget, stride)]
    return _pair(length_a, length_b, budget, stride)


def most_central(parts: Sequence[slice], length: int) -> list[int]:
    """Return for each of ``length`` tokens the window that sees most around it.

    That is the fewer of the tokens it sees before and after, and a hundredth of its length (``_check_is_max_context`` in Google's
    ``run_squad_v1.py``); of equal windows the first.

    Args:
        parts: Windows over the tokens, which together cover all.
        length: Number of tokens.
    """
    best = [-1.0] * length
    found = [0] * length
    for number, part in enumerate(parts):
        size = part.stop - part.start
        for token in range(part.start, part.stop):
            score = min(token - part.start, part.stop - 1 - token) + 0.01 * size
            if score > best[token]:
                best[token], found[token] = score, number
    return found


def _pair(length_a: int, length_b: int, budget: int, stride: int) -> list[Window]:
    half = budget // 2
    if length_a <= half:
        whole = slice(0, length_a)
        return [Window(whole, part) for part in _cut(length_b, budget - length_a, stride)]
    if length_b <= half:
        whole = slice(0, length_b)
        return [Window(part, whole) for part in _cut(length_a, budget - length_b, stride)]
    first, second = _cut(length_a, budget - half, stride), _cut(length_b, half, stride)
    count = max(len(first), len(second))
    return [Window(first[min(i, len(first) - 1)], second[min(i, len(second) - 1)]) for i in range(count)]


def _cut(length: int, room: int, stride: int) -> list[slice]:
    step = room - stride
    count = 1 + max(0, -(-(length - room) // step))
    return [slice(i * step, min(i * step + room, length)) for i in range(count)]
