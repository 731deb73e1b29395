"""Named entities: spans of a text with a type each, by a tag for the first piece of every word.

The head is a linear map of each token (as in BERT, arXiv:1810.04805 section 5.3); the loss is over the first pieces of words (checklist
F12), entities are scored whole, by their ends and type (CoNLL's F1). Long texts are read in windows, and each word is judged where most
is seen around it. An uncased vocabulary does not see capital letters, which tell names from words in many languages: expect less there
than from a cased model.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from litebert.checkpoint.pretrained import AlbertForTokenClassification, Pretrained
from litebert.errors import ConfigError, DataError, UsageError, nearest
from litebert.model.heads import IGNORED
from litebert.tasks.base import Answer, Outputs, Score, Task
from litebert.tasks.examples import Batch, Example, TextSettings, WindowCount, by_example
from litebert.tasks.ner.data import (
    WORDS,
    Tagged,
    has_words,
    inside_words,
    iter_tagged,
    read_tagged,
    tagged_words,
    words_of,
)
from litebert.tasks.ner.tags import bio_tags, entities_of, parsed_tag
from litebert.tasks.reading.records import Columns, Record, repeated_ids
from litebert.text import AlbertTokenizer
from litebert.text.windows import most_central, windows
from litebert.train.evaluation import Evaluation, WorstExample

_SHOWN = 20


@dataclass(frozen=True)
class Entity:
    """One entity found.

    Attributes:
        entity_group: Its type.
        score: Mean probability of its words' tags.
        word: The text of it, letter by letter.
        start: First character.
        end: Past the last character.
    """

    entity_group: str
    score: float
    word: str
    start: int
    end: int


@dataclass(frozen=True)
class Entities(Answer):
    """The entities of one text, in order."""

    entities: tuple[Entity, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return ``entities``, each with the fields of transformers' pipeline."""
        return {"entities": [vars(entity).copy() for entity in self.entities]}


@dataclass(frozen=True, slots=True)
class TextWords:
    """What turns tags back into spans.

    Attributes:
        text: The text.
        words: First and past-the-last character of each of its words.
        places: (window, position) of each word's first piece where most is seen around it; None for a word without pieces.
    """

    text: str
    words: Sequence[tuple[int, int]]
    places: Sequence[tuple[int, int] | None]


