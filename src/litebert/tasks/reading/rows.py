"""The files people have, as rows: CSV, TSV, JSON Lines, JSON, Parquet, plain lines, packed or not.

Nothing is guessed silently that could change an example: bytes are decoded as strict UTF-8, every row must be as wide as
the first, and each refusal names the file and the line. CSV follows RFC 4180 (quoted fields may hold line breaks). TSV has
no quoting, as in the GLUE files, where a quotation mark is a character like any other. ``.gz``, ``.bz2``, ``.xz``,
``.zst`` and ``.zip`` with one file are unpacked while reading.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import hashlib
import io
import itertools
import json
import lzma
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from litebert.errors import DataError, MachineError, UsageError, described
from litebert.tasks.reading.rejected import reject

Row = Sequence[Any] | Mapping[str, Any]

FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "lines")
STDIN = "-"

_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json"}
_SUFFIXES |= {".parquet": "parquet", ".txt": "lines", ".text": "lines", ".lines": "lines"}
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_SIGNATURES = {
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x00\x00\xfe\xff": "UTF-32 text",
    b"\x1f\x8b": "gzip data (name it .gz)",
    b"\xfd7zXZ": "xz data (name it .xz)",
    b"\x28\xb5\x2f\xfd": "zstandard data (name it .zst)",
    b"PK\x03\x04": "a zip archive or a spreadsheet (unpack it, or export it as CSV)",
    b"PAR1": "a Parquet file (name it .parquet)",
}
PEEK = 64
"""Objects looked at to learn the column names; optional keys may be absent from the first."""

_HALF = re.compile("[\ud800-\udfff]")
_SPELT_HALF = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one file.

    Args:
        name: The file's name, for messages.
        names: The header row, or the keys of the first objects; None without a header.
        width: How many columns.
        keyed: Rows are mappings instead of lists.
        rows: (line or item number from 1, cells).
        mended: Receives the numbers of JSON rows that held halves of surrogate pairs, which no tokenizer can encode.
    """

    name: str
    names: list[str] | None
    width: int
    keyed: bool
    rows: Iterator[tuple[int, Row]]
    mended: list[int] = field(default_factory=list)


