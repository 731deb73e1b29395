"""A training state taken apart into its tensors and the rest, to send or to store them, and put together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from litebert.train.processes import Processes


def split(state: Any, tensors: dict[str, Tensor], path: str = "") -> Any:
    """Take the tensors out of nested dictionaries and lists.

    Args:
        state: Dictionaries, lists, tensors and plain values.
        tensors: Receives them by the path to their place.
        path: Of ``state`` itself.

    Returns:
        The same structure with ``("tensor", path)`` where they were.
    """
    if isinstance(state, Tensor):
        tensors[path] = state
        return ("tensor", path)
    if isinstance(state, Mapping):
        return {key: split(value, tensors, f"{path}/{key}") for key, value in state.items()}
    if isinstance(state, list):
        return [split(value, tensors, f"{path}/{i}") for i, value in enumerate(state)]
    return state


def join(skeleton: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Put tensors back to where ``split`` took them from."""
    if isinstance(skeleton, tuple) and len(skeleton) == 2 and skeleton[0] == "tensor":
        return tensors[skeleton[1]]
    if isinstance(skeleton, Mapping):
        return {key: join(value, tensors) for key, value in skeleton.items()}
    return [join(value, tensors) for value in skeleton] if isinstance(skeleton, list) else skeleton


def state_of_first(processes: Processes, state: Any) -> Any:
    """Return process 0's state everywhere, its tensors sent one by one.

    Args:
        processes: Of the run.
        state: Nested dictionaries and lists with tensors on the CPU; ignored in the others.
    """
    if processes.size == 1:
        return state
    tensors: dict[str, Tensor] = {}
    skeleton = split(state, tensors) if processes.is_main else None
    shapes = {path: (tuple(tensor.shape), tensor.dtype) for path, tensor in tensors.items()}
    skeleton, shapes = processes.first((skeleton, shapes))
    for path, (shape, dtype) in shapes.items():
        flat = tensors[path].reshape(-1).contiguous() if processes.is_main else torch.empty(shape, dtype=dtype).view(-1)
        if flat.numel():
            dist.broadcast(flat.view(torch.uint8), src=0)
        tensors[path] = flat.view(shape)
    return join(skeleton, tensors)
