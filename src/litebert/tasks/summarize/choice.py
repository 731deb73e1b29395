"""From a score for each sentence to a summary: how long, and without saying things twice.

Sentences are taken best first. One that repeats a run of n words of those taken before is passed over ("trigram blocking", Paulus
et al. 2018, arXiv:1705.04304; Liu & Lapata 2019, section 3.1), or its score is lowered by its likeness to them (maximal marginal
relevance, Carbonell & Goldstein 1998). The summary has them in the order of the document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from litebert.settings import Settings
from litebert.tasks.base import Answer
from litebert.tasks.reading.documents import Span
from litebert.tasks.summarize.rouge import ngrams, rouge_words

DEFAULT_SENTENCES = 3
LENGTHS = ("sentences", "ratio", "words")


class Budget(Settings):
    """How long a summary may be: one of ``sentences``, ``ratio`` and ``words``; three sentences when none is given."""

    sentences: int | None = Field(default=None, ge=1)
    """Sentences."""
    ratio: float | None = Field(default=None, gt=0, le=1)
    """Part of the document's sentences; at least one."""
    words: int | None = Field(default=None, ge=1)
    """Words, as white space separates them; the best sentence is taken whatever its length."""
    block_ngrams: int = Field(default=0, ge=0)
    """Pass over a sentence that repeats so many words in a row of those taken before; 0: do not look."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in LENGTHS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"a summary has one length, not {' and '.join(given)}: leave all but one out")
        return self

    def count(self, sentences: int) -> int:
        """Return how many of a document's sentences may be taken."""
        if self.words is not None:
            return sentences
        if self.ratio is not None:
            return min(sentences, max(1, round(self.ratio * sentences)))
        return min(sentences, self.sentences or DEFAULT_SENTENCES)

    def changed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a call: a length it names replaces the one that is set here, whichever of the three that is."""
        kept = self.model_dump()
        if any(name in options for name in LENGTHS):
            kept = {name: value for name, value in kept.items() if name not in LENGTHS}
        return {**kept, **options}


@dataclass(frozen=True)
class SummarySentence:
    """One sentence of a summary.

    Attributes:
        sentence: Its text, letter by letter.
        start: First character in the document.
        end: Past the last character.
        score: How much it belongs to the summary: its probability (moved by the graph where that counts), or its share of the
            document's centrality.
    """

    sentence: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Summarization(Answer):
    """The sentences chosen, in the order of the document; none of an empty one."""

    sentences: tuple[SummarySentence, ...]

    @property
    def summary_text(self) -> str:
        """The summary in one piece, as transformers' pipeline called it."""
        return " ".join(one.sentence for one in self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """Return the text and where its sentences come from."""
        return {"summary_text": self.summary_text, "sentences": [vars(one).copy() for one in self.sentences]}


def summarization(
    text: str, spans: Sequence[Span], scores: np.ndarray, budget: Budget, *, likeness: np.ndarray | None = None, diversity: float = 0.0
) -> Summarization:  # fmt: skip
    """Return the summary of a document.

    Args:
        text: The document.
        spans: First and past-the-last character of its N sentences.
        scores: (N,), higher is better.
        budget: How long.
        likeness: (N, N), 0 to 1; needed where ``diversity`` is not 0.
        diversity: Weight of unlikeness to the sentences taken before, 0 to 1.
    """
    sentences = [text[start:end] for start, end in spans]
    chosen = chosen_sentences(sentences, scores, budget, likeness=likeness, diversity=diversity)
    return Summarization(tuple(SummarySentence(sentences[i], *spans[i], float(scores[i])) for i in chosen))


def chosen_sentences(
    sentences: Sequence[str], scores: np.ndarray, budget: Budget, *, likeness: np.ndarray | None = None, diversity: float = 0.0
) -> list[int]:  # fmt: skip
    """Return the numbers of the sentences to take, ascending; arguments as in ``summarization``."""
    most, room = budget.count(len(sentences)), budget.words
    value = _spread(scores) if diversity else np.asarray(scores, dtype=np.float64)
    nearest = np.zeros(len(sentences))
    said: set[tuple[str, ...]] = set()
    left, taken = [i for i, sentence in enumerate(sentences) if sentence.strip()], list[int]()
    while left and len(taken) < most:
        best = max(left, key=lambda i: ((1 - diversity) * value[i] - diversity * nearest[i], -i))
        left.remove(best)
        length = len(sentences[best].split())
        if room is not None and taken and length > room:
            continue
        runs = (
            set(ngrams(rouge_words(sentences[best], stemming=False), budget.block_ngrams))
            if budget.block_ngrams
            else set()
        )
        if runs & said:
            continue
        said |= runs
        taken.append(best)
        room = None if room is None else room - length
        if likeness is not None:
            nearest = np.maximum(nearest, likeness[best])
    return sorted(taken)


def _spread(scores: np.ndarray) -> np.ndarray:
    """Return scores from 0 to 1, comparable with a likeness."""
    low, high = (scores.min(), scores.max()) if len(scores) else (0.0, 1.0)
    return (scores - low) / (high - low) if high > low else np.zeros(len(scores))
