"""Masked-LM loss and accuracy and sentence-order accuracy on held-out text, always by the same protocol: 15% of the positions, n-grams
up to three words, fixed draws, whatever the training masks.
"""  # noqa: D205

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litebert.corpus.shards import Corpus
from litebert.model.heads import IGNORED
from litebert.pretrain.batches import to_tensors
from litebert.pretrain.examples import ExampleSettings, with_preset
from litebert.pretrain.objective import encoded
from litebert.pretrain.stream import RowStream
from litebert.train.loop import EvaluationResult

BLOCK = 32
SEED = 20191126
"""Of the held-out draws, in every run."""


class HeldOut:
    """Fixed rows of a held-out corpus.

    Args:
        corpus: Never trained on.
        length: Positions of a row.
        rows: How many; fewer if the corpus has fewer.
        objective: ``sop``, ``nsp`` or ``none``.
        device: Where the model is.
        autocast: Multiply matrices in bfloat16.
    """

    def __init__(
        self, corpus: Corpus, *, length: int = 128, rows: int = 512, objective: str = "sop",
        device: torch.device | str = "cpu", autocast: bool = False,
    ) -> None:  # fmt: skip
        settings = ExampleSettings(**with_preset(
            {"preset": "paper", "length": length, "short_probability": 0.0, "sentence_objective": objective, "lone": "alone"}
        ))  # fmt: skip
        stream = RowStream(corpus, settings, seed=SEED)
        count = min(rows, stream.rows_in_epoch(0))
        self.batches = [
            to_tensors(stream.block(0, first, min(BLOCK, count - first))) for first in range(0, count, BLOCK)
        ]
        self.rows, self.device, self.autocast = count, torch.device(device), autocast

    @torch.inference_mode()
    def __call__(self, model: nn.Module) -> EvaluationResult:
        """Return the figures of a model in evaluation mode, at the depth it has; the main one is the masked-LM loss, negated.

        Args:
            model: With the pretraining heads, on the device.
        """
        sums: dict[str, float] = dict.fromkeys(("loss", "right", "predicted", "ordered", "pairs"), 0.0)
        for batch in self.batches:
            moved = {name: tensor.to(self.device) for name, tensor in batch.items()}
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocast):
                states, gold, order = encoded(model, moved)
                words = model.predictions(states, model.albert.embeddings.word.weight)  # type: ignore[operator, union-attr]
            _count(sums, words.float(), gold, order.float(), moved["sentence_order_label"])
        predicted = max(sums["predicted"], 1)
        metrics = {"mlm_loss": sums["loss"] / predicted, "mlm_accuracy": sums["right"] / predicted}
        if sums["pairs"]:
            metrics["sop_accuracy"] = sums["ordered"] / sums["pairs"]
        return EvaluationResult(metrics, -metrics["mlm_loss"])

    def provenance(self) -> Mapping[str, Any]:
        """Return how many rows, positions and pairs the figures stand on."""
        return {
            "rows": self.rows,
            "positions": sum(int((b["labels"] != IGNORED).sum()) for b in self.batches),
            "pairs": sum(int((b["sentence_order_label"] != IGNORED).sum()) for b in self.batches),
        }


def _count(sums: dict[str, float], words: Tensor, gold: Tensor, order: Tensor, label: Tensor) -> None:
    real = label != IGNORED
    sums["loss"] += float(F.cross_entropy(words, gold, reduction="sum"))
    sums["right"] += float((words.argmax(-1) == gold).sum())
    sums["predicted"] += gold.numel()
    sums["ordered"] += float((order.argmax(-1) == label)[real].sum())
    sums["pairs"] += float(real.sum())
