"""N-gram masking of whole words, for a whole batch at once.

Written in the paper's section 4.2 (the equation for p(n)) and Google's ``create_masked_lm_predictions``; checklist D7 to D11.
Words are visited in random order; each proposes an n-gram that begins with it, n drawn with p(n) proportional to 1/n. An n-gram that
would exceed the number to predict is shortened word by word, one that still does or that touches a masked word is passed over.
Google walks example by example; here all examples take their r-th word at the same time, which gives the same distribution.

Legend: B rows, T positions, W words of the row with the most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from litebert.text import AlbertTokenizer

Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

_PUNCTUATION = set('!"#$%&()*+,-./:;?@[\\]^_`{|}~')  # Google's list has no apostrophe: a piece with one starts a word
_PLAIN = set("abcdefghijklmnopqrstuvwxyz") | _PUNCTUATION


@dataclass(frozen=True)
class MaskingRules:
    """How positions are chosen and what becomes of them.

    Attributes:
        rate: Share of the positions of a sequence to predict, special pieces counted in its length as Google does.
        longest: Largest n of an n-gram, in words; 1 masks single words.
        limit: Most predictions in one sequence (Google's ``max_predictions_per_seq``); None for no limit.
        masked: Probability that a chosen piece becomes ``[MASK]``.
        kept: Probability that it stays; the rest is replaced by a random piece.
        special_replacements: Whether special pieces may be drawn as replacements, as in Google's code.
    """

    rate: float = 0.15
    longest: int = 3
    limit: int | None = None
    masked: float = 0.8
    kept: float = 0.1
    special_replacements: bool = False


def ngram_probabilities(longest: int) -> npt.NDArray[np.float64]:
    """Return p(1), ..., p(longest), proportional to 1/n."""
    weights = 1.0 / np.arange(1, longest + 1)
    return np.asarray(weights / weights.sum())


def starts_word(piece: str) -> bool:
    """Whether a SentencePiece piece starts a word (Google's ``_is_start_piece_sp``).

    It does if it begins with the word mark or ``<``, is punctuation, or holds any character beyond a to z, A to Z and that punctuation.
    """
    if piece.startswith(("▁", "<")):
        return True
    return piece in _PUNCTUATION or any(character.lower() not in _PLAIN for character in piece)


def word_starts(tokenizer: AlbertTokenizer) -> Bool:
    """Return (V,) bool: which pieces start a word; in a WordPiece vocabulary all but those that begin with ``##``."""
    pieces = [tokenizer.id_to_piece(i) for i in range(tokenizer.vocab_size)]
    if tokenizer.kind == "wordpiece":
        return np.array([not piece.startswith("##") for piece in pieces])
    return np.array([starts_word(piece) for piece in pieces])


def number_to_predict(lengths: Int, rules: MaskingRules) -> Int:
    """Return how many pieces of sequences of given lengths (special pieces included) are predicted (checklist D9)."""
    wanted = np.maximum(1, np.rint(lengths * rules.rate)).astype(np.int64)
    out: Int = np.minimum(wanted, rules.limit or wanted.max(initial=0))
    return out


class Masker:
    """Masks batches for one vocabulary.

    Args:
        tokenizer: For the special pieces and the words.
    """

    def __init__(self, tokenizer: AlbertTokenizer) -> None:
        self.starts = word_starts(tokenizer)
        self.mask_id = tokenizer.mask_id
        special = np.zeros(tokenizer.vocab_size, dtype=bool)
        special[sorted(tokenizer.special_ids)] = True
        special[tokenizer.unk_id] = False
        self.frame = special  # pieces that are never masked
        self.replacements = np.flatnonzero(~special & (np.arange(special.size) != tokenizer.unk_id)).astype(np.int64)
        self.vocab_size = tokenizer.vocab_size

    def choose(self, ids: Int, rules: MaskingRules, random: np.random.Generator) -> Bool:
        """Choose the positions to predict.

        Args:
            ids: (B, T), a sequence a row with its special pieces, padded with the padding piece.
            rules: How many and how long.
            random: Source of all draws.

        Returns:
            (B, T) bool.
        """
        words = _Words.of(ids, self.frame[ids], self.starts[ids])
        budget = number_to_predict(words.lengths, rules)
        probabilities = ngram_probabilities(rules.longest)
        shape = words.sizes.shape
        order = np.argsort(np.where(words.real, random.random(shape), 2.0), axis=1)
        drawn = random.choice(rules.longest, size=shape, p=probabilities) + 1
        chosen = _select(words, order, drawn, budget, rules.longest)
        taken = np.zeros(ids.shape, dtype=bool)
        position = words.word_of >= 0
        taken[position] = chosen[np.nonzero(position)[0], words.word_of[position]]
        return taken

    def replace(self, ids: Int, chosen: Bool, rules: MaskingRules, random: np.random.Generator) -> Int:
        """Put ``[MASK]``, the piece itself or a random piece at each chosen position, drawn per piece (checklist D10).

        Args:
            ids: (B, T).
            chosen: (B, T) bool.
            rules: Probabilities.
            random: Source of all draws.

        Returns:
            (B, T), a copy.
        """
        count = int(chosen.sum())
        fate = random.random(count)
        if rules.special_replacements:
            other = random.integers(0, self.vocab_size, count)
        else:
            other = self.replacements[random.integers(0, self.replacements.size, count)]
        original = ids[chosen]
        out = ids.copy()
        out[chosen] = np.where(
            fate < rules.masked, self.mask_id, np.where(fate < rules.masked + rules.kept, original, other)
        )
        return out


@dataclass(frozen=True)
class _Words:
    """The words of each row: (B, W) sizes in pieces and whether they exist, (B, T) word of each position or -1, (B,) lengths."""

    sizes: Int
    real: Bool
    word_of: Int
    lengths: Int

    @classmethod
    def of(cls, ids: Int, frame: Bool, starts: Bool) -> _Words:
        body = ~frame
        # The first piece of a segment starts a word whatever it looks like, as does Google's first candidate.
        begins = body & (starts | ~np.pad(body, ((0, 0), (1, 0)))[:, :-1])
        index = np.cumsum(begins, axis=1) - 1
        word_of = np.where(body, index, -1)
        width = max(int(index[:, -1].max(initial=0)) + 1, 1)
        sizes = np.zeros((ids.shape[0], width), dtype=np.int64)
        rows, columns = np.nonzero(body)
        np.add.at(sizes, (rows, word_of[rows, columns]), 1)
        lengths = np.where(body.any(axis=1), _last_true(body) + 2, 0)  # up to and with the closing special piece
        return cls(sizes, sizes > 0, word_of, lengths.astype(np.int64))


def _last_true(flags: Bool) -> Int:
    last: Int = flags.shape[1] - 1 - np.argmax(flags[:, ::-1], axis=1)
    return last


def _select(words: _Words, order: Int, drawn: Int, budget: Int, longest: int) -> Bool:
    """Visit the words of all rows in their orders at once; returns (B, W) bool, the words that are masked."""
    rows, width = words.sizes.shape
    ends = np.pad(np.cumsum(words.sizes, axis=1), ((0, 0), (0, longest)), mode="edge")  # flat past the end
    ends = np.pad(ends, ((0, 0), (1, 0)))  # pieces before word w
    covered = np.zeros((rows, width + longest), dtype=bool)
    used = np.zeros(rows, dtype=np.int64)
    every = np.arange(rows)
    for rank in range(width):
        active = every[(used < budget) & (rank < words.real.sum(axis=1))] if rank else every[budget > 0]
        if not active.size:
            break
        first = order[active, rank]
        room = budget[active] - used[active]
        n = drawn[active, first]
        for _ in range(longest - 1):  # shorten what does not fit
            n = np.where((n > 1) & (ends[active, first + n] - ends[active, first] > room), n - 1, n)
        size = ends[active, first + n] - ends[active, first]
        free = np.ones(active.size, dtype=bool)
        for k in range(longest):
            free &= (k >= n) | ~covered[active, first + k]
        take = free & (size <= room) & (size > 0)
        for k in range(longest):
            hit = take & (k < n)
            covered[active[hit], first[hit] + k] = True
        used[active[take]] += size[take]
    return covered[:, :width]


def as_generator(*key: Any) -> np.random.Generator:
    """Return the random generator of a place in a run: the same key gives the same draws on every machine.

    Args:
        *key: Integers >= 0, such as seed, purpose, step.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([int(k) for k in key])))
