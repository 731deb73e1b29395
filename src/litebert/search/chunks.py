"""Long texts in chunks: whole sentences up to a number of tokens, neighbours sharing the last sentences, with character offsets.

A chunk is a piece of the original text, letter by letter. A sentence that is longer than a chunk is cut between words. Lines that were
broken at a fixed width do not end sentences.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from pydantic import Field, model_validator

from litebert.corpus.reading.layouts import is_wrapped
from litebert.search.models import Offsets
from litebert.settings import Settings
from litebert.text.sentences import sentence_spans

Span = tuple[int, int]

_SOFT_BREAK = re.compile(r"(?<=\S)\n(?=[^\S\n]*\S)")


class ChunkSettings(Settings):
    """How texts are cut."""

    tokens: int = Field(default=128, ge=8)
    """Most tokens of a chunk."""
    overlap: int = Field(default=32, ge=0)
    """Most tokens that a chunk repeats of the one before it."""

    @model_validator(mode="after")
    def _advances(self) -> ChunkSettings:
        if self.overlap > self.tokens // 2:
            raise ValueError(f"an overlap of {self.overlap} is more than half of {self.tokens} tokens")
        return self


def chunk_spans(text: str, offsets: Offsets, settings: ChunkSettings) -> list[Span]:
    """Return where the chunks of a text are, in reading order; none for a text of white space.

    Args:
        text: Any text.
        offsets: Finds its tokens.
        settings: How long and how much shared.
    """
    starts = [start for start, _ in offsets(text)]
    units = [
        unit
        for sentence in sentence_spans(unwrapped(text))
        for unit in _units(text, sentence, starts, settings.overlap or settings.tokens, settings.tokens)
    ]
    return _packed(units, [_between(starts, *unit) for unit in units], settings)


def unwrapped(text: str) -> str:
    """Return a text of the same length in which lines broken at a fixed width are one."""
    return _SOFT_BREAK.sub(" ", text) if is_wrapped(text.split("\n", 2000)[:2000]) else text


def _between(starts: list[int], start: int, end: int) -> int:
    return bisect_left(starts, end) - bisect_left(starts, start)


def _units(text: str, sentence: Span, starts: list[int], size: int, most: int) -> list[Span]:
    """Return a sentence as it is, or if it has more than ``most`` tokens in parts of up to ``size``."""
    first, last = bisect_left(starts, sentence[0]), bisect_left(starts, sentence[1])
    if last - first <= most:
        return [sentence]
    cuts, at = [sentence[0]], first
    while last - at > size:
        words = (i for i in range(at + size, at + size // 2, -1) if text[starts[i] - 1].isspace())
        at = next(words, at + size)
        cuts.append(starts[at])
    parts = zip(cuts, [*cuts[1:], sentence[1]], strict=True)
    return [(start, start + len(text[start:end].rstrip())) for start, end in parts]


def _packed(units: list[Span], sizes: list[int], settings: ChunkSettings) -> list[Span]:
    spans: list[Span] = []
    first = count = 0
    for number, size in enumerate(sizes):
        if number > first and count + size > settings.tokens:
            spans.append((units[first][0], units[number - 1][1]))
            first, count = _shared(sizes, first, number, min(settings.overlap, settings.tokens - size))
        count += size
    if units:
        spans.append((units[first][0], units[-1][1]))
    return spans


def _shared(sizes: list[int], first: int, number: int, most: int) -> tuple[int, int]:
    """Return the unit a new chunk that has to hold ``number`` begins with, and the tokens before ``number``."""
    begin, count = number, 0
    while begin - 1 > first and count + sizes[begin - 1] <= most:
        begin -= 1
        count += sizes[begin]
    return begin, count
