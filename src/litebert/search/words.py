"""What a word is for BM25: found by Unicode's rules (Chinese, Japanese and Thai by dictionary), lower case, without accents, stemmed.

A folder's store does this by itself with these settings. For the others a term is a number: Qdrant gets a sparse vector of the numbers
with their weights within the document, k1 = 1.2, b = 0.75 (Robertson & Zaragoza 2009, "The probabilistic relevance framework: BM25 and
beyond"), and counts how rare a term is; Milvus gets the numbers as words, and counts everything. Every word of a text is kept, so that
any can be found; of a query stop words are left out where others remain: in a small index even "how" and "do" are rare, and would win.
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
    return _tokens(text, **TOKENIZER, stem=language is not None, language=language or "English")


def asked_for(query: str, language: str | None) -> str:
    """Return a query without stop words; as it is where it has none, or nothing else.

    Args:
        query: Any text.
        language: One of ``LANGUAGES``, of some of which no stop words are known; None for none.

    Raises:
        MachineError: The library that knows words is not installed.
    """
    if language is None:
        return query
    how = {**TOKENIZER, "ascii_folding": False, "stem": False, "language": language}
    kept = _tokens(query, **{**how, "remove_stop_words": True})
    return query if not kept or len(kept) == len(_tokens(query, **how)) else " ".join(kept)


def _tokens(text: str, **how: Any) -> list[str]:
    try:
        import lancedb
    except ImportError as error:
        raise MachineError(
            "words are told apart by LanceDB, which is not installed", hint='Install it: pip install "litebert[search]"'
        ) from error
    return [token.text for token in lancedb.tokenize(text, **how)]


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
