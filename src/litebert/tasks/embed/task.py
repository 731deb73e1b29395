"""Sentence vectors: texts that mean the same lie close together (Sentence-BERT, arXiv:1908.10084; SimCSE, arXiv:2104.08821).

The vector is the mean of the last states, of length 1 (``AlbertForSentenceEmbedding``). What is learnt depends on the data
(``data.py``): positive pairs against the others of a batch, similarities of pairs, or another model's vectors; with
``options.sizes`` also by prefixes of the vectors, so that they can be cut (Matryoshka). A long text is read in windows, whose vectors
are averaged by their tokens.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litebert.checkpoint.pretrained import AlbertForSentenceEmbedding, Pretrained
from litebert.errors import ConfigError, DataError, UsageError, nearest
from litebert.tasks.base import Answer, Outputs, Score, Task
from litebert.tasks.embed.data import Positive, TeacherVector, read_embedding_records
from litebert.tasks.embed.losses import contrastive, cut, over_sizes, similarity_error, teacher_error
from litebert.tasks.embed.scores import score_positives, score_similarities, score_teacher
from litebert.tasks.examples import Batch, Example, TextSettings, WindowCount, encode_records
from litebert.tasks.reading.records import Columns, Record
from litebert.text import AlbertTokenizer

Learnt = Literal["positives", "similarity", "teacher"]
LEARNT: tuple[Learnt, ...] = ("positives", "similarity", "teacher")
NumberType = Literal["float32", "int8", "binary"]
NUMBER_TYPES: tuple[NumberType, ...] = ("float32", "int8", "binary")
_OPTIONS = ("temperature", "sizes")


@dataclass(frozen=True)
class Embedding(Answer):
    """The vector of one text.

    Attributes:
        vector: (H,) float32 of length 1; int8, 127 times that; or uint8, a bit for the sign of each of eight numbers.
    """

    vector: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as ``embedding``."""
        return {"embedding": self.vector.tolist()}


