"""Recognise runs that fail silently: the signatures users report most (loss stuck at 0.69, F1 50.07, a collapse that never recovers).

Nothing here stops a task that cannot be learnt: a run at chance is reported as what it is. What may be cured by a lower learning
rate is started again, when the settings allow it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from litebert.config import AlbertConfig

_SAFE_RATES = ((3000, 3e-5), (1800, 3e-5), (1000, 5e-5), (700, 1e-4), (300, 1e-3), (0, 5e-3))
"""Highest learning rates that are commonly survived, by hidden size: Table 14 of the paper tops at 5e-5 for released models; xlarge
needed 5e-6 to 1e-5 (google-research/google-research#151, keras-hub#831)."""


def advice(
    config: AlbertConfig, *, learning_rate: float, origin: str, loaded: int | None, dropout_chosen: bool = False
) -> list[str]:
    """Return warnings about a run before it starts.

    Args:
        config: The model.
        learning_rate: Peak rate.
        origin: Where the weights come from: ``huggingface``, ``google`` or ``random``.
        loaded: Tensors loaded.
        dropout_chosen: Whether the user set the dropout; if not, it is what the checkpoint's configuration says.
    """
    warnings = []
    if origin != "random" and not loaded:
        warnings.append("no pretrained tensor was loaded: this run starts from random weights")
    if config.hidden_dropout_prob > 0 and not dropout_chosen and _looks_like_v2(config, origin):
        warnings.append(
            f"hidden_dropout_prob={config.hidden_dropout_prob:g} comes from the checkpoint's configuration, but v2 and xxlarge were "
            "trained without dropout and often diverge with it; try --set config.hidden_dropout_prob=0 "
            "--set config.attention_probs_dropout_prob=0"
        )
    limit = next(rate for size, rate in _SAFE_RATES if config.hidden_size >= size)
    if learning_rate > limit:
        warnings.append(
            f"learning_rate={learning_rate:g} is high for hidden_size={config.hidden_size}: sharing applies every step "
            f"{config.num_hidden_layers} times over; {limit:g} or less is usual"
        )
    return warnings


def _looks_like_v2(config: AlbertConfig, origin: str) -> bool:
    """Tell a released model that was trained without dropout: any xxlarge; on the hub, v1 says "gelu" and v2 "gelu_new"."""
    released = config.embedding_size == 128 and config.hidden_size in (768, 1024, 2048, 4096)
    return released and (config.hidden_size == 4096 or (origin == "huggingface" and config.hidden_act == "gelu_new"))


@dataclass
class Verdict:
    """What the guardian found wrong.

    Attributes:
        signature: Short stable name.
        message: What happened and what it means.
        curable: A lower learning rate may help.
    """

    signature: str
    message: str
    curable: bool


@dataclass
class Guardian:
    """Watch a run's losses and evaluations.

    Attributes:
        chance: Loss of a model that knows only how often each label occurs; None if unknown.
        patience: Steps after which a loss at chance is called stuck.
        smoothing: Weight of the newest loss in the running mean.
        rise: How far the running mean may rise above its best before the run counts as collapsed; None: only back at chance.
    """

    chance: float | None
    patience: int
    smoothing: float = 0.05
    rise: float | None = None
    mean: float | None = None
    best_mean: float = math.inf
    steps: int = 0
    phase_steps: int = 0
    said: list[str] = field(default_factory=list)

    def after_step(self, loss: float, gradient_norm: float) -> Verdict | None:
        """Look at one optimiser step."""
        self.steps += 1
        self.phase_steps += 1
        if not math.isfinite(loss) or not math.isfinite(gradient_norm):
            return Verdict(
                "not-finite", f"the loss or its gradient is not a number any more (loss {loss})", curable=True
            )
        self.mean = loss if self.mean is None else self.mean + self.smoothing * (loss - self.mean)
        if self.phase_steps >= 1 / self.smoothing:
            self.best_mean = min(self.best_mean, self.mean)
        if self.rise is not None and self.mean > self.best_mean + self.rise:
            return self._once(
                "collapse",
                f"the loss rose from {self.best_mean:.3f} to {self.mean:.3f} and stayed there: training collapsed",
            )
        if self.chance is None or self.chance <= 0 or self.phase_steps < self.patience:
            return None
        if self.best_mean < 0.85 * self.chance and self.mean > 0.99 * self.chance:
            return self._once(
                "collapse",
                f"the loss fell to {self.best_mean:.3f}, then went back to chance ({self.chance:.3f}) and stayed: training collapsed",
            )
        if self.best_mean > 0.97 * self.chance:
            return self._once(
                "stuck",
                f"after {self.steps} steps the loss is {self.mean:.3f}, what guessing from label frequencies gives "
                f"({self.chance:.3f}): the run has learnt nothing so far",
            )
        return None

    def new_phase(self) -> None:
        """Judge by what follows alone: the work has changed (depth, what is masked), so its losses compare with no earlier ones."""
        self.mean, self.best_mean, self.phase_steps = None, math.inf, 0

    def after_evaluation(
        self, predicted: Sequence[int] | None, gold_labels: int, loss: float | None = None
    ) -> Verdict | None:
        """Look at the loss and the predictions on dev: one and the same label for everything is a failure that accuracy can hide."""
        if loss is not None and not math.isfinite(loss):
            return Verdict("not-finite", f"the loss on dev is not a number any more ({loss})", curable=True)
        if not predicted or gold_labels < 2 or self.steps < self.patience:
            return None
        if len(set(predicted)) == 1:
            return self._once("constant", "every prediction on dev is the same label")
        return None

    @property
    def healthy(self) -> bool:
        """Whether the loss is near its best: a state worth going back to."""
        return self.rise is None or self.mean is None or self.mean <= self.best_mean + self.rise / 2

    def _once(self, signature: str, message: str) -> Verdict | None:
        if signature in self.said:
            return None
        self.said.append(signature)
        return Verdict(signature, message, curable=True)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on watching."""
        return asdict(self)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        for name, value in state.items():
            setattr(self, name, list(value) if isinstance(value, list) else value)
