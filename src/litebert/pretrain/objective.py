"""The pretraining loss: masked LM over predicted positions plus sentence order over labelled pairs (paper section 3.1; Google's
``total_loss`` in ``run_pretraining.py``; checklist D14, E6, E9).
"""  # noqa: D205

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litebert.config import AlbertConfig
from litebert.model.heads import IGNORED, MaskedLMHead
from litebert.pretrain.examples import ExampleSettings
from litebert.pretrain.settings import CurriculumSettings
from litebert.train.loop import Batch, Objective
from litebert.train.throughput import training_flops


class PretrainingObjective(Objective):
    """Sums over predicted positions and over sentence labels, each divided by its number in the whole batch.

    Args:
        examples: For the point from which the sentence loss counts.
        curriculum: For the depth.
        progress: Part of the run that is done at a step.
        sentence_weight: Of the sentence loss.
        config: Of the model, to count its arithmetic while it is shallow.
        compiled: Compile the vocabulary's scores and their loss together, several times faster than one after the other.
        rate: Factor of the learning rate at a step; None for 1.
    """

    watched = "mlm"
    shown = MappingProxyType({"mlm_loss": "MLM loss", "mlm_accuracy": "accuracy", "sop_accuracy": "SOP"})

    def __init__(
        self, examples: ExampleSettings, curriculum: CurriculumSettings, progress: Callable[[int], float],
        sentence_weight: float = 1.0, *, config: AlbertConfig | None = None, compiled: bool = False,
        rate: Callable[[int], float] | None = None,
    ) -> None:  # fmt: skip
        self.examples, self.curriculum, self.progress = examples, curriculum, progress
        self.sentence_weight, self.config, self._rate = sentence_weight, config, rate
        self._word_loss = torch.compile(word_loss, dynamic=True) if compiled else word_loss

    def begin(self, model: nn.Module, step: int) -> None:
        """Set the number of applications."""
        model.albert.encoder.depth = self.depth(step)  # type: ignore[union-attr]

    def depth(self, step: int) -> int | None:
        """Return the number of applications at a step; None for the model's own."""
        progress = self.progress(step)
        return next((layers for until, layers in self.curriculum.depths if progress < until), None)

    def phase(self, step: int) -> tuple[int | None, int]:
        """Return the depth and how long the masked n-grams are: each moves the loss by itself."""
        return self.depth(step), self.examples.masking_rules(self.progress(step)).longest

    def rate(self, step: int) -> float:
        """Return the factor of the learning rate."""
        return 1.0 if self._rate is None else self._rate(step)

    def shares(self, totals: Mapping[str, float], tokens: int) -> dict[str, float]:
        """Return the share of the tokens that is really predicted, which limits and rounding take away from (checklist D9)."""
        return {"masked_rate": round(totals.get("mlm", 0.0) / max(tokens, 1), 4)}

    def arithmetic(self, step: int) -> float:
        """Return the arithmetic of a token as a part of the whole model's."""
        depth = self.depth(step)
        if depth is None or self.config is None:
            return 1.0
        rate, length = self.examples.masking_rules(self.progress(step)).rate, self.examples.length
        shallow = self.config.replace(num_hidden_layers=depth)
        return training_flops(shallow, length, predicted=rate) / training_flops(self.config, length, predicted=rate)

    def importance(self, part: str, step: int) -> float:
        """Return the weight of a part."""
        return self.sentence_weight if part == "sop" else 1.0

    def weights(self, batch: Batch) -> dict[str, float]:
        """Return the number of predicted positions and of labelled pairs."""
        counts = {"mlm": float((batch["labels"] != IGNORED).sum())}
        ordered = float((batch["sentence_order_label"] != IGNORED).sum())
        return counts | ({"sop": ordered} if ordered else {})

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the summed losses; the sentence loss even where no pair is labelled, since another micro-batch may have some."""
        states, gold, order = encoded(model, batch)
        words = model.albert.embeddings.word.weight  # type: ignore[union-attr]
        label = batch["sentence_order_label"]
        return {
            "mlm": self._word_loss(model.predictions, states, words, gold),  # type: ignore[arg-type]
            "sop": F.cross_entropy(order.float(), label, reduction="sum", ignore_index=IGNORED),
        }

    def tokens(self, batch: Batch) -> int:
        """Return the real tokens, special pieces included."""
        return int((batch["sequence_ids"] > 0).sum())


def word_loss(head: MaskedLMHead, states: Tensor, words: Tensor, gold: Tensor) -> Tensor:
    """Return the summed loss of P predicted positions: states (P, H), word embedding (V, E), gold pieces (P,)."""
    return F.cross_entropy(head(states, words).float(), gold, reduction="sum")


def encoded(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Run a batch: (P, H) states of the predicted positions, their (P,) gold pieces, (M, 2) scores of the order."""
    labels = batch["labels"]
    chosen = labels != IGNORED
    out = model.albert(  # type: ignore[operator]
        batch["input_ids"], None, batch["token_type_ids"], batch["position_ids"], sequence_ids=batch["sequence_ids"]
    )
    return out.last_hidden_state[chosen], labels[chosen], model.sentence_order(out.pooler_output)  # type: ignore[operator]
