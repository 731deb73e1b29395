"""What is repaired and dropped from documents, and which paper each rule is from.

The rules are those that have been shown to help language models: Gopher (Rae et al. 2021, arXiv:2112.11446, appendix A.1.1) and C4
(Raffel et al. 2020, arXiv:1910.10683, section 2.2), with limits at which good prose in the English and other corpora at hand stays.
"""

from __future__ import annotations

from pydantic import Field

from litebert.settings import Settings


class CleanSettings(Settings):
    """What is repaired and dropped. A share or number of None switches its filter off; so does 0 for a least number."""

    repair_characters: bool = True
    """Unicode NFC, control and zero-width characters out, UTF-8 that was read as Windows-1252 put right."""
    drop_notices: bool = True
    """Drop lines of up to 160 characters about cookies, JavaScript, rights, policies, logging in: C4's line rules, for short lines."""
    drop_repeated_lines: bool = True
    """Drop lines of 80 characters and more that stood in the document before; where Gopher would drop the whole document."""
    unwrap_markup: bool = True
    """Leave of wiki links and of tags inside a line (``<i>``, ``<sup>``) the text they enclose."""
    navigation_run: int | None = Field(6, ge=2)
    """Drop runs of so many lines of at most 4 words without punctuation at the end: menus, tables, indexes."""
    max_line_markup: float | None = Field(0.2, ge=0, le=1)
    """Largest share of a line's words that are markup or placeholders such as ``formula_12``; own rule, measured on Wikipedia text."""
    max_line_symbols: float | None = Field(0.4, ge=0, le=1)
    """Largest share of a line's characters that are neither letters, spaces nor punctuation of prose: table rows, code, figures."""
    max_dropped: float | None = Field(0.6, ge=0, le=1)
    """Largest share of a document's characters that the line rules may drop; what is left of more is fragments."""
    min_characters: int = Field(100, ge=0)
    """Shorter documents hold no two sentences to order."""
    min_words: int = Field(20, ge=0)
    """As ``min_characters``; Gopher's 50 would cost short articles. Two characters of a script without spaces count as a word."""
    max_words: int | None = Field(None, ge=1)
    """Gopher drops above 100,000; a book is good prose, so off."""
    mean_word_length: tuple[float, float] | None = (2.5, 12.0)
    """Gopher: 3 to 10, for English; wider for languages with compounds. Not for scripts without spaces."""
    max_symbols_per_word: float | None = Field(0.1, ge=0)
    """Gopher: hash signs or ellipses for each word."""
    min_alphabetic_words: float | None = Field(0.7, ge=0, le=1)
    """Gopher: 0.8 of the words have a letter; less, so that articles with many years and figures stay."""
    max_bullet_lines: float | None = Field(0.9, ge=0, le=1)
    """Gopher: share of lines that begin with a bullet."""
    max_ellipsis_lines: float | None = Field(0.7, ge=0, le=1)
    """Gopher: share of lines that end with an ellipsis; 0.3 there, but some novelists end most paragraphs so."""
    max_repeated_lines: float | None = Field(0.2, ge=0, le=1)
    """Gopher: share of characters in lines that stood in the document before. (Its share of lines costs plays, where names recur.)"""
    max_top_phrase: tuple[float, float, float] | None = (0.20, 0.18, 0.16)
    """Gopher: share of characters in the most frequent phrase of 2, 3 and 4 words."""
    max_replacements: float | None = Field(0.002, ge=0, le=1)
    """Share of characters that could not be decoded (U+FFFD)."""
    languages: tuple[str, ...] = ()
    """Keep documents in these languages (``en``, ``de``, ...) only; needs the extra ``corpus``."""
    min_confidence: float = Field(0.5, ge=0, le=1)
    """Least probability that a document is in one of the languages."""
