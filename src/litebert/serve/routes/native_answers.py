"""What our own routes send, field by field; the OpenAPI document is made from these, and the tests hold the answers against them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Sent(BaseModel):
    """Base of what is sent: nothing but what is named here."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)


class Usage(Sent):
    """How much was read."""

    inputs: int
    tokens: int


class LabelScore(Sent):
    """A label with its probability."""

    label: str
    score: float


class TokenShare(Sent):
    """What one token contributes to the score that is explained."""

    token: str
    start: int
    end: int
    attribution: float
    """Above zero where it speaks for the answer."""
    text: int | None = None
    """Of a pair: 0 for the first, 1 for the second."""


class Reasoned(Sent):
    """Why one thing was said."""

    explanation: list[TokenShare]
    explained: str
    """A label, an entity's type and words, an answer."""
    explained_score: float
    baseline_score: float
    completeness_gap: float
    """How far the sum of the attributions is from the difference of the two scores."""


class Labelled(Sent):
    """classify, few-shot, zero-shot-classification, and coherence of a pair."""

    label: str
    score: float
    labels: list[str] | None = None
    """Of several labels, those that hold."""
    review: bool | None = None
    """Whether a person should look."""
    scores: list[LabelScore] | None = None


class Entity(Sent):
    """One entity."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


class Entities(Sent):
    """ner."""

    entities: list[Entity]


class Span(Sent):
    """qa: a part of the passage; empty where nothing is answered."""

    answer: str
    start: int
    end: int
    score: float
    scores: list[Span] | None = None


class Chosen(Sent):
    """choice."""

    label: str
    """Its letter."""
    answer: str
    score: float
    scores: list[LabelScore]


class Scored(Sent):
    """rerank, and embed of pairs."""

    score: float


class Vector(Sent):
    """embed."""

    embedding: list[float]


class Filling(Sent):
    """One piece in the place of a mask."""

    score: float
    token: int
    token_str: str
    sequence: str


class Filled(Filling):
    """fill-mask: the best piece, with all of them."""

    scores: list[Filling]


class FilledMasks(Sent):
    """fill-mask of several masks."""

    masks: list[Filled]


class SummarySentence(Sent):
    """A sentence of a summary."""

    sentence: str
    start: int
    end: int
    score: float


class Summary(Sent):
    """summarize."""

    summary_text: str
    sentences: list[SummarySentence]


class OrderedSentence(Sent):
    """A sentence in its best place."""

    number: int
    sentence: str
    start: int
    end: int


class Ordered(Sent):
    """coherence: the best order of sentences."""

    text: str
    order: list[int]
    score: float
    given_score: float
    sentences: list[OrderedSentence]


class Boundary(Sent):
    """A place between two sentences."""

    sentence: int
    position: int
    score: float
    depth: float
    breaks: bool


class Drifted(Sent):
    """coherence: where a text loses its thread."""

    score: float
    breaks: list[Boundary]
    boundaries: list[Boundary]


AnyAnswer = (
    Labelled | Entities | Span | Chosen | Scored | Vector | Filled | FilledMasks | Summary | Ordered | Drifted
)  # fmt: skip


class AskAnswer(Sent):
    """What ``ask`` sends."""

    model: str
    task: str
    answers: list[AnyAnswer]
    """In the order of the inputs."""
    usage: Usage


class ExplainedLabel(Labelled, Reasoned):
    """classify with its reason."""


class ExplainedSpan(Span, Reasoned):
    """qa with its reason."""


class ExplainedEntity(Entity, Reasoned):
    """An entity with its reason."""


class ExplainedEntities(Sent):
    """ner with a reason for each entity."""

    entities: list[ExplainedEntity]


class ExplainAnswer(Sent):
    """What ``explain`` sends."""

    model: str
    task: str
    answer: ExplainedLabel | ExplainedSpan | ExplainedEntities
    usage: Usage


class CoherenceAnswer(Sent):
    """What ``coherence`` sends."""

    model: str
    mode: Literal["pair", "order", "drift"]
    answer: Labelled | Ordered | Drifted
    usage: Usage


class ChoiceAnswer(Sent):
    """What ``choice`` sends."""

    model: str
    answer: Chosen
    usage: Usage


class SearchHit(Sent):
    """A passage that answers a query."""

    id: str
    """Of its document."""
    text: str
    start: int
    """Its first character in the document."""
    end: int
    """Past its last."""
    score: float
    """What the order is by; comparable within one search only."""
    source: str
    """File the document is from."""
    metadata: dict[str, Any]
    chunk: int
    """Which passage of the document, from 0."""
    scores: dict[str, float]
    """By ``dense``, ``bm25`` and ``rerank``, as far as they found it."""


class SearchAnswer(Sent):
    """What ``search`` sends."""

    index: str
    hits: list[SearchHit]
    """Best first."""


class FaqHit(Sent):
    """A known question with its answer."""

    answer: str
    confidence: float
    """How sure it is, 0 to 1."""
    known: bool
    """Whether it is near enough to be given as an answer."""
    question: str
    score: float
    """Similarity of the two questions."""
    id: str
    source: str
    start: int
    end: int
    metadata: dict[str, Any]


class FaqAnswer(Sent):
    """What ``faq`` sends."""

    index: str
    known: bool
    answer: str | None
    """None: it is not known."""
    confidence: float
    answers: list[FaqHit]
    """The nearest known questions, best first, those that are not near enough too."""


class ChatAnswer(FaqAnswer):
    """What ``chat`` sends."""

    asked: str
    """The question as it was understood."""
    joined: int
    """How many earlier questions it was joined with; 0: it was read alone."""


class TaskInfo(Sent):
    """What a model can be asked."""

    task: str
    labels: list[str]
    """Names of its outputs, where they have names."""
    options: dict[str, Any]
    """JSON Schema of each option of ``ask``."""
    explained: bool
    """Whether ``explain`` tells where its answers come from."""


class ModelInfo(Sent):
    """A model."""

    name: str
    reference: str
    task: str
    """Its own; what it is asked if no task is named."""
    tasks: list[TaskInfo]
    max_length: int
    """Tokens that it reads at a time; what is longer is read in windows."""
    precision: str
    mask: str
    """What stands for a word to be filled in."""


class IndexInfo(Sent):
    """An index."""

    name: str
    kind: Literal["texts", "faq"]
    documents: int
    passages: int
    model: str
    """The served model that embeds its queries."""
    fields: dict[str, list[str]]
    """Metadata to filter by, and of which kinds its values are."""


class Limits(Sent):
    """Of one request."""

    inputs: int
    tokens: int
    bytes: int


class OfferAnswer(Sent):
    """What ``models`` sends."""

    version: str
    models: list[ModelInfo]
    indexes: list[IndexInfo]
    faq: str | None
    """The index that questions are answered from, if none is named."""
    limits: Limits
