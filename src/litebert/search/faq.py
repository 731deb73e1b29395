"""Questions with known answers: how sure an answer is, and when to say "I don't know".

A question counts as answered if the nearest question of the file is near enough. How near is learnt from the file itself by leaving
one out: each question is asked of the rest without any that has its answer, so that what is found is wrong for certain, and the
threshold is the similarity that only ``unknown_rate`` (5%) of these reach. Another question that has no answer here passes no more
often, as far as it is like the file's questions: the guarantee of conformal prediction (Vovk, Gammerman & Shafer 2005, "Algorithmic
Learning in a Random World"). Without anything else, the confidence of an answer is the share of these unanswerable questions that are
less similar.

Where other wordings are known (paraphrases in a file, or several questions of the file with one answer) they are asked too, with the
answer in place, and the confidence becomes the probability that the answer is right, by logistic regression on the similarity (Platt
1999), when every second question has an answer here.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from litebert.search.store import Chunk
from litebert.settings import Settings

UNKNOWN_RATE = 0.05
"""Share of unanswerable questions that are answered, where nothing else is asked for."""
ASKED = 2000
"""Questions of the file that are asked of the rest, at most."""
TIE = 1e-5
"""Similarities this near are equal: a store computes them in another order than the calibration does."""
FEW = 20
"""Below so many questions a threshold says little."""


class Calibration(Settings):
    """What similarity means in one index."""

    threshold: float
    """Similarity from which an answer is given."""
    unknown_rate: float = Field(ge=0, le=1)
    """Share of unanswerable questions that are answered all the same."""
    unknown: list[float]
    """Similarities of the nearest wrong answer, at even steps from the least to the greatest."""
    questions: int
    """How many questions were asked to learn this."""
    slope: float | None = None
    """Of the logistic regression; None without other wordings."""
    offset: float | None = None
    """Of the logistic regression."""
    wordings: int = 0
    """Other wordings asked."""
    answered: float | None = None
    """Share of the other wordings that are answered."""
    right: float | None = None
    """Share of these answers that are right."""
    given: int = 0
    """Other wordings that were given in a file, when the regression was learnt."""

    def confidence(self, similarity: float) -> float:
        """Return how sure an answer is, 0 to 1; what this means is in the module's description.

        Without other wordings no surer than so few questions can tell: beyond all N of them it is wrong once in N + 1 times.
        """
        if self.slope is not None and self.offset is not None:
            return 1 / (1 + math.exp(-min(max(self.slope * similarity + self.offset, -500), 500)))
        rank = float(np.searchsorted(self.unknown, similarity - TIE, side="left") / max(len(self.unknown), 1))
        return min(rank, self.questions / (self.questions + 1))

    def warning(self) -> str | None:
        """Return what to know before its answers are trusted; None if there is nothing."""
        if self.questions >= FEW:
            return None
        return f"only {self.questions} questions: from so few it cannot be learnt well when an answer is not known"


@dataclass(frozen=True)
class Reply:
    """What a question/answer index says.

    Attributes:
        answer: The answer; None for "I don't know".
        confidence: How sure it is, 0 to 1.
        question: The nearest question of the index; for an empty question this and what follows say nothing.
        score: The similarity of the two questions.
        id: Identifier of that question.
        best: The answer of the nearest question, known or not.
        source: File it is from.
        metadata: The other columns of its row.
    """

    answer: str | None
    confidence: float
    question: str
    score: float
    id: str
    best: str
    source: str
    metadata: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        names = ("answer", "confidence", "question", "score", "id", "best", "source", "metadata")
        return {"known": self.answer is not None, **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True)
class Wording:
    """A question and the answer it should get."""

    question: str
    answer: str


def calibrate(
    asked: Asked, others: Asked, stored: Iterable[tuple[Sequence[Chunk], np.ndarray]], *, unknown_rate: float,
    warnings: list[str] | None = None,
) -> Calibration:  # fmt: skip
    """Learn from the questions of an index, and other wordings if there are any, when it knows the answer.

    Args:
        asked: Questions of the index.
        others: Wordings that are not in the index; may be none.
        stored: All questions of the index with their vectors (B, H), in batches.
        unknown_rate: Share of unanswerable questions that may be answered.
        warnings: Receives how many wordings have an answer that is not in the index.
    """
    codes: dict[str, int] = {}
    wrong, rest, any_ = _Nearest(asked, codes), _Nearest(asked, codes), _Nearest(others, codes)
    for chunks, vectors in stored:
        answers = np.array([_code(codes, str(chunk.metadata.get("answer", ""))) for chunk in chunks])
        texts = [chunk.text.strip() for chunk in chunks]
        wrong.look(vectors, answers, wrong.answers[:, None] == answers[None, :])
        rest.look(vectors, answers, np.array([[q == t for t in texts] for q in rest.texts]))
        any_.look(vectors, answers, None)
    if warnings is not None and (lost := int((~any_.answerable).sum())):
        warnings.append(
            f"{lost} of {len(others.wordings)} other wordings have an answer that no question of the index has: what they get is wrong"
        )
    unknown = sorted(wrong.scores[np.isfinite(wrong.scores)].tolist())
    known = [
        pair for pair, asked_twice in zip(rest.pairs(), rest.answerable, strict=True) if asked_twice
    ] + any_.pairs()
    threshold = _threshold(unknown, unknown_rate)
    fitted = _fit(unknown, known)
    passing = [right for score, right in known if score >= threshold]
    steps = np.quantile(unknown, np.linspace(0, 1, 101)) if unknown else np.zeros(0)
    return Calibration(
        threshold=threshold, unknown_rate=unknown_rate, unknown=[round(float(x), 6) for x in steps],
        questions=len(asked.wordings), slope=fitted[0] if fitted else None, offset=fitted[1] if fitted else None,
        wordings=len(known), answered=len(passing) / len(known) if known else None,
        right=sum(passing) / len(passing) if passing else None, given=len(others.wordings),
    )  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """Questions with the answers they should get, and their vectors (N, H)."""

    wordings: Sequence[Wording]
    vectors: np.ndarray


def some_asked(stored: Iterable[tuple[Sequence[Chunk], np.ndarray]], size: int) -> Asked:
    """Return at most ``ASKED`` of the questions of an index: the same ones in whatever order they come.

    Args:
        stored: All of them with their vectors (B, H), in batches.
        size: H.
    """
    heap: list[tuple[int, str, str, int, np.ndarray]] = []
    for chunks, vectors in stored:
        for chunk, vector in zip(chunks, vectors, strict=True):
            key = int.from_bytes(hashlib.sha256(chunk.text.encode("utf-8", "replace")).digest()[:8], "big")
            item = (-key, chunk.text, str(chunk.metadata.get("answer", "")), len(heap), vector.copy())
            if len(heap) < ASKED:
                heapq.heappush(heap, item)
            elif item[:3] > heap[0][:3]:
                heapq.heapreplace(heap, (*item[:3], heap[0][3], item[4]))
    chosen = sorted(heap, key=lambda item: item[:4], reverse=True)
    kept = np.array([item[4] for item in chosen], dtype=np.float32).reshape(-1, size)
    return Asked([Wording(item[1], item[2]) for item in chosen], kept)


class _Nearest:
    """The nearest stored question of each asked one, over batches of those stored."""

    def __init__(self, asked: Asked, codes: dict[str, int]) -> None:
        self.vectors = asked.vectors
        self.texts = [wording.question.strip() for wording in asked.wordings]
        self.answers = np.array([_code(codes, wording.answer) for wording in asked.wordings], dtype=np.int64)
        self.scores = np.full(len(self.texts), -np.inf)
        self.right = np.zeros(len(self.texts), dtype=bool)
        self.answerable = np.zeros(len(self.texts), dtype=bool)

    def look(self, vectors: np.ndarray, answers: np.ndarray, left_out: np.ndarray | None) -> None:
        """Compare with stored vectors (B, H) and their answers (B,), but for those left out (N, B)."""
        if not self.texts:
            return
        scores = self.vectors @ vectors.T
        if left_out is not None:
            scores[left_out] = -np.inf
        same = self.answers[:, None] == answers[None, :]
        best = scores.argmax(axis=1)
        rows = np.arange(len(self.texts))
        better = scores[rows, best] > self.scores
        self.scores = np.where(better, scores[rows, best], self.scores)
        self.right = np.where(better, same[rows, best], self.right)
        self.answerable |= (same & np.isfinite(scores)).any(axis=1)

    def pairs(self) -> list[tuple[float, bool]]:
        """Return similarity and rightness of what each found."""
        return [(float(score), bool(right)) for score, right in zip(self.scores, self.right, strict=True)]


def _code(codes: dict[str, int], answer: str) -> int:
    return codes.setdefault(" ".join(answer.split()).casefold(), len(codes))


def _threshold(unknown: Sequence[float], rate: float) -> float:
    """Return the conformal quantile: beyond it lies a question like these with a probability of at most ``rate``."""
    if not unknown:
        return 0.0
    rank = math.ceil((len(unknown) + 1) * (1 - rate))
    edge = unknown[min(rank, len(unknown)) - 1]
    return edge + TIE


def _fit(unknown: Sequence[float], known: Sequence[tuple[float, bool]]) -> tuple[float, float] | None:
    """Return slope and offset of the probability that an answer is right; None where there is too little to learn from."""
    if len(known) < FEW or len(unknown) < FEW or not any(right for _, right in known):
        return None
    from sklearn.linear_model import LogisticRegression

    scores = np.array([*unknown, *(score for score, _ in known)])[:, None]
    right = np.array([*([False] * len(unknown)), *(right for _, right in known)])
    weights = np.array([*([1 / len(unknown)] * len(unknown)), *([1 / len(known)] * len(known))]) * len(right) / 2
    model = LogisticRegression(C=1e4, max_iter=1000).fit(scores, right, sample_weight=weights)
    return float(model.coef_[0, 0]), float(model.intercept_[0])
