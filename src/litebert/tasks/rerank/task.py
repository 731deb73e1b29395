"""Reranking: how well a text answers a query, by reading both at once (a cross-encoder; Nogueira and Cho, arXiv:1901.04085).

``[CLS] query [SEP] text [SEP]`` and one output, its sigmoid the score; the folder is a ``CrossEncoder`` of sentence-transformers, too.
Two losses: cross-entropy of each pair by itself, a grade being a share of the highest; or over the texts of a query, the softmax
cross-entropy of ListNet's top-one model with labels that sum to one (Cao et al., ICML 2007; Bruch et al., ICTIR 2019). A text that is
longer than the window is read in several, and its best one counts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litebert.checkpoint.pretrained import AlbertForSequenceClassification, Pretrained
from litebert.errors import ConfigError, DataError, nearest
from litebert.tasks.base import Answer, Outputs, Score, Task
from litebert.tasks.examples import Batch, Example, TextSettings, WindowCount, encode_records
from litebert.tasks.reading.records import Columns, Record, count_empty
from litebert.tasks.rerank.data import iter_pairs, read_pairs
from litebert.tasks.rerank.queries import by_query, counted, query_of
from litebert.tasks.rerank.ranking import measures
from litebert.tasks.rerank.scoring import PAIR_METRICS, RANKING_METRICS, nothing_to_rank, score_pairs
from litebert.text import AlbertTokenizer

Loss = Literal["cross-entropy", "listwise"]
LOSSES: tuple[Loss, ...] = ("cross-entropy", "listwise")
_OPTIONS = ("loss", "metric", "top_grade", "list_length")
_STEADY = 0.01
"""Change of the score by one more application that counts as none."""


@dataclass(frozen=True)
class Relevance(Answer):
    """How well a text answers a query.

    Attributes:
        score: 0 to 1; after training by cross-entropy a probability, or the expected share of the highest grade.
    """

    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return ``score``."""
        return {"score": self.score}