@dataclass(frozen=True)
class NerTask(Task):
    """Find entities.

    Attributes:
        labels: Tags in the order of the outputs: O, then B and I of each type.
        grouped: Whether words of one entity are put together; if not, each word is answered with its tag, O included.
    """

    name: ClassVar[str] = "ner"
    model_class: ClassVar[type[Pretrained]] = AlbertForTokenClassification
    pipeline_tag: ClassVar[str] = "token-classification"

    labels: tuple[str, ...]
    grouped: bool = True

    # --- Making and storing -------------------------------------------------------------------------------------------

    @classmethod
    def read(
        cls, path: str | Path, *, columns: Columns | None, options: Mapping[str, Any],  # noqa: ARG003 - none of reading
        labels_required: bool, warnings: list[str],
    ) -> list[Record]:  # fmt: skip
        """Read texts with entities."""
        if columns is not None:
            raise UsageError(
                "--columns does not go with texts that have entities, whose layouts have fixed names",
                hint='Call them "text" and "entities", or "tokens" and "tags"; or give a word and its tag a line.',
            )
        records = read_tagged(path, labels_required=labels_required, warnings=warnings)
        odd, count, first = inside_words(records)
        if odd:
            warnings.append(
                f"{Path(path).name}: {odd} of {count} entities begin or end inside a word, where none can be found (first: {first!r})"
            )
        warnings += repeated_ids(records, Path(path).name)
        return records

    @classmethod
    def stream(
        cls, path: str | Path, *, columns: Columns | None, format: str | None, warnings: list[str]
    ) -> Iterator[Record]:
        """Read texts one by one; of files with a word a line, or with ``tokens``, the words as they are there."""
        if columns is None and has_words(path, format):
            return iter_tagged(path, format=format, labels_required=False, ignore_labels=True)
        return super().stream(path, columns=columns, format=format, warnings=warnings)

    @classmethod
    def from_records(cls, records: Sequence[Record], options: Mapping[str, Any]) -> Self:
        """Collect the types of entities, sorted, unless ``options`` gives them as ``labels``."""
        for name in options:
            if name != "labels":
                raise ConfigError(f"ner has no option {name!r}", hint=nearest(name, ("labels",)))
        given = options.get("labels")
        if given is not None and (isinstance(given, str) or not isinstance(given, Sequence)):
            raise ConfigError(f"options.labels must be a list, got {given!r}", hint='["PER", "LOC"]')
        found = {span.label for r in records if isinstance(r.label, Tagged) for span in r.label.entities}
        types = [str(kind).strip() for kind in given] if given else sorted(found)
        if not all(types):
            raise ConfigError("options.labels has a type without a name", hint='["PER", "LOC"]')
        if not types:
            raise DataError("there is no entity in the training data", hint="Check the column or key of the tags.")
        return cls(("O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI")))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore from ``litebert.json``."""
        labels = data.get("labels")
        wrong = [x for x in labels if not isinstance(x, str) or parsed_tag(x) is None] if labels else ["nothing"]
        if wrong:
            raise ConfigError(f"this describes no ner task: {wrong[0]!r} is no tag")
        return cls(tuple(cast(Sequence[str], labels)))

    @classmethod
    def of_foreign(cls, labels: Sequence[str], problem_type: str) -> Self:  # noqa: ARG003
        """Return the task of a folder that another program wrote, whose outputs are tags."""
        return cls.from_dict({"labels": labels})

    def to_dict(self) -> dict[str, Any]:
        """Return what ``litebert.json`` keeps."""
        return {"name": self.name, "labels": list(self.labels)}

    def config_changes(self) -> dict[str, Any]:
        """Return the tags."""
        return {"id2label": dict(enumerate(self.labels))}

    # --- Records to examples ------------------------------------------------------------------------------------------

    def examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount,
        limit: int | None = None,
    ) -> list[Example]:  # fmt: skip
        """Encode texts with all their windows, whatever ``limit`` is; where their entities are is not looked at."""
        return self._examples(records, [words_of(record) for record in records], tokenizer, text, count)

    def _examples(
        self, records: Sequence[Record], words: Sequence[Sequence[tuple[int, int]]], tokenizer: AlbertTokenizer,
        text: TextSettings, count: WindowCount,
    ) -> list[Example]:  # fmt: skip
        if any(record.pair is not None for record in records):
            raise DataError("ner takes one text, not two", hint="Name the column: --columns text=...")
        encoded = tokenizer.encode_batch([record.text for record in records], offsets=True)
        stride = min(text.stride, (text.max_length - 2) // 2)
        examples = []
        for record, own, encoding in zip(records, words, encoded, strict=True):
            ids, offsets = encoding.ids[1:-1], encoding.offsets[1:-1]
            cut = [window.first for window in windows(len(ids), None, text.max_length, stride)]
            count.windowed += len(cut) > 1
            inputs = tuple(
                ([tokenizer.cls_id, *ids[part], tokenizer.sep_id], [0] * (part.stop - part.start + 2)) for part in cut
            )
            best = most_central(cut, len(ids))
            firsts = first_tokens(own, offsets)
            if WORDS not in record.extra:
                own, firsts = of_tokens(own, firsts)  # noqa: PLW2901 - as far as the vocabulary tells them apart
            places = [None if t is None else (best[t], 1 + t - cut[best[t]].start) for t in firsts]
            examples.append(Example(inputs, None, TextWords(record.text, own, places)))
        return examples

    def training_examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount
    ) -> list[Example]:
        """Make an example of each window; a word's tag is learnt where most is seen around it."""
        found = []
        examples = self._examples(records, [tagged_words(record) for record in records], tokenizer, text, count)
        for record, example in zip(records, examples, strict=True):
            tags = self._tags(record, example.detail)
            targets = [np.full(len(ids), IGNORED, dtype=np.int64) for ids, _ in example.windows]
            for tag, place in zip(tags, example.detail.places, strict=True):
                if place is not None:
                    targets[place[0]][place[1]] = tag
            found += [Example((one,), target) for one, target in zip(example.windows, targets, strict=True)]
        return found

    def _tags(self, record: Record, words: TextWords) -> list[int]:
        label = cast(Tagged, record.label)
        starts, ends = [start for start, _ in words.words], [end for _, end in words.words]
        places = ((bisect_right(ends, s.start), bisect_left(starts, s.end), s.label) for s in label.entities)
        spans = [(first, last, kind) for first, last, kind in places if first < last]
        tags = bio_tags(spans, len(words.words))
        unknown = next((tag for tag in tags if tag not in self.labels), None)
        if unknown is not None:
            raise DataError(
                f"the type {unknown[2:]!r} is none of the model's", hint=nearest(unknown, self.labels), line=record.line
            )
        return [self.labels.index(tag) for tag in tags]

    # --- Loss ---------------------------------------------------------------------------------------------------------

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return (W, T, C), zeros on padding."""
        out = model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
        return cast(Tensor, out.logits).float() * batch["attention_mask"].unsqueeze(-1)

    def outputs(self, logits: Tensor, batch: Batch) -> list[np.ndarray]:
        """Return the (w, T, C) logits of each text's windows."""
        return by_example(logits, batch)

    def weight(self, batch: Batch) -> float:
        """Return the number of words."""
        return float((batch["labels"] != IGNORED).sum())

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the summed cross-entropy of the words' first pieces."""
        return F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum", ignore_index=IGNORED)

    def chance(self, examples: Sequence[Example]) -> float | None:
        """Return the entropy of the tags."""
        counts: Counter[int] = Counter()
        for example in examples:
            counts.update(int(tag) for tag in cast(np.ndarray, example.target) if tag != IGNORED)
        shares = np.array(list(counts.values())) / max(sum(counts.values()), 1)
        return float(-(shares * np.log(shares)).sum()) if counts else None

    # --- Answers and scores -------------------------------------------------------------------------------------------

    def for_call(self, options: Mapping[str, Any]) -> Self:
        """Return the task for ``grouped=``.

        Raises:
            UsageError: Another option.
        """
        for name in options:
            if name != "grouped":
                raise UsageError(f"ner takes no option {name!r}", hint=nearest(name, ("grouped",)))
        return replace(self, grouped=bool(options.get("grouped", True)))

    def answer(self, outputs: Outputs, examples: Sequence[Example]) -> list[Answer]:
        """Return the entities of each text."""
        return [self._entities(scores, example.detail)[0] for scores, example in zip(outputs, examples, strict=True)]

    def _entities(self, scores: np.ndarray, words: TextWords) -> tuple[Entities, list[str]]:
        """Return the entities, and the tag of each word."""
        tags, sure = [], []
        for place in words.places:
            if place is None:
                tags.append("O")
                sure.append(1.0)
                continue
            shares = torch.from_numpy(scores[place]).double().softmax(dim=-1)
            best = int(shares.argmax())
            tags.append(self.labels[best])
            sure.append(float(shares[best]))
        found = []
        for first, last, kind in entities_of(tags) if self.grouped else [(i, i + 1, tag) for i, tag in enumerate(tags)]:
            start, end = words.words[first][0], words.words[last - 1][1]
            found.append(Entity(kind, float(np.mean(sure[first:last])), words.text[start:end], start, end))
        return Entities(tuple(found)), tags

    def score(self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]) -> Score:
        """Score entities by their ends and types."""
        right: Counter[str] = Counter()
        predicted: Counter[str] = Counter()
        gold: Counter[str] = Counter()
        worst: list[tuple[int, WorstExample]] = []
        for scores, record, example in zip(outputs, records, examples, strict=True):
            answer, _ = self._entities(scores, example.detail)
            mine = {(e.start, e.end, e.entity_group) for e in answer.entities}
            true = {(s.start, s.end, s.label) for s in cast(Tagged, record.label).entities}
            right.update(kind for *_, kind in mine & true)
            predicted.update(kind for *_, kind in mine)
            gold.update(kind for *_, kind in true)
            if mine != true:
                shown = WorstExample(
                    text=record.text, gold=_told(true, record.text), predicted=_told(mine, record.text)
                )
                worst.append((len(mine ^ true), shown))
        metrics = _figures(right.total(), predicted.total(), gold.total())
        rows = [
            {"label": kind, **_figures(right[kind], predicted[kind], gold[kind]), "support": gold[kind]}
            for kind in sorted(gold | predicted)
        ]
        worst.sort(key=lambda one: -one[0])
        unknown = [f"{kind!r} ({gold[kind]})" for kind in sorted(gold) if f"B-{kind}" not in self.labels]
        evaluation = Evaluation(metrics=metrics, per_label=rows, worst=[one for _, one in worst[:_SHOWN]])
        if not gold:
            evaluation.notes.append("there is no entity to find, so F1 is 0 whatever the model does")
        if unknown:
            evaluation.notes.append(f"types of entities that the model does not know, and misses: {', '.join(unknown)}")
        return Score(metrics["f1"], evaluation)


