"""What the tokenizer needs from a vocabulary's engine, and how texts of any length reach that engine.

Long texts are cut at white space. Neither SentencePiece (pieces never cross a word boundary) nor WordPiece sees over white
space, so the tokens are the same as of the whole text; the work can be shared by threads, stopped early, and SentencePiece's
32-bit path score does not lose its low bits, which it does beyond some 200,000 characters (there ids of the whole text drift).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from litebert.processors import usable_processors
from litebert.text.encoding import Tokens

CHUNK = 32_768
# Below this many characters starting threads costs more than it saves.
_WORTH_THREADS = 20_000
# White space for Python, SentencePiece and BERT alike; others, such as form feed, are control characters to BERT.
_CUTS = " \n\t\r"

Step = tuple[str, str | list[str]]


class Segmenter(Protocol):
    """Turns texts into tokens of one vocabulary, without special tokens."""

    kind: str
    pieces: Sequence[str]

    def segment(self, texts: Sequence[str], *, offsets: bool, threads: int) -> list[Tokens]:
        """Return the tokens of each text; texts are strings without lone surrogates."""
        ...

    def surfaces(self, text: str) -> list[str]:
        """Return the pieces of one text, unknown ones as they stand in the text."""
        ...

    def explain(self, text: str) -> list[Step]:
        """Return each step on the way to the pieces by name, with its result."""
        ...

    def decode(self, pieces: Sequence[str]) -> str:
        """Return the text that pieces stand for."""
        ...


def threads_for(texts: Sequence[str], threads: int | None) -> int:
    """Return how many threads to use for ``texts``: what was asked for, else all cores where that pays."""
    if threads is not None:
        return max(1, threads)
    return usable_processors() if sum(map(len, texts)) > _WORTH_THREADS else 1


def chunks(text: str, size: int) -> Iterator[tuple[int, str]]:
    """Cut a text at white space.

    Args:
        text: Any text.
        size: Largest part in characters; a run without white space may be longer.

    Yields:
        Index of the part's first character, and the part.
    """
    start = 0
    while len(text) - start > size:
        cut = max(text.rfind(space, start + 1, start + size) for space in _CUTS)
        if cut < 0:
            found = [at for at in (text.find(space, start + size) for space in _CUTS) if at >= 0]
            cut = min(found, default=len(text))
        yield start, text[start:cut]
        start = cut
    if start < len(text):
        yield start, text[start:]


def segment_all(
    segmenter: Segmenter, texts: Sequence[str], *, offsets: bool, threads: int | None, limit: int | None = None
) -> list[Tokens]:
    """Return the tokens of texts of any length.

    Args:
        segmenter: The engine.
        texts: Strings without lone surrogates.
        offsets: Whether character offsets are wanted.
        threads: Number of threads; None chooses.
        limit: Stop reading a text once it has more tokens than this (its token list is then incomplete).

    Returns:
        Tokens of each text, offsets in characters of that text.
    """
    count = threads_for(texts, threads)
    if max(map(len, texts), default=0) <= CHUNK:
        return segmenter.segment(texts, offsets=offsets, threads=count)
    run = _runner(segmenter, offsets, count)
    return _segment_chunks(run, texts, limit)


def _runner(segmenter: Segmenter, offsets: bool, threads: int) -> Callable[[Sequence[str]], list[Tokens]]:
    return lambda parts: segmenter.segment(parts, offsets=offsets, threads=threads)


def _segment_chunks(
    run: Callable[[Sequence[str]], list[Tokens]], texts: Sequence[str], limit: int | None
) -> list[Tokens]:
    results = [Tokens([], []) for _ in texts]
    waiting = {index: chunks(text, CHUNK) for index, text in enumerate(texts)}
    while waiting:
        jobs: list[tuple[int, int, str]] = []
        for index, parts in list(waiting.items()):
            # Without a limit every part is a job at once; with one, a part of each text per round.
            taken = list(parts) if limit is None else [part for part in [next(parts, None)] if part is not None]
            jobs += [(index, start, part) for start, part in taken]
            if limit is None or not taken:
                del waiting[index]
        for (index, start, _), tokens in zip(jobs, run([part for _, _, part in jobs]), strict=True):
            results[index].ids.extend(tokens.ids)
            results[index].offsets.extend((s + start, e + start) for s, e in tokens.offsets)
            if limit is not None and len(results[index].ids) > limit:
                waiting.pop(index, None)
    return results
