"""Documents of plain text files: which layout and which encoding they have, and their text."""

from __future__ import annotations

import codecs
import io
from collections import Counter
from collections.abc import Iterator
from typing import Any

from litebert.corpus.reading.documents import ReadSettings, Span
from litebert.corpus.reading.inputs import open_stream, read_head
from litebert.corpus.reading.layouts import Record, guess_layout, line_records, paragraph_records, whole_records

HEAD = 1 << 18
"""Bytes at the beginning of a file by which it is judged."""
_MOST_INVALID = 0.1
"""Share of undecodable characters in its head from which a file is taken for something else than text."""


def plain_texts(span: Span, settings: ReadSettings, counters: Counter[str]) -> Iterator[str]:
    """Yield the documents of a part of a plain text file.

    Args:
        span: Of a file of kind ``text``.
        settings: Layout, encoding, limit.
        counters: Is added to: ``file not text``, ``document cut``, ``bytes replaced``.
    """
    head = read_head(span.file, HEAD)
    encoding = _encoding(head, settings.encoding)
    shown = _head_text(head, encoding)
    if shown is None:
        if span.start == 0:
            counters["file not text"] += 1
        return
    layout: str = settings.layout
    if layout == "auto":
        layout = guess_layout(shown, whole=len(head) < HEAD)
    if layout == "file" or not _ascii_based(encoding):
        if span.start:
            return  # the document, or the only way to read its characters, begins in the first span
        span = Span(span.file, 0, None)
    with open_stream(span.file) as stream:
        if not _ascii_based(encoding):
            stream, encoding = _recoded(stream, encoding), "utf-8"  # noqa: PLW2901 - the same bytes in UTF-8
        for record, later in _records(stream, span, layout, settings.max_document_bytes):
            if later:
                counters["document cut"] += 1
            yield decoded(record, encoding, counters)


def _records(stream: io.BufferedReader, span: Span, layout: str, limit: int) -> Iterator[Record]:
    if layout == "file":
        yield from whole_records(stream, limit)
    elif layout == "line":
        yield from filter(None, line_records(stream, span.start, span.end, limit, cut=True))
    else:
        yield from paragraph_records(stream, span.start, span.end, limit)


def _encoding(head: bytes, given: str) -> str:
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8"  # the mark itself is dropped from the first document
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return given


def _ascii_based(encoding: str) -> bool:
    """Whether ASCII bytes mean ASCII characters wherever they stand, as in UTF-8, Latin-1 or GB 18030 but not in UTF-16."""
    try:
        return "\n \t~".encode(encoding) == b"\n \t~" and not encoding.startswith(("iso2022", "hz", "utf-7"))
    except UnicodeEncodeError:
        return False


def _head_text(head: bytes, encoding: str) -> str | None:
    """Return the beginning of a file as text, or None if it is none: NUL characters, or too much that cannot be decoded."""
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)
    given = head.count("\ufffd".encode()) if encoding == "utf-8" else 0
    if "\x00" in text or text.count("\ufffd") - given > _MOST_INVALID * max(len(text), 1):
        return None
    return text.removeprefix("\ufeff")


def decoded(data: bytes, encoding: str, counters: Counter[str]) -> str:
    """Return bytes as text; what is invalid becomes U+FFFD and is counted as ``bytes replaced``. A byte order mark is dropped."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode(encoding, errors="replace")
        counters["bytes replaced"] += text.count("\ufffd") - data.count("\ufffd".encode())
    return text.removeprefix("\ufeff")


class _Recoder(io.RawIOBase):
    """A stream in any encoding as one in UTF-8."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            block = self._stream.read1(len(buffer) // 4 + 1)
            self._ready = self._decoder.decode(block, final=not block).encode("utf-8", "replace")
            if not block:
                break
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def _recoded(stream: io.BufferedReader, encoding: str) -> io.BufferedReader:
    return io.BufferedReader(_Recoder(stream, encoding), HEAD)
