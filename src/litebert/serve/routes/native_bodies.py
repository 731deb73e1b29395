"""What our own routes take, field by field; the OpenAPI document is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from litebert.tasks.coherence.task import CoherenceOptions

Text = Annotated[str, Field(description="A text of any length.")]
MOST_ENTRIES = 2**16
"""Of a list of lists or objects, which are dear to look at; how many texts are taken is the server's setting, and less."""
Texts = Annotated[list[str], Field(fail_fast=True)]
Filter = Annotated[str, Field(max_length=10_000)]
TopK = Annotated[int, Field(ge=1, le=100)]
MOST_NAMES = 100
"""Fields of an object. Each that is not known would be told, and somebody may send a million."""


def check_names(given: Any) -> Any:
    """Refuse an object with more fields than any that is known has; for ``model_validator``."""
    if isinstance(given, dict) and len(given) > MOST_NAMES:
        raise ValueError(f"{len(given)} fields are more than {MOST_NAMES}")
    return given


class Strict(BaseModel):
    """Base of what is taken: a field that nobody knows is refused, so that a misspelt one is not passed over."""

    model_config = ConfigDict(
        extra="forbid", protected_namespaces=(), allow_inf_nan=False, use_attribute_docstrings=True
    )
    _few = model_validator(mode="before")(check_names)


class Taken(Strict):
    """What is asked of a model."""

    model: str | None = None
    """Name of a model; the first that answers what is asked, if left out."""


class Input(Strict):
    """One input with its parts by name; which of them is needed is the task's matter."""

    text: str | None = None
    """The text; the first of a pair."""
    text_pair: str | None = None
    """The second of a pair."""
    question: str | None = None
    """For qa and choice, in place of ``text``."""
    context: str | None = None
    """For qa and choice, in place of ``text_pair``."""
    query: str | None = None
    """For rerank, in place of ``text``."""
    passage: str | None = None
    """For rerank, in place of ``text_pair``."""
    options: Texts | None = None
    """For choice."""
    sentences: Texts | None = None
    """For coherence and summarize, in place of ``text``: its sentences."""


Pair = Annotated[list[str], Field(min_length=2, max_length=2)]
AnyInput = str | Pair | Input


class AskBody(Taken):
    """What ``ask`` takes."""

    task: str | None = None
    """One of the model's tasks; its own, if left out."""
    inputs: Annotated[list[AnyInput], Field(max_length=MOST_ENTRIES, fail_fast=True)]
    """Texts, pairs or objects."""
    options: dict[str, Any] = {}
    """Of the task; ``models`` tells which there are."""


class ExplainBody(Taken):
    """What ``explain`` takes."""

    task: Literal["classify", "ner", "qa"] | None = None
    """The model's own, if left out."""
    input: AnyInput
    """A text, a pair or an object."""
    label: str | None = None
    """For classify: the label to explain; the one that is answered, if left out."""
    baseline: Literal["mask", "pad"] = "mask"
    """What stands in place of the words where nothing is known."""
    steps: Annotated[int, Field(ge=1, le=512)] | None = None
    """Points at which the gradient is taken; as many as it needs, if left out."""


class CoherenceBody(Taken):
    """What ``coherence`` takes."""

    mode: Literal["pair", "order", "drift"] = "pair"
    """pair: are two texts in order; order: the best order of sentences; drift: where a text loses its thread."""
    text: str | None = None
    """The text; the first of a pair."""
    text_pair: str | None = None
    """pair: the second; a text alone is split in its middle."""
    sentences: Texts | None = None
    """order and drift: the sentences, in place of ``text``."""
    width: Annotated[int, Field(ge=1, le=100)] = CoherenceOptions().width
    """drift: sentences on each side of a boundary."""
    measure: Literal["words", "vectors", "order"] = CoherenceOptions().measure
    """drift: words that both sides share, likeness of their vectors, or the sentence-order head's opinion."""
    strictness: float = CoherenceOptions().strictness
    """drift: a valley breaks that is so many standard deviations deeper than the mean of the depths."""


class ChoiceBody(Taken):
    """What ``choice`` takes."""

    question: Text
    options: Annotated[list[str], Field(min_length=2, max_length=64)]
    """What to choose from."""
    context: str | None = None
    """What it is chosen by."""


class SearchBody(Strict):
    """What ``search`` takes."""

    index: str | None = None
    """Name of an index; the first, if left out."""
    query: Text
    top_k: TopK = 10
    """Hits at most."""
    mode: Literal["meaning", "words", "both"] = "both"
    """By the cosine of vectors, by words (BM25), or both added on one scale."""
    filter: Filter | None = None
    """Condition on metadata: ``lang == "en" and year >= 1990``."""
    rerank: bool | str = False
    """Order the hits by a model for rerank that is served: true for the first, or its name."""
    per_document: bool = False
    """Only the best passage of each document."""
    dense_weight: float = Field(default=0.5, ge=0, le=1)
    """How much meaning counts in ``both``; words have the rest."""


class FaqBody(Strict):
    """What ``faq`` takes."""

    index: str | None = None
    """Name of an index of questions and answers; that of ``--faq``, if left out."""
    question: Text
    top_k: TopK = 3
    """Answers at most."""
    filter: Filter | None = None
    """Condition on metadata."""


class Turn(Strict):
    """One turn of a conversation."""

    role: Literal["user", "assistant"]
    text: Annotated[Text, Field(validation_alias=AliasChoices("text", "content"))]
    """What was said; ``content``, as in OpenAI's messages, means the same."""


class ChatBody(Strict):
    """What ``chat`` takes: the server keeps nothing, so every request brings the turns so far."""

    index: str | None = None
    """Name of an index of questions and answers; that of ``--faq``, if left out."""
    turns: Annotated[list[Turn], Field(min_length=1, max_length=200)]
    """The earliest first; the last is the user's."""
    top_k: TopK = 3
    """Answers at most."""
