r"""Files to documents: plain text in four layouts, JSON Lines, Parquet, HTML; in spans that can be read apart from each other.

A document belongs to the span in which its first byte (its row) lies, so any number of workers reads the same documents. What is
wrong with a row is counted and the row left out; what is wrong with a file as a whole is an error that names it.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterator, Mapping

from litebert.corpus.reading.documents import ROW_FACTOR, Document, ReadSettings, Span
from litebert.corpus.reading.inputs import DAMAGE, InputFile, list_inputs, open_stream, unreadable
from litebert.corpus.reading.layouts import paragraphs_of
from litebert.corpus.reading.plain_text import HEAD, plain_texts
from litebert.corpus.reading.row_files import json_texts, parquet_spans, parquet_texts, text_parts
from litebert.errors import DataError

__all__ = [
    "Document", "InputFile", "ReadSettings", "Span", "list_inputs", "nothing_read", "read_documents", "read_texts", "spans",
]  # fmt: skip


def spans(file: InputFile, target_bytes: int) -> list[Span]:
    """Cut a file into parts of about ``target_bytes`` stored bytes (Parquet: bytes of columns before compression).

    Compressed files and HTML are one span.

    Raises:
        DataError: A Parquet file has no readable footer.
    """
    if target_bytes < 1:
        raise ValueError("target_bytes must be at least 1")
    if file.kind == "parquet":
        return parquet_spans(file, target_bytes)
    if file.compression or file.kind == "html" or file.size <= target_bytes:
        return [Span(file, 0, None)]
    count = -(-file.size // target_bytes)
    cuts = [file.size * i // count for i in range(count)]
    return [Span(file, start, end) for start, end in zip(cuts, [*cuts[1:], None], strict=True)]


def read_documents(span: Span, settings: ReadSettings, counters: Counter[str]) -> Iterator[Document]:
    """Yield the documents of a span, one at a time.

    Args:
        span: From ``spans``.
        settings: How to read.
        counters: Is added to: ``document cut``, ``bytes replaced``, ``file not text``, ``file damaged``, ``row not json``, ``row too
            long``, ``row without text``, ``html cut``.

    Raises:
        DataError: The file cannot be read at all, its first row is no JSON object or lacks the text field.
        MachineError: A package for it is not installed.
    """
    number = 0
    for raw in read_texts(span, settings, counters):
        if text := paragraphs_of(raw):
            yield Document(text, span.file.url, number)
            number += 1


def read_texts(span: Span, settings: ReadSettings, counters: Counter[str]) -> Iterator[str]:
    """Yield the texts of a span as they stand there, empty ones too; arguments and errors are those of ``read_documents``."""
    readers = {"text": plain_texts, "jsonl": json_texts, "parquet": parquet_texts, "html": _html_texts}
    return _until_damage(readers[span.file.kind](span, settings, counters), span.file, counters)


def nothing_read(files: list[InputFile], counters: Mapping[str, int]) -> DataError:
    """Return the error for inputs that held no document at all, with the reason where the counters tell one."""
    names = files[0].url if len(files) == 1 else f"{len(files)} files"
    if counters.get("file not text"):
        return DataError(
            f"{names}: the bytes are not {'text' if len(files) == 1 else 'text in any of them that is not empty'}",
            hint="Check that these are the files you mean; for another encoding than UTF-8 set its name.",
            path=files[0].url,
        )
    return DataError(f"there is no text in {names}", hint="Check that the input is not empty.", path=files[0].url)


def _until_damage(texts: Iterator[str], file: InputFile, counters: Counter[str]) -> Iterator[str]:
    """Pass on what could be read of a damaged file: an error only if that is nothing."""
    some = False
    try:
        for text in texts:
            some = True
            yield text
    except DAMAGE as error:
        if not some:
            raise unreadable(file, error) from error
        counters["file damaged"] += 1


def _html_texts(span: Span, settings: ReadSettings, counters: Counter[str]) -> Iterator[str]:
    from litebert.corpus.reading.web_pages import decode_page, page_text

    if span.start:
        return
    most = ROW_FACTOR * settings.max_document_bytes
    with open_stream(span.file) as stream:
        data = stream.read(most)
        if stream.read(1):
            counters["html cut"] += 1
    if b"\x00" in data[:HEAD] and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        counters["file not text"] += 1
        return
    markup = decode_page(data, settings.encoding)
    yield from text_parts(page_text(markup), settings, counters)
