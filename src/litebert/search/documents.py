"""Files to documents with identifiers and metadata: plain text, Markdown and HTML a document a file, tables a document a row.

The identifier of a file is its path within the folder that was given, so that it stays the same when the folder moves; that of a row is
its ``id`` column, else the file and the line. Offsets count characters of a text file as it is decoded, of an HTML page's text, of a
row's text cell. What cannot be read as text is left out, counted and named; a table that is wrong is an error.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from litebert.corpus.reading.documents import ReadSettings
from litebert.corpus.reading.inputs import InputFile, Kind, kind_of
from litebert.corpus.reading.readers import Span, read_texts
from litebert.errors import DataError, UsageError, nearest
from litebert.tasks.reading.columns import Columns
from litebert.tasks.reading.records import iter_records
from litebert.tasks.reading.rows import open_table

TEXTS = ("text", "content", "body", "passage", "document", "article", "abstract", "sentence", "description")
QUESTIONS, ANSWERS = ("question", "query", "faq", "title"), ("answer", "response", "reply", "solution")
_IDENTIFIERS = ("id", "_id", "doc_id", "docno", "docid", "url", "guid", "uid")
_TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet")
_SUFFIXES = {".txt", ".text", ".md", ".markdown", ".rst", ".html", ".htm", ".xhtml", *_TABLES}
_PACKED = {".gz", ".bz2", ".xz", ".zst"}
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d+)?")
_TOLD = {
    "file not text": "files left out because they are no text in {encoding} (--encoding names another)",
    "file damaged": "damaged files, read up to the damage", "file unreadable": "files left out because they cannot be read",
    "table without texts": "tables left out because no column is known for the text (name them one by one, with --columns)",
    "bytes replaced": "invalid bytes replaced by U+FFFD", "html cut": "pages cut because they are too long",
}  # fmt: skip
_NAMED = 3
"""Files that a warning names."""
_PART = 1 << 20
"""Bytes of a text file that are one document; what is longer is indexed in parts."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text to be found again.

    Attributes:
        id: Its identifier.
        text: The text.
        source: File it is from.
        metadata: The other columns of its row.
        start: Where the text begins in the file; 0 unless it is a later part of one.
        line: Of its row.
        next_part: Of the last part of a file, what one more would be called.
    """

    id: str
    text: str
    source: str
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    start: int = 0
    line: int | None = None
    next_part: str | None = None

    def digest(self, *settings: object) -> str:
        """Return a hash of the text, the metadata and what else decides about the chunks."""
        parts = [self.text, self.metadata, self.start, *settings]
        data = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=False)
        return hashlib.sha256(data.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How documents are read.

    Attributes:
        columns: Of tables; what is left out is recognised by its name.
        encoding: Of text files and of pages that name none.
        faq: Rows are a question and its answer.
        named: Files the user named one by one: a table among them is read, or wrong; one of a folder may be something else.
        warnings: Receives what was left out.
    """

    columns: Columns | None = None
    encoding: str = "utf-8"
    faq: bool = False
    named: frozenset[str] = frozenset()
    warnings: list[str] = field(default_factory=list)


def read_documents(files: Sequence[tuple[Path, str]], reading: Reading) -> Iterator[Document]:
    """Yield the documents of files, those without text as well.

    Args:
        files: From ``find_files``.
        reading: How.

    Raises:
        DataError: A table that is wrong.
        UsageError: A column cannot be what was asked for, or a file is no table where one is needed.
    """
    if reading.faq and (other := next((path for path, _ in files if not _is_table(path)), None)):
        raise UsageError(f"{other} is no table of questions and answers", hint=f"Allowed: {', '.join(_TABLES)}.")
    counters: Counter[str] = Counter()
    names: dict[str, list[str]] = defaultdict(list)
    for path, name in files:
        before = Counter(counters)
        if _is_table(path) and str(path) not in reading.named and len(files) > 1 and not _holds_texts(path, reading):
            counters["table without texts"] += 1
        elif _is_table(path):
            yield from _rows(path, name, reading)
        else:
            texts = _texts(path, name, reading, counters)
            yield from texts if len(files) == 1 else _unless_unreadable(texts, counters)
        for key in counters - before:
            names[key].append(name)
    for key, what in _TOLD.items():
        if counters[key]:
            reading.warnings.append(f"{what.format(encoding=reading.encoding)}: {counters[key]}, {_first(names[key])}")


