"""What keeps an index: chunks with their vectors, found by meaning or by words. One interface, maintained stores behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from litebert.search.filters import Condition, Fields, Value

KEY = "LITEBERT_SEARCH_API_KEY"
"""Environment variable with the key for a server."""
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
        values: The metadata that can be filtered by: texts, numbers, yes or no, lists of texts.
    """

    id: str
    digest: str
    chunks: Sequence[Chunk]
    vectors: np.ndarray
    values: Mapping[str, Value | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk and how well it answers; higher is better."""

    score: float
    chunk: Chunk


def settled(digests: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the digest of each document; none that is ever equal where an update was stopped, and there are two."""
    found: dict[str, str] = {}
    for document, digest in digests:
        found[document] = digest if found.get(document, digest) == digest else ""
    return found


class Store(Protocol):
    """Keeps one index.

    Killed in the middle of anything, a store can be gone on with, and a first build is not answered from before it is complete. What
    cannot be the same everywhere:

    - **A later build.** A folder has versions: what is answered from is the state that ``publish`` named, whatever is written or killed
      meanwhile. Qdrant and Milvus have none: each document is answered from as it is replaced, and for a moment twice.
    - **Writers.** A folder lets in one at a time, and refuses the others. A server lets in all, and who writes a document last wins. A
      Milvus Lite database belongs to one process, readers too, as long as that lives.
    - **Lasting.** ``:memory:`` lasts as long as the process; all else is there when it is opened again.
    - **Approximation.** From ``approximate_from`` chunks on in a folder and on a Milvus server; a Qdrant server decides for itself;
      never in Milvus Lite and in memory. ``exact`` is exact everywhere.
    - **Words.** BM25's usual length of a chunk is 80 words in Qdrant, the mean elsewhere, and Milvus Lite counts how rare a word is in
      each part of a growing index; so scores differ, and are not to be compared between stores.
    - **Order of texts.** ``<`` and ``>=`` compare texts by code points, in Qdrant dates only.
    - **Sizes.** Milvus keeps 65,535 bytes of a chunk's text and of its metadata, and refuses what is longer; it finds 16,384 chunks at
      most.
    """

    location: str

    def writing(self) -> AbstractContextManager[None]:
        """Keep other writers out as long as the context lasts, where the store can.

        Raises:
            UsageError: Another one is writing, or something else is in this place.
        """

    def read_description(self) -> dict[str, Any] | None:
        """Return what the index says about itself; None where there is none. Nothing is made by asking."""

    def write_description(self, data: Mapping[str, Any]) -> None:
        """Replace what the index says about itself, in one step."""

    def create(self, size: int, language: str | None) -> None:
        """Make the place for vectors of ``size`` numbers, if it is not there.

        What a build left behind that was killed before its first description is thrown away.
        """

    def add_fields(self, fields: Fields) -> None:
        """Make room for the metadata fields there are now."""

    def digests(self, documents: Sequence[str]) -> dict[str, str]:
        """Return the digests of those documents that are there; one that was stopped half-way has none or a wrong one."""

    def sources(self, documents: Sequence[str]) -> dict[str, str]:
        """Return the files that those documents are from that are there."""

    def put(self, documents: Sequence[StoredDocument], replaced: Sequence[str]) -> None:
        """Add documents, in place of what there is of those in ``replaced``."""

    def remove(self, documents: Sequence[str]) -> None:
        """Remove documents; those that are not there are no error."""

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

    def is_behind(self) -> bool:
        """Return whether another state than the one that was opened is answered from by now; cheap enough for every search.

        Never true of a server, which answers from what is there.
        """

    def count(self) -> tuple[int, int]:
        """Return how many documents and chunks there are."""

    def by_vector(
        self, vector: np.ndarray, top: int, condition: Condition | None, *, exact: bool = False
    ) -> list[Found]:
        """Return the chunks nearest to a vector (H,) by cosine, best first; with ``exact`` without approximation.

        A ``top`` above what there is gives what there is.
        """

    def by_words(self, text: str, top: int, condition: Condition | None) -> list[Found]:
        """Return the chunks that share words with a text, best first by BM25."""