@dataclass(frozen=True)
class Ranked(Answer):
    """One text of a ranking.

    Attributes:
        index: Its place in the list that was given.
        score: How well it answers the query, 0 to 1.
        text: The text.
    """

    index: int
    score: float
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, as rerank servers do."""
        return {"index": self.index, "score": self.score, "text": self.text}


def ranked(answers: Sequence[Answer], texts: Sequence[str], top_k: int | None = None) -> list[Ranked]:
    """Put texts in order, the best first; of equal ones the first given.

    Args:
        answers: ``Relevance`` of each text.
        texts: The texts.
        top_k: Return so many; None for all.
    """
    scores = [cast(Relevance, answer).score for answer in answers]
    order = sorted(range(len(texts)), key=lambda i: -scores[i])
    return [Ranked(i, scores[i], texts[i]) for i in order[:top_k]]


@dataclass(frozen=True)
class RerankTask(Task):
    """Score texts for a query.

    Attributes:
        loss: Of each pair by itself (``cross-entropy``), or over the texts of a query (``listwise``).
        metric: Main metric: of ``RANKING_METRICS``, or of ``PAIR_METRICS`` where no query has several texts.
        top_grade: Highest label; a pair's target is its label divided by this.
        list_length: Texts that are compared at once in listwise training; a query with more is learnt in several lists.
    """

    name: ClassVar[str] = "rerank"
    model_class: ClassVar[type[Pretrained]] = AlbertForSequenceClassification
    pipeline_tag: ClassVar[str] = "text-ranking"
    usage: ClassVar[str] = '("a query", "a text that may answer it")'
    stops_early: ClassVar[bool] = True

    loss_name: Loss = "cross-entropy"
    metric: str = "map"
    top_grade: float = 1.0
    list_length: int = 16

    # --- Making and storing -------------------------------------------------------------------------------------------

    @classmethod
    def read(
        cls, path: str | Path, *, columns: Columns | None, options: Mapping[str, Any],  # noqa: ARG003 - the same for all
        labels_required: bool, warnings: list[str],
    ) -> list[Record]:  # fmt: skip
        """Read queries with texts."""
        return read_pairs(path, columns=columns, labels_required=labels_required, warnings=warnings)

    @classmethod
    def stream(
        cls, path: str | Path, *, columns: Columns | None, format: str | None,
        warnings: list[str],
    ) -> Iterator[Record]:  # fmt: skip
        """Read queries with texts one by one, of any layout; those without text as well."""
        return count_empty(iter_pairs(path, columns=columns, format=format, ignore_labels=True), path, warnings)

    @classmethod
    def source(cls, record: Record) -> Hashable | None:
        """Return the query."""
        return query_of(record)

    @classmethod
    def from_records(cls, records: Sequence[Record], options: Mapping[str, Any]) -> Self:
        """Look for the highest grade, and whether there is anything to rank, unless ``options`` says so."""
        for name in options:
            if name not in _OPTIONS:
                raise ConfigError(f"rerank has no option {name!r}", hint=nearest(name, _OPTIONS))
        cls.from_dict(options)  # a wrong option is said before wrong data
        found: dict[str, Any] = {}
        if records:
            highest = max(float(str(record.label or 0)) for record in records)
            if highest == 0:
                raise DataError(
                    "no text of the training data is relevant",
                    hint="Check the label column (--columns label=NAME); rows without a query or a text do not count.",
                )
            found = {
                "top_grade": max(1.0, highest),
                "metric": RANKING_METRICS[0] if counted(records).graded else PAIR_METRICS[0],
            }
        return cls.from_dict({**found, **options})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore from ``litebert.json``."""
        loss, metric = data.get("loss", LOSSES[0]), data.get("metric", RANKING_METRICS[0])
        if loss not in LOSSES:
            raise ConfigError(f"rerank has no loss {loss!r}", hint=nearest(str(loss), LOSSES))
        allowed = RANKING_METRICS if loss == "listwise" else (*RANKING_METRICS, *PAIR_METRICS)
        if metric not in allowed:
            raise ConfigError(
                f"rerank with the loss {loss!r} has no metric {metric!r}", hint=nearest(str(metric), allowed)
            )
        try:
            task = cls(loss, metric, float(data.get("top_grade", 1.0)), int(data.get("list_length", 16)))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"this describes no rerank task: {error}") from error
        if not 0 < task.top_grade < float("inf") or task.list_length < 2:
            raise ConfigError(
                f"top_grade={task.top_grade} must be above 0 and list_length={task.list_length} at least 2"
            )
        return task

    @classmethod
    def of_foreign(cls, labels: Sequence[str], problem_type: str) -> Self:  # noqa: ARG003
        """Return the task of a folder that another program wrote, such as a ``CrossEncoder`` of one output."""
        if len(labels) != 1:
            raise ConfigError(
                f"rerank has one output, this model has {len(labels)}", hint="Two texts and several labels: classify."
            )
        return cls()

    def to_dict(self) -> dict[str, Any]:
        """Return what ``litebert.json`` keeps."""
        return {
            "name": self.name, "loss": self.loss_name, "metric": self.metric, "top_grade": self.top_grade,
            "list_length": self.list_length,
        }  # fmt: skip

    def config_changes(self) -> dict[str, Any]:
        """Return the one output."""
        return {"id2label": {0: "relevance"}}

    # --- Records to examples ------------------------------------------------------------------------------------------

    def examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount,
        limit: int | None = None,
    ) -> list[Example]:  # fmt: skip
        """Encode pairs."""
        odd = next((record for record in records if record.pair is None), None)
        if odd is not None:
            raise DataError(
                "rerank reads a query and a text, but there is only one",
                hint='Give ("query", "text"), or {"query": ..., "text": ...}.', line=odd.line,
            )  # fmt: skip
        encoded = encode_records(records, tokenizer, text, count=count, limit=limit)
        return [Example(inputs, self._target(record)) for record, inputs in zip(records, encoded, strict=True)]

    def _target(self, record: Record) -> float | None:
        return None if record.label is None else min(1.0, float(str(record.label)) / self.top_grade)

    def training_examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount
    ) -> list[Example]:
        """Make an example of each pair, or for the listwise loss of each query's texts, relevant and other ones in each list."""
        measures()  # training without being able to score would be in vain
        pairs = self.examples(records, tokenizer, text, count=count, limit=text.max_windows)
        if self.loss_name != "listwise":
            return pairs
        found = []
        for group in by_query(records):
            targets = [cast(float, pairs[i].target) for i in group]
            relevant = [i for i, target in zip(group, targets, strict=True) if target > 0]
            others = [i for i, target in zip(group, targets, strict=True) if target <= 0]
            if len(set(targets)) > 1:
                found += [
                    self._list([pairs[i] for i in chosen]) for chosen in _lists(relevant, others, self.list_length)
                ]
        if not found:
            raise DataError(
                "no query has texts of different relevance, which the listwise loss compares",
                hint="Leave options.loss out, or check how queries and texts belong together.",
            )
        return found

    def _list(self, pairs: Sequence[Example]) -> Example:
        targets = [cast(float, pair.target) for pair in pairs]
        groups = tuple(number for number, pair in enumerate(pairs) for _ in pair.windows)
        padded = (*targets, *([0.0] * (self.list_length - len(targets))))
        return Example(tuple(window for pair in pairs for window in pair.windows), padded, groups=groups)

    # --- Loss ---------------------------------------------------------------------------------------------------------

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return (B, 1), or (B, C) of lists with minus infinity where there are fewer texts: of each text's windows the best."""
        out = model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
        scores = cast(Tensor, out.logits).float().squeeze(-1)  # (W,)
        owner, group = batch["owner"], batch.get("group")
        records, width = int(owner[-1]) + 1, 1 if group is None else int(group.max()) + 1
        place = owner * width + (0 if group is None else group)
        found = scores.new_full((records * width,), -torch.inf)
        return found.scatter_reduce(0, place, scores, "amax", include_self=False).view(records, width)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the summed loss of pairs, or of lists."""
        labels = batch["labels"].float()
        if "group" not in batch:
            return F.binary_cross_entropy_with_logits(logits.squeeze(-1), labels, reduction="sum")
        shares = labels[:, : logits.shape[1]]
        shares = shares / shares.sum(dim=1, keepdim=True)
        there = torch.isfinite(logits)
        return -(shares * logits.log_softmax(dim=1).masked_fill(~there, 0.0)).sum()

    def distance(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Return the divergence of the probabilities, of each pair or over a list."""
        if logits.shape[1] > 1:
            there = torch.isfinite(teacher)
            return super().distance(logits.masked_fill(~there, -1e9), teacher.masked_fill(~there, -1e9))
        soft = F.binary_cross_entropy_with_logits(logits, torch.sigmoid(teacher), reduction="sum")
        return soft - F.binary_cross_entropy_with_logits(teacher, torch.sigmoid(teacher), reduction="sum")

    def piped(self) -> str:
        """Return an input for ``litebert predict``: a query with a text."""
        return '{"query": "a query", "text": "a text that may answer it"}'

    def chance(self, examples: Sequence[Example]) -> float | None:
        """Return the mean loss of a model that gives every pair the same score."""
        lists = [example.groups for example in examples if example.groups is not None]
        if lists:
            return float(np.mean([np.log(groups[-1] + 1) for groups in lists]))
        targets = [cast(float, example.target) for example in examples if example.target is not None]
        share = float(np.mean(targets).clip(1e-12, 1 - 1e-12)) if targets else None
        return None if share is None else float(-(share * np.log(share) + (1 - share) * np.log(1 - share)))

    def stands(self, before: Tensor, now: Tensor) -> Tensor:
        """Tell whether the score is the same to a hundredth."""
        return (torch.sigmoid(before) - torch.sigmoid(now)).abs().amax(dim=-1) < _STEADY

    # --- Answers and scores -------------------------------------------------------------------------------------------

    def answer(self, outputs: Outputs, examples: Sequence[Example]) -> list[Answer]:
        """Return the score of each pair."""
        logits = torch.tensor([float(row[0]) for row in outputs], dtype=torch.float64)
        return [Relevance(score) for score in torch.sigmoid(logits).tolist()]

    def check_held_out(self, records: Sequence[Record]) -> None:
        """Refuse records without a query whose texts can be ranked, where that is what is scored."""
        if self.metric in RANKING_METRICS and not counted(records).graded:
            raise nothing_to_rank(self.metric)

    def score(self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]) -> Score:
        """Score the order of each query's texts, and what is said about each pair."""
        logits = np.array([row[0] for row in outputs], dtype=np.float64)
        return score_pairs(
            logits, records, metric=self.metric, top_grade=self.top_grade, pairs=self.loss_name != "listwise"
        )


def _lists(relevant: Sequence[int], others: Sequence[int], length: int) -> list[list[int]]:
    """Cut a query's texts into lists of ``length`` at most that hold some of both kinds; every text is in one at least."""
    if not others:
        return [list(relevant[i : i + length]) for i in range(0, len(relevant), length)]
    part = min(len(relevant), length // 2)
    firsts = [relevant[i : i + part] for i in range(0, len(relevant), part)]
    room = length - part
    seconds = [others[i : i + room] for i in range(0, len(others), room)]
    number = max(len(firsts), len(seconds))
    return [[*firsts[i % len(firsts)], *seconds[i % len(seconds)]] for i in range(number)]
