"""An index in Milvus: in a Milvus Lite database on disk, ``milvus:notes.db``, or on a server, ``milvus://host:19530/collection``.

Two collections: ``collection`` holds a row a chunk, ``collection_about`` the one row in which the index says about itself. Words are
found by the server's own BM25 (parameters as in ``words``) over our terms, each sent as its number, which every tokenizer of the server
leaves alone. As a server keeps no versions, a first build answers nothing until it is complete; when documents change, new chunks are
written before the old ones go, the first chunk of a document last.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from litebert.errors import DataError
from litebert.search.filters import Condition, Fields, kind_of
from litebert.search.milvus_access import Access
from litebert.search.milvus_filters import among, expression, key
from litebert.search.store import Chunk, Found, StoredDocument, settled
from litebert.search.words import K1, B, numbers

_AT_ONCE = 256
_PAGE = 1000
_MOST_FOUND = 16_384
"""Rows a search can return."""
_LONGEST = 65_535
"""Bytes of a text."""
_MOST_WORDS = _LONGEST // 9
"""Words of a chunk: each is sent as eight digits and a space."""
_CLUSTERS, _PROBED = 1024, 48
"""Of a server's approximate index, and how many of them are looked at."""
_SAME = uuid.UUID("0d7e9d0c-3a86-4d5b-8a3e-6f2f7f6f2a11")
_CHUNK = ["document", "ordinal", "text", "start", "end", "source", "metadata"]
_KEPT = {"consistency_level": "Strong"}
"""What has been written is seen by the next call."""