def content_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits, for provenance."""
    _existing(path)
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    r"""Yield (line number from 1, line without its end) of a UTF-8 file; only ``\n`` and ``\r\n`` end a line.

    Args:
        path: A file, packed or not, or ``-``. A byte order mark is dropped.

    Raises:
        DataError: Missing, damaged or not UTF-8.
    """
    name = _shown(path)
    with _opened(path) as stream:
        try:
            for number, raw in enumerate(stream, start=1):
                body = raw
                if number == 1:
                    _refuse_signature(raw, name)
                    body = raw.removeprefix(codecs.BOM_UTF8)
                yield number, _decoded(body.removesuffix(b"\n").removesuffix(b"\r"), name, number)
        except (EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
            raise DataError(
                f"{name} cannot be read to its end: {error}", hint="Get the file again.", path=name
            ) from error


# Files to lines -------------------------------------------------------------------------------------------------------


def _shown(path: str | Path) -> str:
    return "<stdin>" if str(path) == STDIN else str(path)


def _existing(path: str | Path) -> None:
    if not Path(path).exists():
        raise DataError(f"there is no file {path}", hint="Check the path.", path=path)
    if Path(path).is_dir():
        raise DataError(f"{path} is a folder", hint="Name one file in it.", path=path)


def _opened(path: str | Path) -> AbstractContextManager[BinaryIO]:
    if str(path) == STDIN:
        return nullcontext(cast("BinaryIO", sys.stdin.buffer))
    _existing(path)
    suffix = Path(path).suffix.lower()
    if suffix == ".zst":
        return _zstandard(path)
    if suffix == ".zip":
        return _zipped(path)
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    try:
        opened = openers[suffix](path, "rb") if suffix in openers else Path(path).open("rb")  # noqa: SIM115
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", hint="Check its permissions.", path=path) from error
    return cast("BinaryIO", opened)


def _zstandard(path: str | Path) -> AbstractContextManager[BinaryIO]:
    import pyarrow as pa

    if not pa.Codec.is_available("zstd"):
        raise MachineError(f"{path}: pyarrow was built without zstandard here", hint="Unpack it: zstd -d", path=path)
    # Arrow's stream reads in blocks and has no lines of its own.
    return cast("BinaryIO", io.BufferedReader(pa.input_stream(str(path), compression="zstd")))


def _zipped(path: str | Path) -> AbstractContextManager[BinaryIO]:
    try:
        archive = zipfile.ZipFile(path)
        names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
        if len(names) != 1:
            raise DataError(f"{path} holds {len(names)} files, not one", hint="Unpack it and name one.", path=path)
        return cast("BinaryIO", io.BufferedReader(cast(io.RawIOBase, archive.open(names[0]))))
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is no readable zip archive: {error}", hint="Get it again.", path=path) from error


def _refuse_signature(raw: bytes, name: str) -> None:
    for signature, what in _SIGNATURES.items():
        if raw.startswith(signature):
            hint = "Save it as UTF-8 text."
            if what.startswith("UTF"):
                hint = f"Convert it: iconv -f {what.split()[0]} -t UTF-8"
            raise DataError(f"{name} is {what}, not UTF-8 text", hint=hint, path=name, line=1)


def _decoded(raw: bytes, name: str, number: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"line {number} of {name} is not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start + 1}",
            hint="If it comes from an older Windows program, convert it: iconv -f WINDOWS-1252 -t UTF-8",
            path=name,
            line=number,
        ) from None


# Lines to rows --------------------------------------------------------------------------------------------------------


def format_of(path: str | Path) -> str | None:
    """Return the format that a file's name tells; None for standard input.

    Raises:
        DataError: There is no such file, or it is a folder.
        UsageError: The suffix is unknown.
    """
    if str(path) == STDIN:
        return None
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in _SUFFIXES:
        _existing(path)  # a missing file or a folder has no format
        raise UsageError(
            f"cannot tell the format of {path} from its name",
            hint=f"Allowed: {', '.join(_SUFFIXES)}. predict, embed and search take --format, and - for standard input.",
            path=path,
        )
    return _SUFFIXES[suffix]


def open_table(path: str | Path, *, format: str | None, header: bool, columned: bool, peek: int = PEEK) -> Table:
    """Open a file as rows, lazily.

    Args:
        path: The file or ``-``.
        format: One of ``FORMATS``; None takes it from the suffix, or from the first character of standard input.
        header: CSV and TSV only: the first row holds names.
        columned: Plain lines without a stated format are split at tabs.
        peek: Objects that are read at once to learn their keys.

    Returns:
        The rows, with the column names where there are any; an error among the objects that were looked at comes in its turn.

    Raises:
        DataError: Missing, empty, damaged.
        UsageError: No such format.
    """
    name = _shown(path)
    if format is None:
        format = format_of(path)
        format = "tsv" if format == "lines" and columned else format
    if format == "parquet":
        return _keyed(_parquet_rows(path), name, peek)
    lines: Iterator[tuple[int, str]] = text_lines(path)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{name} is empty", hint="It should hold one example a row.", path=name)
    lines = itertools.chain([first], lines)
    if format is None:
        format = "jsonl" if first[1].lstrip().startswith("{") else "tsv" if columned else "lines"
    if format == "lines":
        return Table(name, ["text"], 1, False, ((n, [line]) for n, line in _no_nul(lines, name)))
    if format in ("json", "jsonl"):
        mended: list[int] = []
        read = _json_rows if format == "json" else _jsonl_rows
        return replace(_keyed(read(lines, name, mended), name, peek), mended=mended)
    rows = _csv_rows(lines, name, _delimiter(first[1], header)) if format == "csv" else _tsv_rows(lines, name)
    return _headed(rows, name, header)


def _no_nul(lines: Iterable[tuple[int, str]], name: str) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        if "\0" in line:
            raise DataError(
                f"line {number} of {name} holds a NUL character",
                hint="Is it UTF-16? Then convert it: iconv -f UTF-16 -t UTF-8. Otherwise remove it: tr -d '\\000'",
                path=name,
                line=number,
            )
        yield number, line


def _delimiter(first: str, header: bool) -> str:
    """Return the comma, or what separates the header where spreadsheets of other countries write no comma."""
    if not header or "," in first:
        return ","
    return ";" if ";" in first else "\t" if "\t" in first else ","


def _csv_rows(lines: Iterable[tuple[int, str]], name: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    # A process-wide setting of the csv module, only ever raised: its default refuses fields over 128 KiB.
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader((line + "\n" for _, line in _no_nul(lines, name)), delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"line {start} of {name} is not well-formed CSV: {error}",
                hint='A quotation mark inside a quoted field is written twice: "".',
                path=name,
                line=start,
            ) from None
        yield start, row


def _tsv_rows(lines: Iterable[tuple[int, str]], name: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in _no_nul(lines, name):
        yield number, line.split("\t") if line else []


def _headed(rows: Iterator[tuple[int, list[str]]], name: str, header: bool) -> Table:
    first = next(((number, row) for number, row in rows if row), None)
    if first is None:
        raise DataError(f"{name} has only blank lines", hint="It should hold one example a row.", path=name)
    width = len(first[1])
    body = _even(rows if header else itertools.chain([first], rows), width, name)
    return Table(name, first[1] if header else None, width, False, body)


def _even(rows: Iterable[tuple[int, list[str]]], width: int, name: str) -> Iterator[tuple[int, list[str]]]:
    for number, row in rows:
        if not row and width > 1:
            continue
        cells = row or [""]
        if len(cells) == width:
            yield number, cells
            continue
        reject(
            DataError(
                f"line {number} of {name} has {len(cells)} column{'s' * (len(cells) != 1)} where the first row has {width}",
                hint="Quote fields that hold the separator (CSV), or remove stray tabs (TSV has no quoting).",
                path=name,
                line=number,
            )
        )


def _jsonl_rows(lines: Iterable[tuple[int, str]], name: str, mended: list[int]) -> Iterator[tuple[int, Any]]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            row = _parsed(line, name, number)
        except DataError as error:
            reject(error)
            continue
        yield number, _noted(row, number, mended) if _SPELT_HALF.search(line) else row


def _noted(row: Any, number: int, mended: list[int]) -> Any:
    """Return a row without halves of characters, and note its number if it had some."""
    whole = without_halves(row)
    if whole != row:
        mended.append(number)
    return whole


def without_halves(value: Any) -> Any:
    """Return what JSON says with U+FFFD for each half of a surrogate pair, which JSON can spell and UTF-8 cannot; offsets stay."""
    if isinstance(value, str):
        return value if value.isascii() else _HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [without_halves(one) for one in value]
    if isinstance(value, dict):
        return {without_halves(key): without_halves(one) for key, one in value.items()}
    return value


def json_value(text: str) -> Any:
    """Return what a cell or a file says in JSON, without halves of characters.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is too deep.
    """
    value = json.loads(text)
    return without_halves(value) if _SPELT_HALF.search(text) else value


def json_document(path: str | Path) -> Any | None:
    """Return what a file named ``.json`` holds in one piece; None for anything else.

    Args:
        path: A file, packed or not. JSON Lines under that name are not read any further; of what is no JSON ``open_table`` says why.

    Raises:
        DataError: Missing, damaged or not UTF-8.
    """
    plain = str(path).lower()
    for packed in _PACKED:
        plain = plain.removesuffix(packed)
    if str(path) == STDIN or not plain.endswith(".json"):
        return None
    lines = text_lines(path)
    head, several = _json_head(lines)
    if several:
        return None
    try:
        return json_value("\n".join(line for _, line in itertools.chain(head, lines)))
    except (ValueError, RecursionError):
        return None


def _json_head(lines: Iterator[tuple[int, str]]) -> tuple[list[tuple[int, str]], bool]:
    """Read the first lines; return them, and whether they are JSON Lines, as many published data sets are under the name .json."""
    head: list[tuple[int, str]] = []
    first = _up_to_text(lines, head)
    several = first.startswith("{") and first.endswith("}") and bool(_up_to_text(lines, head))
    return head, several


def _up_to_text(lines: Iterator[tuple[int, str]], head: list[tuple[int, str]]) -> str:
    for number, line in lines:
        head.append((number, line))
        if line.strip():
            return line.strip()
    return ""


def _json_rows(lines: Iterator[tuple[int, str]], name: str, mended: list[int]) -> Iterator[tuple[int, Any]]:
    head, several = _json_head(lines)
    lines = itertools.chain(head, lines)
    if several:
        yield from _jsonl_rows(lines, name, mended)
        return
    text = "\n".join(line for _, line in lines)
    data = _parsed(text, name, None)
    if not isinstance(data, list):
        keys = f" with the keys {', '.join(map(repr, list(data)[:8]))}" if isinstance(data, dict) else ""
        raise DataError(
            f"{name} holds {described(data)}{keys}, not an array of objects",
            hint='Write [{"text": ..., "label": ...}, ...], or JSON Lines.',
            path=name,
        )
    spelt = _SPELT_HALF.search(text) is not None
    yield from ((n, _noted(row, n, mended) if spelt else row) for n, row in enumerate(data, start=1))


def _parsed(text: str, name: str, number: int | None) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        where = number or getattr(error, "lineno", 1)
        raise DataError(
            f"line {where} of {name} is not JSON: {error}",
            hint="JSON Lines has one object a line."
            if number
            else "Is the file whole? It is one list of objects, or has one object a line.",
            path=name,
            line=where,
        ) from None


def _parquet_rows(path: str | Path) -> Iterator[tuple[int, Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    if str(path) == STDIN:
        raise UsageError("Parquet cannot be read from standard input", hint="Give the file's name.")
    _existing(path)
    number = 0
    try:
        with parquet.ParquetFile(str(path)) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}", hint="Get it again.", path=path) from error


def _keyed(rows: Iterator[tuple[int, Any]], name: str, peek: int) -> Table:
    checked = _objects(rows, name)
    head: list[tuple[int, Mapping[str, Any]]] = []
    broken: DataError | None = None
    try:
        for one in itertools.islice(checked, peek):
            head.append(one)
    except DataError as error:
        if not head:
            raise
        broken = error
    names = list(dict.fromkeys(key for _, row in head for key in row))
    return Table(name, names, len(names), True, itertools.chain(head, _unless(broken, checked)))


def _unless(broken: DataError | None, rest: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    """Yield the rest, or raise what it broke off with when it was looked at: what came before it is yielded by then."""
    if broken is not None:
        raise broken
    yield from rest


def _objects(rows: Iterable[tuple[int, Any]], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, row in rows:
        if isinstance(row, dict):
            yield number, row
            continue
        reject(
            DataError(
                f"item {number} of {name} is {described(row)}, not an object",
                hint='Write {"text": ..., "label": ...}.',
                path=name,
                line=number,
            )
        )
