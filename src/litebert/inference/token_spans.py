"""Which part of the original text each position of a record's windows stands for, for the tasks that are explained.

Legend: W windows, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence

from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.examples import Example, TextSettings
from litebert.tasks.ner.task import NerTask
from litebert.tasks.qa.windows import Passage
from litebert.tasks.reading.records import Record
from litebert.text import AlbertTokenizer, Encoding
from litebert.text.windows import windows

Place = tuple[int, int, int]
"""Text (0: the first, 1: the second), first character, past the last character."""


def spans_of(
    task: object, record: Record, example: Example, tokenizer: AlbertTokenizer, text: TextSettings
) -> list[list[Place | None]]:
    """Return the place of each position of each window; None for special tokens.

    Args:
        task: ``classify``, ``ner`` or ``qa``.
        record: The texts.
        example: Made of it by the task.
        tokenizer: The model's.
        text: How it was cut.
    """
    if isinstance(task, ClassifyTask):
        return [_of_encoding(one) for one in _encodings(record, example, tokenizer, text)]
    if isinstance(task, NerTask):
        return _of_words(record, example, tokenizer, text)
    return _of_passage(record, example, tokenizer)


def _of_encoding(encoding: Encoding) -> list[Place | None]:
    pairs = zip(encoding.sequence_ids, encoding.offsets, strict=True)
    return [None if sequence is None else (sequence, *span) for sequence, span in pairs]


def _encodings(record: Record, example: Example, tokenizer: AlbertTokenizer, text: TextSettings) -> Sequence[Encoding]:
    """Encode a record again, as ``encode_records`` did, with offsets."""
    if len(example.windows) > 1:
        stride = max(0, min(text.stride, (text.max_length - 3) // 2 - 1))
        found = tokenizer.encode_windows(record.text, record.pair, max_length=text.max_length, stride=stride)
    else:
        limit = text.max_length if text.long_text == "truncate" else None
        found = [tokenizer.encode(record.text, record.pair, max_length=limit)]
    assert [list(one.ids) for one in found] == [ids for ids, _ in example.windows]
    return found


def _of_words(
    record: Record, example: Example, tokenizer: AlbertTokenizer, text: TextSettings
) -> list[list[Place | None]]:
    whole = tokenizer.encode(record.text)
    spans: list[Place] = [(0, *span) for span in whole.offsets[1:-1]]
    stride = min(text.stride, (text.max_length - 2) // 2)
    cut = [window.first for window in windows(len(spans), None, text.max_length, stride)]
    assert [whole.ids[1:-1][part] for part in cut] == [ids[1:-1] for ids, _ in example.windows]
    return [[None, *spans[part], None] for part in cut]


def _of_passage(record: Record, example: Example, tokenizer: AlbertTokenizer) -> list[list[Place | None]]:
    passage: Passage = example.detail
    asked: list[Place] = [(0, *span) for span in tokenizer.encode(record.text).offsets[1:-1]]
    found: list[list[Place | None]] = []
    for window in passage.windows:
        inside = passage.offsets[window.first : window.first + window.central.size]
        question = asked[: window.at - 2]  # between [CLS] and [SEP], perhaps cut
        found.append([None, *question, None, *((1, *span) for span in inside), None])
    return found
