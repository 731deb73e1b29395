"""Which documents are dropped, and why; the cheap rules first."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from itertools import pairwise

from litebert.corpus.cleaning.languages import probabilities
from litebert.corpus.cleaning.line_rules import LETTERS_AND_SPACE
from litebert.corpus.cleaning.settings import CleanSettings

_ASIAN = bytes(range(0xE3, 0xEE))
"""First bytes, in UTF-8, of the scripts of East Asia, most of them written without spaces."""
_NO_WORD = re.compile(r"(?<!\S)[^\sA-Za-z\u0080-\U0010ffff]+(?!\S)")
_BULLETS = ("•", "‣", "▪", "◦", "●", "·", "- ", "* ", "+ ")
_SAMPLE_WORDS = 400
_MOST_WORDS = 20_000
_MOST_COMPRESSION = 6.0
"""Of scripts without spaces between words; Chinese and Japanese prose has 1.5 to 2.5."""
_SAMPLE_BYTES = 1 << 16


def fault(text: str, lines: list[str], size: int, settings: CleanSettings) -> str | None:
    """Return why a document is dropped, or None.

    Args:
        text: What the line rules left of it.
        lines: Of ``text``.
        size: Its characters before the line rules.
        settings: The rules.
    """
    if settings.max_dropped is not None and size - len(text) > settings.max_dropped * size:
        return "mostly dropped lines"
    if len(text) < settings.min_characters:
        return "too short"
    if settings.max_replacements is not None and text.count("\ufffd") > settings.max_replacements * len(text):
        return "undecodable characters"
    data = text.encode("utf-8", "replace")
    asian = 0 if len(data) == len(text) else len(data) - len(data.translate(None, _ASIAN))
    spaceless = asian > 0.3 * len(text)
    words = text.split()
    return (
        _size_fault(text, len(words) + asian // 2, settings)
        or (None if spaceless else _word_fault(text, data, len(words), settings))
        or _line_fault(lines, settings)
        or _repeated_lines(text, lines, settings)
        or _repeated_phrases(words, data if spaceless else None, settings)
        or _language_fault(text, settings)
    )


def _size_fault(text: str, words: int, settings: CleanSettings) -> str | None:
    if words < settings.min_words:
        return "too short"
    if settings.max_words is not None and words > settings.max_words:
        return "too long"
    most = settings.max_symbols_per_word
    if most is not None and max(text.count("#"), text.count("...") + text.count("…")) > most * words:
        return "symbols"
    return None


def _word_fault(text: str, data: bytes, words: int, settings: CleanSettings) -> str | None:
    if settings.mean_word_length is not None and words:
        low, high = settings.mean_word_length
        if not low <= (len(text) - text.count(" ")) / words <= high:
            return "word length"
    if settings.min_alphabetic_words is not None:
        most = (1 - settings.min_alphabetic_words) * words
        if len(data.translate(None, LETTERS_AND_SPACE)) > most and len(_NO_WORD.findall(text)) > most:
            return "words without letters"
    return None


def _line_fault(lines: list[str], settings: CleanSettings) -> str | None:
    if len(lines) < 2:
        return None
    bullets, ellipses = settings.max_bullet_lines, settings.max_ellipsis_lines
    if bullets is not None and sum(line.startswith(_BULLETS) for line in lines) > bullets * len(lines):
        return "bullets"
    if ellipses is not None and sum(line.endswith(("...", "…")) for line in lines) > ellipses * len(lines):
        return "ellipses"
    return None


def _repeated_lines(text: str, lines: list[str], settings: CleanSettings) -> str | None:
    share = settings.max_repeated_lines
    if share is None or len(lines) < 2:
        return None
    once = set(lines)
    if len(once) < len(lines) and len(text) - sum(map(len, once)) - len(lines) > share * len(text):
        return "repeated lines"
    return None


def _repeated_phrases(words: list[str], spaceless: bytes | None, settings: CleanSettings) -> str | None:
    if settings.max_top_phrase is None:
        return None
    if spaceless is not None:
        sample = spaceless[:_SAMPLE_BYTES]
        return "repeated phrases" if len(sample) > _MOST_COMPRESSION * len(zlib.compress(sample, 1)) else None
    if not _may_repeat(words):
        return None
    words = words[:_MOST_WORDS]
    total = sum(map(len, words)) + len(words)
    for length, share in zip((2, 3, 4), settings.max_top_phrase, strict=True):
        phrases = Counter(zip(*(words[i:] for i in range(length)), strict=False))
        frequent = [(phrase, count) for phrase, count in phrases.items() if count > 1 and count > 0.01 * len(words)]
        if any(count * (sum(map(len, phrase)) + length) > share * total for phrase, count in frequent):
            return "repeated phrases"
    return None


def _may_repeat(words: list[str]) -> bool:
    """Whether a pair of words is so frequent in a sample that a phrase may exceed its share; counting all of them is dear."""
    middle = max(0, len(words) // 2 - _SAMPLE_WORDS // 2)
    sample = words[middle : middle + _SAMPLE_WORDS]
    pairs = Counter(pairwise(sample))
    return bool(pairs) and max(pairs.values()) > max(2, 0.03 * len(sample))


def _language_fault(text: str, settings: CleanSettings) -> str | None:
    if not settings.languages:
        return None
    found = probabilities(text)
    wanted = sum(found.get(code, 0.0) for code in settings.languages)
    return None if wanted >= settings.min_confidence else "language"
