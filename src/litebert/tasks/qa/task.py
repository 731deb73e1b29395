"""Extractive question answering: the part of a passage that answers a question, or that none does (SQuAD 1.1 and 2.0).

The head is Google's linear one (``run_squad_v1.py``): a logit for start and end per token, the mean of two cross-entropies, the first
position where there is no answer. ALBERT's own for SQuAD 2.0 is ``options.head=conditional`` (``model/conditional_span.py``). Where
some training questions have no answer, the model may answer nothing: when that beats the best span by more than a threshold, which is
searched on held-out questions (``run_squad_v2.py``, SQuAD's ``evaluate-v2.0.py``).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litebert.checkpoint.pretrained import (
    AlbertForConditionalQuestionAnswering,
    AlbertForQuestionAnswering,
    Pretrained,
)
from litebert.checkpoint.source import Source
from litebert.errors import ConfigError, DataError, UsageError, nearest
from litebert.model.conditional_span import BEAMS, span_loss
from litebert.tasks.base import Answer, Outputs, Score, Task
from litebert.tasks.examples import Batch, Example, TextSettings, WindowCount, by_example
from litebert.tasks.qa.data import Gold, iter_questions, read_questions
from litebert.tasks.qa.metrics import best_threshold, scored
from litebert.tasks.qa.windows import Passage, Span, best_conditional_spans, best_spans, encode_questions, with_targets
from litebert.tasks.reading.records import Columns, Record
from litebert.text import AlbertTokenizer
from litebert.train.evaluation import Evaluation, WorstExample

_OPTIONS = ("unanswerable", "n_best", "longest_answer", "head")
Decoded = tuple[Passage, list[Span], float]
"""A question's passage, its best spans, and the score of no answer."""

_SHOWN = 20
_EXCERPT = 200
"""Characters of a passage in the report."""


