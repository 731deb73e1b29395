"""How the weights of a run lie in its processes: a copy in each, or a part in each.

The gradient of a step is the sum over all processes of what each added to it, and every part of the loss is divided by its number of
items in the whole batch before the backward pass (checklist E6), so nothing is ever averaged here.

Copies (``ddp``). The gradients are added up in one flat tensor, once, after the last micro-batch. PyTorch's
``DistributedDataParallel`` hides that transfer behind the backward pass, but here there is nothing to hide it behind: the gradients of
the shared block and of the tied word embedding, all but a few per cent, are complete only when the backward pass is over. The flat
tensor needs no hooks, so a block that is applied many times, recomputed by activation checkpointing (checklist E7), or not needed by
this step or this process is no special case.

Parts (``fsdp2``). PyTorch's ``fully_shard`` holds weights, gradients and optimiser state in parts. The encoder with its shared block is
one unit, everything else the other: all applications of the block use one gathering of its weights and give one gradient to scatter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from litebert.errors import ConfigError
from litebert.train.objective import Batch
from litebert.train.optimizers import clip_gradients
from litebert.train.processes import Processes
from litebert.train.sharded_tensors import like, own_part, whole

ParallelName = Literal["auto", "ddp", "fsdp2"]
R = TypeVar("R")


class Copies:
    """Every process holds all weights; a process alone is the simplest case.

    Args:
        model: On its device.
        processes: Of the run.
    """

    mesh: Any = None
    """How the parts are laid out; None for copies."""

    def __init__(self, model: nn.Module, processes: Processes) -> None:
        self.model, self.processes = model, processes
        if processes.size > 1:
            for tensor in (*model.parameters(), *model.buffers()):
                dist.broadcast(tensor.detach(), src=0)

    def run(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function with the model and further arguments, all weights at hand."""
        return function(self.model, *arguments)

    def evaluated(self, function: Callable[[nn.Module], R]) -> R:
        """Return what a function of the model gives, the same in every process."""
        return self.processes.first(cast(R, function(self.model) if self.processes.is_main else None))

    def evened(self, micro_batches: Sequence[Batch]) -> list[tuple[Batch, bool]]:
        """Return the micro-batches to run, and whether each counts."""
        return [(batch, True) for batch in micro_batches]

    def backward(self, loss: Tensor, *, counts: bool, last: bool) -> None:
        """Add the gradient of a micro-batch.

        Args:
            loss: Scalar.
            counts: False for one that is only run because others run one.
            last: Whether it ends the step.
        """
        loss.backward()  # type: ignore[no-untyped-call]

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all processes; a parameter that no process used keeps none.

        Args:
            parameters: Float32, the same ones in the same order everywhere.
        """
        if self.processes.size == 1:
            return
        held = list(parameters)
        used = torch.tensor([float(p.grad is not None) for p in held], device=held[0].device)
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in held]
        flat = torch.cat([*(part.reshape(-1) for part in parts), used])
        del parts
        dist.all_reduce(flat)
        sums = torch.split(flat, [p.numel() for p in held] + [len(held)])
        for parameter, gradient, times in zip(held, sums, sums[-1].tolist(), strict=False):
            parameter.grad = gradient.view_as(parameter) if times else None

    def clip(self, parameters: Iterable[nn.Parameter], limit: float) -> float:
        """Scale all gradients so that their joint norm is at most ``limit``; return the norm before."""
        return clip_gradients(parameters, limit)

    def weights(self) -> dict[str, Tensor]:
        """Return the model's state with all weights whole; every process has to ask."""
        return {name: whole(tensor).detach() for name, tensor in self.model.state_dict().items()}

    def adapted(self, state: Mapping[str, Any], parameters: Sequence[nn.Parameter]) -> dict[str, Any]:
        """Return a training state whose tensors lie as the model's do.

        Args:
            state: As saved; tensors whole, or already so.
            parameters: In the optimiser's order.
        """
        return dict(state)


