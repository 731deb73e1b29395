"""An index that answers: by meaning (cosine of vectors), by words (BM25), or by both, whose scores are added.

A sum of scores on one scale finds better than the sum of 1 / (60 + rank): Bruch, Gai & Ingber 2023, "An Analysis of Fusion Functions
for Hybrid Retrieval" (docs/log.md has our figures). Ranks alone do not tell that the first by meaning is hardly nearer than the
hundredth, which is how a model looks that does not know the field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, Literal, Self, get_args, overload

import numpy as np

from litebert.errors import DataError, UsageError, nearest
from litebert.search.description import Description, check_model, read_description
from litebert.search.faq import Reply
from litebert.search.filters import Condition, parse_filter
from litebert.search.location import how_to_build, open_store
from litebert.search.models import TextEmbedder, load_embedder
from litebert.search.rerank import Rerank
from litebert.search.store import Chunk, Found, Store
from litebert.search.words import asked_for

Mode = Literal["hybrid", "dense", "bm25"]
MODES: tuple[Mode, ...] = get_args(Mode)

CANDIDATES = 100
"""How deep each ranking is looked at before they are fused, reranked or grouped."""
DEEPER = 4
"""Times that, again and again, while the best chunks are of fewer documents than asked for."""
_SAME = 1e-6
"""Difference of scores that is none."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that answers a query.

    Attributes:
        id: Identifier of its document.
        text: The chunk, letter by letter.
        start: Its first character in the document.
        end: The one behind its last.
        score: What the order is by; higher is better, and comparable within one search only.
        source: File the document is from.
        metadata: Of the document.
        chunk: Which chunk of the document, from 0.
        scores: By ``dense`` (cosine), ``bm25`` and ``rerank``, as far as they were looked at and found it.
    """

    id: str
    text: str
    start: int
    end: int
    score: float
    source: str
    metadata: Mapping[str, Any] = field(hash=False)
    chunk: int = 0
    scores: Mapping[str, float] = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        names = ("id", "text", "start", "end", "score", "source", "metadata", "chunk", "scores")
        return {name: getattr(self, name) for name in names}


class Index:
    """A complete index. Use :meth:`open`.

    One that lies in a folder is followed: what a later build has published is answered from at the next search. Threads may share it.

    Args:
        store: What keeps it.
        description: What it says about itself.
        embedder: Makes the vectors of queries; None loads the model the index names when it is first needed.
    """

    def __init__(self, store: Store, description: Description, embedder: TextEmbedder | None = None) -> None:
        self.store, self.description, self._embedder = store, description, embedder
        self._following = Lock()

    @classmethod
    def open(
        cls, location: str, *, embedder: TextEmbedder | None = None, model: str | None = None, device: str = "auto",
        **settings: Any,
    ) -> Self:  # fmt: skip
        """Open an index.

        Args:
            location: Its folder, or another location, see ``litebert.search.location``.
            embedder: Makes the vectors of queries; the model that made the index, already loaded.
            model: That model, where it is not found any more under the name the index has for it.
            device: Where the model runs.
            **settings: Of ``litebert.load`` for it.

        Raises:
            DataError: There is no index, it is not complete yet, damaged, or of a newer format.
            MachineError: A package is missing, or no server answers.
            UsageError: Another model than the index was made with.
        """
        store = open_store(str(location))
        description = read_description(store)
        if description is None:
            raise DataError(f"there is no index in {location}", hint=how_to_build(location), path=location)
        if description.state != "complete":
            raise DataError(
                f"the index {location} is not complete: its build was interrupted or is under way",
                hint="Run the command that builds it again; it goes on where it stopped.",
                path=location,
            )
        store.open(description.model_dump(mode="json"))
        index = cls(store, description)
        if embedder is not None:
            check_model(description, embedder, None, store.location)
            index._embedder = embedder
        index._loading = (model or description.model, device, settings)
        if model is not None:
            index.embedder  # noqa: B018 - refuse another model now
        return index

    _loading: tuple[str, str, dict[str, Any]] | None = None

    def _follow(self) -> None:
        """Go over to what was published since the index was opened: who serves it opens it once."""
        with self._following:
            if not self.store.is_behind():
                return
            description = read_description(self.store)
            if description is None or description.state != "complete":
                return
            if self._embedder is not None:
                check_model(description, self._embedder, None, self.store.location)
            self.store.open(description.model_dump(mode="json"))
            self.description = description

    @property
    def embedder(self) -> TextEmbedder:
        """What makes the vectors of queries; loaded on first use.

        Raises:
            UsageError: The model is another one by now.
        """
        if self._embedder is None:
            name, device, settings = self._loading or (self.description.model, "auto", {})
            embedder, _ = load_embedder(name, device=device, **settings)
            check_model(self.description, embedder, name, self.store.location)
            self._embedder = embedder
        return self._embedder

    @property
    def fields(self) -> Mapping[str, Sequence[str]]:
        """Metadata that can be filtered by, and of which kinds its values are."""
        return self.description.fields

    def count(self) -> tuple[int, int]:
        """Return how many documents and chunks there are."""
        return self.store.count()

    @overload
    def search(
        self, query: str, *, top: int = ..., mode: str = ..., filter: str | None = ..., rerank: Rerank | None = ...,
        candidates: int | None = ..., per_document: bool = ..., exact: bool = ..., dense_weight: float = ...,
    ) -> list[Hit]: ...  # fmt: skip
    @overload
    def search(
        self, query: list[str] | tuple[str, ...], *, top: int = ..., mode: str = ..., filter: str | None = ...,
        rerank: Rerank | None = ..., candidates: int | None = ..., per_document: bool = ..., exact: bool = ...,
        dense_weight: float = ...,
    ) -> list[list[Hit]]: ...  # fmt: skip
    def search(
        self, query: str | Sequence[str], *, top: int = 10, mode: str = "hybrid", filter: str | None = None,
        rerank: Rerank | None = None, candidates: int | None = None, per_document: bool = False, exact: bool = False,
        dense_weight: float = 0.5,
    ) -> list[Hit] | list[list[Hit]]:  # fmt: skip
        """Find the chunks that answer one query or several.

        Args:
            query: A text or a list of texts.
            top: How many hits at most.
            mode: ``hybrid``, ``dense`` (by meaning) or ``bm25`` (by words).
            filter: Condition on metadata, see ``litebert.search.filters``.
            rerank: Scores (query, text) pairs of the candidates, whose order it then decides; see ``reranker``.
            candidates: How many of each ranking are fused, reranked or grouped; default: 100, or ``top`` if that is more.
            per_document: The best chunk of each document only.
            exact: Compare with every vector, where the store would approximate.
            dense_weight: How much the ranking by meaning counts in ``hybrid``, 0 to 1; that by words has the rest. Less than a half is
                better where the texts are of a field that the model has hardly read of.

        Returns:
            Hits, best first; for several queries a list of such lists. An empty query finds nothing.

        Raises:
            UsageError: An unknown mode, a filter that cannot be read, ``top`` below 1, a weight that is none.
        """
        if mode not in MODES:
            raise UsageError(f"unknown mode {mode!r}", hint=nearest(mode, MODES))
        if top < 1:
            raise UsageError(f"top must be at least 1, not {top}")
        if not 0 <= dense_weight <= 1:
            raise UsageError(f"dense_weight must be 0 to 1, not {dense_weight}")
        self._follow()
        condition = None if filter is None else parse_filter(filter, self.description.fields)
        depth = max(candidates or CANDIDATES, top)
        queries = [query] if isinstance(query, str) else list(query)
        vectors = self._vectors(queries) if mode != "bm25" else [None] * len(queries)
        results = []
        for text, vector in zip(queries, vectors, strict=True):
            find = partial(self._hits, text, vector, mode, condition=condition, exact=exact, dense_weight=dense_weight)
            deep = depth
            hits = find(deep)
            while per_document and candidates is None and len(_best_chunks(hits[:deep])) < top and len(hits) >= deep:
                deep *= DEEPER
                hits = find(deep)
            if rerank is not None:
                hits = _reranked(text, hits[:deep], rerank)
            results.append((_best_chunks(hits) if per_document else hits)[:top])
        return results[0] if isinstance(query, str) else results

    def _vectors(self, queries: Sequence[str]) -> Sequence[np.ndarray | None]:
        return list(self.embedder.embed(queries)) if queries else []

    def _hits(
        self, text: str, vector: np.ndarray | None, mode: str, depth: int, *, condition: Condition | None, exact: bool,
        dense_weight: float,
    ) -> list[Hit]:  # fmt: skip
        if not text.strip():
            return []
        rankings: dict[str, list[Found]] = {}
        if vector is not None:
            rankings["dense"] = self.store.by_vector(vector, depth, condition, exact=exact)
        if mode != "dense":
            words = asked_for(text, self.description.language)
            rankings["bm25"] = self.store.by_words(words, depth, condition)
        return fuse(rankings, dense_weight)

    def answer(self, question: str, *, filter: str | None = None) -> Reply:
        """Answer a question from an index of questions and answers, or say that the answer is not known.

        Args:
            question: A text; an empty one is not known.
            filter: Condition on metadata.

        Raises:
            DataError: Nothing passes the filter.
            UsageError: The index was not built as one of questions and answers.
        """
        self._follow()
        calibration = self.description.faq
        if calibration is None:
            raise UsageError(
                f"the index {self.store.location} holds texts, not questions with answers",
                hint="Build one with: litebert index MODEL FILE --faq --out DIR",
            )
        if not question.strip():
            return Reply(None, 0.0, "", 0.0, "", "", "", {})
        hits = self.search(question, top=1, mode="dense", filter=filter)
        if not hits:
            raise DataError("there is no question to compare with", hint="Ask something that the filter lets through.")
        hit = hits[0]
        metadata = dict(hit.metadata)
        best = str(metadata.pop("answer", ""))
        known = hit.score >= calibration.threshold and bool(best.strip())
        return Reply(
            best if known else None,
            calibration.confidence(hit.score),
            hit.text,
            hit.score,
            hit.id,
            best,
            hit.source,
            metadata,
        )


def fuse(rankings: Mapping[str, Sequence[Found]], dense_weight: float) -> list[Hit]:
    """Return the hits of one ranking with their scores; those of both by the weighted sum of theirs on one scale.

    Args:
        rankings: By ``dense``, ``bm25`` or both, each best first.
        dense_weight: Of ``dense``, 0 to 1; ``bm25`` has the rest.

    Returns:
        Best first. With both, the score is 0 to 1, and who is not in a ranking has nothing from it.
    """
    weights = {"dense": dense_weight, "bm25": 1 - dense_weight} if len(rankings) > 1 else {}
    chunks: dict[tuple[str, int], Chunk] = {}
    scores: dict[tuple[str, int], dict[str, float]] = {}
    fused: dict[tuple[str, int], float] = {}
    for name, ranking in rankings.items():
        shares = _on_one_scale(name, ranking) if weights else [found.score for found in ranking]
        for found, share in zip(ranking, shares, strict=True):
            key = (found.chunk.document, found.chunk.ordinal)
            chunks[key] = found.chunk
            scores.setdefault(key, {})[name] = found.score
            fused[key] = fused.get(key, 0.0) + weights.get(name, 1.0) * share
    order = sorted(fused, key=lambda key: (-fused[key], key))
    return [_hit(chunks[key], fused[key], scores[key]) for key in order]


def _on_one_scale(name: str, ranking: Sequence[Found]) -> list[float]:
    """Return scores as shares: by words of the best, by meaning of the way from the last to 1: all cosines of some models are high.

    Of one candidate alone the cosine itself is taken.
    """
    if not ranking:
        return []
    best, last = ranking[0].score, ranking[-1].score if len(ranking) > 1 else 0.0
    least, most = (last, 1.0) if name == "dense" else (0.0, best)
    return [min(max((found.score - least) / max(most - least, _SAME), 0.0), 1.0) for found in ranking]


def _hit(chunk: Chunk, score: float, scores: Mapping[str, float]) -> Hit:
    return Hit(
        chunk.document,
        chunk.text,
        chunk.start,
        chunk.end,
        score,
        chunk.source,
        chunk.metadata,
        chunk.ordinal,
        dict(scores),
    )


def _reranked(query: str, hits: Sequence[Hit], rerank: Rerank) -> list[Hit]:
    if not hits:
        return []
    found = []
    for hit, score in zip(hits, rerank([(query, hit.text) for hit in hits]), strict=True):
        values = {**hit.scores, "rerank": float(score)}
        found.append(
            Hit(hit.id, hit.text, hit.start, hit.end, float(score), hit.source, hit.metadata, hit.chunk, values)
        )
    return sorted(found, key=lambda hit: -hit.score)


def _best_chunks(hits: Sequence[Hit]) -> list[Hit]:
    first: dict[str, Hit] = {}
    for hit in hits:
        first.setdefault(_whole(hit), hit)
    return list(first.values())


def _whole(hit: Hit) -> str:
    """Return the document of a hit: of a part of a long file, whose identifier ends with ``#`` and a number, the file."""
    name, mark, number = hit.id.rpartition("#")
    return name if mark and number.isdecimal() and name and hit.source.endswith(name) else hit.id
