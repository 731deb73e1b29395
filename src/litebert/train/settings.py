"""The settings of a training run."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from litebert.settings import Settings
from litebert.train.optimizers import OptimizerName
from litebert.train.parallel import ParallelName
from litebert.train.schedules import Schedule, ScheduleName


class TrainingSettings(Settings):
    """How to optimise. Field docstrings become the configuration reference."""

    optimizer: OptimizerName = "adamw"
    """adamw is torch's, with bias correction; google-adamw and lamb are as released, without; muon takes the block's matrices and
    leaves the rest to adamw."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak of the schedule."""
    matrix_learning_rate: float = Field(default=0.007, gt=0)
    """Peak for the block's matrices under muon."""
    schedule: ScheduleName = "linear"
    """Shape after the warm-up."""
    poly_power: float = Field(default=1.0, gt=0)
    """Exponent of the polynomial schedule."""
    decay_fraction: float = Field(default=0.25, gt=0, le=1)
    """Last part of the run in which a trapezoid decays."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """Steps of linear warm-up; overrides warmup_fraction."""
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Warm-up as a part of all steps."""
    epochs: float = Field(default=3.0, gt=0)
    """Passes over the training data, unless steps is given."""
    steps: int | None = Field(default=None, gt=0)
    """Optimiser steps; overrides epochs."""
    minutes: float | None = Field(default=None, gt=0)
    """Train for this long, whatever epochs and steps say, also if that is more; the schedule follows the time then."""
    batch_size: int = Field(default=32, gt=0)
    """Examples in one optimiser step."""
    micro_batch_size: int | None = Field(default=None, gt=0)
    """Examples in one forward pass; the gradient is accumulated and weighted by examples, so the result does not change."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decay of matrices; layer norms and biases never decay."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the second moment."""
    epsilon: float = Field(default=1e-6, gt=0)
    """Added to the root of the second moment."""
    clip_norm: float = Field(default=1.0, ge=0)
    """Largest joint norm of the gradient; 0 turns clipping off."""
    head_factor: float = Field(default=1.0, gt=0)
    """Learning-rate factor of the parts outside the encoder."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 runs matrix products in bfloat16 with float32 weights; auto takes it where the hardware has it and the model is wide
    enough to gain."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is evaluated and kept; 0 is off."""
    parallel: ParallelName = "auto"
    """How the processes that torchrun starts hold the weights: ddp, a copy in each, or fsdp2, a part in each (with the gradients and
    the optimiser's state), for models whose training state does not fit. auto is ddp; one process alone holds everything."""
    gradient_checkpointing: bool = False
    """Trade time for memory: recompute each application of the block in the backward pass."""
    evaluate_every: int | None = Field(default=None, gt=0)
    """Steps between evaluations on dev; default: once an epoch, at least every 500 steps."""
    early_stopping: int | None = Field(default=None, gt=0)
    """Stop after this many evaluations without a better one."""
    keep_best: bool = True
    """Keep the weights of the best evaluation rather than the last."""
    checkpoint_minutes: float = Field(default=3.0, ge=0)
    """Minutes between resumable checkpoints; also after every evaluation."""
    log_every: int = Field(default=10, gt=0)
    """Steps between rows of metrics.jsonl."""
    seed: int = Field(default=0, ge=0)
    """First seed."""
    seeds: int = Field(default=1, gt=0)
    """Runs with seed, seed+1, ...; the median is reported and the best on dev is kept."""
    max_restarts: int = Field(default=1, ge=0)
    """How often the guardian may start a run again after it failed silently."""
    restart_factor: float = Field(default=0.5, gt=0, lt=1)
    """Factor on the learning rate at such a restart."""
    on_failure: Literal["restart", "rewind"] = "restart"
    """After a failure start from the first weights, or go back to the last good checkpoint."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.micro_batch_size is not None and self.micro_batch_size > self.batch_size:
            raise ValueError(f"micro_batch_size={self.micro_batch_size} exceeds batch_size={self.batch_size}")
        if self.steps is not None and self.warmup_steps is not None and self.warmup_steps > self.steps:
            raise ValueError(f"warmup_steps={self.warmup_steps} exceeds steps={self.steps}")
        return self

    def total_steps(self, steps_per_epoch: int) -> int:
        """Return the number of optimiser steps of the run."""
        return self.steps if self.steps is not None else max(1, round(self.epochs * steps_per_epoch))

    def schedule_for(self, total_steps: int) -> Schedule:
        """Return the learning-rate schedule for a run of known length."""
        warmup = round(self.warmup_fraction * total_steps) if self.warmup_steps is None else self.warmup_steps
        return Schedule(
            kind=self.schedule, peak=self.learning_rate, total_steps=total_steps,
            warmup_steps=min(warmup, total_steps), power=self.poly_power, decay_fraction=self.decay_fraction,
        )  # fmt: skip
