"""Which lines of a document are no prose: notices, menus, markup and placeholders, rows of figures, code."""

from __future__ import annotations

import re
from collections import Counter

from litebert.corpus.cleaning.settings import CleanSettings

_MARKUP = re.compile(
    r"(?:formula|codice)_\d+|&#?\w{2,8};|</?[A-Za-z][^<>\n]*>|\{\{|\}\}|\[\[|\]\]|\{\|| \|\||style=|class=|align=|\\[a-z]{2,}[{ ]"
)
_MARKUP_SIGNS = re.compile(r"[&<{}\[\]|\\=_]")
"""One of these is in all of the above; much faster to look for."""
_NOTICE_WORDS = (
    "cookie", "javascript", "privacy policy", "rights reserved", "terms of use", "terms of service", "terms and conditions",
    "newsletter", "lorem ipsum", "share on", "share this", "click here", "sign up", "log in", "subscribe", "page not found", "adblock",
)  # fmt: skip
_NOTICE = re.compile(
    r"\bcookies\b.{0,60}\b(?:consent|this site|our site|website|browser|your experience)\b|"
    r"\b(?:accept|use|uses|using|our)(?: all)? cookies\b|cookie policy|"
    r"\b(?:enable|requires?|activate|turn on) javascript\b|\bjavascript (?:is|must be|needs to be|has been|appears to be) "
    r"(?:disabled|enabled|required|turned off|not enabled)|\ball rights reserved\b|lorem ipsum|\badblock|"
    r"^(?:privacy policy|terms of (?:use|service)|terms and conditions)\b.{0,40}$|privacy policy ?[|·•/]|[|·•/] ?privacy policy|"
    r"\b(?:agree to|read|see|view|accept) (?:our|the) (?:privacy policy|terms of (?:use|service)|terms and conditions)|"
    r"(?:subscribe|sign up).{0,30}newsletter|"
    r"^(?:share (?:on|this)|click here (?:to|for)|sign up|log in|subscribe|page not found)\b.{0,60}$",
    re.IGNORECASE,
)
_NOTICE_LENGTH = 160
_LONG_LINE = 80
_WORD_LENGTH = 6
"""Characters of a word and its space; so that scripts without spaces are measured alike."""
_SHORT_LINE = 40
_SHORT_WORDS = 4
_SENTENCE_ENDS = (".", "!", "?", ",", ";", ":", '"', "”", "’", "'", "…", "。", "」", "؟", "।", ")", "-", "—", "–")
LETTERS_AND_SPACE = bytes(byte for byte in range(256) if byte >= 0x80 or chr(byte).isalpha()) + b" \n"
"""Of UTF-8; whatever is not ASCII counts as a letter."""
_NO_LETTERS = bytes(byte for byte in range(128) if not chr(byte).isalpha())
_PROSE = LETTERS_AND_SPACE + b".,;:!?'\"-()"


def prose_lines(lines: list[str], settings: CleanSettings, counters: Counter[str]) -> list[str]:
    """Return the lines that stay.

    Args:
        lines: Of one document.
        settings: The rules.
        counters: Is added to: ``navigation lines``, ``notice lines``, ``markup lines``, ``symbol lines``,
            ``repeated lines``.
    """
    short = "\n".join(line for line in lines if len(line) <= _NOTICE_LENGTH).lower() if settings.drop_notices else ""
    notices = any(word in short for word in _NOTICE_WORDS)
    menus = _menus(lines, settings.navigation_run)
    again = settings.drop_repeated_lines and len(set(lines)) < len(lines)
    seen: set[str] = set()
    kept = []
    for number, line in enumerate(lines):
        if number in menus:
            counters["navigation lines"] += 1
        elif notices and len(line) <= _NOTICE_LENGTH and _NOTICE.search(line):
            counters["notice lines"] += 1
        elif (
            settings.max_line_markup is not None
            and _MARKUP_SIGNS.search(line)
            and _is_markup(line, settings.max_line_markup)
        ):
            counters["markup lines"] += 1
        elif settings.max_line_symbols is not None and _is_symbols(line, settings.max_line_symbols):
            counters["symbol lines"] += 1
        elif again and len(line) >= _LONG_LINE and line in seen:
            counters["repeated lines"] += 1
        else:
            kept.append(line)
            seen.add(line)
    return kept


def _menus(lines: list[str], least: int | None) -> set[int]:
    """Return the numbers of the lines that stand in runs of short ones."""
    if least is None or len(lines) < least:
        return set()
    found: set[int] = set()
    start = -1
    for number, line in enumerate([*lines, "."]):
        if len(line) < _SHORT_LINE and _is_short(line):
            if start < 0:
                start = number
        elif start >= 0:
            if number - start >= least:
                found.update(range(start, number))
            start = -1
    return found


def _is_short(line: str) -> bool:
    few = line.count(" ") < _SHORT_WORDS and (line.isascii() or len(line.encode("utf-8", "replace")) < _SHORT_LINE)
    return few and not line.endswith(_SENTENCE_ENDS)


def _is_markup(line: str, share: float) -> bool:
    return len(_MARKUP.findall(line)) > share * len(line) / _WORD_LENGTH


def _is_symbols(line: str, share: float) -> bool:
    data = line.encode("utf-8", "replace")
    symbols = len(data.translate(None, _PROSE))
    return symbols > share * (len(data) - data.count(b" ")) or (
        len(line) < _SHORT_LINE and not data.translate(None, _NO_LETTERS)
    )
