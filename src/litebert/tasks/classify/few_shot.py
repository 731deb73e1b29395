"""Classification from a handful of examples a label, after SetFit (Tunstall et al. 2022, arXiv:2209.11055).

Pairs of texts with the same label are pulled together, those with others apart; a linear classifier reads the vectors. SetFit does one
after the other and fits the classifier by regression; here both are learnt at once, the contrastive loss over the other pairs of a
batch. It starts from vectors that tell meanings apart (a model for ``embed``), and the answers are those of ``classify``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litebert.checkpoint.pretrained import AlbertForVectorClassification, Pretrained
from litebert.errors import ConfigError, DataError
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.embed.losses import contrastive
from litebert.tasks.examples import Batch, Example, TextSettings, WindowCount
from litebert.tasks.reading.records import Record
from litebert.text import AlbertTokenizer

_TEMPERATURE = 0.1
_OWN = ("per_label", "partners")


@dataclass(frozen=True)
class FewShotTask(ClassifyTask):
    """Assign one of the labels, learnt from few examples.

    Attributes:
        per_label: Training records of each label that are used, drawn by seed 0; None for all.
        partners: Records of the same label that each is paired with in an epoch.
    """

    name: ClassVar[str] = "few-shot"
    model_class: ClassVar[type[Pretrained]] = AlbertForVectorClassification
    stops_early: ClassVar[bool] = False

    per_label: int | None = None
    partners: int = 8

    @classmethod
    def from_records(cls, records: Sequence[Record], options: Mapping[str, Any]) -> Self:
        """Collect the labels, as ``classify`` does."""
        own = {name: options[name] for name in _OWN if options.get(name) is not None}
        for name, value in own.items():
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"options.{name} must be a number from 1, got {value!r}")
        task = super().from_records(records, {name: value for name, value in options.items() if name not in _OWN})
        if task.kind != "single":
            raise ConfigError(f"few-shot assigns one label, not kind={task.kind!r}", hint="Use classify.")
        return replace(task, **own)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore from ``litebert.json``."""
        own = {name: data[name] for name in _OWN if data.get(name) is not None}
        return replace(super().from_dict(data), **own)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``litebert.json`` keeps."""
        return {**super().to_dict(), "per_label": self.per_label, "partners": self.partners}

    def config_extra(self) -> dict[str, Any]:
        """Return nothing: ``transformers`` has no such head."""
        return {}

    def training_examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount
    ) -> list[Example]:
        """Make an example of each pair of a record with a partner of its label; of one without, a pair with itself."""
        draw = np.random.default_rng(0)
        places: dict[str, list[int]] = defaultdict(list)
        for index, record in enumerate(records):
            places[str(record.label)].append(index)
        chosen = [i for own in places.values() for i in draw.permutation(own)[: self.per_label].tolist()]
        encoded = self.examples([records[i] for i in chosen], tokenizer, text, count=count, limit=text.max_windows)
        of_label: dict[Any, list[int]] = defaultdict(list)
        for place, example in enumerate(encoded):
            of_label[example.target].append(place)
        if len(of_label) < 2:
            raise DataError("the records have fewer than two labels", hint="Check the label column.")
        found = []
        for place, example in enumerate(encoded):
            others = [other for other in of_label[example.target] if other != place] or [place]
            for other in draw.choice(others, self.partners, replace=len(others) < self.partners).tolist():
                windows = (*example.windows, *encoded[other].windows)
                groups = (*([0] * len(example.windows)), *([1] * len(encoded[other].windows)))
                found.append(Example(windows, example.target, None, groups))
        return found

    # --- Loss ---------------------------------------------------------------------------------------------------------

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return (B, C); of pairs in training (2B, C + H), the vectors beside the logits, first texts and partners in turn."""
        if "group" not in batch:
            return super().logits(model, batch)
        out = model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
        both = torch.cat([out.logits.float(), out.sentence_embedding], dim=-1)  # (W, C + H)
        number = 2 * batch["owner"] + batch["group"]
        texts = int(number[-1]) + 1
        if texts == len(both):
            return both
        return both.new_zeros(texts, both.shape[1]).scatter_reduce(
            0, number[:, None].expand_as(both), both, "mean", include_self=False
        )

    def compares_records(self) -> bool:
        """Return that they are: texts of other labels are what partners are told from."""
        return True

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the summed cross-entropies, and how hard it is to tell partners from the texts of other labels."""
        labels, classes = batch["labels"], len(self.labels)
        answers, vectors = logits[:, :classes], F.normalize(logits[:, classes:], dim=-1)
        right = F.cross_entropy(answers, labels.repeat_interleave(2), reduction="sum") / 2
        return right + contrastive(vectors[0::2], vectors[1::2], labels, _TEMPERATURE)

    def distance(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Return the divergence of the labels' probabilities; of the two texts of a training example the mean."""
        classes = len(self.labels)
        texts = 2 if logits.shape[1] > classes else 1
        return super().distance(logits[:, :classes], teacher[:, :classes]) / texts

    def chance(self, examples: Sequence[Example]) -> float | None:
        """Return None: the loss depends on the batch."""
        return None