@dataclass(frozen=True)
class SpanAnswer(Answer):
    """The answer to one question.

    Attributes:
        answer: A part of the passage, letter by letter; empty where nothing is answered.
        start: Its first character.
        end: Past its last character.
        score: Its probability among the best answers.
        answers: The best answers, best first; one may be empty.
    """

    answer: str
    start: int
    end: int
    score: float
    answers: tuple[SpanAnswer, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of transformers' pipeline, and the further answers as ``scores``."""
        data: dict[str, Any] = {"answer": self.answer, "start": self.start, "end": self.end, "score": self.score}
        return data | ({"scores": [answer.to_dict() for answer in self.answers]} if self.answers else {})


@dataclass(frozen=True)
class QaTask(Task):
    """Answer questions from a passage.

    Attributes:
        unanswerable: Whether there are questions without an answer.
        threshold: How much better than the best answer none has to be, in logits.
        n_best: Starts and ends that are combined, and answers that are kept (Google's ``n_best_size``).
        longest_answer: Tokens at most (``max_answer_length``).
        head: ``linear``, as for SQuAD 1.1, or ``conditional`` (``ConditionalQaTask``).
    """

    name: ClassVar[str] = "qa"
    model_class: ClassVar[type[Pretrained]] = AlbertForQuestionAnswering
    pipeline_tag: ClassVar[str] = "question-answering"
    partly_labelled: ClassVar[bool] = True
    usage: ClassVar[str] = '("a question", "a passage that answers it")'

    head: ClassVar[str] = "linear"

    unanswerable: bool = False
    threshold: float = 0.0
    n_best: int = 20
    longest_answer: int = 30

    # --- Making and storing -------------------------------------------------------------------------------------------

    @classmethod
    def read(
        cls, path: str | Path, *, columns: Columns | None, options: Mapping[str, Any],  # noqa: ARG003 - none are known
        labels_required: bool, warnings: list[str],
    ) -> list[Record]:  # fmt: skip
        """Read questions; there are no options."""
        return read_questions(path, columns=columns, labels_required=labels_required, warnings=warnings)

    @classmethod
    def stream(
        cls, path: str | Path, *, columns: Columns | None, format: str | None,
        warnings: list[str],  # noqa: ARG003 - of answers only, which are not looked at
    ) -> Iterator[Record]:  # fmt: skip
        """Read questions one by one, of any layout; whatever answers they have."""
        return iter_questions(path, columns=columns, format=format)

    @classmethod
    def source(cls, record: Record) -> Hashable | None:
        """Return the passage."""
        return record.pair

    @classmethod
    def from_records(cls, records: Sequence[Record], options: Mapping[str, Any]) -> Self:
        """Look whether some questions have no answer, unless ``options`` says so."""
        for name in options:
            if name not in _OPTIONS:
                raise ConfigError(f"qa has no option {name!r}", hint=nearest(name, _OPTIONS))
        found = any(isinstance(record.label, Gold) and not record.label.texts for record in records)
        return cls.from_dict({"unanswerable": found, **options})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore from ``litebert.json``."""
        head = str(data.get("head", "linear"))
        kinds: dict[str, type[QaTask]] = {"linear": QaTask, "conditional": ConditionalQaTask}
        if head not in kinds:
            raise ConfigError(f"unknown head {head!r}", hint=nearest(head, kinds))
        try:
            task = kinds[head](
                bool(data.get("unanswerable", False)), float(data.get("threshold", 0.0)), int(data.get("n_best", 20)),
                int(data.get("longest_answer", 30)),
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            raise ConfigError(f"this describes no qa task: {error}") from error
        if task.n_best < 1 or task.longest_answer < 1:
            raise ConfigError(f"n_best={task.n_best} and longest_answer={task.longest_answer} must be at least 1")
        return cast(Self, task)

    @classmethod
    def of_source(cls, source: Source) -> Self:
        """Return the task of a folder that another program wrote, by the head that is there."""
        conditional = any(name.startswith("span.") for name in source.tensors)
        return cls.from_dict({"unanswerable": conditional, "head": "conditional" if conditional else "linear"})

    def to_dict(self) -> dict[str, Any]:
        """Return what ``litebert.json`` keeps."""
        return {
            "name": self.name, "unanswerable": self.unanswerable, "threshold": self.threshold, "n_best": self.n_best,
            "longest_answer": self.longest_answer, "head": self.head,
        }  # fmt: skip

    def config_changes(self) -> dict[str, Any]:
        """Return nothing: the head has no labels."""
        return {}

    # --- Records to examples ------------------------------------------------------------------------------------------

    def examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount,
        limit: int | None = None,
    ) -> list[Example]:  # fmt: skip
        """Encode questions with all windows of their passages, whatever ``limit`` is."""
        odd = next((r for r in records if r.pair is None or not r.pair.strip() or not r.text.strip()), None)
        if odd is not None:
            raise DataError(
                "a question needs a context",
                hint='Give a pair ("question", "context"), or both columns.',
                line=odd.line,
            )
        return encode_questions(records, tokenizer, text, count=count)

    def training_examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount
    ) -> list[Example]:
        """Make an example of each window; questions without a label are left out."""
        known = [record for record in records if isinstance(record.label, Gold)]
        golds = [cast(Gold, record.label) for record in known]
        return with_targets(self.examples(known, tokenizer, text, count=count), golds)

    # --- Loss ---------------------------------------------------------------------------------------------------------

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return (W, T, 2) of start and end."""
        out = model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
        return torch.stack([out.start_logits, out.end_logits], dim=-1).float()

    def outputs(self, logits: Tensor, batch: Batch) -> list[np.ndarray]:
        """Return the (w, T, 2) logits of each question's windows."""
        return by_example(logits, batch)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the summed mean of both cross-entropies over the real positions; Google's goes over padding, too."""
        scores = logits.masked_fill(~batch["attention_mask"].bool().unsqueeze(-1), -1e30)
        losses = [F.cross_entropy(scores[..., side], batch["labels"][:, side], reduction="sum") for side in (0, 1)]
        return torch.stack(losses).mean()

    def distance(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Return the divergence over positions, of start and end."""
        return super().distance(logits.transpose(1, 2), teacher.transpose(1, 2)) / 2

    def piped(self) -> str:
        """Return an input for ``litebert predict``: a question with its context."""
        return '{"question": "a question", "context": "a passage that answers it"}'

    def chance(self, examples: Sequence[Example]) -> float | None:
        """Return the mean loss of a model that knows only how often the first position is right."""
        if not examples:
            return None
        share = float(np.mean([example.target == (0, 0, 0) for example in examples]))
        length = float(np.mean([example.tokens for example in examples]))
        parts = [p * np.log(q / p) for p, q in ((share, 1.0), (1 - share, length)) if p > 0]
        return float(sum(parts))

    # --- Answers and scores -------------------------------------------------------------------------------------------

    def check_held_out(self, records: Sequence[Record]) -> None:
        """Refuse questions of which no right answer is known."""
        if not _labelled(records):
            raise DataError(
                "no held-out question has an answer that is in its context, so nothing can be scored",
                hint="Name a file with such questions: --dev FILE",
            )

    def _best(self, outputs: Outputs, examples: Sequence[Example]) -> list[Decoded]:
        found = []
        for scores, example in zip(outputs, examples, strict=True):
            spans, null = self._decoded(example.detail, scores)
            found.append((example.detail, spans, null))
        return found

    def _decoded(self, passage: Passage, scores: np.ndarray) -> tuple[list[Span], float]:
        """Return the best spans, and the score of no answer on their scale."""
        return best_spans(passage, scores, most=self.n_best, longest=self.longest_answer)

    def for_call(self, options: Mapping[str, Any]) -> Self:
        """Return the task for ``n_best=`` and ``longest_answer=``.

        Raises:
            UsageError: Another option, or a value that cannot be.
        """
        known = ("n_best", "longest_answer")
        for name, value in options.items():
            if name not in known:
                raise UsageError(f"qa takes no option {name!r}", hint=nearest(name, known))
            if not isinstance(value, int) or value < 1:
                raise UsageError(f"{name}={value!r} must be a number from 1")
        return replace(self, **options)

    def answer(self, outputs: Outputs, examples: Sequence[Example]) -> list[Answer]:
        """Return one answer per question."""
        return [self._answer(*best) for best in self._best(outputs, examples)]

    def _answer(self, passage: Passage, spans: Sequence[Span], null: float) -> SpanAnswer:
        choices = [(passage.text[s.start : s.end], s.start, s.end, s.score) for s in spans]
        if self.unanswerable or not choices:
            choices.append(("", 0, 0, null + (0.0 if not choices else -self.threshold)))
        values = np.array([choice[3] for choice in choices])
        shares = np.exp(values - values.max())
        shares /= shares.sum()
        ranked = [
            SpanAnswer(choices[i][0], choices[i][1], choices[i][2], float(shares[i]))
            for i in np.argsort(-values, kind="stable")[: self.n_best]
        ]
        best = ranked[0]
        return replace(best, answers=tuple(ranked))

    def score(self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]) -> Score:
        """Score against the right answers by SQuAD's official figures; records without a label do not count."""
        known = _labelled(records)
        best = self._best([outputs[i] for i in known], [examples[i] for i in known])
        return self._score(best, records, known)

    def _score(self, best: Sequence[Decoded], records: Sequence[Record], known: Sequence[int]) -> Score:
        answers = [self._answer(*one) for one in best]
        predicted = [answer.answer for answer in answers]
        golds = [_right(records[i]) for i in known]
        figures = scored(predicted, golds, empty=self.unanswerable)
        metrics = {"f1": float(figures.f1.mean()), "exact_match": float(figures.exact.mean())}
        baseline = {}
        if self.unanswerable:
            for name, there in (("has_answer", figures.answerable), ("no_answer", ~figures.answerable)):
                if there.any():
                    metrics[f"f1_{name}"] = float(figures.f1[there].mean())
                    metrics[f"exact_match_{name}"] = float(figures.exact[there].mean())
            baseline = {"f1": float((~figures.answerable).mean())}
        worst = [
            WorstExample(
                text=records[known[i]].text, pair=_excerpt(records[known[i]]), gold=" | ".join(dict.fromkeys(golds[i])) or "(none)",
                predicted=predicted[i] or "(none)", confidence=answers[i].score,
            )
            for i in sorted(range(len(known)), key=lambda i: (figures.f1[i], -answers[i].score))[:_SHOWN]
            if figures.f1[i] < 1
        ]  # fmt: skip
        evaluation = Evaluation(metrics=metrics, baseline=baseline, worst=worst)
        if len(known) < len(records):
            evaluation.notes.append(
                f"{len(known)} of {len(records)} questions are scored: of the rest no right answer is known"
            )
        return Score(metrics["f1"], evaluation)

    def tune(self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]) -> Self:
        """Search the threshold that gives the best F1 on held-out questions."""
        known = _labelled(records)
        return self._tune(self._best([outputs[i] for i in known], [examples[i] for i in known]), records, known)

    def tune_and_score(
        self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]
    ) -> tuple[Self, Score]:
        """Do both with the spans looked for once."""
        known = _labelled(records)
        best = self._best([outputs[i] for i in known], [examples[i] for i in known])
        tuned = self._tune(best, records, known)
        return tuned, tuned._score(best, records, known)

    def _tune(self, best: Sequence[Decoded], records: Sequence[Record], known: Sequence[int]) -> Self:
        if not self.unanswerable or not known:
            return self
        texts = [passage.text[spans[0].start : spans[0].end] if spans else "" for passage, spans, _ in best]
        null = np.array([score - spans[0].score if spans else np.inf for _, spans, score in best])
        figures = scored(texts, [_right(records[i]) for i in known])
        _, threshold = best_threshold(null, figures.f1, figures.answerable)
        return replace(self, threshold=threshold)


