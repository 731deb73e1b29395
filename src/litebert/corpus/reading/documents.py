"""What a document is, where it is read from, and how."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from litebert.corpus.reading.inputs import InputFile
from litebert.settings import Settings

ROW_FACTOR = 8
"""A JSON row or a web page may be so much longer than the text in it (escapes, other fields, markup); more is left out or cut."""


@dataclass(frozen=True, slots=True)
class Document:
    r"""A text and where it is from.

    Attributes:
        text: Paragraphs separated by ``\n``.
        source: Path or URL of the file.
        number: Counted from 0 within the span.
    """

    text: str
    source: str
    number: int


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a file that one worker reads.

    Attributes:
        file: The file.
        start: First byte of an uncompressed text or JSON Lines file, or first row group of Parquet.
        end: The one behind the last; None for all the rest.
    """

    file: InputFile
    start: int
    end: int | None


class TextSettings(Settings):
    """How files become texts."""

    text_field: str | None = None
    """Field of JSON and Parquet rows that holds the text; by default text, content, body, document, article or raw_content."""
    max_document_bytes: int = Field(8 << 20, ge=64)
    """A longer document is cut into parts; bounds the memory."""
    encoding: str = "utf-8"
    """Of plain text, and of HTML that does not name its own. A byte order mark wins."""

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name
        except LookupError:
            raise ValueError("no such encoding; for example utf-8, latin-1, cp1252, gb18030, utf-16") from None


class ReadSettings(TextSettings):
    """How files become documents."""

    layout: Literal["auto", "paragraphs", "sentences", "file", "line"] = "auto"
    """Of plain text: a paragraph a line or a sentence a line with an empty line between documents; a file or a line is a document."""
