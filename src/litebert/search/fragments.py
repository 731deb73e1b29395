"""What a model for vectors is to learn of a field: the sentences, passages, words and runs of words of its texts.

Passages are what an index keeps, sentences what is like a question. What a word means in the field is learnt from words alone and from
runs of them, which cost a sixth of a sentence.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator

from litebert.search.chunks import unwrapped
from litebert.text.sentences import split_sentences

LEAST, SENTENCE, PASSAGE = 12, 240, 560
"""Characters: of the shortest sentence, of the longest, which is cut at clauses, and of the longest passage."""
RUN = (2, 6)
"""Words of a run."""
_APART = 12
"""Words of a clause for each run of it."""
_SHORT = 3
"""Letters of a word that a run neither begins nor ends with: most of them are articles, prepositions and the like."""
_BROKEN = re.compile(r"(?<=[^\s.!?…:;])[^\S\n]*\n[^\S\n]*(?=[^\W\d_])")
"""A line's end within a sentence, also where lines are too few to tell that they were broken at a fixed width."""
_WORD = re.compile(r"[^\W\d_][\w'’-]+")
_CLAUSE = re.compile(r"[^.,;:!?()\[\]\"“”«»…。，、；：！？\n]+")


def fragments(texts: Iterable[str], *, limit: int | None = None, seed: int = 0) -> Iterator[str]:
    """Yield the fragments of texts, each once.

    Args:
        texts: Documents.
        limit: Most fragments, drawn at random from all; they are in memory then.
        seed: Of what is drawn.
    """
    draw = random.Random(seed)
    found = _once(fragment for text in texts for fragment in _of_text(text, draw))
    yield from found if limit is None else _drawn(found, limit, draw)


def _of_text(text: str, draw: random.Random) -> Iterator[str]:
    sentences = split_sentences(_joined(unwrapped(text)), max_chars=SENTENCE)
    for place, sentence in enumerate(sentences):
        if len(sentence) >= LEAST:
            yield sentence
        yield _passage(sentences[place : place + draw.randint(2, 5)])
        for clause in _CLAUSE.findall(sentence):
            yield from _runs(clause.split(), draw)
        yield from (word.lower() for word in _WORD.findall(sentence))


def _joined(text: str) -> str:
    """Return a text without the line ends that a small letter follows."""
    return _BROKEN.sub(lambda found: " " if text[found.end()].islower() else found[0], text)


def _passage(sentences: Iterable[str]) -> str:
    """Return as many of the sentences as a passage holds."""
    passage = ""
    for sentence in sentences:
        if passage and len(passage) + 1 + len(sentence) > PASSAGE:
            break
        passage = f"{passage} {sentence}".strip()
    return passage


def _runs(words: list[str], draw: random.Random) -> Iterator[str]:
    for _ in range(-(-len(words) // _APART)):
        length = draw.randint(*RUN)
        first = draw.randint(0, max(0, len(words) - length))
        run = words[first : first + length]
        while run and len(run[0]) <= _SHORT:
            del run[0]
        while run and len(run[-1]) <= _SHORT:
            del run[-1]
        if len(run) > 1:
            yield " ".join(run)


def _once(found: Iterable[str]) -> Iterator[str]:
    seen: set[int] = set()
    for fragment in found:
        if len(fragment) > 1 and (key := hash(fragment)) not in seen:
            seen.add(key)
            yield fragment


def _drawn(found: Iterable[str], limit: int, draw: random.Random) -> list[str]:
    """Return so many at random (reservoir sampling, Vitter 1985, algorithm R)."""
    kept: list[str] = []
    for count, fragment in enumerate(found, start=1):
        if len(kept) < limit:
            kept.append(fragment)
        elif (place := draw.randrange(count)) < limit:
            kept[place] = fragment
    return kept
