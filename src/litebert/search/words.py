"""What a word is for BM25: found by Unicode's rules (Chinese, Japanese and Thai by dictionary), lower case, without accents, stemmed.

The embedded store does this by itself with these settings. For a server the terms are sent as a sparse vector: a number for each term
and its weight within the document, k1 = 1.2, b = 0.75 (Robertson & Zaragoza 2009, "The probabilistic relevance framework: BM25 and
beyond"); how rare a term is, the server counts. No words are stop words: rare ones win by themselves, and the library's list for the
Unicode tokenizer drops every word of three letters.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any

TOKENIZER: dict[str, Any] = {"base_tokenizer": "icu/split", "remove_stop_words": False, "ascii_folding": True}

_K1, _B = 1.2, 0.75
_USUAL_LENGTH = 80
"""Words of a usual chunk. A server is not asked for the mean, which changes with every document."""


def terms(text: str, language: str | None) -> list[str]:
    """Return the terms of a text, in order.

    Args:
        text: Any text.
        language: One of ``LANGUAGES``; None leaves word endings alone.
    """
    import lancedb

    found = lancedb.tokenize(text, **TOKENIZER, stem=language is not None, language=language or "English")
    return [token.text for token in found]


def document_weights(text: str, language: str | None) -> dict[int, float]:
    """Return the numbers of a text's terms with their weights in it; BM25 without the part that a server counts."""
    counts = Counter(terms(text, language))
    norm = _K1 * (1 - _B + _B * counts.total() / _USUAL_LENGTH)
    return _numbered({term: count * (_K1 + 1) / (count + norm) for term, count in counts.items()})


def query_weights(text: str, language: str | None) -> dict[int, float]:
    """Return the numbers of a query's terms, each as often as it is in it."""
    return _numbered({term: float(count) for term, count in Counter(terms(text, language)).items()})


def _numbered(weights: dict[str, float]) -> dict[int, float]:
    numbered: Counter[int] = Counter()
    for term, weight in weights.items():
        numbered[zlib.crc32(term.encode())] += weight  # type: ignore[assignment]
    return dict(numbered)
