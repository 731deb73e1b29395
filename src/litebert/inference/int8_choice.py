"""What int8 is prepared with when a model is loaded: the ranges of its inputs, and the matrices that stay in float."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import nn

from litebert.inference.engine.accelerate import packed
from litebert.inference.engine.calibration import TokenBatch, calibrate
from litebert.inference.engine.ranges import BlockRanges
from litebert.inference.engine.sensitivity import last_states, relative_error, sensitive
from litebert.inference.texts import held_out
from litebert.model.albert import AlbertModel

logger = logging.getLogger("litebert")

Make = Callable[[Sequence[BlockRanges], tuple[str, ...]], nn.Module]
"""Makes an int8 encoder of ranges and of the matrices to keep."""


def int8_encoder(
    model: AlbertModel, text: Sequence[TokenBatch], make: Make, *, keep: tuple[str, ...] | None, firsts_only: bool
) -> nn.Module:
    """Return the int8 encoder of a trained one; say which matrices were kept where that was not told.

    Args:
        model: In evaluation mode on the CPU.
        text: To learn the ranges from; the drift is measured on every eighth of its rows.
        make: Makes the encoder of the back end.
        keep: Matrices that stay in float, of ``ranges.MATRICES``; None for those that ``sensitive`` finds.
        firsts_only: As ``make`` does it.

    Raises:
        DataError: There is no text.
    """
    ranges = calibrate(model, text, firsts_only=firsts_only)
    if keep is not None:
        return make(ranges, keep)
    _, judged = held_out(text)
    exact = last_states(packed(model, torch.float32, firsts_only=firsts_only), judged)
    made: dict[tuple[str, ...], nn.Module] = {}

    def drift_of(names: tuple[str, ...]) -> float:
        made[names] = make(ranges, names)
        return relative_error(last_states(made[names], judged), exact)

    found = sensitive(drift_of)
    logger.info("int8: %s", found.reason)
    return made[found.matrices]
