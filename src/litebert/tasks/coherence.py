"""Coherence: whether a second text follows a first, by the sentence-order head of pretraining (paper section 3.1).

Class 0 is "in order", 1 is "swapped" (checklist D4). Where a pair is too long the longer text is cut first, as in pretraining (Google's
``truncate_seq_pair``); that cuts at a random end, here what is nearest to where the two texts meet is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, cast

import torch

from litebert.checkpoint.pretrained import AlbertForPreTraining, Pretrained
from litebert.checkpoint.report import POOLER
from litebert.errors import DataError
from litebert.settings import Settings, build_settings
from litebert.tasks.base import Answer, Passes
from litebert.tasks.classify import Classification
from litebert.tasks.records import Record
from litebert.tasks.zero_shot import ZeroShotModel, ZeroShotTask, encoded
from litebert.text import AlbertTokenizer
from litebert.text.encoding import kept_lengths, special_count
from litebert.text.sentences import sentence_spans

LABELS = ("in_order", "swapped")
"""By class of the sentence-order head."""


class CoherenceOptions(Settings):
    """There are none: an option is refused."""


class CoherenceTask(ZeroShotTask):
    """Tell whether two texts are in order."""

    name: ClassVar[str] = "coherence"
    model_class: ClassVar[type[Pretrained]] = AlbertForPreTraining
    parts: ClassVar[tuple[str, ...]] = ("sentence_order.", POOLER)
    labels: ClassVar[tuple[str, ...]] = LABELS
    reads_tokens: ClassVar[bool] = False

    @torch.inference_mode()
    def answer(
        self, loaded: ZeroShotModel, records: Sequence[Record], passes: Passes, options: Mapping[str, Any]
    ) -> list[Answer]:
        """Answer records in order.

        Args:
            loaded: With a sentence-order head.
            records: Pairs, or texts of at least two sentences, which are split at the sentence boundary nearest to their middle.
            passes: How to run the model.
            options: None are known.

        Raises:
            DataError: A text has one sentence only, or a part of a pair is empty.
        """
        build_settings(CoherenceOptions, options)
        inputs = [_encode(loaded.tokenizer, record, loaded.max_length) for record in records]
        model = cast(AlbertForPreTraining, loaded.model)
        answers: list[Answer | None] = [None] * len(inputs)
        done = 0
        for indices, _, _, pooled in encoded(loaded, inputs, passes):
            with passes.precision():
                logits = model.sentence_order(pooled)  # (B, 2)
            for index, scores in zip(indices, logits.float().softmax(dim=-1).tolist(), strict=True):
                answers[index] = _answer(scores)
            done += len(indices)
            passes.report(done)
        return [answer for answer in answers if answer is not None]


def _answer(scores: Sequence[float]) -> Classification:
    ranked = tuple(sorted(zip(LABELS, scores, strict=True), key=lambda one: -one[1]))
    return Classification(label=ranked[0][0], score=ranked[0][1], scores=ranked)


def _encode(tokenizer: AlbertTokenizer, record: Record, max_length: int) -> tuple[list[int], list[int]]:
    first, second = split_in_two(record.text, line=record.line) if record.pair is None else (record.text, record.pair)
    a, b = (list(encoding.ids[1:-1]) for encoding in tokenizer.encode_batch([first, second]))
    if not a or not b:
        raise DataError("a text of the pair is empty", hint="Coherence needs two texts.", line=record.line)
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
