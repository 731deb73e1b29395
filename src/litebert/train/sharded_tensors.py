"""Tensors of which every process holds some rows (PyTorch's ``DTensor``, as FSDP2 leaves weights), beside plain ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def is_sharded(tensor: Tensor) -> bool:
    """Whether other processes hold parts of a tensor."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor: a plain one as it is, the parts of a sharded one gathered; every process has to ask."""
    full: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return full


def own_part(tensor: Tensor) -> Tensor:
    """Return the rows that this process holds, all of a plain tensor; it shares the memory."""
    part: Tensor = tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return part


def like(full: Tensor, pattern: Tensor) -> Tensor:
    """Cut a whole tensor as another of its shape is cut; nothing is sent.

    Args:
        full: The same in every process.
        pattern: Plain, or sharded by rows over one dimension of processes, which is what FSDP2 makes.
    """
    if not is_sharded(pattern):
        return full
    return cut(full, pattern.device_mesh)  # type: ignore[attr-defined]


def cut(full: Tensor, mesh: Any) -> Tensor:
    """Shard a whole tensor by rows over a one-dimensional mesh, in equal parts except the last ones, as ``torch.chunk`` does."""
    from torch.distributed.tensor import DTensor, Shard

    parts = full.chunk(mesh.size(), dim=0)
    mine = mesh.get_local_rank()
    part = parts[mine] if mine < len(parts) else full[:0]
    sharded: Tensor = DTensor.from_local(
        part.clone(), mesh, [Shard(0)], run_check=False, shape=full.shape, stride=full.stride()
    )
    return sharded


def empty(shape: tuple[int, ...], dtype: torch.dtype, mesh: Any) -> Tensor:
    """Return a tensor to be filled: sharded by rows where there is a mesh, plain where there is none."""
    if mesh is None:
        return torch.empty(shape, dtype=dtype)
    from torch.distributed.tensor import Shard
    from torch.distributed.tensor import empty as empty_sharded

    sharded: Tensor = empty_sharded(shape, dtype=dtype, device_mesh=mesh, placements=[Shard(0)])
    return sharded
