"""An index in a folder: a LanceDB table, and a description that names the version of it that is answered from.

Every write of a Lance table is a new version, which readers of another do not see. A build writes versions as it goes; the description
(``index.json``, replaced in one step) names the last complete one. So a killed build has changed nothing for those who search, and what
it wrote is there for the next one to go on from. A tag keeps the version from being cleaned up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from litebert import files
from litebert.errors import DataError, MachineError, UsageError
from litebert.search.filters import BUILT_IN, Both, Condition, Fields, Holds, Kind, Missing, Not, Test, kind_of
from litebert.search.store import Chunk, Found, StoredDocument
from litebert.search.words import TOKENIZER

DESCRIPTION = "index.json"
_TABLE = "chunks"
_FOLDER = "store"
_TYPES: dict[Kind, str] = {"text": "Utf8", "number": "Float64", "flag": "Boolean", "texts": "List(Utf8)"}
_COLUMNS = ["document", "ordinal", "text", "start", "end", "source", "metadata"]
_KEPT = timedelta(hours=1)
"""How long versions are kept at least; the one that is replaced stays in any case, for searches that are under way."""
_PROBED, _REFINED, _COMPARED = 32, 10, 400
"""Parts of the approximate index that are looked at; how many times ``top`` vectors are compared exactly, and how many at least."""


class LanceStore:
    """Keeps an index in a folder.

    Args:
        location: The folder; made when something is written.

    Raises:
        MachineError: LanceDB is not installed.
    """

    def __init__(self, location: str) -> None:
        os.environ.setdefault("LANCEDB_LOG", "error")  # else every search prints a notice meant for developers
        try:
            import lancedb
        except ImportError as error:
            raise MachineError(
                "an index needs LanceDB, which is not installed", hint='Install it: pip install "litebert[search]"'
            ) from error
        self.location = location
        self.folder = Path(location)
        self._lancedb: Any = lancedb
        self._open: Any = None
        self._opened: tuple[int, ...] | None = None

    # Description ------------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See ``Store``; the lock goes with the process, however it ends."""
        self._check_place()
        with files.explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            stream = (self.folder / ".lock").open("ab")
        with stream:
            _lock(stream, self.folder)
            yield

    def read_description(self) -> dict[str, Any] | None:
        """See ``Store``."""
        path = self.folder / DESCRIPTION
        if not path.is_file():
            return None
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path} cannot be read: {error}", hint="Build the index again in another folder.", path=path
            ) from error
        return data if isinstance(data, dict) else {}

    def write_description(self, data: Mapping[str, Any]) -> None:
        """See ``Store``."""
        files.write_json(self.folder / DESCRIPTION, dict(data))

    def _check_place(self) -> None:
        if self.folder.is_file():
            raise UsageError(f"{self.folder} is a file", hint="Name a folder.", path=self.folder)
        known = {DESCRIPTION, _FOLDER, ".lock"}
        if self.folder.is_dir() and not (self.folder / DESCRIPTION).exists():
            foreign = sorted(path.name for path in self.folder.iterdir() if path.name not in known)
            if foreign:
                raise UsageError(
                    f"{self.folder} is no index, and holds other files: {', '.join(foreign[:5])}",
                    hint="Name a new or an empty folder.",
                    path=self.folder,
                )

    # Writing ----------------------------------------------------------------------------------------------------------

    def create(self, size: int, language: str | None) -> None:
        """See ``Store``."""
        import pyarrow as pa
        from lancedb.index import FTS, BTree

        with self._explained():
            database = self._lancedb.connect(str(self.folder / _FOLDER))
            if self.read_description() is not None and (self.folder / _FOLDER / f"{_TABLE}.lance").exists():
                self._open = database.open_table(_TABLE)
            else:
                text, number = pa.string(), pa.int64()
                types = {"document": text, "digest": text, "ordinal": number, "text": text, "start": number}
                types |= {"end": number, "source": text, "metadata": text, "vector": pa.list_(pa.float32(), size)}
                self._open = database.create_table(_TABLE, schema=pa.schema(list(types.items())), mode="overwrite")
            there = {column for index in self._open.list_indices() for column in index.columns}
            if "document" not in there:
                self._open.create_index("document", config=BTree())
            if "text" not in there:
                stem: dict[str, Any] = {"stem": language is not None, "language": language or "English"}
                self._open.create_index("text", config=FTS(**TOKENIZER, **stem))

    def add_fields(self, fields: Fields) -> None:
        """See ``Store``."""
        wanted = {_column(name, kind): _TYPES[kind] for name, kinds in fields.items() for kind in kinds}
        new = {column: f"arrow_cast(null, '{kind}')" for column, kind in wanted.items() if column not in self._names()}
        if new:
            with self._explained():
                self._table.add_columns(new)

    def digests(self, documents: Sequence[str]) -> dict[str, str]:
        """See ``Store``; a commit holds whole documents, so what is there is complete."""
        return self._firsts(documents, "digest")

    def sources(self, documents: Sequence[str]) -> dict[str, str]:
        """See ``Store``."""
        return self._firsts(documents, "source")

    def _firsts(self, documents: Sequence[str], column: str) -> dict[str, str]:
        """Return a column of the first chunks of documents."""
        if not documents:
            return {}
        with self._explained():
            rows = self._table.search().where(f"ordinal = 0 AND {_among(documents)}").select(["document", column])
            return {row["document"]: row[column] for row in rows.limit(len(documents)).to_list()}

    def put(self, documents: Sequence[StoredDocument], replaced: Sequence[str]) -> None:
        """See ``Store``; killed between the two steps, documents are missing here, not in what is answered from."""
        self.remove(replaced)
        with self._explained():
            self._table.add(self._rows(documents))

    def _rows(self, documents: Sequence[StoredDocument]) -> Any:
        import pyarrow as pa

        schema = self._table.schema
        columns: dict[str, list[Any]] = {name: [] for name in schema.names if name != "vector"}
        for document in documents:
            values = {_column(name, kind_of(value) or "text"): value for name, value in document.values.items()}
            for chunk in document.chunks:
                row = {name: getattr(chunk, name) for name in _COLUMNS if name != "metadata"}
                row |= {
                    "digest": document.digest,
                    "metadata": json.dumps(dict(chunk.metadata), ensure_ascii=False),
                } | values
                for name, cells in columns.items():
                    cells.append(row.get(name))
        vectors = np.concatenate([document.vectors for document in documents]).astype(np.float32)
        arrays = {name: pa.array(cells, schema.field(name).type) for name, cells in columns.items()}
        arrays["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)

    def remove(self, documents: Sequence[str]) -> None:
        """See ``Store``."""
        if documents:
            with self._explained():
                self._table.delete(_among(documents))

    def document_ids(self) -> Iterator[str]:
        """See ``Store``."""
        with self._explained():
            query = self._table.search().where("ordinal = 0").select(["document"])
            for batch in query.limit(max(self._table.count_rows(), 1)).to_batches(4096):
                yield from batch.column("document").to_pylist()

    def vectors(self) -> Iterator[tuple[list[Chunk], np.ndarray]]:
        """See ``Store``."""
        with self._explained():
            query = self._table.search().select([*_COLUMNS, "vector"]).limit(max(self._table.count_rows(), 1))
            for batch in query.to_batches(4096):
                rows = batch.select(_COLUMNS).to_pylist()
                flat = batch.column("vector").flatten().to_numpy(zero_copy_only=False)
                yield [_chunk(row) for row in rows], flat.reshape(len(rows), -1)

    def publish(self, data: Mapping[str, Any], *, approximate_from: int) -> None:
        """See ``Store``."""
        from lancedb.index import IvfRq

        with self._explained():
            table = self._table
            if table.count_rows() >= approximate_from and not any(
                i.columns == ["vector"] for i in table.list_indices()
            ):
                table.create_index("vector", config=IvfRq(distance_type="dot"))
            before = None
            while before != (version := table.version):  # merging fragments may give indices something to do, and so on
                before = version
                table.optimize(cleanup_older_than=timedelta(days=36500))
            ours = f"complete-{version}"
            if ours not in table.tags.list():
                table.tags.create(ours, version)
            self.write_description({**data, "version": version})
            for tag in set(table.tags.list()) - {ours}:
                table.tags.delete(tag)
            table.optimize(cleanup_older_than=max(_KEPT, _age(table, data.get("version"))))

    def is_ahead(self, data: Mapping[str, Any]) -> bool:
        """See ``Store``."""
        with self._explained():
            return bool(self._table.version != data.get("version"))

    # Reading ----------------------------------------------------------------------------------------------------------

    def open(self, data: Mapping[str, Any]) -> None:
        """See ``Store``."""
        opened = self._state()
        with self._explained():
            table = self._lancedb.connect(str(self.folder / _FOLDER)).open_table(_TABLE)
            table.checkout(int(data["version"]))
        self._open, self._opened = table, opened

    def is_behind(self) -> bool:
        """See ``Store``: the description is a new file whenever it is written."""
        return self._opened is not None and self._state() not in (None, self._opened)

    def _state(self) -> tuple[int, ...] | None:
        try:
            found = (self.folder / DESCRIPTION).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    @property
    def _table(self) -> Any:
        if self._open is None:
            with self._explained():
                self._open = self._lancedb.connect(str(self.folder / _FOLDER)).open_table(_TABLE)
        return self._open

    def _names(self) -> list[str]:
        return list(self._table.schema.names)

    def count(self) -> tuple[int, int]:
        """See ``Store``."""
        with self._explained():
            return self._table.count_rows("ordinal = 0"), self._table.count_rows()

    def by_vector(
        self, vector: np.ndarray, top: int, condition: Condition | None, *, exact: bool = False
    ) -> list[Found]:
        """See ``Store``."""
        with self._explained():
            query = self._table.search(vector, vector_column_name="vector").distance_type("dot")
            query = (
                query.bypass_vector_index()
                if exact
                else query.nprobes(_PROBED).refine_factor(max(_REFINED, -(-_COMPARED // top)))
            )
            return [_found(row, 1.0 - row["_distance"]) for row in self._answer(query, top, condition, "_distance")]

    def by_words(self, text: str, top: int, condition: Condition | None) -> list[Found]:
        """See ``Store``."""
        with self._explained():
            query = self._table.search(text, query_type="fts", fts_columns="text")
            return [_found(row, row["_score"]) for row in self._answer(query, top, condition, "_score")]

    def _answer(self, query: Any, top: int, condition: Condition | None, score: str) -> list[dict[str, Any]]:
        if condition is not None:
            query = query.where(_sql(condition, set(self._names())), prefilter=True)
        rows: list[dict[str, Any]] = query.select([*_COLUMNS, score]).limit(top).to_list()
        return rows

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the library raises into an error that says what to do."""
        try:
            yield
        except (RuntimeError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                f"the index in {self.folder} cannot be used: {reason[:300]}",
                hint="If files are missing or damaged, build it again in another folder; if the disk is full, free space.",
                path=self.folder,
            ) from error


def _age(table: Any, version: Any) -> timedelta:
    """Return how long ago a version was made, and a little more: what was answered from stays until the next version is published."""
    made: list[datetime] = [one["timestamp"] for one in table.list_versions() if one["version"] == version]
    return datetime.now(made[0].tzinfo) - made[0] + timedelta(minutes=1) if made else timedelta(0)


def _found(row: Mapping[str, Any], score: float) -> Found:
    return Found(float(score), _chunk(row))


def _chunk(row: Mapping[str, Any]) -> Chunk:
    cells = {name: row[name] for name in _COLUMNS}
    return Chunk(**{**cells, "metadata": json.loads(cells["metadata"])})


def _column(name: str, kind: Kind) -> str:
    """Return the column of a field: a name of its own for every field and kind, whatever characters are in it."""
    return name if name in BUILT_IN else f"{kind}_{name.encode().hex()}"


def _among(documents: Sequence[str]) -> str:
    return f"document IN ({', '.join(map(_literal, documents))})"


def _literal(value: object) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return ("true" if value else "false") if isinstance(value, bool) else repr(float(value))  # type: ignore[arg-type]


def _sql(condition: Condition, columns: set[str]) -> str:
    """Return a condition as SQL, in which nothing is ever unknown: a missing value makes a comparison false."""
    if isinstance(condition, Not):
        return f"(NOT {_sql(condition.part, columns)})"
    if isinstance(condition, Both):
        return "(" + (" AND " if condition.every else " OR ").join(_sql(p, columns) for p in condition.parts) + ")"
    if isinstance(condition, Missing):
        kept = [name for kind in _TYPES if (name := _column(condition.field, kind)) in columns]
        return "(" + (" AND ".join(f"{name} IS NULL" for name in sorted(set(kept))) or "true") + ")"
    if isinstance(condition, Holds):
        column = _column(condition.field, "texts")
        return (
            f"({column} IS NOT NULL AND array_has({column}, {_literal(condition.value)}))"
            if column in columns
            else "false"
        )
    return _comparison(condition, columns)


def _comparison(test: Test, columns: set[str]) -> str:
    column = _column(test.field, kind_of(test.value) or "text")
    if column not in columns:  # a field that is in what has been written since, not in what is answered from
        return "false"
    operator = "=" if test.operator == "==" else test.operator
    return f"({column} IS NOT NULL AND {column} {operator} {_literal(test.value)})"


def _lock(stream: Any, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(f"another process is writing the index {folder}", hint="Wait for it.", path=folder) from error
    except OSError:  # a file system without locks
        return
