"""ROUGE: how much of a reference summary another one has (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries").

ROUGE-1 and ROUGE-2 count shared words and pairs of words (section 2), ROUGE-L the longest common subsequence of the whole texts
(3.1), ROUGE-Lsum the union of those of the sentences (3.2). F is the harmonic mean of precision and recall. On English text the
figures are those of the ``rouge-score`` package to the last digit; beyond ASCII letters that package sees nothing, while here a
word is a run of letters and digits of any script, and a Chinese, Japanese or Korean character is a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from litebert.tasks.summarize.porter import stem

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")

_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]|(?:(?![\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])[^\W_])+"
)
_STEMMED_FROM = 4
"""Letters that a word has at least to be stemmed, as in the usual implementation."""


@dataclass(frozen=True, slots=True)
class Rouge:
    """One comparison.

    Attributes:
        precision: Part of the candidate that the reference has too.
        recall: Part of the reference that the candidate has too.
        f1: Their harmonic mean.
    """

    precision: float
    recall: float
    f1: float


def rouge_words(text: str, *, stemming: bool) -> list[str]:
    """Return the words that ROUGE compares, in lower case.

    Args:
        text: Any.
        stemming: Compare Porter stems, as published figures do (``-m`` of the original program).
    """
    words = _WORD.findall(text.lower())
    return [stem(w) if len(w) >= _STEMMED_FROM and w.isascii() else w for w in words] if stemming else words


def rouge(candidate: Sequence[str], reference: Sequence[str], *, stemming: bool = True) -> dict[str, Rouge]:
    """Compare two summaries.

    Args:
        candidate: Its sentences, or the whole text as the only one where ROUGE-Lsum does not matter.
        reference: Likewise.
        stemming: Compare Porter stems.

    Returns:
        By the names in ``KINDS``.
    """
    mine = [rouge_words(sentence, stemming=stemming) for sentence in candidate]
    its = [rouge_words(sentence, stemming=stemming) for sentence in reference]
    flat, gold = list(chain.from_iterable(mine)), list(chain.from_iterable(its))
    return {
        "rouge1": _of_ngrams(flat, gold, 1),
        "rouge2": _of_ngrams(flat, gold, 2),
        "rougeL": _figures(len(_common_places(gold, flat)), len(flat), len(gold)),
        "rougeLsum": _of_sentences(mine, its),
    }


def ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Return all runs of n words."""
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def _of_ngrams(candidate: Sequence[str], reference: Sequence[str], n: int) -> Rouge:
    mine, its = Counter(ngrams(candidate, n)), Counter(ngrams(reference, n))
    return _figures((mine & its).total(), mine.total(), its.total())


def _figures(shared: int, candidate: int, reference: int) -> Rouge:
    precision, recall = shared / max(candidate, 1), shared / max(reference, 1)
    return Rouge(precision, recall, 2 * precision * recall / (precision + recall) if shared else 0.0)


def _common_places(reference: Sequence[str], candidate: Sequence[str]) -> list[int]:
    """Return where in the reference a longest common subsequence stands; of several, the one rouge-score finds."""
    rows = [[0] * (len(candidate) + 1)]
    for word in reference:
        before, row = rows[-1], [0]
        for at, other in enumerate(candidate, start=1):
            row.append(before[at - 1] + 1 if word == other else max(before[at], row[-1]))
        rows.append(row)
    i, j, found = len(reference), len(candidate), []
    while i and j:
        if reference[i - 1] == candidate[j - 1]:
            i, j = i - 1, j - 1
            found.append(i)
        elif rows[i][j - 1] > rows[i - 1][j]:
            j -= 1
        else:
            i -= 1
    return found[::-1]


def _of_sentences(candidate: Sequence[Sequence[str]], reference: Sequence[Sequence[str]]) -> Rouge:
    left = Counter(word for sentence in candidate for word in sentence)
    shared = 0
    for sentence in reference:
        union = sorted({place for other in candidate for place in _common_places(sentence, other)})
        for place in union:
            if left[sentence[place]] > 0:  # no word of the candidate counts twice
                left[sentence[place]] -= 1
                shared += 1
    return _figures(shared, sum(map(len, candidate)), sum(map(len, reference)))
