"""Cut documents into chunks of sentences, one chunk an example (Google's ``create_instances_from_document``; checklist D1 to D5).

A chunk collects sentences of one document until it reaches its target length or the document ends. The target is the whole budget, or,
with a small probability, uniform between 2 and the budget. Segment A takes the first ``a_end`` sentences, a_end uniform in [1, n - 1];
what B is depends on the sentence objective. All documents of a shard advance together, a chunk each per round, so planning 100 million
tokens takes a fraction of a second and nothing is stored on disk (checklist D13).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from litebert.corpus.shards import Shard
from litebert.pretrain.masking import as_generator

Int = npt.NDArray[np.int64]

SentenceObjective = Literal["sop", "nsp", "none"]

IN_ORDER, SWAPPED, RANDOM, ALONE = 0, 1, 2, 3
"""What the second segment of a chunk is: what follows, the same with the segments swapped, a piece of another document, nothing."""

PLAN = 101
"""Purpose of a random generator, the second part of its key; others are in ``rows.py``."""


@dataclass(frozen=True)
class ChunkRules:
    """How documents are cut.

    Attributes:
        length: Positions of a sequence, special pieces included.
        short_probability: Probability of a short target.
        short_per_document: Draw the target once a document, as Google's code does, rather than for every sequence, as the paper says;
            the target then only says when a chunk is long enough, and what is cut off is what exceeds the whole budget.
        objective: ``sop`` (B follows A or the two are swapped), ``nsp`` (B follows or comes from another document), ``none`` (one
            segment).
        lone: What a chunk of one sentence becomes under ``sop`` and ``nsp``, where there is nothing to pair: ``skip`` it, keep it
            ``alone`` without a sentence label, or pair it with a ``random`` piece of another document under label 1, as Google's
            release does even for sentence order (google-research/albert#234).
        alone_probability: Probability that any chunk stays one segment, without a sentence label.
    """

    length: int = 128
    short_probability: float = 0.1
    short_per_document: bool = False
    objective: SentenceObjective = "sop"
    lone: Literal["skip", "alone", "random"] = "skip"
    alone_probability: float = 0.0

    @property
    def budget(self) -> int:
        """Pieces that fit beside the special ones: three of those with two segments, two with one."""
        return self.length - (2 if self.objective == "none" else 3)


@dataclass(frozen=True)
class Chunks:
    """The chunks of a shard in one epoch, N of them, in no useful order.

    Attributes:
        first: (N,) int64, first sentence.
        middle: (N,) int64, first sentence of the second segment; ``last`` if there is none.
        last: (N,) int64, one past the last sentence.
        target: (N,) int64, pieces without special ones at which a chunk is long enough.
        limit: (N,) int64, most pieces without special ones.
        kind: (N,) int64, ``IN_ORDER``, ``SWAPPED``, ``RANDOM`` or ``ALONE``.
        sizes: (N,) int64, positions the sequence will take, special pieces included.
    """

    first: Int
    middle: Int
    last: Int
    target: Int
    limit: Int
    kind: Int
    sizes: Int


def plan_chunks(shard: Shard, rules: ChunkRules, *, seed: int, epoch: int, number: int) -> Chunks:
    """Cut a shard; a pure function of its arguments.

    Args:
        shard: The sentences.
        rules: How to cut.
        seed: Of the run.
        epoch: Every epoch cuts anew.
        number: Position of the shard in the corpus.

    Returns:
        All chunks; together they cover every sentence once, save those of skipped ones.
    """
    random = as_generator(seed, PLAN, epoch, number)
    starts = np.concatenate([[0], shard.sentence_ends]).astype(np.int64)  # (S + 1,), pieces before sentence s
    document_ends = np.asarray(shard.document_ends, dtype=np.int64)
    position = np.concatenate([[0], document_ends[:-1]]).astype(np.int64)
    target = _targets(position.size, rules, random)
    rounds: list[tuple[Int, ...]] = []
    while position.size:
        if not rules.short_per_document and rounds:
            target = _targets(position.size, rules, random)
        reached = np.searchsorted(starts, starts[position] + target, side="left")
        last = np.minimum(np.maximum(reached, position + 1), document_ends)
        middle, kind = _segments(last - position, rules, random)
        rounds.append((position, position + middle, last, target, kind))
        # The sentences a random second segment displaced are given back (Google's num_unused_segments).
        position = np.where((kind == RANDOM) & (rules.objective == "nsp"), position + middle, last)
        going = position < document_ends
        position, document_ends, target = position[going], document_ends[going], target[going]
    first, middle, last, target, kind = (np.concatenate(parts) for parts in zip(*rounds, strict=True))
    chunks = _sized(first, middle, last, target, kind, starts, rules)
    return _without_skipped(chunks, rules)


def _targets(count: int, rules: ChunkRules, random: np.random.Generator) -> Int:
    short = random.random(count) < rules.short_probability
    return np.where(short, random.integers(2, rules.budget + 1, count), rules.budget)


def _segments(sentences: Int, rules: ChunkRules, random: np.random.Generator) -> tuple[Int, Int]:
    """Draw where the second segment begins, in sentences from the first, and what it is."""
    count = sentences.size
    if rules.objective == "none":
        return sentences, np.full(count, ALONE)
    a_end = random.integers(1, np.maximum(sentences, 2))
    other = SWAPPED if rules.objective == "sop" else RANDOM
    kind = np.where(random.random(count) < 0.5, other, IN_ORDER)
    kind = np.where(random.random(count) < rules.alone_probability, ALONE, kind)
    lone = sentences == 1
    kind = np.where(lone, RANDOM if rules.lone == "random" else ALONE, kind)
    return np.where(kind == ALONE, sentences, np.minimum(a_end, sentences)), kind


def _sized(first: Int, middle: Int, last: Int, target: Int, kind: Int, starts: Int, rules: ChunkRules) -> Chunks:
    alone = kind == ALONE
    frame = np.where(alone, 2, 3)
    target = np.where(alone & (target == rules.budget), rules.length - 2, target)  # one [SEP] less, one piece more
    limit = rules.length - frame if rules.short_per_document else target
    body = np.minimum(starts[last] - starts[first], limit)
    body = np.where(kind == RANDOM, limit, body)  # another document fills it up, most of the time
    return Chunks(first, middle, last, target, limit, kind, body + frame)


def _without_skipped(chunks: Chunks, rules: ChunkRules) -> Chunks:
    if rules.lone != "skip" or rules.objective == "none":
        return chunks
    kept = (chunks.last - chunks.first > 1) | (chunks.kind != ALONE)
    return Chunks(*(array[kept] for array in vars(chunks).values()))


def pack_rows(sizes: Int, length: int, *, pack: bool) -> tuple[Int, Int]:
    """Share rows of ``length`` positions among sequences.

    Args:
        sizes: (N,) int64, positions of each sequence, from 1 to ``length``.
        length: Positions of a row.
        pack: Put short sequences together; otherwise each has its own row.

    Returns:
        (N,) int64 indices of the sequences row after row, and (R,) int64 where each row ends among them. The longest sequence left
        takes as many of the shortest as fit.
    """
    narrow = sizes.astype(np.uint16) if length < 2**16 else sizes  # which NumPy sorts by digits, several times faster
    order = np.argsort(narrow, kind="stable")
    if not pack or not sizes.size:
        return order, np.arange(1, sizes.size + 1)
    rows, beside = _alike(np.bincount(sizes, minlength=length + 1).tolist(), length)
    ends = np.cumsum(np.repeat(beside, rows) + 1)
    begins = np.concatenate([[0], ends[:-1]])
    is_long = np.zeros(sizes.size, dtype=bool)
    is_long[begins] = True
    members = np.empty_like(order)
    members[is_long] = order[: -ends.size - 1 : -1]
    members[~is_long] = order[: sizes.size - ends.size]
    return members, ends


def _alike(left: list[int], length: int) -> tuple[Int, Int]:
    """Return how many rows in turn take equally many short sequences beside their long one, and how many those are.

    Which sequence goes where follows from this alone, and there are only as many different sizes as positions: the work does not grow
    with the number of sequences.

    Args:
        left: How many sequences have each size, from 0 to ``length``; is used up.
        length: Positions of a row.
    """
    rows, beside = [], []
    high, low = length, 1
    rest = sum(left)
    while rest:
        while not left[high]:
            high -= 1
        while not left[low]:
            low += 1
        each = (length - high) // low
        if not each:
            count = left[high]
        elif high == low:
            count = left[low] // (each + 1)
        else:
            count = min(left[high], left[low] // each)
        if count:
            left[high] -= count
            left[low] -= count * each
        else:  # the last ones of a size, and what fits of the next sizes
            count, left[high] = 1, left[high] - 1
            each = _taken(left, low, length - high)
        rest -= count * (each + 1)
        rows.append(count)
        beside.append(each)
    return np.array(rows, dtype=np.int64), np.array(beside, dtype=np.int64)


def _taken(left: list[int], low: int, free: int) -> int:
    """Take the shortest sequences as long as they fit; return how many."""
    found = 0
    while low <= free:
        count = min(left[low], free // low)
        left[low] -= count
        found += count
        free -= count * low
        if left[low]:
            break
        low += 1
    return found
