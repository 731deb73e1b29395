"""Coherence: whether a second text follows a first, by the sentence-order head of pretraining (paper section 3.1), and more.

A call may also ask for the best order of a text's sentences (``mode="order"``, see ``order.py``), or for where a document
loses its thread (``mode="drift"``, see ``drift.py``).

Class 0 is "in order", 1 is "swapped" (checklist D4). Where a pair is too long the longer text is cut first, as in pretraining
(Google's ``truncate_seq_pair``); that cuts at a random end, here what is nearest to where the two texts meet is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from pydantic import Field

from litebert.checkpoint.pretrained import AlbertForPreTraining, Pretrained
from litebert.checkpoint.report import POOLER
from litebert.errors import DataError
from litebert.settings import Settings, build_settings
from litebert.tasks.base import Answer, Passes
from litebert.tasks.classify.task import Classification
from litebert.tasks.coherence.drift import Measure, drift, shared, sides
from litebert.tasks.coherence.order import MOST, repaired
from litebert.tasks.embed.vectors import sentence_vectors
from litebert.tasks.reading.documents import SENTENCES, Span, of_sentences, spans_of
from litebert.tasks.reading.records import Columns, Record, identifier
from litebert.tasks.reading.rejected import looked_over, reject
from litebert.tasks.reading.rows import STDIN, Table, format_of, open_table
from litebert.tasks.zero_shot import ZeroShotModel, ZeroShotTask, encoded
from litebert.text import AlbertTokenizer
from litebert.text.encoding import kept_lengths, special_count
from litebert.text.sentences import sentence_spans

LABELS = ("in_order", "swapped")
"""By class of the sentence-order head."""


class CoherenceOptions(Settings):
    """What can be asked of each call."""

    mode: Literal["pair", "order", "drift"] = "pair"
    """pair: are two texts in order; order: the best order of a text's sentences; drift: where a document loses its thread."""
    width: int = Field(default=3, ge=1)
    """drift: sentences on each side of a boundary."""
    measure: Measure = "words"
    """drift: words that both sides share, likeness of their vectors, or the sentence-order head's opinion."""
    strictness: float = 1.0
    """drift: a valley breaks that is so many standard deviations deeper than the mean of the document's depths."""


class CoherenceTask(ZeroShotTask):
    """Tell whether two texts are in order, repair an order, find where a document drifts."""

    name: ClassVar[str] = "coherence"
    model_class: ClassVar[type[Pretrained]] = AlbertForPreTraining
    parts: ClassVar[tuple[str, ...]] = ("sentence_order.", POOLER)
    labels: ClassVar[tuple[str, ...]] = LABELS

    @classmethod
    def stream(
        cls, path: str | Path, *, columns: Columns | None, format: str | None, warnings: list[str]
    ) -> Iterator[Record]:
        """Read pairs or texts as ``Task.stream``; or documents as lists of ``sentences``, where a file's objects have them."""
        kinds = ("jsonl", "json", "parquet")
        if columns is None and str(path) != STDIN and (format or format_of(path)) in kinds:
            with looked_over():
                names = open_table(path, format=format, header=True, columned=False).names or ()
            if SENTENCES in names and "text" not in names:
                return _documents(open_table(path, format=format, header=True, columned=False))
        return super().stream(path, columns=columns, format=format, warnings=warnings)

    def prepare(
        self, loaded: ZeroShotModel, records: Sequence[Record], options: Mapping[str, Any]
    ) -> Callable[[Passes], list[Answer]]:
        """Tokenise records; return what computes their answers, in order.

        Args:
            loaded: With a sentence-order head.
            records: Pairs, or texts of at least two sentences, which are split at the sentence boundary nearest to their middle;
                documents for ``order`` and ``drift``.
            options: Fields of ``CoherenceOptions``.

        Raises:
            DataError: A text has one sentence only, or a part of a pair is empty; a document is a pair, or too long to be put in order.
        """
        chosen = build_settings(CoherenceOptions, options)
        if chosen.mode != "pair":
            spans = [_units(record) for record in records]
            if chosen.mode == "order":
                return lambda passes: _orders(loaded, records, spans, passes)
            return lambda passes: _drifts(loaded, records, spans, passes, chosen)
        halves = [split_in_two(r.text, line=r.line) if r.pair is None else (r.text, r.pair) for r in records]
        inputs = [
            _encode(loaded.tokenizer, pair, loaded.max_length, line=record.line)
            for pair, record in zip(halves, records, strict=True)
        ]

        def answers(passes: Passes) -> list[Answer]:
            logits = torch.from_numpy(_logits(loaded, inputs, passes))
            return [_answer(scores) for scores in logits.softmax(dim=-1).tolist()]

        return answers


def _documents(table: Table) -> Iterator[Record]:
    for line, row in table.rows:
        cells = cast(Mapping[str, Any], row)
        try:
            record = of_sentences(cells.get(SENTENCES), id=identifier(cells.get("id")), line=line)
        except DataError as error:
            error.path, error.line = table.name, line
            reject(error)
            continue
        yield record


