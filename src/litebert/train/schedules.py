"""Learning-rate schedules as pure functions of the step.

Linear and polynomial as in Google's ``optimization.py``: the decay is measured from step 0, and below ``warmup_steps`` it is replaced
by a linear warm-up that starts at 0, so the rate drops a little when the warm-up ends (checklist E3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from litebert.errors import ConfigError

ScheduleName = Literal["linear", "polynomial", "trapezoid", "cosine", "constant"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Map a step to a learning rate.

    Attributes:
        kind: ``linear``, ``polynomial`` (with ``power``), ``trapezoid`` (constant, then linear to the end over the last
            ``decay_fraction`` of the steps), ``cosine`` or ``constant``; all after a linear warm-up from 0.
        peak: Learning rate the warm-up leads to.
        total_steps: Steps of the run.
        warmup_steps: Steps of the warm-up.
        power: Exponent of the polynomial decay.
        decay_fraction: Part of the run in which a trapezoid decays.
        floor: Learning rate at the end, as a fraction of the peak.
    """

    kind: ScheduleName
    peak: float
    total_steps: int
    warmup_steps: int = 0
    power: float = 1.0
    decay_fraction: float = 0.25
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.warmup_steps > self.total_steps:
            raise ConfigError(f"warmup_steps={self.warmup_steps} exceeds the {self.total_steps} steps of the run")

    def at(self, step: int) -> float:
        """Return the learning rate of an update; the first update has step 0, hence rate 0 if there is a warm-up."""
        if step < self.warmup_steps:
            return self.peak * step / self.warmup_steps
        return self.peak * (self.floor + (1 - self.floor) * self._decay(min(step, self.total_steps)))

    def decays_at(self, step: int) -> bool:
        """Whether a trapezoid is past its constant part; always False for the others, which have none."""
        return self.kind == "trapezoid" and step > (1 - self.decay_fraction) * self.total_steps

    def _decay(self, step: int) -> float:
        left = 1 - step / max(self.total_steps, 1)
        if self.kind == "constant":
            return 1.0
        if self.kind == "trapezoid":
            return min(1.0, left / self.decay_fraction)
        if self.kind == "cosine":
            span = max(self.total_steps - self.warmup_steps, 1)
            return 0.5 * (1 + math.cos(math.pi * (step - self.warmup_steps) / span))
        return float(left ** (self.power if self.kind == "polynomial" else 1.0))


def scaled_learning_rate(batch_size: int, *, base_rate: float = 0.00176, base_batch: int = 4096) -> float:
    """Scale the paper's learning rate to another batch size by the square root rule (google-research/albert#111; checklist E4)."""
    return base_rate * math.sqrt(batch_size / base_batch)


def scaled_steps(batch_size: int, *, base_steps: int = 125_000, base_batch: int = 4096) -> int:
    """Return the steps that see as many sequences as the paper's run does with its batch of 4096."""
    return -(-base_steps * base_batch // batch_size)
