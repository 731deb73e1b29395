"""Summaries without training: the sentences that are most central in the graph of their likenesses.

LexRank (Erkan & Radev 2004) and TextRank (Mihalcea & Tarau 2004): sentences are nodes, likenesses weigh the edges, PageRank scores
them. The likeness is the cosine of mean-pooled last states, from the document's median up: the cosines of an encoder that was only
pretrained all lie close to 1, and what tells is which pairs are closer than usual. With a query the random surfer returns to the
sentences that resemble it (topic-sensitive LexRank, Otterbacher et al. 2009). ``words`` is TextRank's own likeness, shared words;
``lead`` takes the first sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from litebert.checkpoint.pretrained import AlbertForSentenceEmbedding, Pretrained
from litebert.errors import DataError
from litebert.settings import build_settings
from litebert.tasks.base import Answer, Passes
from litebert.tasks.embed.vectors import sentence_windows, vectors_of
from litebert.tasks.reading.documents import spans_of
from litebert.tasks.reading.records import Columns, Record
from litebert.tasks.summarize.choice import Budget, summarization
from litebert.tasks.summarize.data import stream_documents
from litebert.tasks.summarize.rouge import rouge_words
from litebert.tasks.zero_shot import ZeroShotModel, ZeroShotTask

MOST_ITERATIONS, TOLERANCE = 100, 1e-9
MOST_SENTENCES = 5000
"""Of one document: the graph has their square of edges."""


class GraphOptions(Budget):
    """What can be asked of each call."""

    method: Literal["graph", "words", "lead"] = "graph"
    """graph: likeness of vectors; words: of words (TextRank); lead: the first sentences."""
    query: str | None = None
    """What the summary should be about."""
    query_weight: float = Field(default=0.7, ge=0, le=1)
    """How much the query counts beside centrality."""
    diversity: float = Field(default=0.0, ge=0, le=1)
    """How much unlikeness to the sentences already taken counts beside the score (maximal marginal relevance)."""
    damping: float = Field(default=0.85, ge=0, lt=1)
    """Probability with which the surfer follows an edge; without a query."""


class GraphSummarizeTask(ZeroShotTask):
    """Choose the most central sentences."""

    name: ClassVar[str] = "summarize"
    model_class: ClassVar[type[Pretrained]] = AlbertForSentenceEmbedding
    parts: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def stream(
        cls,
        path: str | Path,
        *,
        columns: Columns | None,
        format: str | None,
        warnings: list[str],  # noqa: ARG003
    ) -> Iterator[Record]:
        """Read documents; summaries are not looked at."""
        return stream_documents(path, columns=columns, format=format, labelled=False)

    def prepare(
        self, loaded: ZeroShotModel, records: Sequence[Record], options: Mapping[str, Any]
    ) -> Callable[[Passes], list[Answer]]:
        """Tokenise records; return what computes their answers, in order.

        Args:
            loaded: With any encoder.
            records: Documents of any length.
            options: Fields of ``GraphOptions``.

        Raises:
            DataError: A record is a pair, or has more sentences than a graph can hold.
        """
        chosen = build_settings(GraphOptions, options)
        spans = [_sentences(record) for record in records]
        texts = [record.text[a:b] for record, own in zip(records, spans, strict=True) for a, b in own]
        asked = chosen.method == "graph" and bool(texts)
        query = (chosen.query or "").strip()
        windows = sentence_windows(loaded, [*texts, query] if query else texts) if asked else None

        def answers(passes: Passes) -> list[Answer]:
            vectors = None if windows is None else vectors_of(loaded, windows, passes)
            found: list[Answer] = []
            at = 0
            for record, own in zip(records, spans, strict=True):
                part = slice(at, at + len(own))
                at = part.stop
                mine = None if vectors is None else vectors[part]
                wanted = None if vectors is None or not query else vectors[-1]
                scores, likeness = ranked(texts[part], chosen, vectors=mine, query=wanted)
                found.append(
                    summarization(record.text, own, scores, chosen, likeness=likeness, diversity=chosen.diversity)
                )
            return found

        return answers


def _sentences(record: Record) -> list[tuple[int, int]]:
    if record.pair is not None:
        raise DataError(
            "summarize takes one text, not two", hint="Name the column: --columns text=...", line=record.line
        )
    spans = spans_of(record)
    if len(spans) > MOST_SENTENCES:
        raise DataError(
            f"a document has {len(spans)} sentences, the graph holds {MOST_SENTENCES}",
            hint="Summarise its chapters one by one.", line=record.line,
        )  # fmt: skip
    return spans


# Graph ------------------------------------------------------------------------------------------------------------------


def ranked(
    sentences: Sequence[str], options: GraphOptions, *, vectors: np.ndarray | None = None, query: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    """Return the score of each sentence, summing to 1, and their likenesses (N, N) from 0 to 1.

    Args:
        sentences: N texts.
        options: What is asked.
        vectors: (N, H) of length 1, for ``method="graph"``.
        query: (H,), for ``method="graph"`` with a query.
    """
    count = len(sentences)
    if options.method == "lead" or not count:
        return np.arange(count, 0, -1) / max(count * (count + 1) / 2, 1), np.eye(count)
    if options.method == "graph":
        assert vectors is not None
        cosines = vectors @ vectors.T
        edges, likeness = above_median(cosines), _from_median(cosines)
        relevance = None if query is None else vectors @ query
    else:
        words = [set(rouge_words(sentence, stemming=True)) for sentence in sentences]
        edges = shared_words(words)
        likeness = edges / max(edges.max(initial=0.0), 1e-12)
        asked = set(rouge_words(options.query or "", stemming=True))
        relevance = np.array([len(asked & own) / max(len(own), 1) ** 0.5 for own in words]) if asked else None
    if relevance is None:
        return pagerank(edges, options.damping), likeness
    home = relevance - relevance.min()
    return pagerank(edges, 1 - options.query_weight, home=home), likeness


def above_median(cosines: np.ndarray) -> np.ndarray:
    """Return by how much each pair is more alike than the median pair of its document, 0 below and on the diagonal."""
    count = len(cosines)
    off = ~np.eye(count, dtype=bool)
    median = np.median(cosines[off]) if count > 1 else 1.0
    if count == 2:
        median = 0.0  # its only pair is the median
    return np.where(off, np.maximum(cosines - median, 0), 0)


def _from_median(cosines: np.ndarray) -> np.ndarray:
    """Return likenesses for maximal marginal relevance: 0 up to the median pair, 1 for the same."""
    off = cosines[~np.eye(len(cosines), dtype=bool)]
    median = float(np.median(off)) if len(off) else 0.0
    return np.clip((cosines - median) / max(1 - median, 1e-12), 0, 1)


def shared_words(words: Sequence[set[str]]) -> np.ndarray:
    """Return TextRank's likeness of sentences: shared words over the sum of the logarithms of their numbers of words.

    Args:
        words: Of each of N sentences.

    Returns:
        (N, N), 0 on the diagonal and for sentences of one word, whose logarithm is 0.
    """
    from scipy.sparse import csr_array

    numbers: dict[str, int] = {}
    columns = [numbers.setdefault(word, len(numbers)) for own in words for word in sorted(own)]
    ends = np.cumsum([0, *map(len, words)])
    there = csr_array((np.ones(len(columns)), columns, ends), shape=(len(words), max(len(numbers), 1)))
    shared: np.ndarray = (there @ there.T).toarray()
    logs = np.log(np.maximum(np.diff(ends), 1))
    np.fill_diagonal(shared, 0)
    shared[logs == 0] = shared[:, logs == 0] = 0
    np.divide(shared, logs[:, None] + logs, out=shared, where=shared > 0)
    return shared


def pagerank(edges: np.ndarray, damping: float, home: np.ndarray | None = None) -> np.ndarray:
    """Return where a random surfer on a weighted graph is found, by power iteration.

    Args:
        edges: (N, N) weights of at least 0; a node without edges leads anywhere.
        damping: Probability of following an edge.
        home: (N,) weights of at least 0 of where the surfer goes otherwise; None for anywhere.

    Returns:
        (N,) float64 that sum to 1.
    """
    count = len(edges)
    even = np.full(count, 1 / count)
    start = even if home is None or home.sum() <= 0 else home / home.sum()
    out = edges.sum(axis=1, keepdims=True)
    steps = np.divide(edges, out, out=np.full(edges.shape, 1 / count), where=out > 0)
    rank = even
    for _ in range(MOST_ITERATIONS):
        after: np.ndarray = damping * (rank @ steps) + (1 - damping) * start
        if np.abs(after - rank).sum() < TOLERANCE:
            return after
        rank = after
    return rank