def order_logits(loaded: ZeroShotModel, pairs: Sequence[tuple[str, str]], passes: Passes) -> np.ndarray:
    """Return what the sentence-order head says about pairs of texts, (N, 2) float32: in order, swapped.

    Args:
        loaded: With a sentence-order head.
        pairs: N pairs.
        passes: How to run the model.

    Raises:
        DataError: A text is empty.
    """
    return _logits(loaded, [_encode(loaded.tokenizer, pair, loaded.max_length) for pair in pairs], passes)


@torch.inference_mode()
def _logits(loaded: ZeroShotModel, inputs: Sequence[tuple[list[int], list[int]]], passes: Passes) -> np.ndarray:
    model = cast(AlbertForPreTraining, loaded.model)
    found = np.zeros((len(inputs), 2), dtype=np.float32)
    done = 0
    for indices, _, _, pooled in encoded(loaded, inputs, passes):
        with passes.precision():
            logits = model.sentence_order(pooled)  # (B, 2)
        found[indices] = logits.float().cpu().numpy()
        done += len(indices)
        passes.report(done)
    return found


def _units(record: Record) -> list[Span]:
    if record.pair is not None:
        raise DataError("order and drift look at one text, not two", hint="Leave the second one out.", line=record.line)
    return spans_of(record)


def _orders(
    loaded: ZeroShotModel, records: Sequence[Record], spans: Sequence[Sequence[Span]], passes: Passes
) -> list[Answer]:
    pairs: list[tuple[str, str]] = []
    for record, own in zip(records, spans, strict=True):
        if len(own) > MOST:
            raise DataError(
                f"{len(own)} sentences are too many to be put in order: each pair is asked, and {MOST} make {MOST * (MOST - 1)}",
                hint="Give one paragraph at a time.", line=record.line,
            )  # fmt: skip
        texts = [record.text[start:end] for start, end in own]
        pairs += [(a, b) for i, a in enumerate(texts) for j, b in enumerate(texts) if i != j]
    logits = order_logits(loaded, pairs, passes).astype(np.float64) if pairs else np.zeros((0, 2))
    log_odds = logits[:, 0] - logits[:, 1]
    answers: list[Answer] = []
    at = 0
    for record, own in zip(records, spans, strict=True):
        count = len(own)
        preference = np.zeros((count, count))
        preference[~np.eye(count, dtype=bool)] = log_odds[at : at + count * (count - 1)]
        at += count * (count - 1)
        answers.append(repaired(record.text, own, preference))
    return answers


def _drifts(
    loaded: ZeroShotModel, records: Sequence[Record], spans: Sequence[Sequence[Span]], passes: Passes, options: CoherenceOptions
) -> list[Answer]:  # fmt: skip
    pairs = [pair for r, own in zip(records, spans, strict=True) for pair in sides(r.text, own, options.width)]
    scores = iter(_scores(loaded, pairs, passes, options.measure))
    return [drift(own, [next(scores) for _ in own[1:]], options.strictness) for own in spans]


def _scores(loaded: ZeroShotModel, pairs: Sequence[tuple[str, str]], passes: Passes, measure: Measure) -> list[float]:
    if not pairs or measure == "words":
        return [shared(first, second) for first, second in pairs]
    if measure == "order":
        return [float(row[0]) for row in torch.from_numpy(order_logits(loaded, pairs, passes)).softmax(dim=-1)]
    vectors = sentence_vectors(loaded, [text for pair in pairs for text in pair], passes)
    return [float(max(0.0, first @ second)) for first, second in zip(vectors[::2], vectors[1::2], strict=True)]


def _answer(scores: Sequence[float]) -> Classification:
    ranked = tuple(sorted(zip(LABELS, scores, strict=True), key=lambda one: -one[1]))
    return Classification(label=ranked[0][0], score=ranked[0][1], scores=ranked)


def _encode(
    tokenizer: AlbertTokenizer, pair: tuple[str, str], max_length: int, *, line: int | None = None
) -> tuple[list[int], list[int]]:
    a, b = (list(encoding.ids[1:-1]) for encoding in tokenizer.encode_batch(list(pair)))
    if not a or not b:
        raise DataError("a text of the pair is empty", hint="Coherence needs two texts.", line=line)
    keep_a, keep_b = kept_lengths(len(a), len(b), max_length - special_count(True), "longest_first")
    a, b = a[len(a) - keep_a :], b[:keep_b]
    ids = [tokenizer.cls_id, *a, tokenizer.sep_id, *b, tokenizer.sep_id]
    return ids, [0] * (len(a) + 2) + [1] * (len(b) + 1)


def split_in_two(text: str, *, line: int | None = None) -> tuple[str, str]:
    """Split a text at the sentence boundary nearest to its middle.

    Args:
        text: At least two sentences.
        line: Where it stands in a file, for the message.

    Raises:
        DataError: There is no boundary inside the text.
    """
    spans = sentence_spans(text)
    if len(spans) < 2:
        raise DataError(
            "a text of one sentence has no order", hint='Give at least two sentences, or a pair ("a", "b").', line=line
        )
    middle = spans[0][0] + spans[-1][1]
    (_, end), (start, _) = min(pairwise(spans), key=lambda gap: abs(gap[0][1] + gap[1][0] - middle))
    return text[spans[0][0] : end], text[start : spans[-1][1]]
