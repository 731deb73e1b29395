"""Classification and regression of one text or a pair: single label, several labels (moderation), a value (similarity).

The head and its losses are Google's ``run_classifier.py``: cross-entropy on the pooled first token, squared error for a value.
A long text is read in windows; their logits are averaged, or for several labels the highest counts, since one toxic passage makes a
toxic text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litebert.checkpoint.pretrained import AlbertForSequenceClassification, Pretrained
from litebert.errors import ConfigError, DataError, nearest
from litebert.model.heads import sequence_loss
from litebert.tasks.base import Answer, Outputs, Score, Task
from litebert.tasks.calibration import Gold, cross_fitted
from litebert.tasks.classify import scoring
from litebert.tasks.classify.decisions import OPTIONS as DECISION_OPTIONS
from litebert.tasks.classify.decisions import Decision
from litebert.tasks.classify.odd_labels import odd_labels
from litebert.tasks.examples import Batch, Example, TextSettings, WindowCount, encode_records
from litebert.tasks.reading.records import Columns, Record, label_names, read_records, repeated_ids
from litebert.text import AlbertTokenizer

Kind = Literal["single", "multi", "regression"]
_OPTIONS = ("kind", "labels", "metric", "pairs", *DECISION_OPTIONS)


@dataclass(frozen=True)
class Classification(Answer):
    """The answer for one text.

    Attributes:
        label: The most probable label, or the one that a threshold makes it; for a regression, the name of the value.
        score: Its probability; for a regression, the value.
        scores: All labels with their probabilities, highest first.
        labels: For several labels, those whose probability reaches their threshold.
        review: Whether a person should look; None where the model has no review band.
    """

    label: str
    score: float
    scores: tuple[tuple[str, float], ...] = ()
    labels: tuple[str, ...] | None = None
    review: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return ``label`` and ``score`` as transformers does, and the rest beside them."""
        data: dict[str, Any] = {"label": self.label, "score": self.score}
        if self.labels is not None:
            data["labels"] = list(self.labels)
        if self.review is not None:
            data["review"] = self.review
        if self.scores:
            data["scores"] = [{"label": name, "score": score} for name, score in self.scores]
        return data