class MilvusStore:
    """Keeps an index in two collections.

    Args:
        location: ``milvus:PATH.db``, ``milvus://host:19530/collection`` or, encrypted, ``milvus+https://host/database/collection``. A
            key or ``user:password`` is taken from the environment variable LITEBERT_SEARCH_API_KEY.

    Raises:
        MachineError: The client library is not installed.
        UsageError: The location names no collection, or no database.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._access = Access(location)
        self.name, self._about = self._access.name, f"{self._access.name}_about"
        self._language: str | None = None
        self._approximate = False

    def writing(self) -> AbstractContextManager[None]:
        """See ``Store``; a server knows no locks, and a database on disk is one process's as long as that lives."""
        self._access.check_place()
        return nullcontext()

    def read_description(self) -> dict[str, Any] | None:
        """See ``Store``."""
        if not self._access.there():
            return None
        if not self._call("has_collection", self._about):
            return {} if self._call("has_collection", self.name) else None
        self._call("load_collection", self._about)
        rows = self._call("query", self._about, filter="id == 0", output_fields=["data"])
        if not rows:
            return None
        kept = json.loads(rows[0]["data"])
        self._approximate = bool(kept["approximate"])
        found: dict[str, Any] = kept["description"]
        return found

    def write_description(self, data: Mapping[str, Any]) -> None:
        """See ``Store``; one row is replaced in one step."""
        text = json.dumps({"description": dict(data), "approximate": self._approximate})
        if len(text) > _LONGEST:
            raise DataError(
                f"the index has too many metadata fields for Milvus: their names are {len(text):,} bytes",
                hint=f"Leave columns out of the input, or use a folder: Milvus keeps {_LONGEST:,}.",
                path=self.location,
            )
        self._call("upsert", self._about, [{"id": 0, "data": text, "nothing": [0.0, 0.0]}])

    def create(self, size: int, language: str | None) -> None:
        """See ``Store``."""
        self._language = language
        if self._access.there() and self.read_description() is not None:
            self._call("load_collection", self.name)
            return
        for name, columns in (
            (self._about, _about()),
            (self.name, _columns(size)),
        ):  # the first one says whose the second is
            if self._access.there() and self._call("has_collection", name):
                self._call("drop_collection", name)
            schema, indexes = self._access.schema(columns), self._access.indexes(self._indexes(columns))
            self._call("create_collection", name, schema=schema, index_params=indexes, **_KEPT)

    def _indexes(self, columns: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return an index a vector; a database on disk compares all of them, and a server can, by looking at every cluster."""
        exact = {"index_type": "FLAT", "metric_type": "IP"}
        clustered = {"index_type": "IVF_FLAT", "metric_type": "IP", "params": {"nlist": _CLUSTERS}}
        words = {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "BM25", "params": {"bm25_k1": K1, "bm25_b": B}}
        kinds = {"nothing": exact, "vector": exact if self._access.embedded else clustered, "weights": words}
        return {name: kind for name, kind in kinds.items() if name in columns}

    def add_fields(self, fields: Fields) -> None:
        """See ``Store``; there is room for any."""

    def sources(self, documents: Sequence[str]) -> dict[str, str]:
        """See ``Store``."""
        return {row["document"]: row["source"] for row in self._firsts(documents, "source")}

    def digests(self, documents: Sequence[str]) -> dict[str, str]:
        """See ``Store``."""
        return settled((row["document"], row["digest"]) for row in self._firsts(documents, "digest"))

    def _firsts(self, documents: Sequence[str], column: str) -> Iterator[dict[str, Any]]:
        """Yield a column of the first chunks of documents."""
        for some in _parts(documents):
            for page in self._pages(f"ordinal == 0 and {among('document', some)}", ["document", column]):
                yield from page

    def _pages(self, condition: str, columns: list[str]) -> Iterator[list[dict[str, Any]]]:
        pages = self._call(
            "query_iterator", self.name, batch_size=_PAGE, filter=condition, output_fields=columns, **_KEPT
        )
        try:
            while rows := self._access.explained(pages.next):
                yield list(rows)
        finally:
            self._access.explained(pages.close)

    def put(self, documents: Sequence[StoredDocument], replaced: Sequence[str]) -> None:
        """See ``Store``."""
        rows = [self._row(document, number) for document in documents for number in range(len(document.chunks))]
        rows.sort(key=lambda row: row["ordinal"] == 0)
        for some in _parts(rows):
            self._call("upsert", self.name, list(some))
        gone = set(replaced)
        for document in documents:
            if document.id in gone:
                old = f"{among('document', [document.id])} and not ({among('digest', [document.digest])})"
                self._call("delete", self.name, filter=old)

    def _row(self, document: StoredDocument, number: int) -> dict[str, Any]:
        chunk = document.chunks[number]
        words = [f"{word:08x}" for word in numbers(chunk.text, self._language)]
        row = {name: getattr(chunk, name) for name in _CHUNK} | {"digest": document.digest, "words": " ".join(words)}
        row["metadata"] = json.dumps(dict(chunk.metadata), ensure_ascii=False)
        row["fields"] = {key(name, kind_of(value) or "text"): _plain(value) for name, value in document.values.items()}
        for name in ("document", "source", "text", "metadata", "fields"):
            written = json.dumps(row[name], ensure_ascii=False) if name == "fields" else row[name]
            self._check_length(chunk, name, len(written.encode()), _LONGEST, "bytes")
        self._check_length(chunk, "text", len(words), _MOST_WORDS, "words")
        row["id"] = str(uuid.uuid5(_SAME, f"{document.id}\0{chunk.ordinal}\0{document.digest}"))
        return {**row, "vector": document.vectors[number].tolist()}

    def _check_length(self, chunk: Chunk, what: str, length: int, most: int, unit: str) -> None:
        if length > most:
            raise DataError(
                f"the {what} of {chunk.document[:100]!r} has {length:,} {unit}; Milvus keeps {most:,} for a chunk",
                hint="Leave it out or shorten it, or use a folder, which has no such limit.",
                path=chunk.source,
            )

    def remove(self, documents: Sequence[str]) -> None:
        """See ``Store``."""
        for some in _parts(documents):
            self._call("delete", self.name, filter=among("document", some))

    def document_ids(self) -> Iterator[str]:
        """See ``Store``."""
        return (row["document"] for rows in self._pages("ordinal == 0", ["document"]) for row in rows)

    def vectors(self) -> Iterator[tuple[list[Chunk], np.ndarray]]:
        """See ``Store``."""
        for rows in self._pages("", [*_CHUNK, "vector"]):
            yield [_chunk(row) for row in rows], np.asarray([row["vector"] for row in rows], dtype=np.float32)

    def publish(self, data: Mapping[str, Any], *, approximate_from: int) -> None:
        """See ``Store``; the index of a server is there always, and from then on not all of it is looked at."""
        self._approximate = self.count()[1] >= approximate_from and not self._access.embedded
        self.write_description(data)

    def is_ahead(self, data: Mapping[str, Any]) -> bool:
        """See ``Store``; what is written is answered from at once."""
        return False

    def open(self, data: Mapping[str, Any]) -> None:
        """See ``Store``."""
        self._language = data.get("language")
        self._call("load_collection", self.name)

    def is_behind(self) -> bool:
        """See ``Store``."""
        return False

    def count(self) -> tuple[int, int]:
        """See ``Store``."""
        documents, chunks = (
            self._call("query", self.name, filter=condition, output_fields=["count(*)"], **_KEPT)[0]["count(*)"]
            for condition in ("ordinal == 0", "ordinal >= 0")
        )
        return int(documents), int(chunks)

    def by_vector(
        self, vector: np.ndarray, top: int, condition: Condition | None, *, exact: bool = False
    ) -> list[Found]:
        """See ``Store``."""
        probed = _PROBED if self._approximate and not exact else _CLUSTERS
        params = {} if self._access.embedded else {"nprobe": probed}
        return self._search("vector", vector.tolist(), top, condition, {"metric_type": "IP", "params": params})

    def by_words(self, text: str, top: int, condition: Condition | None) -> list[Found]:
        """See ``Store``."""
        words = " ".join(f"{word:08x}" for word in numbers(text, self._language)[:_MOST_WORDS])
        if not words:
            return []
        found = self._search("weights", words, top, condition, {"metric_type": "BM25", "params": {}})
        return [Found(abs(one.score), one.chunk) for one in found if one.score]  # Milvus Lite gives it a minus

    def _search(
        self, column: str, asked: Any, top: int, condition: Condition | None, params: dict[str, Any]
    ) -> list[Found]:
        answer = self._call(
            "search", self.name, data=[asked], anns_field=column, limit=min(top, _MOST_FOUND), output_fields=_CHUNK,
            filter="" if condition is None else expression(condition), search_params=params, **_KEPT,
        )  # fmt: skip
        return [Found(float(row["distance"]), _chunk(row["entity"])) for row in answer[0]]

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._access.call(method, *arguments, **options)


def _columns(size: int) -> dict[str, dict[str, Any]]:
    text = {"datatype": "VARCHAR", "max_length": _LONGEST}
    columns: dict[str, dict[str, Any]] = {"id": {**text, "max_length": 36, "is_primary": True}}
    columns |= dict.fromkeys(("document", "digest", "text", "source", "metadata"), text)
    columns |= {name: {"datatype": "INT64"} for name in ("ordinal", "start", "end")}
    columns["words"] = {**text, "enable_analyzer": True, "analyzer_params": {"tokenizer": "standard"}}
    columns["weights"] = {"datatype": "SPARSE_FLOAT_VECTOR", "bm25_of": "words"}
    return columns | {"fields": {"datatype": "JSON"}, "vector": {"datatype": "FLOAT_VECTOR", "dim": size}}


def _about() -> dict[str, dict[str, Any]]:
    """Return the columns of the description; a collection without vectors is not allowed."""
    data = {"datatype": "VARCHAR", "max_length": _LONGEST}
    vector = {"datatype": "FLOAT_VECTOR", "dim": 2}
    return {"id": {"datatype": "INT64", "is_primary": True}, "data": data, "nothing": vector}


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[at : at + _AT_ONCE] for at in range(0, len(items), _AT_ONCE))


def _plain(value: object) -> object:
    """Return numbers as one kind of number: a server compares no integer with a fraction."""
    return float(value) if kind_of(value) == "number" else value  # type: ignore[arg-type]


def _chunk(row: Mapping[str, Any]) -> Chunk:
    cells = {name: row[name] for name in _CHUNK}
    return Chunk(**{**cells, "metadata": json.loads(cells["metadata"])})
