"""Documents that are rows: JSON Lines and Parquet."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from litebert.corpus.reading.documents import ROW_FACTOR, ReadSettings, Span
from litebert.corpus.reading.inputs import InputFile, open_stream, unreadable
from litebert.corpus.reading.layouts import cut_point, line_records
from litebert.corpus.reading.plain_text import decoded
from litebert.errors import DataError, nearest

TEXT_FIELDS = ("text", "content", "body", "document", "article", "raw_content")
"""Names of the field with the text, tried in this order."""


def json_texts(span: Span, settings: ReadSettings, counters: Counter[str]) -> Iterator[str]:
    """Yield the texts of the JSON objects of a part of a file, one a line.

    Args:
        span: Of a file of kind ``jsonl``.
        settings: Text field, limit.
        counters: Is added to: ``row too long``, ``row not json``, ``row without text``, ``file not text``, ``document cut``.

    Raises:
        DataError: The first row is no JSON object or lacks the field.
    """
    with open_stream(span.file) as stream:
        first = span.start == 0
        limit = ROW_FACTOR * settings.max_document_bytes
        for record in line_records(stream, span.start, span.end, limit, cut=False):
            if record is None:
                counters["row too long"] += 1
                continue
            if first and b"\x00" in record[0]:
                counters["file not text"] += 1
                return
            text = _row_text(record[0], span.file, settings, counters, first=first)
            first = False
            if text:
                yield from text_parts(text, settings, counters)


def _row_text(
    line: bytes, file: InputFile, settings: ReadSettings, counters: Counter[str], *, first: bool
) -> str | None:
    try:
        row = json.loads(decoded(line, "utf-8", counters))
    except (ValueError, RecursionError) as error:
        if first:
            raise _no_rows(line, file, error) from None
        counters["row not json"] += 1
        return None
    names = (settings.text_field,) if settings.text_field else TEXT_FIELDS
    found = (
        next((row[name] for name in names if isinstance(row.get(name), str)), None) if isinstance(row, dict) else None
    )
    if found is None:
        if first and not (isinstance(row, dict) and any(name in row for name in names)):
            raise _no_field(list(row) if isinstance(row, dict) else [], settings, file, line=1)
        counters["row without text"] += 1
    return found


def _no_rows(line: bytes, file: InputFile, error: Exception) -> DataError:
    hint = "There must be one JSON object a line."
    if line.lstrip().startswith(b"["):
        hint += " This looks like an array: jq -c '.[]' FILE writes its items as lines."
    return DataError(f"the first row of {file.url} is not JSON: {error}", hint=hint, path=file.url, line=1)


def _no_field(names: list[str], settings: ReadSettings, file: InputFile, line: int | None = None) -> DataError:
    wanted = (
        f"no field {settings.text_field!r}" if settings.text_field else f"none of the fields {', '.join(TEXT_FIELDS)}"
    )
    hint = nearest(settings.text_field or "text", [str(name) for name in names]) if names else "Rows must be objects."
    return DataError(f"{file.url} has {wanted}", hint=f"{hint} Set text_field.", path=file.url, line=line)


def text_parts(text: str, settings: ReadSettings, counters: Counter[str]) -> Iterator[str]:
    """Yield a row's text in parts of at most ``max_document_bytes``."""
    limit = settings.max_document_bytes
    if 4 * len(text) <= limit and text.isascii():
        yield text
        return
    data = text.encode("utf-8", "replace")  # JSON can spell half of a surrogate pair
    while len(data) > limit:
        at = cut_point(data, limit)
        yield data[:at].decode("utf-8", "replace")
        counters["document cut"] += 1
        data = data[at:]
    yield data.decode("utf-8", "replace")


def _parquet(file: InputFile, stream: io.BufferedReader) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(stream, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file, error) from error


def parquet_spans(file: InputFile, target_bytes: int) -> list[Span]:
    """Cut a Parquet file between row groups into parts of about ``target_bytes``."""
    with open_stream(file) as stream:
        metadata = _parquet(file, stream).metadata
        result, start, size = [], 0, 0
        for group in range(metadata.num_row_groups):
            size += metadata.row_group(group).total_byte_size
            if size >= target_bytes:
                result.append(Span(file, start, group + 1))
                start, size = group + 1, 0
        if start < metadata.num_row_groups or not result:
            result.append(Span(file, start, metadata.num_row_groups))
        return result


def parquet_texts(span: Span, settings: ReadSettings, counters: Counter[str]) -> Iterator[str]:
    """Yield the texts of the rows of some row groups.

    Args:
        span: Of a file of kind ``parquet``.
        settings: Text field, limit.
        counters: Is added to: ``row without text``, ``document cut``.

    Raises:
        DataError: No readable Parquet file, or no such column of strings.
    """
    import pyarrow as pa

    with open_stream(span.file) as stream:
        table = _parquet(span.file, stream)
        schema = table.schema_arrow
        textual = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        names = (settings.text_field,) if settings.text_field else TEXT_FIELDS
        field = next((name for name in names if name in textual), None)
        if field is None:
            raise _no_field(textual or schema.names, settings, span.file)
        groups = range(span.start, table.num_row_groups if span.end is None else span.end)
        try:
            for batch in table.iter_batches(batch_size=64, row_groups=list(groups), columns=[field], use_threads=False):
                for value in batch.column(0):
                    text = value.as_py()
                    if text:
                        yield from text_parts(text, settings, counters)
                    else:
                        counters["row without text"] += 1
        except pa.ArrowException as error:
            raise OSError(str(error)) from error  # damage, like that of a packed stream
