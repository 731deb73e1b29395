"""An index on a Qdrant server (or cluster), by the URL of a collection: ``http://host:6333/name``; or in memory, ``:memory:``.

What the index says about itself is the collection's metadata, so the server needs version 1.16 or later. Vectors are searched by the
server's HNSW graph, words as a sparse vector whose rarity the server counts. A first build answers nothing until it is complete; when
documents change, new chunks are written before the old ones go, and the first chunk of a document last, so that a document whose first
chunk is there is complete.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from litebert.errors import MachineError, RunError, UsageError
from litebert.search.filters import BUILT_IN, Both, Condition, Fields, Holds, Missing, Not, Test
from litebert.search.store import KEY, Chunk, Found, StoredDocument, settled
from litebert.search.words import document_weights, query_weights

T = TypeVar("T")

MEMORY = ":memory:"

_AT_ONCE = 256
_PAGE = 1000
_DENSE, _WORDS = "dense", "words"
_OURS = "litebert"
_NAMES = uuid.UUID("6f0d0f5e-6d0c-4f0e-9b0a-8d5c7a1b2c3d")
_RANGES = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


class QdrantStore:
    """Keeps an index in a collection of a server.

    Args:
        location: The collection's URL; a key is taken from the environment variable LITEBERT_SEARCH_API_KEY. Or ``:memory:``, or
            ``:memory:name``: an index that every store of this location in this process shares, and that goes with the process.
        client: A client to use in place of one for the URL.

    Raises:
        MachineError: The client library is not installed.
        UsageError: The URL names no collection.
    """

    def __init__(self, location: str, client: Any = None) -> None:
        try:
            import qdrant_client
            from qdrant_client import models
        except ImportError as error:
            raise MachineError(
                "an index on a Qdrant server or in memory needs qdrant-client, which is not installed",
                hint='Install it: pip install "litebert[search]"',
            ) from error
        self.location = location
        self._models: Any = models
        self._language: str | None = None
        self._embedded = location.startswith(MEMORY)
        if self._embedded:
            self.name = location.removeprefix(MEMORY) or _OURS
            self._client: Any = _in_memory()
            return
        parts = urlsplit(location)
        path, _, self.name = parts.path.strip("/").rpartition("/")
        if not self.name or not parts.hostname:
            raise UsageError(
                f"{location} names no collection", hint="Write it like http://host:6333/collection", path=location
            )
        for chatty in ("httpx", "httpcore"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self._client = client or qdrant_client.QdrantClient(
            host=parts.hostname, port=parts.port or 6333, https=parts.scheme == "https", prefix=path or None,
            api_key=os.environ.get(KEY), timeout=60, check_compatibility=False,
        )  # fmt: skip

    def writing(self) -> AbstractContextManager[None]:
        """See ``Store``; a server takes turns by itself, and knows no locks."""
        return nullcontext()

    def read_description(self) -> dict[str, Any] | None:
        """See ``Store``."""
        with self._explained():
            if not self._client.collection_exists(self.name):
                return None
            kept = (self._client.get_collection(self.name).config.metadata or {}).get(_OURS)
        said: dict[str, Any] | None = json.loads(kept) if isinstance(kept, str) else {}
        return said

    def write_description(self, data: Mapping[str, Any]) -> None:
        """See ``Store``."""
        with self._explained():
            self._client.update_collection(self.name, metadata={_OURS: json.dumps(data)})
        if self.read_description() != dict(data):
            raise MachineError(
                f"the server of {self.location} keeps no metadata of collections", hint="It must be Qdrant 1.16+."
            )

    def create(self, size: int, language: str | None) -> None:
        """See ``Store``."""
        m = self._models
        self._language = language
        if self.read_description() is not None:
            return
        with self._explained():
            if self._client.collection_exists(self.name):
                self._client.delete_collection(self.name)
            self._client.create_collection(
                self.name,
                vectors_config={_DENSE: m.VectorParams(size=size, distance=m.Distance.COSINE)},
                sparse_vectors_config={_WORDS: m.SparseVectorParams(modifier=m.Modifier.IDF)},
                metadata={_OURS: "null"},  # ours, if killed before there is a description
            )
            for field, kind in () if self._embedded else (("document", "keyword"), ("ordinal", "integer")):
                self._client.create_payload_index(self.name, field, kind)

    def add_fields(self, fields: Fields) -> None:
        """See ``Store``; there is room for any."""

    def sources(self, documents: Sequence[str]) -> dict[str, str]:
        """See ``Store``."""
        pages = self._pages(self._first(documents), with_payload=["document", "source"]) if documents else ()
        return {point.payload["document"]: point.payload["source"] for page in pages for point in page}

    def digests(self, documents: Sequence[str]) -> dict[str, str]:
        """See ``Store``."""
        if not documents:
            return {}
        pages = self._pages(self._first(documents), with_payload=["document", "digest"])
        return settled((point.payload["document"], point.payload["digest"]) for page in pages for point in page)

    def _first(self, documents: Sequence[str] | None = None) -> Any:
        m = self._models
        must = [m.FieldCondition(key="ordinal", match=m.MatchValue(value=0))]
        if documents is not None:
            must.append(m.FieldCondition(key="document", match=m.MatchAny(any=list(documents))))
        return m.Filter(must=must)

    def _pages(self, condition: Any, **wanted: Any) -> Iterator[list[Any]]:
        offset = None
        while True:
            with self._explained():
                points, offset = self._client.scroll(
                    self.name, scroll_filter=condition, limit=_PAGE, offset=offset, **wanted
                )
            if points:
                yield points
            if offset is None:
                return

    def put(self, documents: Sequence[StoredDocument], replaced: Sequence[str]) -> None:
        """See ``Store``."""
        points = [
            (number > 0, self._point(document, number))
            for document in documents
            for number in range(len(document.chunks))
        ]
        points.sort(key=lambda pair: not pair[0])
        for some in _parts(points):
            with self._explained():
                self._client.upsert(self.name, [point for _, point in some], wait=True)
        m, gone = self._models, set(replaced)
        for document in documents:
            if document.id in gone:
                same = m.FieldCondition(key="document", match=m.MatchValue(value=document.id))
                current = m.FieldCondition(key="digest", match=m.MatchValue(value=document.digest))
                with self._explained():
                    self._client.delete(self.name, m.FilterSelector(filter=m.Filter(must=[same], must_not=[current])))

    def _point(self, document: StoredDocument, number: int) -> Any:
        m, chunk = self._models, document.chunks[number]
        weights = document_weights(chunk.text, self._language)
        payload = {"document": document.id, "ordinal": chunk.ordinal, "digest": document.digest, "text": chunk.text}
        payload |= {"start": chunk.start, "end": chunk.end, "source": chunk.source, "metadata": dict(chunk.metadata)}
        payload["values"] = {_key(name): value for name, value in document.values.items() if not _is_list(value)}
        payload["lists"] = {_key(name): list(value) for name, value in document.values.items() if _is_list(value)}  # type: ignore[arg-type]
        return m.PointStruct(
            id=str(uuid.uuid5(_NAMES, f"{document.id}\0{chunk.ordinal}\0{document.digest}")),
            vector={
                _DENSE: document.vectors[number].tolist(),
                _WORDS: m.SparseVector(indices=list(weights), values=list(weights.values())),
            },
            payload=payload,
        )

    def remove(self, documents: Sequence[str]) -> None:
        """See ``Store``."""
        m = self._models
        for some in _parts(documents):
            among = m.FieldCondition(key="document", match=m.MatchAny(any=list(some)))
            with self._explained():
                self._client.delete(self.name, m.FilterSelector(filter=m.Filter(must=[among])))

    def document_ids(self) -> Iterator[str]:
        """See ``Store``."""
        pages = self._pages(self._first(), with_payload=["document"])
        return (point.payload["document"] for page in pages for point in page)

    def vectors(self) -> Iterator[tuple[list[Chunk], np.ndarray]]:
        """See ``Store``."""
        for points in self._pages(None, with_payload=True, with_vectors=[_DENSE]):
            rows = [point.vector[_DENSE] for point in points]
            yield [_chunk(point.payload) for point in points], np.asarray(rows, dtype=np.float32)

    def publish(self, data: Mapping[str, Any], *, approximate_from: int) -> None:
        """See ``Store``; a server builds its graphs by itself."""
        self.write_description(data)

    def is_ahead(self, data: Mapping[str, Any]) -> bool:
        """See ``Store``; what is written is answered from at once."""
        return False

    def open(self, data: Mapping[str, Any]) -> None:
        """See ``Store``."""
        self._language = data.get("language")

    def is_behind(self) -> bool:
        """See ``Store``."""
        return False

    def count(self) -> tuple[int, int]:
        """See ``Store``."""
        with self._explained():
            documents = self._client.count(self.name, count_filter=self._first(), exact=True).count
            return documents, self._client.count(self.name, exact=True).count

    def by_vector(
        self, vector: np.ndarray, top: int, condition: Condition | None, *, exact: bool = False
    ) -> list[Found]:
        """See ``Store``."""
        params = None if self._embedded else self._models.SearchParams(exact=exact)  # in memory it always is
        return self._query(vector.tolist(), _DENSE, top, condition, params)

    def by_words(self, text: str, top: int, condition: Condition | None) -> list[Found]:
        """See ``Store``."""
        weights = query_weights(text, self._language)
        if not weights:
            return []
        query = self._models.SparseVector(indices=list(weights), values=list(weights.values()))
        return [found for found in self._query(query, _WORDS, top, condition, None) if found.score > 0]

    def _query(self, query: Any, using: str, top: int, condition: Condition | None, params: Any) -> list[Found]:
        filtered = None if condition is None else self._filter(condition)
        with self._explained():
            answer = self._client.query_points(
                self.name, query=query, using=using, limit=top, query_filter=filtered, search_params=params,
                with_payload=True,
            )  # fmt: skip
        return [Found(float(point.score), _chunk(point.payload)) for point in answer.points]

    # Conditions -------------------------------------------------------------------------------------------------------

    def _filter(self, condition: Condition) -> Any:
        m = self._models
        if isinstance(condition, Not):
            return m.Filter(must_not=[self._filter(condition.part)])
        if isinstance(condition, Both):
            parts = [self._filter(part) for part in condition.parts]
            return m.Filter(must=parts) if condition.every else m.Filter(should=parts)
        if isinstance(condition, Missing):
            places = [_path(condition.field), *([] if condition.field in BUILT_IN else [_list_path(condition.field)])]
            return m.Filter(must=[m.IsEmptyCondition(is_empty=m.PayloadField(key=place)) for place in places])
        if isinstance(condition, Holds):
            key = _list_path(condition.field)
            return m.Filter(must=[m.FieldCondition(key=key, match=m.MatchValue(value=condition.value))])
        return m.Filter(must=[self._comparison(condition)])

    def _comparison(self, test: Test) -> Any:
        m, key = self._models, _path(test.field)
        if isinstance(test.value, str):
            if test.operator == "==":
                return m.FieldCondition(key=key, match=m.MatchValue(value=test.value))
            return m.FieldCondition(key=key, range=m.DatetimeRange(**{_RANGES[test.operator]: _date(test)}))
        if isinstance(test.value, bool):
            return m.FieldCondition(key=key, match=m.MatchValue(value=test.value))
        if test.operator == "==":
            return m.FieldCondition(key=key, range=m.Range(gte=test.value, lte=test.value))
        return m.FieldCondition(key=key, range=m.Range(**{_RANGES[test.operator]: test.value}))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the client raises into an error that says what to do."""
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        try:
            yield
        except ResponseHandlingException as error:
            raise MachineError(
                f"no vector database answers at {self.location}: {error}",
                hint="Check the address, and that the server is running.",
                path=self.location,
            ) from error
        except UnexpectedResponse as error:
            if error.status_code in (401, 403):
                raise UsageError(
                    f"the server of {self.location} refuses access", hint=f"Set {KEY} to a key.", path=self.location
                ) from error
            raise RunError(
                f"the server of {self.location} answered {error.status_code}: {error.content.decode(errors='replace')[:200]}",
                hint="Is this the address of a Qdrant server?",
                path=self.location,
            ) from error


@functools.cache
def _in_memory() -> Any:
    from qdrant_client import QdrantClient

    return QdrantClient(MEMORY)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[at : at + _AT_ONCE] for at in range(0, len(items), _AT_ONCE))


def _chunk(payload: Mapping[str, Any]) -> Chunk:
    names = ("document", "ordinal", "text", "start", "end", "source", "metadata")
    return Chunk(**{name: payload[name] for name in names})


def _key(name: str) -> str:
    """Return a payload key for a field: dots and brackets would be read as a path."""
    return name if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) else f"_{name.encode().hex()}"


def _list_path(name: str) -> str:
    return f"lists.{_key(name)}"


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _path(name: str) -> str:
    return name if name in BUILT_IN else f"values.{_key(name)}"


def _date(test: Test) -> datetime:
    try:
        return datetime.fromisoformat(str(test.value))
    except ValueError:
        raise UsageError(
            f"on a server texts such as {test.field!r} can be ordered only as dates, not by {test.value!r}",
            hint="Write a date like 2024-01-31, or compare with == or in.",
        ) from None
