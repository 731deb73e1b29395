"""A text as its sentences: found by rule, or given one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litebert.errors import DataError
from litebert.tasks.reading.records import Record
from litebert.text.sentences import sentence_spans

Span = tuple[int, int]
SENTENCES = "sentences"
"""Key of a record's ``extra`` that holds the given sentences' first and past-the-last characters."""


def of_sentences(given: Any, **fields: Any) -> Record:
    """Return a record whose text is the given sentences, one a line.

    Args:
        given: The sentences.
        **fields: Further fields of the record.

    Raises:
        DataError: They are no list of texts.
    """
    if not isinstance(given, Sequence) or isinstance(given, str) or any(not isinstance(s, str) for s in given):
        raise DataError("the sentences are no list of texts", hint='"sentences": ["One.", "Two."]')
    spans: list[Span] = []
    at = 0
    for sentence in given:
        spans.append((at, at + len(sentence)))
        at += len(sentence) + 1
    extra: Mapping[str, Any] = {SENTENCES: tuple(spans)}
    return Record("\n".join(given), extra=extra, **fields)


def spans_of(record: Record) -> list[Span]:
    """Return where a record's sentences are; those without anything but white space are left out unless they were given."""
    given = record.extra.get(SENTENCES)
    return sentence_spans(record.text) if given is None else list(given)
