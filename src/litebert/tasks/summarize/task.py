"""Extractive summaries by a trained scorer of sentences (Liu & Lapata 2019, "Text Summarization with Pretrained Encoders", section 3).

Every sentence has its own ``[CLS]`` before it and ``[SEP]`` behind it, the segment types alternate between sentences, and the head
is one output read at each ``[CLS]``; the loss is the binary cross-entropy of whether the sentence belongs to the summary. The
paper's two further layers between sentences are left out, as in its BertSum with a plain classifier (Liu 2019, arXiv:1903.10318,
section 2.3.1), so that the folder stays an ordinary token classifier. Long documents are read in windows of whole sentences, and a
sentence is learnt and scored in the one window that sees most around it. What no window sees, how central a sentence is to the whole
document, the graph of shared words tells (``graph.py``): how much that counts beside the scorer is fitted on held-out documents.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from litebert.checkpoint.pretrained import AlbertForTokenClassification, Pretrained
from litebert.errors import ConfigError, DataError, UsageError, nearest
from litebert.model.heads import IGNORED
from litebert.settings import build_settings
from litebert.tasks.base import Answer, Outputs, Score, Task
from litebert.tasks.examples import Batch, Example, TextSettings, WindowCount, by_example
from litebert.tasks.reading.documents import Span, spans_of
from litebert.tasks.reading.records import Columns, Record, count_empty
from litebert.tasks.summarize.choice import Budget, Summarization, summarization
from litebert.tasks.summarize.data import Summary, read_documents, stream_documents
from litebert.tasks.summarize.graph import MOST_SENTENCES, GraphOptions, ranked
from litebert.tasks.summarize.rouge import KINDS, rouge
from litebert.text import AlbertTokenizer
from litebert.text.windows import most_central
from litebert.train.evaluation import Evaluation, WorstExample

LABEL = "in_summary"
"""Name of the only output."""
WEIGHTS = (0.0, 0.25, 0.5, 0.75)
"""Of the graph, tried on held-out documents."""
_SHOWN = 20


class ScorerOptions(Budget):
    """How long a summary of a trained scorer is, and what counts."""

    graph_weight: float | None = Field(default=None, ge=0, le=1)
    """How much a sentence's centrality in the graph of shared words (TextRank) counts beside the scorer; None: in training what is best
    on the held-out documents, else 0."""


@dataclass(frozen=True, slots=True)
class ScoredSentences:
    """What turns outputs back into sentences.

    Attributes:
        text: The document.
        spans: First and past-the-last character of each of its sentences.
        places: (window, position) of each sentence's ``[CLS]`` where most is seen around it; None for a sentence without pieces.
    """

    text: str
    spans: Sequence[Span]
    places: Sequence[tuple[int, int] | None]


@dataclass(frozen=True)
class SummarizeTask(Task):
    """Choose the sentences that belong to a summary.

    Attributes:
        options: How long a summary is when nothing else is said, and how much the graph counts.
    """

    name: ClassVar[str] = "summarize"
    model_class: ClassVar[type[Pretrained]] = AlbertForTokenClassification
    pipeline_tag: ClassVar[str] = "summarization"
    usage: ClassVar[str] = '"a long text", sentences=3'

    options: ScorerOptions = field(default_factory=ScorerOptions)

    # --- Making and storing -------------------------------------------------------------------------------------------

    @classmethod
    def read(
        cls, path: str | Path, *, columns: Columns | None, options: Mapping[str, Any],  # noqa: ARG003 - none matters here
        labels_required: bool, warnings: list[str],
    ) -> list[Record]:  # fmt: skip
        """Read documents with summaries."""
        return read_documents(path, columns=columns, labels_required=labels_required, warnings=warnings)

    @classmethod
    def stream(
        cls,
        path: str | Path,
        *,
        columns: Columns | None,
        format: str | None,
        warnings: list[str],
    ) -> Iterator[Record]:
        """Read documents."""
        return count_empty(stream_documents(path, columns=columns, format=format, labelled=False), path, warnings)

    @classmethod
    def source(cls, record: Record) -> Hashable | None:
        """Return the document: copies of it are held out together."""
        return record.text

    @classmethod
    def from_records(cls, records: Sequence[Record], options: Mapping[str, Any]) -> Self:  # noqa: ARG003
        """Return the task; ``options`` are fields of ``ScorerOptions``."""
        for name in options:
            if name not in ScorerOptions.model_fields:
                raise ConfigError(f"summarize has no option {name!r}", hint=nearest(name, ScorerOptions.model_fields))
        return cls(build_settings(ScorerOptions, options))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Restore from ``litebert.json``."""
        known = ScorerOptions.model_fields
        return cls(build_settings(ScorerOptions, {name: data[name] for name in known if name in data}))

    def to_dict(self) -> dict[str, Any]:
        """Return what ``litebert.json`` keeps."""
        return {"name": self.name, "labels": [LABEL], **self.options.model_dump()}

    def config_changes(self) -> dict[str, Any]:
        """Return the only output."""
        return {"id2label": {0: LABEL}}

    def for_call(self, options: Mapping[str, Any]) -> Self:
        """Return the task with another length, or another weight of the graph."""
        for name in options:
            if name in GraphOptions.model_fields and name not in ScorerOptions.model_fields:
                raise UsageError(
                    f"a trained summariser has no option {name!r}",
                    hint="The graph of a model that was not trained for summaries has: "
                    'litebert.load("litebert-small-en", task="summarize").',
                )
        return type(self)(build_settings(ScorerOptions, self.options.changed(options)))

    # --- Records to examples ------------------------------------------------------------------------------------------

    def examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount,
        limit: int | None = None,
    ) -> list[Example]:  # fmt: skip
        """Encode documents with all their windows, whatever ``limit`` is; a sentence longer than a window shows its beginning."""
        if any(record.pair is not None for record in records):
            raise DataError("summarize takes one text, not two", hint="Name the column: --columns text=...")
        spans = [spans_of(record) for record in records]
        texts = [record.text[a:b] for record, own in zip(records, spans, strict=True) for a, b in own]
        encoded = iter(tokenizer.encode_batch(texts) if texts else [])
        examples = []
        for record, own in zip(records, spans, strict=True):
            pieces = [list(next(encoded).ids[1:-1]) for _ in own]
            count.truncated += any(len(ids) > text.max_length - 2 for ids in pieces)
            pieces = [ids[: text.max_length - 2] for ids in pieces]
            windows, places = _windows(pieces, tokenizer, text)
            count.windowed += len(windows) > 1
            examples.append(Example(windows, None, ScoredSentences(record.text, own, places)))
        return examples

    def training_examples(
        self, records: Sequence[Record], tokenizer: AlbertTokenizer, text: TextSettings, *, count: WindowCount
    ) -> list[Example]:
        """Make an example of each window in which a sentence is learnt; documents that share nothing with theirs are left out."""
        kept = [(r, r.label) for r in records if isinstance(r.label, Summary) and r.label.chosen]
        if not kept:
            raise DataError(
                "no document shares a word with its summary", hint="Check the columns: --columns text=...,label=..."
            )
        found = []
        encoded = self.examples([record for record, _ in kept], tokenizer, text, count=count)
        for (_, label), example in zip(kept, encoded, strict=True):
            targets = [np.full(len(ids), IGNORED, dtype=np.int64) for ids, _ in example.windows]
            for number, place in enumerate(example.detail.places):
                if place is not None:
                    targets[place[0]][place[1]] = number in label.chosen
            rows = zip(example.windows, targets, strict=True)
            found += [Example((one,), target) for one, target in rows if (target != IGNORED).any()]
        return found

    # --- Loss ---------------------------------------------------------------------------------------------------------

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return (W, T): of each token; in training 0 where no sentence begins."""
        out = model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
        kept = batch["labels"] != IGNORED if "labels" in batch else batch["attention_mask"]
        return cast(Tensor, out.logits).float().squeeze(-1) * kept

    def outputs(self, logits: Tensor, batch: Batch) -> list[np.ndarray]:
        """Return the (w, T) logits of each document's windows."""
        return by_example(logits, batch)

    def weight(self, batch: Batch) -> float:
        """Return the number of sentences."""
        return float((batch["labels"] != IGNORED).sum())

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the summed binary cross-entropy of the sentences."""
        there = batch["labels"] != IGNORED
        return F.binary_cross_entropy_with_logits(logits[there], batch["labels"][there].float(), reduction="sum")

    def distance(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Return the summed divergence of the sentences' probabilities; equal logits, as between them, add nothing."""
        goal = teacher.sigmoid()
        cross, own = (F.binary_cross_entropy_with_logits(x, goal, reduction="sum") for x in (logits, teacher))
        return cross - own

    def chance(self, examples: Sequence[Example]) -> float | None:
        """Return the entropy of whether a sentence belongs to the summary."""
        targets = [t[t != IGNORED] for t in (cast(np.ndarray, example.target) for example in examples)]
        share = float(np.concatenate(targets).mean()) if targets else 0.0
        return float(-sum(p * np.log(p) for p in (share, 1 - share))) if 0 < share < 1 else None

    # --- Answers and scores -------------------------------------------------------------------------------------------

    def answer(self, outputs: Outputs, examples: Sequence[Example]) -> list[Answer]:
        """Return the summary of each document."""
        return list(self._summaries(outputs, examples))

    def tune(self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]) -> Self:
        """Return the task with the weight of the graph that is best by ROUGE-1, unless it was given; the smallest of the best."""
        if self.options.graph_weight is not None:
            return self
        details = [example.detail for example in examples]
        logits = [_logits(scores, detail) for scores, detail in zip(outputs, details, strict=True)]
        central = [_centrality(detail) for detail in details]

        def found(weight: float) -> float:
            triples = zip(details, logits, central, strict=True)
            made = [self._summary(detail, weighed(own, other, weight)) for detail, own, other in triples]
            return rouge_means(made, records)[0][KINDS[0]]

        return self.for_call({"graph_weight": max(WEIGHTS, key=found)})

    def _summaries(self, outputs: Outputs, examples: Sequence[Example]) -> list[Summarization]:
        weight = self.options.graph_weight or 0.0
        found = []
        for scores, example in zip(outputs, examples, strict=True):
            logits = _logits(scores, example.detail)
            if weight:
                logits = weighed(logits, _centrality(example.detail), weight)
            found.append(self._summary(example.detail, logits))
        return found

    def _summary(self, sentences: ScoredSentences, logits: np.ndarray) -> Summarization:
        shares = torch.from_numpy(logits).sigmoid().numpy()
        return summarization(sentences.text, sentences.spans, shares, self.options)

    def score(self, outputs: Outputs, records: Sequence[Record], examples: Sequence[Example]) -> Score:
        """Score by ROUGE's F against the references, with Porter stems; lead and TextRank of the same length beside it."""
        found = self._summaries(outputs, examples)
        metrics, each = rouge_means(found, records)
        baseline = {}
        for name, method in (("lead", "lead"), ("textrank", "words")):
            others = [self._baseline(record, method) for record in records]
            baseline[name] = rouge_means(others, records)[0][KINDS[0]]
        worst = [
            WorstExample(
                text=records[i].text, gold=cast(Summary, records[i].label).text, predicted=found[i].summary_text,
                loss=1 - each[i],
            )
            for i in np.argsort(each, kind="stable")[:_SHOWN]
        ]  # fmt: skip
        return Score(metrics[KINDS[0]], Evaluation(metrics=metrics, worst=worst, baseline=baseline))

    def _baseline(self, record: Record, method: str) -> Summarization:
        spans = spans_of(record)
        options = build_settings(GraphOptions, {"method": method})
        scores, _ = ranked([record.text[a:b] for a, b in spans], options)
        return summarization(record.text, spans, scores, self.options)


