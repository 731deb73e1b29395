"""What a word is for BM25: found by Unicode's rules (Chinese, Japanese and Thai by dictionary), lower case, without accents, stemmed.

A folder's store does this by itself with these settings. For the others a term is a number: Qdrant gets a sparse vector of the numbers
with their weights within the document, k1 = 1.2, b = 0.75 (Robertson & Zaragoza 2009, "The probabilistic relevance framework: BM25 and
beyond"), and counts how rare a term is; Milvus gets the numbers as words, and counts everything. No words
are stop words: rare ones win by themselves, and the library's list for the Unicode tokenizer drops every word of three letters.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any

from litebert.errors import MachineError

TOKENIZER: dict[str, Any] = {"base_tokenizer": "icu/split", "remove_stop_words": False, "ascii_folding": True}

K1, B = 1.2, 0.75
_USUAL_LENGTH = 80
"""Words of a usual chunk. A server is not asked for the mean, which changes with every document."""


def terms(text: str, language: str | None) -> list[str]:
    """Return the terms of a text, in order.

    Args:
        text: Any text.
        language: One of ``LANGUAGES``; None leaves word endings alone.

    Raises:
        MachineError: The library that knows words is not installed.
    """
    try:
        import lancedb
    except ImportError as error:
        raise MachineError(
            "words are told apart by LanceDB, which is not installed", hint='Install it: pip install "litebert[search]"'
        ) from error

    found = lancedb.tokenize(text, **TOKENIZER, stem=language is not None, language=language or "English")
    return [token.text for token in found]


def numbers(text: str, language: str | None) -> list[int]:
    """Return the numbers of a text's terms, in order."""
    return [_number(term) for term in terms(text, language)]


def document_weights(text: str, language: str | None) -> dict[int, float]:
    """Return the numbers of a text's terms with their weights in it; BM25 without the part that a server counts."""
    counts = Counter(terms(text, language))
    norm = K1 * (1 - B + B * counts.total() / _USUAL_LENGTH)
    return _numbered({term: count * (K1 + 1) / (count + norm) for term, count in counts.items()})


def query_weights(text: str, language: str | None) -> dict[int, float]:
    """Return the numbers of a query's terms, each as often as it is in it."""
    return _numbered({term: float(count) for term, count in Counter(terms(text, language)).items()})


def _numbered(weights: dict[str, float]) -> dict[int, float]:
    numbered: Counter[int] = Counter()
    for term, weight in weights.items():
        numbered[_number(term)] += weight  # type: ignore[assignment]
    return dict(numbered)


def _number(term: str) -> int:
    return zlib.crc32(term.encode())