def first_tokens(words: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]) -> list[int | None]:
    """Return the first token that shares a character with each word; None for a word that has none.

    Args:
        words: In order, not overlapping.
        offsets: Of the tokens, in order; empty spans belong to nothing.
    """
    found: list[int | None] = []
    token = 0
    for start, end in words:
        while token < len(offsets) and (offsets[token][1] <= start or offsets[token][0] == offsets[token][1]):
            token += 1
        found.append(token if token < len(offsets) and offsets[token][0] < end else None)
    return found


def of_tokens(
    words: Sequence[tuple[int, int]], firsts: Sequence[int | None]
) -> tuple[list[tuple[int, int]], list[int | None]]:
    """Put neighbouring words together that begin in the same token, which has one tag to give.

    Args:
        words: In order, not overlapping.
        firsts: From ``first_tokens``.

    Returns:
        The words that are left, and the first token of each.
    """
    found: list[tuple[int, int]] = []
    tokens: list[int | None] = []
    for word, token in zip(words, firsts, strict=True):
        if tokens and token is not None and token == tokens[-1]:
            found[-1] = (found[-1][0], word[1])
            continue
        found.append(word)
        tokens.append(token)
    return found, tokens


def _figures(right: int, predicted: int, gold: int) -> dict[str, float]:
    return {
        "f1": 2 * right / max(predicted + gold, 1), "precision": right / max(predicted, 1), "recall": right / max(gold, 1),
    }  # fmt: skip


def _told(spans: set[tuple[int, int, str]], text: str) -> str:
    return "; ".join(f"{kind}: {text[start:end]}" for start, end, kind in sorted(spans)) or "(none)"