def _logits(scores: np.ndarray, sentences: ScoredSentences) -> np.ndarray:
    """Return (N,) float64: what the scorer says of each sentence, minus infinity of one without pieces."""
    return np.array([-np.inf if place is None else scores[place] for place in sentences.places], dtype=np.float64)


def _centrality(sentences: ScoredSentences) -> np.ndarray:
    """Return (N,): where a random surfer on the graph of shared words is found; alike for all sentences of what no graph can hold."""
    texts = [sentences.text[start:end] for start, end in sentences.spans]
    if len(texts) > MOST_SENTENCES:
        return np.zeros(len(texts))
    return ranked(texts, build_settings(GraphOptions, {"method": "words"}))[0]


def weighed(logits: np.ndarray, central: np.ndarray, weight: float) -> np.ndarray:
    """Return logits of which a part is exchanged for centrality, both as standard deviations from the mean of their document.

    Args:
        logits: (N,) of the scorer; minus infinity stays.
        central: (N,) of the graph.
        weight: Of the graph, 0 to 1; with 0 the logits are as they were.
    """
    known = np.isfinite(logits)
    own, other = logits[known], central[known]
    if len(own) < 2 or not weight:
        return logits
    middle, spread = own.mean(), own.std() or 1.0
    centred = (other - other.mean()) / (other.std() or 1.0)
    mixed = logits.copy()
    mixed[known] = middle + (1 - weight) * (own - middle) + weight * spread * centred
    return mixed


