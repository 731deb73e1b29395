"""Chunks become rows of token ids: segments, truncation, special pieces, masks.

Written in Google's ``create_instances_from_document`` and ``truncate_seq_pair``; checklist D3 to D11.

Legend: B rows, T positions, M sequences in all rows together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from litebert.corpus.shards import Shard
from litebert.pretrain.chunks import ALONE, IN_ORDER, RANDOM, SWAPPED
from litebert.pretrain.masking import Int, Masker, MaskingRules

IGNORED = -100
"""Label of what carries no loss."""

LEFT_OUT = 0.1
"""Share of the pieces that a repeated segment lacks."""


@dataclass(frozen=True)
class Frame:
    """The special pieces around segments."""

    cls: int
    sep: int
    pad: int


@dataclass(frozen=True)
class Segments:
    """One sequence before masking: two segments (the second may be empty) and its sentence label."""

    first: Int
    second: Int
    label: int


@dataclass(frozen=True)
class Rows:
    """A block of rows, as NumPy arrays.

    Attributes:
        input_ids: (B, T) int64, masked.
        token_type_ids: (B, T) int64.
        position_ids: (B, T) int64, from 0 in every sequence.
        sequence_ids: (B, T) int64, 1, 2, ... in a row, 0 = padding.
        labels: (B, T) int64, the original piece where it is predicted, else -100.
        sentence_order_label: (M,) int64, 0 = in order, 1 = swapped or random, -100 = none.
    """

    input_ids: Int
    token_type_ids: Int
    position_ids: Int
    sequence_ids: Int
    labels: Int
    sentence_order_label: Int


def truncated(first: int, second: int, target: int) -> tuple[int, int]:
    """Return how many pieces two segments keep when the longer one loses pieces until both fit (``truncate_seq_pair``).

    Args:
        first: Pieces of the first.
        second: Pieces of the second; it loses where both are equal.
        target: Most pieces together.
    """
    surplus = first + second - target
    if surplus <= 0:
        return first, second
    level = min(surplus, abs(first - second))
    first, second = (first - level, second) if first > second else (first, second - level)
    rest = surplus - level
    return first - rest // 2, second - (rest - rest // 2)


def cut(pieces: Int, keep: int, random: np.random.Generator) -> Int:
    """Remove pieces one by one from the front or the back, each side with probability one half (checklist D6)."""
    surplus = pieces.size - keep
    if surplus <= 0:
        return pieces
    front = int(random.binomial(surplus, 0.5))
    return pieces[front : front + keep]


def make_sequence(
    shard: Shard, first: int, middle: int, last: int, target: int, limit: int, kind: int,
    random: np.random.Generator, others: Sequence[Shard],
) -> Segments:  # fmt: skip
    """Read a chunk's pieces and make its segments.

    Args:
        shard: Where the chunk is.
        first: First sentence; this and the next five are entries of ``Chunks``.
        middle: First sentence of the second segment.
        last: One past the last sentence.
        target: Pieces a random second segment fills up to.
        limit: Most pieces.
        kind: What the second segment is.
        random: Source of all draws.
        others: Shards a random second segment may come from.
    """
    a = _pieces(shard, first, middle)
    if kind == ALONE:
        return Segments(cut(a, limit, random), a[:0], IGNORED)
    b = (
        _random_segment(others, shard, first, max(target - a.size, 1), random)
        if kind == RANDOM
        else _pieces(shard, middle, last)
    )
    if kind == SWAPPED:
        a, b = b, a
    keep_a, keep_b = truncated(a.size, b.size, limit)
    return Segments(cut(a, keep_a, random), cut(b, keep_b, random), IN_ORDER if kind == IN_ORDER else 1)


def repeated(sequence: Segments, random: np.random.Generator) -> Segments:
    """Return the longer segment, cut to half of the sequence's room, and the same again with some pieces left out.

    The copies differ in length and begin at no fixed distance: what is masked in one is found by its neighbours, not its place.

    Args:
        sequence: With two segments.
        random: Source of all draws.
    """
    longer = max(sequence.first, sequence.second, key=len)
    first = cut(longer, (sequence.first.size + sequence.second.size) // 2, random)
    second = first[random.random(first.size) >= LEFT_OUT]
    if random.random() < 0.5:
        first, second = second, first
    return Segments(first, second, IGNORED) if first.size and second.size else sequence


def _pieces(shard: Shard, first: int, last: int) -> Int:
    start = int(shard.sentence_ends[first - 1]) if first else 0
    end = int(shard.sentence_ends[last - 1]) if last else 0
    return shard.tokens[start:end].astype(np.int64)


def _random_segment(
    others: Sequence[Shard], own: Shard, sentence: int, wanted: int, random: np.random.Generator
) -> Int:
    """Return sentences of another document from a random place on, until there are enough or it ends."""
    own_document = int(np.searchsorted(own.document_ends, sentence, side="right"))
    shard, document = own, own_document
    for _ in range(10):  # as Google: ten tries for another document
        shard = others[int(random.integers(len(others)))]
        document = int(random.integers(shard.document_ends.size))
        if shard is not own or document != own_document:
            break
    low = int(shard.document_ends[document - 1]) if document else 0
    high = int(shard.document_ends[document])
    start = int(random.integers(low, high))
    before = int(shard.sentence_ends[start - 1]) if start else 0
    end = int(np.searchsorted(shard.sentence_ends, before + wanted, side="left")) + 1
    return _pieces(shard, start, min(end, high))


def assemble(
    rows: Sequence[Sequence[Segments]], length: int, frame: Frame, masker: Masker, rules: MaskingRules,
    random: np.random.Generator,
) -> Rows:  # fmt: skip
    """Lay sequences into rows and mask them.

    Args:
        rows: Sequences of each row; together they fit.
        length: T.
        frame: Special pieces.
        masker: Of the vocabulary.
        rules: Masking.
        random: Source of all draws.
    """
    flat = [sequence for row in rows for sequence in row]
    lined = np.full((len(flat), length), frame.pad, dtype=np.int64)  # (M, T): a sequence a line, where it is masked
    types = np.zeros_like(lined)
    sizes = np.zeros(len(flat), dtype=np.int64)
    for line, sequence in enumerate(flat):
        a, b = sequence.first, sequence.second
        end = a.size + 2
        lined[line, 0], lined[line, 1 : end - 1], lined[line, end - 1] = frame.cls, a, frame.sep
        if b.size:
            lined[line, end : end + b.size], lined[line, end + b.size] = b, frame.sep
            types[line, end : end + b.size + 1] = 1
            end += b.size + 1
        sizes[line] = end
    chosen = masker.choose(lined, rules, random)
    labels = np.where(chosen, lined, IGNORED)
    masked = masker.replace(lined, chosen, rules, random)
    return _laid_out(rows, length, frame, sizes, (masked, types, labels), flat)


def _laid_out(
    rows: Sequence[Sequence[Segments]], length: int, frame: Frame, sizes: Int, lines: tuple[Int, Int, Int],
    flat: Sequence[Segments],
) -> Rows:  # fmt: skip
    masked, types, labels = lines
    shape = (len(rows), length)
    out = Rows(
        np.full(shape, frame.pad, dtype=np.int64), np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64),
        np.zeros(shape, dtype=np.int64), np.full(shape, IGNORED, dtype=np.int64),
        np.array([sequence.label for sequence in flat], dtype=np.int64),
    )  # fmt: skip
    line = 0
    for row, sequences in enumerate(rows):
        at = 0
        for number in range(1, len(sequences) + 1):
            size = int(sizes[line])
            place = np.s_[row, at : at + size]
            out.input_ids[place] = masked[line, :size]
            out.token_type_ids[place] = types[line, :size]
            out.position_ids[place] = np.arange(size)
            out.sequence_ids[place] = number
            out.labels[place] = labels[line, :size]
            at, line = at + size, line + 1
    return out
