"""How far one encoder's states are from another's, application by application."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from litebert.errors import DataError
from litebert.inference.engine.calibration import TokenBatch
from litebert.inference.engine.encoder import PackedEncoder


@torch.inference_mode()
def drift(reference: PackedEncoder, other: PackedEncoder, batches: Sequence[TokenBatch]) -> list[float]:
    """Return the relative error of the states after each application: the norm of the difference over the norm of the reference.

    Args:
        reference: Usually in float32.
        other: Of the same model, reading the same tokens.
        batches: Text to look at.

    Raises:
        DataError: There is no text.
    """
    if not batches:
        raise DataError("there is no text to compare with", hint="Give texts like those the model will read.")
    depth = reference.depth or reference.config.num_hidden_layers
    away, whole = [0.0] * depth, [0.0] * depth
    for batch in batches:
        states = []
        for encoder in (reference, other):
            x, layout = encoder.begin(*batch, None)
            states.append([after[: layout.tokens].float().clone() for after in encoder.states(x, layout, depth)])
        for layer, (one, two) in enumerate(zip(*states, strict=True)):
            away[layer] += float((one - two).square().sum())
            whole[layer] += float(one.square().sum())
    return [(a / max(w, 1e-30)) ** 0.5 for a, w in zip(away, whole, strict=True)]