def _first(names: Sequence[str]) -> str:
    """Return a few names."""
    return "in " + ", ".join(ascii(name)[1:-1] for name in names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def find_files(inputs: Sequence[str], warnings: list[str] | None = None) -> list[tuple[Path, str]]:
    """Return the files that inputs mean, each once, with the names they go by in the index.

    Args:
        inputs: Files, folders (searched to the bottom, without hidden names), globs.
        warnings: Receives how many files of folders are of a kind that cannot be read.

    Raises:
        DataError: Nothing there, or nothing of a kind that can be read.
    """
    found: dict[Path, str] = {}
    for given in inputs:
        for path, name in _files_of(given, [] if warnings is None else warnings):
            found.setdefault(path, name)
    taken: dict[str, Path] = {}
    for path, name in found.items():
        if name in taken:
            raise DataError(
                f"{taken[name]} and {path} would both be called {name!r} in the index",
                hint="Name the folder above them as the input.",
                path=path,
            )
        taken[name] = path
    return sorted(found.items())


def _files_of(given: str, warnings: list[str]) -> list[tuple[Path, str]]:
    path = Path(given)
    if given == "-":  # identifiers and later builds need a name that stays
        raise UsageError(
            "an index is built from files, not from standard input",
            hint="Write it to a file first: cat > rows.jsonl; then litebert index MODEL rows.jsonl --out DIR",
        )
    if "://" in given:
        raise UsageError(f"{given}: an index is built from files on this machine", hint="Download them first.")
    if path.is_dir():
        walked = sorted(_walk(path))
        known = [file for file in walked if _known(file)]
        sound = [file for file in known if _sound(file)]
        some = [(file, file.relative_to(path).as_posix()) for file in sound]
        if odd := sorted(file.relative_to(path).as_posix() for file in set(known) - set(sound)):
            warnings.append(
                f"files in {given} left out because they are no files, or their names are not UTF-8: {len(odd)}, {_first(odd)}"
            )
        if not some:
            seen = f"{len(walked)} files, none of a kind that can be read" if walked else "no files"
            raise DataError(f"{given} holds {seen}", hint=f"Allowed: {_allowed()}.", path=given)
        if others := [file for file in walked if not _known(file)]:
            kinds = sorted({file.suffix.lower() or "without suffix" for file in others})
            shown = ", ".join(kinds[:5]) + (", ..." if len(kinds) > 5 else "")
            warnings.append(f"files in {given} left out because they are of another kind ({shown}): {len(others)}")
        return some
    if path.is_file():
        if not _known(path):
            raise DataError(
                f"{given}: {path.suffix or 'a name without suffix'} tells no kind that can be read",
                hint=f"Allowed: {_allowed()}.",
                path=given,
            )
        return [(path, path.name)]
    matches = [Path(name) for name in glob.glob(given, recursive=True)] if set("*?[") & set(given) else []  # noqa: PTH207
    base = _before_wildcards(given)
    if some := [
        (file, file.relative_to(base).as_posix()) for file in sorted(matches) if file.is_file() and _known(file)
    ]:
        return some
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = nearest(path.name, beside) if 0 < len(beside) <= 20 else "Check the path."
    raise DataError(f"there is no file or folder {given}", hint=hint, path=given)


def _before_wildcards(pattern: str) -> Path:
    """Return the folder that a glob looks in."""
    fixed = itertools.takewhile(lambda part: not set("*?[") & set(part), Path(pattern).parts)
    return Path(*fixed)


def _allowed() -> str:
    return ", ".join(sorted(_SUFFIXES)) + ", packed (.gz, .bz2, .xz, .zst) or not"


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder) / name for name in names if not name.startswith("."))


