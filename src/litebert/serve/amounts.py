"""Work that grows faster than the request that asks for it: how much it is, and too much of it refused before any is done.

A text is read once for each of its masks, sentences are put in order by reading every pair, labels are texts themselves, and one query
is read again with every text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litebert.errors import UsageError
from litebert.serve.models import ServedModel
from litebert.tasks.fill_mask.task import FillMaskOptions
from litebert.tasks.reading.documents import spans_of
from litebert.tasks.reading.records import Record

MOST_MASKS = 1000
"""In one request."""
MOST_PAIRS = 20_000
"""Pairs of sentences of one request that are read to put texts in order."""
MOST_WRITTEN = 20_000_000
"""Characters of the texts that fill-mask writes: each as often as there are fillings of its masks."""
MOST_LABELS, MOST_LABEL_LETTERS = 1000, 100_000
"""Labels of one request, and their characters together."""
LETTERS_A_TOKEN = 50
"""Characters of a request for each token that it may have; a query counts with every text."""


def check_amount(
    model: ServedModel, task: str, records: Sequence[Record], options: Mapping[str, Any], most_tokens: int
) -> None:
    """Refuse a request that is more work than it looks.

    Args:
        model: That would answer.
        task: What it would answer.
        records: Texts or pairs.
        options: Of the task.
        most_tokens: That a request may have.

    Raises:
        UsageError: It is.
    """
    letters = sum(len(record.text) + len(record.pair or "") for record in records)
    _bounded(letters, LETTERS_A_TOKEN * most_tokens, "characters in all pairs and texts")
    if task == "fill-mask":
        mask = model.tokenizer.specials["mask"]
        masks = [record.text.count(mask) for record in records]
        _bounded(sum(masks), MOST_MASKS, "masks")
        fillings = _fillings(model, options)
        written = sum(count * len(record.text) for count, record in zip(masks, records, strict=True))
        _bounded(fillings * written, MOST_WRITTEN, "characters to write with masks filled in")
        if options.get("whole_words"):
            _bounded(fillings * sum(masks), MOST_PAIRS, "words to try in the places of masks")
    if task == "choice":
        repeated = sum(len(r.extra.get("options", ())) * (len(r.text) + len(r.pair or "")) for r in records)
        _bounded(repeated, LETTERS_A_TOKEN * most_tokens, "characters to read, each question once with each option")
    if task == "zero-shot-classification":
        labels = options.get("labels") or ()
        described = [*labels, *labels.values()] if isinstance(labels, Mapping) else labels
        _bounded(len(labels), MOST_LABELS, "labels")
        _bounded(sum(len(str(label)) for label in described), MOST_LABEL_LETTERS, "characters of labels")
        _bounded(len(labels) * len(str(options.get("template", ""))), MOST_LABEL_LETTERS, "characters of labels")
    if task == "coherence" and options.get("mode") == "order":
        counts = [len(spans_of(record)) for record in records]
        _bounded(sum(count * (count - 1) for count in counts), MOST_PAIRS, "pairs of sentences to put in order")


def _fillings(model: ServedModel, options: Mapping[str, Any]) -> int:
    """Return how many pieces or words each mask is filled with; what is no number is the task's to refuse."""
    targets, top = options.get("targets"), options.get("top_k", FillMaskOptions().top_k)
    most = len(targets) if isinstance(targets, list | tuple) else model.tokenizer.vocab_size
    return most if options.get("whole_words") or not isinstance(top, int) else max(min(top, most), 0)


def work_of(
    model: ServedModel, task: str, records: Sequence[Record], options: Mapping[str, Any], tokens: Sequence[int]
) -> list[int]:
    """Return how many tokens are computed for each record: more than it has where it is read several times.

    Args:
        model: That answers.
        task: What it answers.
        records: Texts or pairs.
        options: Of the task.
        tokens: Of each record.
    """
    if task == "coherence" and options.get("mode") == "order":  # each sentence is read twice with every other
        return [count * max(2 * (len(spans_of(r)) - 1), 1) for r, count in zip(records, tokens, strict=True)]
    if task == "choice":
        return [_with_each_option(record, count) for record, count in zip(records, tokens, strict=True)]
    if task == "fill-mask":
        mask, window = model.tokenizer.specials["mask"], model.max_length
        return [
            count if count <= window else window * max(record.text.count(mask), 1)
            for record, count in zip(records, tokens, strict=True)
        ]
    if task == "zero-shot-classification":  # the labels are texts, too, read once for a batch
        letters = sum(len(str(label)) + len(str(options.get("template", ""))) for label in options.get("labels") or ())
        return [tokens[0] + letters // 4, *tokens[1:]]
    return list(tokens)


def _with_each_option(record: Record, tokens: int) -> int:
    options = [str(option) for option in record.extra.get("options", ())]
    question = len(record.text) + len(record.pair or "")
    letters = max(question + sum(map(len, options)), 1)
    return round(tokens * (question * max(len(options), 1) + letters - question) / letters)


def _bounded(found: int, most: int, what: str) -> None:
    if found > most:
        raise UsageError(f"the request has {found} {what}, more than {most}", hint="Split it.")