def rouge_means(summaries: Sequence[Summarization], records: Sequence[Record]) -> tuple[dict[str, float], np.ndarray]:
    """Return the mean F of every kind of ROUGE, and ROUGE-1 of each document.

    Args:
        summaries: Of N documents.
        records: Whose labels are ``Summary``.
    """
    figures = [
        rouge([one.sentence for one in summary.sentences], cast(Summary, record.label).sentences)
        for summary, record in zip(summaries, records, strict=True)
    ]
    means = {kind: float(np.mean([one[kind].f1 for one in figures])) if figures else 0.0 for kind in KINDS}
    return means, np.array([one[KINDS[0]].f1 for one in figures])


# Windows ----------------------------------------------------------------------------------------------------------------


def _windows(
    pieces: Sequence[list[int]], tokenizer: AlbertTokenizer, text: TextSettings
) -> tuple[tuple[tuple[list[int], list[int]], ...], list[tuple[int, int] | None]]:
    """Return the windows of a document, and where in them each sentence is read."""
    there = [number for number, ids in enumerate(pieces) if ids]
    ends = [0, *accumulate(len(pieces[number]) + 2 for number in there)]  # of the document as tokens, specials included
    parts = sentence_windows([end - start for start, end in pairwise(ends)], text.max_length, text.stride)
    best = most_central([slice(ends[part.start], ends[part.stop]) for part in parts], ends[-1])
    windows, places = [], [None] * len(pieces)  # type: list[tuple[list[int], list[int]]], list[tuple[int, int] | None]
    for part in parts:
        ids: list[int] = []
        types: list[int] = []
        for order, index in enumerate(range(part.start, part.stop)):
            sentence = [tokenizer.cls_id, *pieces[there[index]], tokenizer.sep_id]
            middle = (ends[index] + ends[index + 1]) // 2
            if best[middle] == len(windows):
                places[there[index]] = (len(windows), len(ids))
            ids += sentence
            types += [order % 2] * len(sentence)
        windows.append((ids, types))
    empty = ([tokenizer.cls_id, tokenizer.sep_id], [0, 0])
    return tuple(windows) or (empty,), places


def sentence_windows(lengths: Sequence[int], most: int, shared: int) -> list[slice]:
    """Cut a document into windows of whole sentences, as full as they can be.

    Args:
        lengths: Tokens of each sentence, specials included; none longer than ``most``.
        most: Tokens of a window.
        shared: Tokens, at most, of the sentences that neighbouring windows share.
    """
    parts: list[slice] = []
    start = 0
    while start < len(lengths):
        stop, used = start, 0
        while stop < len(lengths) and used + lengths[stop] <= most:
            used += lengths[stop]
            stop += 1
        parts.append(slice(start, stop))
        if stop == len(lengths):
            break
        following = lengths[stop]
        start, back = stop, 0
        # what is shared must leave room for the next sentence, or the next window would bring nothing new
        while start - 1 > parts[-1].start and back + lengths[start - 1] <= min(shared, most - following):
            start -= 1
            back += lengths[start]
    return parts