def _sound(path: Path) -> bool:
    """Return whether there is a file, not a pipe or a link to nowhere, and its name is text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return os.path.isfile(path)  # noqa: PTH113 - False whatever stands in the way


def _suffix(path: Path) -> str:
    return (Path(path.stem) if path.suffix.lower() in _PACKED else path).suffix.lower()


def _known(path: Path) -> bool:
    return _suffix(path) in _SUFFIXES


def _is_table(path: Path) -> bool:
    return _suffix(path) in _TABLES


# Texts ----------------------------------------------------------------------------------------------------------------


def _texts(path: Path, name: str, reading: Reading, counters: Counter[str]) -> Iterator[Document]:
    kind: Kind = "html" if _suffix(path) in {".html", ".htm", ".xhtml"} else "text"
    file = InputFile(str(path), path.stat().st_size, kind, kind_of(str(path))[1])
    settings = ReadSettings(layout="file", encoding=reading.encoding, max_document_bytes=_PART)
    start, number, before = 0, 1, None
    for text in read_texts(Span(file, 0, None), settings, counters):
        if before is not None:
            yield before
        before = Document(f"{name}#{number}" if number > 1 else name, text, str(path), start=start)
        start, number = start + len(text), number + 1
    if before is not None:
        yield replace(before, next_part=f"{name}#{number}")
    elif not file.size:
        yield Document(name, "", str(path))


def _unless_unreadable(documents: Iterator[Document], counters: Counter[str]) -> Iterator[Document]:
    """Yield documents; count a file that cannot be read: one among many should not be in the way of the others."""
    try:
        yield from documents
    except (DataError, OSError):
        counters["file unreadable"] += 1


# Tables ---------------------------------------------------------------------------------------------------------------


def _rows(path: Path, name: str, reading: Reading) -> Iterator[Document]:
    columns = _columns(path, reading)
    typed = _suffix(path) not in {".csv", ".tsv", ".tab"}
    records = iter_records(
        path, columns=columns, labels_required=False, ignore_labels=True, keep_empty=True, keep_extra=True,
        warnings=reading.warnings,
    )  # fmt: skip
    for record in records:
        cells = ((key, _plain(value, typed=typed)) for key, value in record.extra.items())
        metadata = {key: value for key, value in cells if value not in (None, "", [], {})}
        if reading.faq:
            metadata["answer"] = record.pair or ""
        identifier = str(record.id) if record.id not in (None, "") else f"{name}:{record.line}"
        yield Document(identifier, record.text, str(path), metadata, line=record.line)


def _plain(value: Any, *, typed: bool) -> Any:
    """Return a cell as what JSON can hold; where cells are all text, what is written like a number or a truth value becomes one."""
    if isinstance(value, str):
        if typed:
            return value
        if value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        return (
            float(value)
            if "." in value and _NUMBER.fullmatch(value)
            else int(value)
            if _NUMBER.fullmatch(value)
            else value
        )
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float):
        return value
    return json.loads(json.dumps(value, default=str))


def _holds_texts(path: Path, reading: Reading) -> bool:
    """Return whether a table of a folder is one of texts, and not a file of settings or of figures."""
    try:
        _columns(path, reading)
    except DataError:
        return False
    return True


def _columns(path: Path, reading: Reading) -> Columns:
    """Return which column is what: the user's, then by their names; the label of a data set is metadata here."""
    given = reading.columns or Columns()
    if any(isinstance(key, int) for key in given.keys()):  # noqa: SIM118 - not a mapping
        return given
    names = open_table(path, format=None, header=True, columned=False).names or []
    by_name = {name.strip().lower(): name for name in reversed(names)}
    texts = QUESTIONS if reading.faq else TEXTS
    text = given.text or next((by_name[name] for name in texts if name in by_name), None)
    pair = given.pair or next((by_name[name] for name in ANSWERS if name in by_name), None)
    if text is None or (reading.faq and pair is None):
        missing = "text" if not reading.faq else "text (the question)" if text is None else "pair (the answer)"
        raise DataError(
            f"{path} has no column recognised as {missing}; its columns are {', '.join(names[:20]) or '(none)'}",
            hint=f"Name it: --columns {missing.split(maxsplit=1)[0]}=NAME",
            path=path,
            line=1,
        )
    identifier = given.id or next((by_name[name] for name in _IDENTIFIERS if name in by_name), None)
    return Columns(text, pair if reading.faq else None, None, identifier)
