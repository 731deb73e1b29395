"""Long work is done part by part: a network that computes the many windows of one text so, and what may happen between two parts.

Legend: W windows, T positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

_STATES = ("last_hidden_state", "token_embeddings")
"""Outputs that no task reads and that are as large as what is to be saved."""

_LOOK_UP: ContextVar[Callable[[], None] | None] = ContextVar("look up", default=None)


@contextmanager
def looking_up(look: Callable[[], None] | None) -> Iterator[None]:
    """Have something called between the parts of all that is computed within, in its thread.

    Args:
        look: May do other work, or raise what ends the computation; None: nothing is called.
    """
    token = _LOOK_UP.set(look)
    try:
        yield
    finally:
        _LOOK_UP.reset(token)


def look_up() -> None:
    """Call what is to be called between two parts."""
    look = _LOOK_UP.get()
    if look is not None:
        look()


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
            if start:
                look_up()
            out = self.model(*(x[start : start + self.rows] for x in inputs), **given)
            parts.append({name: value for name, value in vars(out).items() if name not in _STATES})
        kept = {name: value for name, value in parts[0].items() if isinstance(value, Tensor)}
        return SimpleNamespace(**{name: torch.cat([part[name] for part in parts]) for name in kept})