@dataclass(frozen=True)
class ClassifyTask(Task):
    """Assign labels or a value.

    Attributes:
        kind: ``single``, ``multi`` or ``regression``.
        labels: In the order of the outputs; one name for a regression.
        metric: Main metric; see ``scoring.py``.
        decision: Temperature, thresholds and review band.
        pairs: Whether every input has two texts; None if unknown.
        collected: Whether the labels are those of training records that were just read.
    """

    name: ClassVar[str] = "classify"
    model_class: ClassVar[type[Pretrained]] = AlbertForSequenceClassification
    stops_early: ClassVar[bool] = True

    kind: Kind
    labels: tuple[str, ...]
    metric: str
    decision: Decision = field(default=Decision())
    pairs: bool | None = None
    collected: bool = field(default=False, compare=False)

    # --- Making and storing -------------------------------------------------------------------------------------------

    @classmethod
    def read(
        cls, path: str | Path, *, columns: Columns | None, options: Mapping[str, Any], labels_required: bool,
        warnings: list[str],
    ) -> list[Record]:  # fmt: skip
        """Read records; ``options`` may hold ``kind``. Labels that cannot be meant as they stand are told."""
        kind = options.get("kind", "single")
        records = read_records(
            path, columns=columns, multi_label=kind == "multi", regression=kind == "regression",
            labels_required=labels_required, warnings=warnings,
        )  # fmt: skip
        warnings += repeated_ids(records, str(path))
        warnings += odd_labels(records) if labels_required and kind != "regression" else []
        return records

    @classmethod
    def from_records(cls, records: Sequence[Record], options: Mapping[str, Any]) -> Self:
        """Collect the labels, sorted (numbers by value), unless ``options`` gives ``labels``."""
        for name in options:
            if name not in _OPTIONS:
                raise ConfigError(f"classify has no option {name!r}", hint=nearest(name, _OPTIONS))
        kind = cast(Kind, options.get("kind") or "single")
        if kind not in ("single", "multi", "regression"):
            raise ConfigError(f"unknown kind {kind!r}", hint=nearest(str(kind), ("single", "multi", "regression")))
        metric = str(
            options.get("metric") or {"single": "accuracy", "multi": "micro_f1", "regression": "spearman"}[kind]
        )
        pairs = options.get("pairs", records[0].pair is not None if records else None)
        if kind == "regression":
            return cls(kind, ("score",), metric, Decision.from_options(kind, (), options), pairs)
        given = options.get("labels")
        if given is not None and (isinstance(given, str) or not isinstance(given, Sequence)):
            raise ConfigError(
                f"options.labels must be a list, got {given!r}", hint='--set \'options.labels=["a", "b"]\''
            )
        names = [str(x) for x in given] if given else label_names(records)
        if len(names) < 2 and kind == "single":
            raise DataError(
                f"only one label in the training data: {', '.join(names) or 'none'}",
                hint="A classifier needs at least two labels; check the label column (--columns label=NAME).",
            )
        if not names and records:
            raise DataError(
                "no row of the training data has a label", hint="Check the label column (--columns label=NAME)."
            )
        decision = Decision.from_options(kind, names, options)
        return cls(kind, tuple(names), metric, decision, pairs, collected=not given)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore from ``litebert.json``."""
        try:
            kind, labels = data["kind"], tuple(data["labels"])
        except (KeyError, TypeError) as error:
            raise ConfigError(f"litebert.json describes no classify task: {error!r} is missing or wrong") from error
        decision = Decision.from_dict(kind, labels, data)
        return cls(kind, labels, data.get("metric", "accuracy"), decision, data.get("pairs"))

    @classmethod
    def of_foreign(cls, labels: Sequence[str], problem_type: str) -> Self:
        """Return the task of a folder that another program wrote."""
        kinds = {"regression": "regression", "multi_label_classification": "multi"}
        kind = kinds.get(problem_type, "regression" if len(labels) == 1 else "single")
        return cls.from_records([], {"kind": kind, "labels": labels})

    def to_dict(self) -> dict[str, Any]:
        """Return what ``litebert.json`` keeps."""
        return {
            "name": self.name, "kind": self.kind, "labels": list(self.labels), "metric": self.metric,
            **self.decision.to_dict(self.labels), "pairs": self.pairs,
        }  # fmt: skip

    def config_changes(self) -> dict[str, Any]:
        """Return the labels."""
        return {"id2label": dict(enumerate(self.labels))}

    def config_extra(self) -> dict[str, Any]:
        """Return ``transformers``' name for the kind, by which it chooses its loss, and softmax or sigmoid."""
        names = {"single": "single_label_classification", "multi": "multi_label_classification"}
        return {"problem_type": names.get(self.kind, self.kind)}

    # --- Records to examples ------------------------------------------------------------------------------------------

    def examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount,
        limit: int | None = None,
    ) -> list[Example]:  # fmt: skip
        """Encode texts and labels; what was trained on pairs takes pairs, and the other way round."""
        odd = next((r for r in records if self.pairs is not None and (r.pair is not None) != self.pairs), None)
        if odd is not None:
            raise DataError(
                "this model compares two texts, but there is only one"
                if self.pairs
                else "this model takes one text, not two",
                hint="Name the columns: --columns text=...,pair=..."
                if self.pairs
                else "Name the column: --columns text=...",
                line=odd.line,
            )
        windows = encode_records(records, tokenizer, text, count=count, limit=limit)
        return [Example(w, self.target(r)) for w, r in zip(windows, records, strict=True)]

    def target(self, record: Record) -> int | float | tuple[float, ...] | None:
        """Return the class, the value or the row of 0 and 1 that stands for a record's label; None if it has none.

        Raises:
            DataError: The label is not one the model knows.
        """
        if record.label is None:
            return None
        if self.kind == "regression":
            return float(cast(float, record.label))
        if self.kind == "multi":
            chosen = record.label if isinstance(record.label, tuple) else (str(record.label),)
            places = {self._index(label, record) for label in chosen}
            return tuple(float(i in places) for i in range(len(self.labels)))
        return self._index(str(record.label), record)

    def _index(self, label: str, record: Record) -> int:
        try:
            return self.labels.index(label)
        except ValueError:
            among = "does not occur in" if self.collected else "is not one of"
            whose = "the training records" if self.collected else f"the model's {len(self.labels)} labels"
            raise DataError(
                f"label {label!r} {among} {whose}",
                hint=nearest(label, self.labels[:50]),
                line=record.line,
            ) from None

    # --- Loss ---------------------------------------------------------------------------------------------------------

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return (B, C): the windows of a record averaged, or their highest logit per label for several labels."""
        out = model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
        logits = cast(Tensor, out.logits).float()  # (W, C)
        owner = batch["owner"]
        records = int(owner[-1]) + 1
        if records == logits.shape[0]:
            return logits
        reduce = "amax" if self.kind == "multi" else "mean"
        index = owner.unsqueeze(-1).expand_as(logits)
        return logits.new_zeros(records, logits.shape[1]).scatter_reduce(0, index, logits, reduce, include_self=False)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the summed loss of Google's ``run_classifier.py``."""
        return sequence_loss(logits, batch["labels"])

    def distance(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Return the divergence of the probabilities, of each label's for several labels; for a value the squared difference."""
        if self.kind == "single":
            return super().distance(logits, teacher)
        if self.kind == "regression":
            return (logits - teacher).square().sum()
        soft = F.binary_cross_entropy_with_logits(logits, torch.sigmoid(teacher), reduction="sum")
        least = F.binary_cross_entropy_with_logits(teacher, torch.sigmoid(teacher), reduction="sum")
        return (soft - least) / logits.shape[-1]

    def piped(self) -> str:
        """Return an input for ``litebert predict``: a text, or two for what was trained on pairs."""
        return '{"text": "some text", "pair": "another text"}' if self.pairs else super().piped()

    def chance(self, examples: Sequence[Example]) -> float | None:
        """Return the entropy of the label frequencies, or the variance of the values."""
        targets = [e.target for e in examples if e.target is not None]
        if not targets:
            return None
        if self.kind == "single":
            shares = np.array(list(Counter(cast(list[int], targets)).values())) / len(targets)
            return float(-(shares * np.log(shares)).sum())
        values = np.array(targets, dtype=np.float64)
        if self.kind == "regression":
            return float(values.var())
        rates = values.mean(axis=0).clip(1e-12, 1 - 1e-12)
        return float(-(rates * np.log(rates) + (1 - rates) * np.log(1 - rates)).mean())

    # --- Answers and scores -------------------------------------------------------------------------------------------

    def probabilities(self, outputs: Outputs) -> np.ndarray:
        """Return (N, C) calibrated probabilities: softmax, or a sigmoid per label."""
        return self.decision.probabilities(self._array(outputs))

    def _array(self, outputs: Outputs) -> np.ndarray:
        return np.array(outputs, dtype=np.float64).reshape(len(outputs), len(self.labels))

    def stands(self, before: Tensor, now: Tensor) -> Tensor:
        """Tell whether the label, the set of labels, or the value to a twentieth, is the same."""
        if self.kind == "regression":
            return (before - now).abs().amax(dim=-1) < 0.05
        if not self.decision.thresholds:
            return super().stands(before, now)
        same = self.decision.agree(before.double().cpu().numpy(), now.double().cpu().numpy())
        return torch.from_numpy(same).to(now.device)

    def answer(self, outputs: Outputs, examples: Sequence[Example]) -> list[Answer]:
        """Return one answer per row."""
        if self.kind == "regression":
            return [Classification(self.labels[0], float(row[0])) for row in outputs]
        logits = self._array(outputs)
        probabilities = self.decision.probabilities(logits)
        best, marked = self.decision.labels_of(probabilities), self.decision.review(probabilities)
        answers: list[Answer] = []
        for number, row in enumerate(probabilities):
            order = np.argsort(-logits[number], kind="stable")  # probabilities near 0 or 1 can be equal
            scores = tuple((self.labels[i], float(row[i])) for i in order)
            chosen = None
            if self.kind == "multi":
                chosen = tuple(self.labels[i] for i in order if row[i] >= self.decision.thresholds[i])
            first = order[0] if self.kind == "multi" else best[number]
            review = None if marked is None else bool(marked[number])
            answers.append(Classification(self.labels[first], float(row[first]), scores, chosen, review))
        return answers

    def score(self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]) -> Score:
        """Score against gold labels."""
        return self._scored(outputs, records, None)

    def tune(self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]) -> Self:
        """Fit the temperature, the thresholds and the review band on held-out records."""
        if self.kind == "regression":
            return self
        return replace(self, decision=self.decision.fit(self._array(outputs), self._gold(records)))

    def tune_and_score(
        self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]
    ) -> tuple[Self, Score]:
        """Tune and score; a record's calibration is judged with the temperature of the half that it is not in."""
        tuned = self.tune(outputs, records, examples)
        crossed = None if self.kind == "regression" else cross_fitted(self._array(outputs), self._gold(records))
        return tuned, tuned._scored(outputs, records, crossed)

    def _gold(self, records: Sequence[Record]) -> Gold:
        targets = [self.target(r) for r in records]
        return np.array(targets, dtype=np.bool_) if self.kind == "multi" else np.array(targets, dtype=np.int64)

    def _scored(self, outputs: Outputs, records: Sequence[Record], temperatures: np.ndarray | None) -> Score:
        if self.kind == "regression":
            values = cast(list[float], [self.target(r) for r in records])
            return scoring.score_regression(self.metric, np.array([row[0] for row in outputs]), records, values)
        logits, gold = self._array(outputs), self._gold(records)
        if self.kind == "multi":
            return scoring.score_multi(self.metric, logits, records, gold, self.labels, self.decision, temperatures)
        return scoring.score_single(
            self.metric, logits, records, gold.tolist(), self.labels, self.decision, temperatures
        )
