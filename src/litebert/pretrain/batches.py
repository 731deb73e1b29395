"""The batches of a pretraining run: how many rows each step takes, and the micro-batches of each process, made ahead if wanted."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from litebert.pretrain.rows import Rows
from litebert.pretrain.stream import RowStream


@dataclass(frozen=True)
class BatchPlan:
    """How many rows each step takes.

    Attributes:
        batch_size: Rows of a step once the ramp is over.
        first_batch_size: Rows of the first step.
        ramp_steps: Steps until the full size.
        block: Rows of a micro-batch; every batch is a multiple of it.
    """

    batch_size: int
    first_batch_size: int
    ramp_steps: int
    block: int

    def rows(self, step: int) -> int:
        """Return the rows of a step."""
        if step >= self.ramp_steps:
            return self.batch_size
        size = self.first_batch_size + (self.batch_size - self.first_batch_size) * step / self.ramp_steps
        return max(self.block, round(size / self.block) * self.block)

    def root_of_share(self, step: int) -> float:
        """Return the root of a step's share of the full batch: by how much a rate that follows the batch is lower there."""
        return math.sqrt(self.rows(step) / self.batch_size)

    def rows_before(self, step: int) -> int:
        """Return the rows of all steps before one."""
        ramp = sum(self.rows(s) for s in range(min(step, self.ramp_steps)))
        return ramp + max(step - self.ramp_steps, 0) * self.batch_size


class _Steps(torch.utils.data.Dataset[list[dict[str, Tensor]]]):
    """A step's micro-batches by number, for PyTorch's loader."""

    def __init__(self, stream: RowStream, plan: BatchPlan, rank: int, ranks: int) -> None:
        self.stream, self.plan, self.rank, self.ranks = stream, plan, rank, ranks

    def __getitem__(self, step: int) -> list[dict[str, Tensor]]:
        first, block = self.plan.rows_before(step), self.plan.block
        blocks = range(self.rank, self.plan.rows(step) // block, self.ranks)
        return [to_tensors(self.stream.block(step, first + b * block, block)) for b in blocks]


def to_tensors(rows: Rows) -> dict[str, Tensor]:
    """Return a block as the model takes it."""
    return {name: torch.from_numpy(array) for name, array in vars(rows).items()}


class PretrainingBatches:
    """The batches of a run, made ahead by worker processes if wanted.

    Args:
        stream: The rows.
        plan: Batch sizes.
        workers: Loader processes; 0 makes batches in this one.
        rank: Of this process.
        ranks: Number of processes; each takes every ``ranks``-th micro-batch of a step.
    """

    def __init__(self, stream: RowStream, plan: BatchPlan, *, workers: int = 0, rank: int = 0, ranks: int = 1) -> None:
        self.steps_per_epoch = max(1, stream.rows_in_epoch(0) // plan.batch_size)
        self._steps = _Steps(stream, plan, rank, ranks)
        self._workers = workers
        self._next = -1
        self._iterator: Iterator[list[dict[str, Tensor]]] = iter(())

    def micro_batches(self, step: int) -> Sequence[dict[str, Tensor]]:
        """Return this process's micro-batches of a step."""
        if not self._workers:
            return self._steps[step]
        if step != self._next:
            self._iterator = self._loader(step)
        self._next = step + 1
        found: list[dict[str, Tensor]] = next(self._iterator)
        return found

    def _loader(self, step: int) -> Iterator[list[dict[str, Tensor]]]:
        loader = torch.utils.data.DataLoader(
            self._steps, batch_size=None, sampler=_From(step), num_workers=self._workers, prefetch_factor=4,
            pin_memory=torch.cuda.is_available(), multiprocessing_context="spawn", worker_init_fn=_deaf,
        )  # fmt: skip
        started = iter(loader)
        self._steps.stream.release()  # the workers have their own
        return started


def _deaf(_worker: int) -> None:
    """Leave it to the process that trains to stop: ``torchrun`` and Ctrl-C tell its workers too, and it still needs them for a step."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class _From(torch.utils.data.Sampler[int]):
    """Steps from one on, without end."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __iter__(self) -> Iterator[int]:
        step = self.step
        while True:
            yield step
            step += 1
