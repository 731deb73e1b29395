"""Training one model for every depth at once: since all applications share their weights, each is a smaller model inside the larger.

The states after each application are there anyway, so that every depth's logits cost no more than its head. The loss is the mean of
all depths' losses weighted by depth (PABEE, arXiv:2006.04152 equation 3, there with a head for each depth, here with one for all, which
keeps the folder an ordinary model), and every shallower depth also learns from the deepest one's answers (self-distillation).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from litebert.model.albert import AlbertModel
from litebert.model.outputs import EncoderOutput
from litebert.tasks.base import Task, TaskObjective


class ElasticObjective(TaskObjective):
    """A task's loss at every depth.

    Args:
        task: Whose loss.
        distillation: Weight of the distance to the deepest answers beside the loss on the labels.
    """

    def __init__(self, task: Task, distillation: float = 1.0) -> None:
        super().__init__(task)
        self.distillation = distillation

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum over the batch of the depths' weighted mean loss."""
        by_depth = logits_by_depth(self.task, model, batch)
        deepest = by_depth[-1].detach()
        weights = torch.arange(1.0, len(by_depth) + 1, device=deepest.device)
        parts = []
        for logits in by_depth:
            loss = self.task.loss(logits, dict(batch))
            if logits is not by_depth[-1]:
                loss = loss + self.distillation * self.task.distance(logits, deepest)
            parts.append(loss)
        return {"loss": (torch.stack(parts) * weights).sum() / weights.sum()}


def logits_by_depth(task: Task, model: nn.Module, batch: Mapping[str, Tensor]) -> list[Tensor]:
    """Return a task's logits after 1, 2, ... L applications, (B, C) each, from one pass through the encoder.

    Args:
        task: Reads the model's head.
        model: With an encoder ``albert`` of the reference kind.
        batch: Of the task.
    """
    encoder = cast(AlbertModel, model.albert)
    out: EncoderOutput = encoder(
        batch["input_ids"], batch["attention_mask"], batch["token_type_ids"], output_hidden_states=True
    )
    assert out.hidden_states is not None
    found = []
    for states in out.hidden_states[encoder.config.inner_group_num :: encoder.config.inner_group_num]:
        with _replaced(model, _Replay(encoder, states)):
            found.append(task.logits(model, dict(batch)))
    return found


class _Replay(nn.Module):
    """Stands in for the encoder and returns states that are there already."""

    def __init__(self, encoder: AlbertModel, states: Tensor) -> None:
        super().__init__()
        self.config, self._pooler, self._states = encoder.config, [encoder.pooler], states

    def forward(self, *_inputs: Any, **_options: Any) -> EncoderOutput:
        first = self._states[:, 0]
        return EncoderOutput(last_hidden_state=self._states, pooler_output=torch.tanh(self._pooler[0](first)))


@contextmanager
def _replaced(model: nn.Module, encoder: nn.Module) -> Iterator[None]:
    own = model.albert
    model.albert = encoder
    try:
        yield
    finally:
        model.albert = own
