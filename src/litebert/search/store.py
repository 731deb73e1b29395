"""What keeps an index: chunks with their vectors, found by meaning or by words. One interface, two maintained stores behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from litebert.search.filters import Condition, Fields, Value

LANGUAGES = (
    "Arabic", "Danish", "Dutch", "English", "Finnish", "French", "German", "Greek", "Hungarian", "Italian", "Norwegian",
    "Portuguese", "Romanian", "Russian", "Spanish", "Swedish", "Tamil", "Turkish",
)  # fmt: skip
"""Languages whose word endings are removed before words are compared (Snowball stemmers)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document.

    Attributes:
        document: Identifier of the document.
        ordinal: Which of its chunks, from 0.
        text: As it stands in the document.
        start: First character in the document.
        end: The one behind the last.
        source: File it is from.
        metadata: Of the document.
    """

    document: str
    ordinal: int
    text: str
    start: int
    end: int
    source: str
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as it goes into a store.

    Attributes:
        id: Its identifier.
        digest: Of everything that makes its chunks and their vectors; unchanged documents keep theirs.
        chunks: At least one, in order.
        vectors: (N, H) float32 rows of length 1, one a chunk.
        values: The metadata that can be filtered by.
    """

    id: str
    digest: str
    chunks: Sequence[Chunk]
    vectors: np.ndarray
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk and how well it answers; higher is better."""

    score: float
    chunk: Chunk


class Store(Protocol):
    """Keeps one index. Whatever it is killed in the middle of, the published state stays what is answered from."""

    location: str

    def writing(self) -> AbstractContextManager[None]:
        """Keep other writers out as long as the context lasts."""

    def read_description(self) -> dict[str, Any] | None:
        """Return what the index says about itself; None where there is none."""

    def write_description(self, data: Mapping[str, Any]) -> None:
        """Replace what the index says about itself, in one step."""

    def create(self, size: int, language: str | None) -> None:
        """Make the place for vectors of ``size`` numbers, if it is not there."""

    def add_fields(self, fields: Fields) -> None:
        """Make room for the metadata fields there are now."""

    def digests(self, documents: Sequence[str]) -> dict[str, str]:
        """Return the digests of those documents that are completely there."""

    def put(self, documents: Sequence[StoredDocument], replaced: Sequence[str]) -> None:
        """Add documents, in place of what there is of those in ``replaced``."""

    def remove(self, documents: Sequence[str]) -> None:
        """Remove documents."""

    def document_ids(self) -> Iterator[str]:
        """Yield the identifiers of all documents."""

    def vectors(self) -> Iterator[tuple[list[Chunk], np.ndarray]]:
        """Yield all chunks with their vectors (B, H), in batches."""

    def publish(self, data: Mapping[str, Any], *, approximate_from: int) -> None:
        """Make what was written the state that is answered from, with ``data`` as its description.

        From ``approximate_from`` chunks on, an index for approximate search is built.
        """

    def is_ahead(self, data: Mapping[str, Any]) -> bool:
        """Return whether something was written that is not in the state a description belongs to."""

    def open(self, data: Mapping[str, Any]) -> None:
        """Get ready to answer from the state that a description belongs to."""

    def count(self) -> tuple[int, int]:
        """Return how many documents and chunks there are."""

    def by_vector(
        self, vector: np.ndarray, top: int, condition: Condition | None, *, exact: bool = False
    ) -> list[Found]:
        """Return the chunks nearest to a vector (H,) by cosine, best first; with ``exact`` without approximation."""

    def by_words(self, text: str, top: int, condition: Condition | None) -> list[Found]:
        """Return the chunks that share words with a text, best first by BM25."""
