"""Characters that do not belong in text, put right: forms, control characters, spaces, UTF-8 once read as Windows-1252."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
"""Control characters, soft hyphens, zero-width spaces, direction marks. The joiners U+200C and U+200D stay: scripts need them."""
_LINE_ENDS = re.compile("[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]\n?")
_WIDE_SPACES = re.compile("[\x1f\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_SPACES = re.compile("[ \t]{2,}|\t")
_EDGES = re.compile(" *\n[ \n]*")

_CP1252 = {bytes([b]).decode("cp1252", "replace"): b for b in range(0x80, 0x100)} | {
    chr(b): b for b in range(0x80, 0xA0)
}
_CP1252.pop("\ufffd", None)
_FOLLOWING = "".join(character for character, byte in _CP1252.items() if byte < 0xC0)
_MISREAD = re.compile(
    f"(?:[\u00c2\u00c3][{_FOLLOWING}]|\u00e2[\u20ac\u0080-\u0084\u2020-\u2022][{_FOLLOWING}]|\u00f0\u0178[{_FOLLOWING}]{{2}})+"
)
"""Latin letters, punctuation and emoji; other first bytes also occur in right text: ``Hochseß«``."""
_SIGNS = ("\u00c3", "\u00c2", "\u00e2", "\u00f0")

_LINK = re.compile(r"\[\[(?:[^\[\]|\n:]*\|)?([^\[\]|\n:]*)\]\]")
_TAG = re.compile(r"</?(?:i|b|u|em|strong|sub|sup|small|span|br|font|cite|q)(?: [^<>\n]*)?/?>", re.IGNORECASE)


def repaired(text: str, counters: Counter[str]) -> str:
    """Return the text in NFC with the characters above repaired or removed.

    Args:
        text: Any string.
        counters: Is added to: ``misread characters``, ``unseen characters``.
    """
    if not text.isascii():
        text = _reread(text, counters)
        text = unicodedata.normalize("NFC", text)
        text = _WIDE_SPACES.sub(" ", text)
    if _LINE_ENDS.search(text):
        text = _LINE_ENDS.sub("\n", text)
    if _UNSEEN.search(text):
        text, count = _UNSEEN.subn("", text)
        counters["unseen characters"] += count
    return text


def spaced(text: str) -> str:
    """Return the text with single spaces, and without empty lines and white space at the ends of lines."""
    if "  " in text or "\t" in text:
        text = _SPACES.sub(" ", text)
    if "\n\n" in text or " \n" in text or "\n " in text:
        text = _EDGES.sub("\n", text)
    return text.strip()


def unwrapped(text: str, counters: Counter[str]) -> str:
    """Return the text with wiki links and tags inside lines replaced by what they enclose.

    Args:
        text: Any string.
        counters: Is added to: ``markup unwrapped``.
    """
    count = 0
    if "[[" in text:
        text, count = _LINK.subn(r"\1", text)
    if "</" in text or "<br" in text:
        text, tags = _TAG.subn("", text)
        count += tags
    if count:
        counters["markup unwrapped"] += count
    return text


def _reread(text: str, counters: Counter[str]) -> str:
    if not any(sign in text for sign in _SIGNS) or not _MISREAD.search(text):
        return text

    def once(match: re.Match[str]) -> str:
        try:
            right = bytes(_CP1252[character] for character in match[0]).decode("utf-8")
        except UnicodeDecodeError:
            return match[0]
        counters["misread characters"] += len(right)
        return right

    return _MISREAD.sub(once, text)
