"""Files to an index: what is new or changed is cut, embedded and stored; what is not stays as it is.

Documents are read, compared by a hash with what is stored, and written in batches. Whatever a batch has stored stays stored if the
build is stopped, and the next one finds it unchanged; what is answered from is the last state that was complete.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from litebert.errors import DataError, RunError, UsageError, nearest
from litebert.search import faq
from litebert.search.chunks import ChunkSettings, chunk_spans
from litebert.search.description import Description, check_model, dumped, read_description
from litebert.search.documents import Document, Reading, find_files, read_documents
from litebert.search.filters import BUILT_IN, Kind, Value, kind_of
from litebert.search.location import open_store
from litebert.search.models import Offsets, TextEmbedder, lasting_name
from litebert.search.store import LANGUAGES, Chunk, Store, StoredDocument
from litebert.tasks.reading.columns import Columns

KEPT = "as it is"
"""For a language: that of the index; of a new one English."""
APPROXIMATE_FROM = 100_000
"""Chunks from which an index for approximate search is built; below, every vector is compared."""
_DOCUMENTS, _CHARACTERS = 256, 4 << 20
"""How many documents are read ahead at most, and how much text."""
_MOST_FIELDS, _LONGEST_VALUE = 256, 1000


@dataclass
class Built:
    """What a build did.

    Attributes:
        location: Of the index.
        documents: In the index now.
        chunks: In the index now.
        added: Documents that are new.
        changed: Documents that were replaced.
        unchanged: Documents that stayed.
        removed: Documents that are no longer there: vanished ones when asked for, and those without text now.
        empty: Documents without text, or questions without an answer, which were left out.
        faq: When a question counts as answered.
        warnings: What the user should know.
    """

    location: str
    documents: int = 0
    chunks: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    empty: int = 0
    faq: faq.Calibration | None = None
    warnings: list[str] = field(default_factory=list)


def build_index(
    inputs: Sequence[str], out: str, embedder: TextEmbedder, offsets: Offsets, *, model: str,
    columns: Columns | None = None, encoding: str = "utf-8", chunks: ChunkSettings | None = None,
    language: str | None = KEPT, questions: bool = False, wordings: str | None = None, unknown_rate: float | None = None,
    prune: bool = False, batch: int = 1024, approximate_from: int = APPROXIMATE_FROM,
    progress: Callable[[int], None] | None = None, store: Store | None = None,
) -> Built:  # fmt: skip
    """Build an index, or bring one up to date.

    Args:
        inputs: Files, folders, globs.
        out: Folder of the index, or another location, see ``litebert.search.location``.
        embedder: Makes the vectors.
        offsets: Finds the tokens of a text, see ``load_embedder``; any other way to count will do.
        model: The name by which ``embedder`` will be found again.
        columns: Of tables; what is left out is recognised by its name.
        encoding: Of text files.
        chunks: How texts are cut; None keeps an existing index's way.
        language: Whose word endings are removed for BM25; None for none; default: an existing index's, for a new one English.
        questions: The inputs are tables of questions and answers.
        wordings: A table of other wordings of such questions with their answers, to learn from how sure an answer is.
        unknown_rate: Share of unanswerable questions that may be answered; None: an existing index's, for a new one 5%.
        prune: Remove documents that are not among the inputs.
        batch: Chunks that are embedded and stored at once.
        approximate_from: Chunks from which search is approximate.
        progress: Called with the number of documents done.
        store: What keeps the index; default: by ``out``.

    Returns:
        What was done.

    Raises:
        DataError: Nothing to read, a wrong table, two documents with one identifier.
        UsageError: The index there was made with another model or other settings.
    """
    reading = Reading(
        columns=columns, encoding=encoding, faq=questions, named=frozenset(str(Path(one)) for one in inputs)
    )
    _check_language(language)
    if wordings is not None and not questions:
        raise UsageError("other wordings are for an index of questions and answers", hint="Add --faq.")
    found = find_files(inputs, reading.warnings)
    others = [] if wordings is None else _other_wordings(wordings, reading)
    if not getattr(embedder, "taught", True):
        reading.warnings.append(
            f"{model} was not trained for vectors: it finds little by meaning; litebert-small-en-embed was, and words do not need it"
        )
    store = store or open_store(out)
    with store.writing(), _seen() as seen:
        description = _described(store, embedder, model, chunks, language, "faq" if questions else "texts")
        _refuse_namesakes(found, store)
        builder = _Builder(store, description, embedder, offsets, batch, Built(store.location))
        for group in _groups(read_documents(found, reading)):
            _refuse_twice(group, seen)
            builder.take(group)
            if progress is not None:
                progress(builder.read)
        builder.flush()
        if prune:
            builder.prune(seen)
        return builder.finish(reading.warnings, approximate_from, others, unknown_rate)


def _refuse_namesakes(files: Sequence[tuple[Path, str]], store: Store) -> None:
    """Refuse files that would replace those of another folder, which are still there, because both have one name below their folder."""
    for at in range(0, len(files), _DOCUMENTS):
        by_id = {one: path for path, name in files[at : at + _DOCUMENTS] for one in (name, f"{name}:1", f"{name}:2")}
        for identifier, source in store.sources(list(by_id)).items():
            there, path = Path(source), by_id[identifier]
            if there.is_file() and not there.samefile(path):
                raise DataError(
                    f"{path} would replace {there}, which is called {identifier!r} in the index, too",
                    hint="Name the folder above both as the input, or choose another --out.", path=str(path),
                )  # fmt: skip


def _check_language(language: str | None) -> None:
    if language not in (None, KEPT, *LANGUAGES):
        raise UsageError(f"there is no stemmer for {language!r}", hint=nearest(language, [*LANGUAGES, "none"]))


def _described(
    store: Store, embedder: TextEmbedder, model: str, chunks: ChunkSettings | None, language: str | None, kind: Any
) -> Description:
    found = read_description(store)
    if found is None:
        found = Description(
            kind=kind, model=lasting_name(model), fingerprint=embedder.fingerprint, size=embedder.size,
            chunks=chunks or ChunkSettings(), language="English" if language == KEPT else language,
        )  # fmt: skip
        store.create(found.size, found.language)
        store.write_description(dumped(found))
        return found
    check_model(found, embedder, model, store.location)
    wanted = {
        "kind": kind,
        "chunks": chunks or found.chunks,
        "language": found.language if language == KEPT else language,
    }
    for name, value in wanted.items():
        if (there := getattr(found, name)) != value:
            raise UsageError(
                f"the index {store.location} was built with {name} = {there}, not {value}",
                hint="Use the same settings, or build another index.",
                path=store.location,
            )
    store.create(found.size, found.language)
    return found


class _Builder:
    """Takes documents, and stores those that are new or changed."""

    def __init__(
        self, store: Store, description: Description, embedder: TextEmbedder, offsets: Offsets, batch: int, built: Built
    ) -> None:
        self.store, self.description, self.embedder, self.offsets = store, description, embedder, offsets
        self.batch, self.built = batch, built
        self.read = 0
        self.fields: dict[str, list[Kind]] = {name: list(kinds) for name, kinds in description.fields.items()}
        self._waiting: list[tuple[Document, str, list[Chunk], bool]] = []
        self._chunks = 0

    def take(self, group: Sequence[Document]) -> None:
        parts = [document.next_part for document in group if document.next_part]
        known = self.store.digests([*(document.id for document in group), *parts])
        emptied = [part for first in parts if first in known for part in self._stale(first)]
        for document in group:
            self.read += 1
            digest = document.digest(self.description.chunks.model_dump(), self.description.language)
            if known.get(document.id) == digest:
                self.built.unchanged += 1
                continue
            found = self._cut(document)
            if not found:
                self.built.empty += 1
                emptied.extend([document.id] if document.id in known else [])
                continue
            self._waiting.append((document, digest, found, document.id in known))
            self._chunks += len(found)
            if self._chunks >= self.batch:
                self.flush()
        self.store.remove(emptied)
        self.built.removed += len(emptied)

    def _stale(self, part: str) -> Iterator[str]:
        """Yield the parts that a file had from this one on, when it was longer."""
        name, _, number = part.rpartition("#")
        count = int(number)
        while self.store.digests([f"{name}#{count}"]):
            yield f"{name}#{count}"
            count += 1

    def _cut(self, document: Document) -> list[Chunk]:
        text = document.text
        if self.description.kind == "faq":
            start = len(text) - len(text.lstrip())
            spans = [(start, start + len(text.strip()))] if _wording(document) is not None else []
        else:
            spans = chunk_spans(text, self.offsets, self.description.chunks)
        base = document.start
        return [
            Chunk(document.id, i, text[start:end], base + start, base + end, document.source, document.metadata)
            for i, (start, end) in enumerate(spans)
        ]

    def flush(self) -> None:
        """Embed and store what is waiting."""
        if not self._waiting:
            return
        vectors = self._vectors([chunk.text for _, _, chunks, _ in self._waiting for chunk in chunks])
        ready, at = [], 0
        for document, digest, chunks, _ in self._waiting:
            part = vectors[at : at + len(chunks)]
            ready.append(StoredDocument(document.id, digest, chunks, part, self._values(document)))
            at += len(chunks)
        self._register()
        replaced = [document.id for document, _, _, again in self._waiting if again]
        self.store.put(ready, replaced)
        self.built.changed += len(replaced)
        self.built.added += len(ready) - len(replaced)
        self._waiting, self._chunks = [], 0

    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.asarray(self.embedder.embed(texts), dtype=np.float32)
        if vectors.shape != (len(texts), self.description.size) or not np.isfinite(vectors).all():
            raise RunError(
                f"the model gave vectors of shape {vectors.shape} for {len(texts)} texts, or such with infinite numbers",
                hint="Try it on one text with litebert predict.",
            )
        return vectors

    def _values(self, document: Document) -> dict[str, Value]:
        """Return the metadata of a document that can be filtered by."""
        values: dict[str, Value] = {}
        for name, value in document.metadata.items():
            kind = kind_of(value)
            if kind is None or name in BUILT_IN or _too_long(value):
                continue
            kinds = self.fields.get(name)
            if kinds is None and len(self.fields) >= _MOST_FIELDS:
                continue
            if kind not in (kinds or ()):
                self.fields[name] = [*(kinds or ()), kind]
            values[name] = value
        return values

    def _register(self) -> None:
        if self.fields != self.description.fields:
            self.store.add_fields(self.fields)
            self.description = self.description.model_copy(update={"fields": dict(self.fields)})
            self.store.write_description(dumped(self.description))

    def prune(self, seen: sqlite3.Connection) -> None:
        """Remove the documents that were not seen."""
        gone = [
            name
            for name in self.store.document_ids()
            if not seen.execute("SELECT 1 FROM ids WHERE id=?", (name,)).fetchone()
        ]
        for at in range(0, len(gone), _DOCUMENTS):
            self.store.remove(gone[at : at + _DOCUMENTS])
        self.built.removed += len(gone)

    def finish(
        self, warnings: list[str], approximate_from: int, wordings: list[faq.Wording], unknown_rate: float | None
    ) -> Built:
        """Make what was written what is answered from."""
        built = self.built
        built.documents, built.chunks = self.store.count()
        built.warnings.extend(warnings)
        if built.empty:
            lacking = (
                "rows have no question or no answer" if self.description.kind == "faq" else "documents have no text"
            )
            built.warnings.append(f"{built.empty} of {self.read} {lacking}, and were left out")
        if not built.chunks:
            where = f"any of {self.read} documents" if self.read > 1 else "these files"
            what = "question with an answer" if self.description.kind == "faq" else "text"
            raise DataError(f"there is no {what} in {where}", hint="Check the files, and --columns for tables.")
        if self.description.kind == "faq":
            built.faq = self._calibrated(wordings, unknown_rate)
        done = built.added or built.changed or built.removed or built.faq != self.description.faq
        if done or self.description.state != "complete" or self.store.is_ahead(dumped(self.description)):
            self.description = self.description.model_copy(update={"state": "complete", "faq": built.faq})
            self.store.publish(dumped(self.description), approximate_from=approximate_from)
        return built

    def _calibrated(self, others: list[faq.Wording], unknown_rate: float | None) -> faq.Calibration:
        before, built = self.description.faq, self.built
        same = not (
            built.added or built.changed or built.removed or others or self.store.is_ahead(dumped(self.description))
        )
        if before is not None and same and unknown_rate in (None, before.unknown_rate):
            return before
        if unknown_rate is None:
            unknown_rate = faq.UNKNOWN_RATE if before is None else before.unknown_rate
        asked = faq.some_asked(self.store.vectors(), self.description.size)
        found = faq.calibrate(
            asked, self._asked(others), self.store.vectors(), unknown_rate=unknown_rate, warnings=self.built.warnings
        )
        if before is not None and before.given and not others:
            learnt = {
                name: getattr(before, name) for name in ("slope", "offset", "wordings", "answered", "right", "given")
            }
            found = found.model_copy(update=learnt)
            self.built.warnings.append(
                f"how sure an answer is was learnt from {before.given} other wordings and is kept; give them again to learn it anew"
            )
        if (few := found.warning()) is not None:
            self.built.warnings.append(few)
        if not found.unknown:
            self.built.warnings.append("all questions have the same answer: it is given whatever is asked")
        return found

    def _asked(self, wordings: list[faq.Wording]) -> faq.Asked:
        texts = [wording.question for wording in wordings]
        return faq.Asked(wordings, self._vectors(texts) if texts else np.zeros((0, self.description.size), np.float32))


def _too_long(value: Any) -> bool:
    """Return whether a text, or the texts of a list together, are too long to be filtered by."""
    return (
        sum(map(len, [value] if isinstance(value, str) else value if isinstance(value, list) else [])) > _LONGEST_VALUE
    )


def _wording(document: Document) -> faq.Wording | None:
    """Return a row as a question with its answer; None where one of the two is missing."""
    answer = str(document.metadata.get("answer", ""))
    return faq.Wording(document.text, answer) if document.text.strip() and answer.strip() else None


def _other_wordings(path: str, reading: Reading) -> list[faq.Wording]:
    """Read other wordings of questions, by the columns of the questions or, where there are none of these names, by its own."""
    files = find_files([path])
    try:
        rows = list(read_documents(files, replace(reading, warnings=[])))
    except (DataError, UsageError):
        if reading.columns is None:
            raise
        rows = list(read_documents(files, replace(reading, columns=None, warnings=[])))
    found = [wording for wording in map(_wording, rows) if wording is not None]
    if not found:
        raise DataError(f"{path} has no other wording with an answer", hint="Columns question and answer.", path=path)
    if len(found) < len(rows):
        reading.warnings.append(
            f"{len(rows) - len(found)} of {len(rows)} other wordings have no text or no answer: not used"
        )
    return found


# What was seen --------------------------------------------------------------------------------------------------------


@contextmanager
def _seen() -> Iterator[sqlite3.Connection]:
    """Keep the identifiers of all documents out of memory."""
    with (
        tempfile.TemporaryDirectory(prefix="litebert-") as folder,
        closing(sqlite3.connect(Path(folder) / "seen")) as base,
    ):
        base.execute("PRAGMA journal_mode=OFF")
        base.execute("PRAGMA synchronous=OFF")
        base.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID")
        yield base


def _refuse_twice(group: Sequence[Document], seen: sqlite3.Connection) -> None:
    for document in group:
        place = document.source + (f", line {document.line}" if document.line else "")
        try:
            seen.execute("INSERT INTO ids VALUES (?, ?)", (document.id, place))
        except sqlite3.IntegrityError:
            (before,) = seen.execute("SELECT place FROM ids WHERE id=?", (document.id,)).fetchone()
            raise DataError(
                f"two documents have the identifier {document.id!r}: in {before}, and in {place}",
                hint="Make them differ, or name another column: --columns id=NAME.",
                path=document.source,
                line=document.line,
            ) from None


def _groups(documents: Iterable[Document]) -> Iterator[list[Document]]:
    group: list[Document] = []
    size = 0
    for document in documents:
        group.append(document)
        size += len(document.text)
        if len(group) >= _DOCUMENTS or size >= _CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group