class _Root(nn.Module):
    """Calls a function with the model, in a forward pass of its own: FSDP2 gathers weights when a module is called."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, function: Callable[..., R], *arguments: Any) -> R:
        return function(self.model, *arguments)


class Parts(Copies):
    """Every process holds some rows of every weight (FSDP2).

    Args:
        model: On its device, with an encoder; its weights become sharded tensors, in place.
        processes: Of the run.
        device: Where the model is.
        half: Gather the weights in bfloat16 (GPU); gradients are added up in float32 all the same.
    """

    def __init__(self, model: nn.Module, processes: Processes, device: torch.device, *, half: bool = False) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        super().__init__(model, processes)
        self.mesh = init_device_mesh(device.type, (processes.size,))
        types = (torch.bfloat16, torch.float32) if half and device.type == "cuda" else (None, None)
        policy = MixedPrecisionPolicy(param_dtype=types[0], reduce_dtype=types[1])
        encoder = cast(nn.Module, model.albert.encoder)  # type: ignore[union-attr]
        # The encoder's backward pass begins where its forward pass ends, and one block is little to keep: it stays gathered.
        fully_shard(encoder, mesh=self.mesh, reshard_after_forward=False, mp_policy=policy)
        self._root: Any = fully_shard(_Root(model), mesh=self.mesh, reshard_after_forward=False, mp_policy=policy)

    def run(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function with the model and further arguments, all weights at hand."""
        result: R = self._root(function, *arguments)
        return result

    def evaluated(self, function: Callable[[nn.Module], R]) -> R:
        """Return what a function of the model gives; all processes compute it, since each holds a part, and the first one's counts."""
        result = self.run(function)
        self._root.reshard()
        return self.processes.first(result)

    def evened(self, micro_batches: Sequence[Batch]) -> list[tuple[Batch, bool]]:
        """Return as many micro-batches in every process: whoever has fewer runs one again that does not count."""
        numbers = self.processes.gather(len(micro_batches))
        spare = micro_batches[-1] if micro_batches else None
        if min(numbers) == 0:  # early in a batch ramp; the first process always has one
            spare = self.processes.first(micro_batches[0] if micro_batches else None)
        missing = max(numbers) - len(micro_batches)
        return [*((batch, True) for batch in micro_batches), *([(cast(Batch, spare), False)] * missing)]

    def backward(self, loss: Tensor, *, counts: bool, last: bool) -> None:
        """Add the gradient of a micro-batch; the last one scatters the sum of all."""
        self._root.set_requires_gradient_sync(last)
        self._root.set_reshard_after_backward(last)
        factor = self.processes.size if counts else 0  # fully_shard divides by the number of processes
        (loss * factor).backward()  # type: ignore[no-untyped-call]

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """Do nothing: the backward pass has added the gradients up."""

    def clip(self, parameters: Iterable[nn.Parameter], limit: float) -> float:
        """Scale all gradients so that their joint norm is at most ``limit``; return the norm before."""
        gradients = [own_part(p.grad) for p in parameters if p.grad is not None]
        norms = (
            torch.stack(torch._foreach_norm(gradients)) if gradients else torch.zeros(1, device=self.mesh.device_type)
        )
        squares = norms.double().square().sum()
        dist.all_reduce(squares)
        norm = float(squares.sqrt())
        if limit and norm > limit:
            torch._foreach_mul_(gradients, limit / norm)
        return norm

    def adapted(self, state: Mapping[str, Any], parameters: Sequence[nn.Parameter]) -> dict[str, Any]:
        """Return a training state whose tensors are cut as the model's are."""
        live = self.model.state_dict()
        result = {**state, "model": {name: _cut(tensor, live[name]) for name, tensor in state["model"].items()}}
        if state.get("average"):
            result["average"] = [_cut(a, p) for a, p in zip(state["average"], parameters, strict=True)]
        if state.get("optimizer") is not None:
            held = state["optimizer"]["state"]
            cut = {
                i: {key: _cut(value, parameters[i]) for key, value in entries.items()} for i, entries in held.items()
            }
            result["optimizer"] = {**state["optimizer"], "state": cut}
        return result


def _cut(value: Any, pattern: Tensor) -> Any:
    """Cut a tensor as a parameter of its shape is; whatever is no such tensor stays as it is."""
    if not isinstance(value, Tensor) or hasattr(value, "full_tensor") or value.shape != pattern.shape:
        return value
    return like(value.to(own_part(pattern).device), pattern)


def lay_out(
    name: ParallelName, model: nn.Module, processes: Processes, device: torch.device, *, half: bool = False
) -> Copies:
    """Lay a model's weights out over the processes.

    Args:
        name: ``ddp`` for copies, ``fsdp2`` for parts; ``auto`` is ``ddp``, since one block of weights fits everywhere.
        model: On its device.
        processes: Of the run; one alone holds everything, whatever the name.
        device: Where the model is.
        half: See ``Parts``.

    Raises:
        ConfigError: The model has no encoder to shard.
    """
    if name != "fsdp2" or processes.size == 1:
        return Copies(model, processes)
    if not hasattr(model, "albert"):
        raise ConfigError("training.parallel=fsdp2 needs a model with an ALBERT encoder", hint="Use ddp.")
    return Parts(model, processes, device, half=half)
