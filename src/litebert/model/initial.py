"""What the parameters are before training, or before they are read from a file."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

from litebert.config import AlbertConfig

_draws: ContextVar[bool] = ContextVar("draws", default=True)


class _Undrawn(TorchFunctionMode):
    """Leaves out what PyTorch draws for its own modules."""

    drawing = frozenset({nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func in self.drawing:
            return args[0] if args else given["tensor"]
        return func(*args, **given)


@contextmanager
def without_drawing() -> Iterator[None]:
    """Build networks whose values will all be replaced, or given by ``initialise`` afterwards: until then they mean nothing."""
    token = _draws.set(False)
    try:
        with _Undrawn():
            yield
    finally:
        _draws.reset(token)


def initialise(module: nn.Module, config: AlbertConfig, *, keep: Collection[int] = ()) -> None:
    """Draw matrices from a normal truncated at two deviations, zero the biases, set layer norms to identity (checklist A16).

    Args:
        module: Changed in place; the padding row of the embedding is drawn like any other, as in Google's code.
        config: For ``initializer_range``.
        keep: ``id`` of parameters that stay as they are.
    """
    std = config.initializer_range
    for part in module.modules() if _draws.get() else ():
        for name, parameter in part.named_parameters(recurse=False):
            if id(parameter) in keep:
                continue
            if name == "weight" and isinstance(part, nn.LayerNorm):
                nn.init.ones_(parameter)
            elif name == "weight":
                nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)
            else:
                nn.init.zeros_(parameter)
