"""What the training loop is given: batches, something to minimise, and a judgement on held-out data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from torch import Tensor, nn

Batch = Mapping[str, Tensor]


class BatchSource(Protocol):
    """Where batches come from: a pure function of the step."""

    steps_per_epoch: int

    def micro_batches(self, step: int) -> Sequence[Batch]:
        """Return the parts of the batch of a step, counted from 0, that are this process's."""
        ...


class Objective(ABC):
    """What is minimised: a sum of parts, each a sum over items divided by the number of items in the whole batch.

    Attributes:
        watched: Part whose loss the guardian watches; None for the sum of all.
        shown: Held-out figures for the progress line, with what to call them; none for the best main figure.
    """

    watched: str | None = None
    shown: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def weights(self, batch: Batch) -> Mapping[str, float]:
        """Return how many items (examples, masked tokens) each part has in a micro-batch."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Return each part's sum over a micro-batch, differentiable."""

    def begin(self, model: nn.Module, step: int) -> None:  # noqa: B027 - most have nothing to do
        """Prepare the model for a step, for example its depth."""

    def phase(self, step: int) -> Hashable:
        """Return what changes when the work becomes another, so that losses before and after cannot be compared."""
        del step
        return None

    def importance(self, part: str, step: int) -> float:
        """Return the factor of a part in the sum."""
        return 1.0

    def rate(self, step: int) -> float:
        """Return a factor of the learning rate beside its schedule, for example while the batch is small."""
        del step
        return 1.0

    def shares(self, totals: Mapping[str, float], tokens: int) -> Mapping[str, float]:
        """Return figures worth a place in the row of a step.

        Args:
            totals: Items of each part in the whole batch.
            tokens: Real ones in the whole batch.
        """
        del totals, tokens
        return {}

    def arithmetic(self, step: int) -> float:
        """Return the arithmetic of a token as a part of the whole model's; less than 1 while a model is shallow."""
        del step
        return 1.0

    def tokens(self, batch: Batch) -> int:
        """Return the real tokens of a micro-batch; 0 where examples are what counts."""
        return 0


@dataclass(frozen=True)
class EvaluationResult:
    """Figures of one evaluation on held-out data.

    Attributes:
        metrics: By name.
        main: The figure that decides which weights are best; higher is better.
        predicted: Predicted label of each example, for the guardian; None where there is none.
        gold_labels: Number of distinct gold labels.
    """

    metrics: Mapping[str, float]
    main: float
    predicted: Sequence[int] | None = None
    gold_labels: int = 0