class ConditionalQaTask(QaTask):
    """The same with ALBERT's own head for SQuAD 2.0: the end depends on the start, and it says whether there is an answer."""

    model_class: ClassVar[type[Pretrained]] = AlbertForConditionalQuestionAnswering
    head: ClassVar[str] = "conditional"

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return (W, T, 2 + K): starts; no answer, at the first position; ends given the best starts, in training the right one."""
        given = batch["labels"][:, 0] if "labels" in batch else None
        out = model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"], start_positions=given)
        none = torch.zeros_like(out.start_logits)
        none[:, 0] = out.no_answer_logits
        return torch.cat([torch.stack([out.start_logits, none], dim=-1), out.end_logits.transpose(1, 2)], dim=-1)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return Google's summed loss."""
        start, end, there = batch["labels"].unbind(-1)
        return span_loss(logits[..., 0], logits[..., 2], logits[:, 0, 1], start, end, 1 - there)

    def distance(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Return the divergence over starts and ends, and between the probabilities of no answer."""
        spans = super().distance(logits[..., [0, 2]], teacher[..., [0, 2]])
        none, sure = logits[:, 0, 1], torch.sigmoid(teacher[:, 0, 1])
        least = F.binary_cross_entropy_with_logits(teacher[:, 0, 1], sure, reduction="sum")
        return spans + (F.binary_cross_entropy_with_logits(none, sure, reduction="sum") - least) / 2

    def chance(self, examples: Sequence[Example]) -> float | None:
        """Return the mean loss of a model that knows only how often there is no answer."""
        spans = super().chance(examples)
        if spans is None:
            return None
        share = float(np.mean([example.target == (0, 0, 0) for example in examples]))
        return spans + 0.5 * sum(-p * float(np.log(p)) for p in (share, 1 - share) if p > 0)

    def _decoded(self, passage: Passage, scores: np.ndarray) -> tuple[list[Span], float]:
        spans, none = best_conditional_spans(
            passage, scores, most=self.n_best, longest=self.longest_answer, beams=BEAMS
        )
        return spans, none + (spans[0].score if spans else 0.0)


def _labelled(records: Sequence[Record]) -> list[int]:
    """Return which records have a label: an answer that is not in its passage is none."""
    return [i for i, record in enumerate(records) if isinstance(record.label, Gold)]


def _right(record: Record) -> tuple[str, ...]:
    """Return all right answers of a question, those that its passage does not have letter by letter as well."""
    label = cast(Gold, record.label)
    return label.texts + label.elsewhere


def _excerpt(record: Record) -> str:
    """Return the passage around the right answer."""
    text, gold = record.pair or "", cast(Gold, record.label)
    start = max(0, (gold.starts[0] if gold.starts else 0) - _EXCERPT // 2)
    return ("..." if start else "") + text[start : start + _EXCERPT] + ("..." if start + _EXCERPT < len(text) else "")