@dataclass(frozen=True)
class Similarity(Answer):
    """How close two texts are.

    Attributes:
        score: The cosine of their vectors.
    """

    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return the score."""
        return {"score": self.score}


def quantised(vectors: np.ndarray, to: NumberType) -> np.ndarray:
    """Return vectors (..., H) of length 1 in fewer bytes.

    Args:
        vectors: float32.
        to: ``int8``: 127 times the number, rounded; ``binary``: the signs, eight of them in a uint8.
    """
    if to == "int8":
        rounded: np.ndarray = np.rint(vectors * 127).astype(np.int8)
        return rounded
    return np.packbits(vectors > 0, axis=-1) if to == "binary" else vectors


@dataclass(frozen=True)
class EmbedTask(Task):
    """Make vectors of texts.

    Attributes:
        learnt: What it is trained on.
        temperature: Of the contrastive loss.
        sizes: Prefixes that are trained, the largest first; none for the whole vectors alone.
        low: Similarity in the training data that stands for a cosine of 0.
        high: The one that stands for 1.
        size: Numbers of an answer; None for all.
        number_type: Of an answer.
    """

    name: ClassVar[str] = "embed"
    model_class: ClassVar[type[Pretrained]] = AlbertForSentenceEmbedding
    pipeline_tag: ClassVar[str] = "sentence-similarity"

    learnt: Learnt = "positives"
    temperature: float = 0.05
    sizes: tuple[int, ...] = ()
    low: float = 0.0
    high: float = 1.0
    size: int | None = None
    number_type: NumberType = "float32"

    # --- Making and storing -------------------------------------------------------------------------------------------

    @classmethod
    def read(
        cls, path: str | Path, *, columns: Columns | None, options: Mapping[str, Any],  # noqa: ARG003 - none of reading
        labels_required: bool, warnings: list[str],
    ) -> list[Record]:  # fmt: skip
        """Read pairs, similarities, inferences, or texts with vectors."""
        return read_embedding_records(path, columns=columns, labels_required=labels_required, warnings=warnings)

    @classmethod
    def source(cls, record: Record) -> Hashable | None:
        """Return the first text: what belongs to it is learnt or held out together."""
        return record.text

    @classmethod
    def from_records(cls, records: Sequence[Record], options: Mapping[str, Any]) -> Self:
        """Look what the records teach, and between which values their similarities lie."""
        for name in options:
            if name not in _OPTIONS:
                raise ConfigError(f"embed has no option {name!r}", hint=nearest(name, _OPTIONS))
        labels = [record.label for record in records]
        data: dict[str, Any] = dict(options)
        if not isinstance(data.get("sizes", []), list | tuple):
            raise ConfigError(
                f"options.sizes must be a list, got {data['sizes']!r}", hint="--set options.sizes=[128,64]"
            )
        if any(isinstance(label, TeacherVector) for label in labels):
            data["learnt"] = "teacher"
        elif any(isinstance(label, float) for label in labels):
            values = [label for label in labels if isinstance(label, float)]
            low, high = min(values), max(values)
            if low == high:
                raise DataError(f"all similarities are {low:g}", hint="There is nothing to learn from them.")
            data |= {"learnt": "similarity", "low": low, "high": high}
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore from ``litebert.json``."""
        try:
            task = cls(
                data.get("learnt", "positives"), float(data.get("temperature", 0.05)), tuple(int(s) for s in data.get("sizes", ())),
                float(data.get("low", 0.0)), float(data.get("high", 1.0)),
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            raise ConfigError(f"this describes no embed task: {error}") from error
        if task.learnt not in LEARNT:
            raise ConfigError(f"unknown training {task.learnt!r}", hint=nearest(str(task.learnt), LEARNT))
        if not 0 < task.temperature < math.inf or any(size < 2 for size in task.sizes):
            raise ConfigError(f"temperature={task.temperature} must be above 0 and sizes={list(task.sizes)} at least 2")
        return task

    def to_dict(self) -> dict[str, Any]:
        """Return what ``litebert.json`` keeps."""
        return {
            "name": self.name, "learnt": self.learnt, "temperature": self.temperature, "sizes": list(self.sizes), "low": self.low,
            "high": self.high,
        }  # fmt: skip

    def config_changes(self) -> dict[str, Any]:
        """Return nothing: there are no outputs beside the states."""
        return {}

    # --- Records to examples ------------------------------------------------------------------------------------------

    def examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount,
        limit: int | None = None,
    ) -> list[Example]:  # fmt: skip
        """Encode each text by itself: the text, what it is paired with, and what it must not be paired with."""
        sizes = {len(r.label.vector) for r in records if isinstance(r.label, TeacherVector)}
        if len(sizes) > 1:
            raise DataError(
                f"the vectors have {' and '.join(map(str, sorted(sizes)))} numbers", hint="One teacher only."
            )
        parts = [_texts_of(record) for record in records]
        flat = [Record(one, line=record.line) for record, texts in zip(records, parts, strict=True) for one in texts]
        windows = iter(encode_records(flat, tokenizer, text, count=count, limit=limit))
        names: dict[str, int] = {}
        negatives = max((len(r.label.negatives) for r in records if isinstance(r.label, Positive)), default=0)
        examples = []
        for record, texts in zip(records, parts, strict=True):
            of_part = [next(windows) for _ in texts]
            target = self._target(record, names, negatives)
            groups = tuple(number for number, part in enumerate(of_part) for _ in part)
            examples.append(Example(tuple(w for part in of_part for w in part), target, None, groups))
        return examples

    def _target(
        self, record: Record, names: dict[str, int], negatives: int
    ) -> tuple[int, ...] | float | np.ndarray | None:
        label = record.label
        if isinstance(label, TeacherVector):
            return label.vector
        if isinstance(label, Positive):
            texts = (record.text, record.pair or "", *label.negatives)
            numbers = tuple(names.setdefault(text, len(names)) for text in texts)
            return (*numbers, *[-1] * (negatives - len(label.negatives)))
        return (label - self.low) / (self.high - self.low) if isinstance(label, float) else None

    def training_examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount
    ) -> list[Example]:
        """Encode records, which must all teach the same."""
        kinds = {"positives": Positive, "similarity": float, "teacher": TeacherVector}
        odd = next((r for r in records if not isinstance(r.label, kinds[self.learnt])), None)
        if odd is not None:
            raise DataError(
                f"a record teaches something else than {self.learnt}", hint="One file, one kind.", line=odd.line
            )
        return self.examples(records, tokenizer, text, count=count, limit=text.max_windows)

    # --- Loss ---------------------------------------------------------------------------------------------------------

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return (P, H), a vector for each text of each record, in order."""
        vectors = model(
            batch["input_ids"], batch["attention_mask"], batch["token_type_ids"]
        ).sentence_embedding  # (W, H)
        texts, place = _texts_in(batch)
        if len(texts) == len(vectors):
            return cast(Tensor, vectors)
        tokens = batch["attention_mask"].sum(dim=1, keepdim=True)  # (W, 1)
        summed = vectors.new_zeros(len(texts), vectors.shape[1]).index_add(0, place, vectors * tokens)
        return F.normalize(summed, dim=-1)

    def outputs(self, logits: Tensor, batch: Batch) -> list[np.ndarray]:
        """Return the (P, H) vectors of each record."""
        owner = (_texts_in(batch)[0] // _stride(batch)).cpu().numpy()
        return np.split(logits.float().cpu().numpy(), np.flatnonzero(np.diff(owner)) + 1)

    def weight(self, batch: Batch) -> float:
        """Return the number of records."""
        return float(batch["owner"][-1]) + 1

    def compares_records(self) -> bool:
        """Return whether other records' texts or vectors are compared with: all but pairs with a similarity."""
        return self.learnt != "similarity"

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the summed loss of what is learnt, over all sizes."""
        number = _texts_in(batch)[0] % _stride(batch)  # which text of its record
        first, second, rest = logits[number == 0], logits[number == 1], logits[number > 1]
        labels = batch["labels"]
        if max(self.sizes, default=0) > logits.shape[-1]:
            raise ConfigError(
                f"options.sizes={list(self.sizes)} exceed the {logits.shape[-1]} numbers of the model's vectors"
            )
        sizes = [size for size in self.sizes if size < logits.shape[-1]]
        whole = [logits.shape[-1]] if not self.sizes or max(self.sizes) == logits.shape[-1] else []

        def of_size(shorter: Any) -> Tensor:
            if self.learnt == "teacher":
                return teacher_error(shorter(first), labels)
            if self.learnt == "similarity":
                return similarity_error(shorter(first), shorter(second), labels)
            others = torch.cat([shorter(second), shorter(rest)])
            return contrastive(shorter(first), others, labels, self.temperature)

        return over_sizes(of_size, [*whole, *sizes])

    def distance(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Return the sum of 1 less the cosines."""
        return (1 - (logits * teacher).sum(dim=-1)).sum()

    def chance(self, examples: Sequence[Example]) -> float | None:
        """Return None."""
        return None

    # --- Answers and scores -------------------------------------------------------------------------------------------

    def for_call(self, options: Mapping[str, Any]) -> Self:
        """Return the task for ``size=`` and ``number_type=``.

        Raises:
            UsageError: Another option, or a value that cannot be.
        """
        known = ("size", "number_type")
        for name in options:
            if name not in known:
                raise UsageError(f"embed takes no option {name!r}", hint=nearest(name, known))
        size, number_type = options.get("size"), options.get("number_type", "float32")
        if size is not None and (not isinstance(size, int) or size < 2):
            raise UsageError(f"size={size!r} is no size of a vector", hint="A number from 2.")
        if number_type not in NUMBER_TYPES:
            raise UsageError(f"unknown number type {number_type!r}", hint=nearest(str(number_type), NUMBER_TYPES))
        return replace(self, size=size, number_type=number_type)

    def answer(self, outputs: Outputs, examples: Sequence[Example]) -> list[Answer]:
        """Return the vector of a text, the cosine of a pair."""
        return [self._answer(vectors) for vectors in outputs]

    def _answer(self, vectors: np.ndarray) -> Answer:
        if self.size is not None and self.size > vectors.shape[-1]:
            raise UsageError(f"size={self.size} exceeds the {vectors.shape[-1]} numbers of the model's vectors")
        shorter = cut(torch.from_numpy(vectors), self.size or vectors.shape[-1]).numpy()
        if len(shorter) == 1:
            return Embedding(quantised(shorter[0], self.number_type))
        return Similarity(float(shorter[0] @ shorter[1]))

    def score(self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]) -> Score:
        """Score by what the records say: correlation with similarities, the place of the right text, or closeness to a teacher."""
        first = np.stack([vectors[0] for vectors in outputs])
        labels = [record.label for record in records]
        if all(isinstance(label, TeacherVector) for label in labels):
            return score_teacher(first, np.stack([cast(TeacherVector, label).vector for label in labels]))
        if any(len(vectors) < 2 for vectors in outputs):
            raise DataError("a text is neither paired nor has it a vector", hint="One file, one kind.")
        second = np.stack([vectors[1] for vectors in outputs])
        if all(isinstance(label, float) for label in labels):
            return score_similarities(first, second, records)
        if not all(isinstance(label, Positive) for label in labels):
            raise DataError("the records say different kinds of things", hint="One file, one kind.")
        rest = [vector for vectors in outputs for vector in vectors[2:]]
        return score_positives(first, np.concatenate([second, np.array(rest).reshape(-1, first.shape[1])]), records)


def _texts_of(record: Record) -> Iterator[str] | tuple[str, ...]:
    negatives = record.label.negatives if isinstance(record.label, Positive) else ()
    return (record.text, *(() if record.pair is None else (record.pair,)), *negatives)


def _stride(batch: Batch) -> int:
    """Return a number above that of any text within its record."""
    return int(batch["group"].max()) + 1


def _texts_in(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return a number for each of P texts, owner times stride plus place; and which of them each of W windows belongs to."""
    number = batch["owner"] * _stride(batch) + batch["group"]
    texts, place = torch.unique_consecutive(number, return_inverse=True)
    return texts, place
