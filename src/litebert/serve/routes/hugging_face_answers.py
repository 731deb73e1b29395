"""What the Hugging Face routes send, field by field; for the OpenAPI document, as ``tei_answers.py``."""

from __future__ import annotations

from typing import Any

from litebert.serve.routes.native_answers import Entity, Filling, LabelScore, Sent
from litebert.serve.routes.tei_answers import Predictions


class TaggedWord(Sent):
    """A word with its tag, where words are not put together."""

    entity: str
    score: float
    index: int
    """Which word of the text, from 1."""
    word: str
    start: int
    end: int


class HubSpan(Sent):
    """A part of the passage; empty where nothing is answered."""

    answer: str
    score: float
    start: int
    end: int


class SummaryText(Sent):
    """A summary."""

    summary_text: str


Fillings = list[Filling] | list[list[Filling]] | list[list[Filling | list[Filling]]]
"""Of a text with one mask; of several masks, or several texts; of several texts, some with several masks."""
Words = list[Entity] | list[TaggedWord] | list[list[Entity]] | list[list[TaggedWord]]
Spans = HubSpan | list[HubSpan | list[HubSpan]]
"""Of one question the best answer, or with ``top_k`` the best ones; of several questions a list of these."""

HubAnswer = Fillings | Predictions | Words | Spans | list[SummaryText] | list[float] | list[list[float]]
"""Of any task."""

ANSWER_OF: dict[str, Any] = {
    "fill-mask": Fillings, "text-classification": list[list[LabelScore]], "token-classification": Words,
    "question-answering": Spans, "zero-shot-classification": Predictions, "summarization": list[SummaryText],
    "sentence-similarity": list[float], "feature-extraction": list[list[float]],
}  # fmt: skip
"""What each task sends."""
