"""Which matrices of the block are too sensitive for int8: they stay in float, the one that helps most first.

The error of the last states against float32 is measured with every matrix in int8. Only where it exceeds ``LIMIT`` are matrices
kept: the one whose keeping lowers it most, then the next, until it is within the limit or no further one helps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from litebert.errors import DataError
from litebert.inference.engine.calibration import TokenBatch
from litebert.inference.engine.ranges import MATRICES

LIMIT = 0.05
"""Relative error of the last states up to which nothing is kept.

Chosen after looking: a classifier of base's shape reaches 1.5%, a reranker fine-tuned from litebert-small-en 3.2%, its vectors
7% and its masked-LM states 9%. How many points of a task each costs was not measured together with it.
A matrix that is kept takes four times the bytes in a file and more time, so models below the limit do not pay.
"""


@dataclass(frozen=True)
class Kept:
    """What stays in float, and why.

    Attributes:
        matrices: Of ``MATRICES``, in the order in which they were chosen.
        drift: Relative error of the last states: with none kept, then with one more each time.
        limit: At which to stop.
    """

    matrices: tuple[str, ...]
    drift: tuple[float, ...]
    limit: float = LIMIT

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"matrices": list(self.matrices), "drift": list(self.drift), "limit": self.limit}

    @property
    def reason(self) -> str:
        """One line for people."""
        near = self.drift[-1] <= self.limit
        drift = f"the last states drift by {100 * self.drift[0]:.1f}%"
        limit = f"the limit of {100 * self.limit:.0f}%"
        if not self.matrices:
            place = f"within {limit}" if near else f"above {limit}, but none helps"
            return f"no matrix kept in float: {drift}, {place}"
        steps = ", ".join(
            f"{100 * error:.1f}% with {name}" for name, error in zip(self.matrices, self.drift[1:], strict=True)
        )
        rest = "" if near else "; no further one helps"
        return f"kept in float: {', '.join(self.matrices)}; {drift}, above {limit}; {steps}{rest}"


def sensitive(drift_of: Callable[[tuple[str, ...]], float], limit: float = LIMIT) -> Kept:
    """Choose the matrices that stay in float.

    Args:
        drift_of: Returns the relative error of the last states with some matrices kept.
        limit: Up to which no more are kept.
    """
    chosen: tuple[str, ...] = ()
    found = [drift_of(chosen)]
    while found[-1] > limit and len(chosen) < len(MATRICES):
        tried = {name: drift_of((*chosen, name)) for name in MATRICES if name not in chosen}
        best = min(tried, key=tried.__getitem__)
        if not tried[best] < found[-1]:
            break
        chosen = (*chosen, best)
        found.append(tried[best])
    return Kept(chosen, tuple(found), limit)


@torch.inference_mode()
def last_states(encoder: nn.Module, batches: Sequence[TokenBatch]) -> list[Tensor]:
    """Return the last states of every batch, (B, T, H) or (B, 1, H) float32; called as ``AlbertModel`` is.

    Raises:
        DataError: There is no text.
    """
    if not batches:
        raise DataError("there is no text to compare with", hint="Give texts like those the model will read.")
    return [encoder(*batch).last_hidden_state.float() for batch in batches]


def relative_error(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the norm of the difference over the norm of what is expected; zeros at padding count for nothing."""
    away = sum(float((one - two).square().sum()) for one, two in zip(found, expected, strict=True))
    whole = sum(float(one.square().sum()) for one in expected)
    return float((away / max(whole, 1e-30)) ** 0.5)
