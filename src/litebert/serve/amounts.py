"""Work that grows faster than the request that asks for it, looked at before any of it is done.

A text is read once for each of its masks, sentences are put in order by reading every pair, labels are texts themselves, and one query
is read again with every text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litebert.errors import UsageError
from litebert.serve.models import ServedModel
from litebert.tasks.reading.documents import spans_of
from litebert.tasks.reading.records import Record

MOST_MASKS = 1000
"""In one request."""
MOST_PAIRS = 20_000
"""Pairs of sentences of one request that are read to put texts in order."""
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
        _bounded(sum(record.text.count(mask) for record in records), MOST_MASKS, "masks")
    if task == "zero-shot-classification":
        labels = options.get("labels") or ()
        described = [*labels, *labels.values()] if isinstance(labels, Mapping) else labels
        _bounded(len(labels), MOST_LABELS, "labels")
        _bounded(sum(len(str(label)) for label in described), MOST_LABEL_LETTERS, "characters of labels")
        _bounded(len(labels) * len(str(options.get("template", ""))), MOST_LABEL_LETTERS, "characters of labels")
    if task == "coherence" and options.get("mode") == "order":
        counts = [len(spans_of(record)) for record in records]
        _bounded(sum(count * (count - 1) for count in counts), MOST_PAIRS, "pairs of sentences to put in order")


def _bounded(found: int, most: int, what: str) -> None:
    if found > most:
        raise UsageError(f"the request has {found} {what}, more than {most}", hint="Split it.")
