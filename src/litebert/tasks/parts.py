"""One text can have more windows than fit into memory together: a network that computes them part by part.

Legend: W windows, T positions.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

_STATES = ("last_hidden_state", "token_embeddings")
"""Outputs that no task reads and that are as large as what is to be saved."""


class InParts(nn.Module):
    """A network in evaluation that sees some rows at a time.

    Args:
        model: Answers each row by itself, whatever the others are.
        rows: At a time.
    """

    def __init__(self, model: nn.Module, rows: int) -> None:
        super().__init__()
        self.model, self.rows = model, rows

    def forward(self, *inputs: Tensor, **given: None) -> SimpleNamespace:
        """Return the outputs for (W, ..., T) inputs, states left out; keyword arguments must all be None."""
        assert not any(value is not None for value in given.values())
        parts: list[dict[str, Any]] = []
        for start in range(0, len(inputs[0]), self.rows):
            out = self.model(*(x[start : start + self.rows] for x in inputs), **given)
            parts.append({name: value for name, value in vars(out).items() if name not in _STATES})
        kept = {name: value for name, value in parts[0].items() if isinstance(value, Tensor)}
        return SimpleNamespace(**{name: torch.cat([part[name] for part in parts]) for name in kept})
