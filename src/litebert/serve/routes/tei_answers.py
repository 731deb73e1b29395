"""What Text Embeddings Inference's routes send, field by field; the OpenAPI document is made from these.

Nothing is checked against them while the server runs: the tests hold the answers against them. A field with a default is there only if
it was asked for.
"""

from __future__ import annotations

from typing import Literal

from litebert.serve.routes.native_answers import LabelScore, Sent


class RankedText(Sent):
    """A text that answers a query."""

    index: int
    text: str | None = None
    score: float


class Token(Sent):
    """A piece of a text; special ones have no place in it."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class LabelNames(Sent):
    """The labels of a model."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class Pooling(Sent):
    """How a vector is made."""

    pooling: Literal["mean"]


class ModelKind(Sent):
    """What a model is for, as Text Embeddings Inference tells it: one of these."""

    embedding: Pooling | None = None
    classifier: LabelNames | None = None
    reranker: LabelNames | None = None


class TasksOfModel(Sent):
    """What a model can be asked."""

    task: str
    tasks: list[str]


class InfoAnswer(Sent):
    """What ``/info`` sends: Text Embeddings Inference's fields, and ours after them."""

    model_id: str
    model_sha: None
    model_dtype: str
    served_model_name: str
    model_type: ModelKind
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: None
    docker_label: None
    payload_limit: int
    max_request_tokens: int
    task: str
    tasks: list[str]
    models: dict[str, TasksOfModel]


Predictions = list[LabelScore] | list[list[LabelScore]]
"""Labels of one text, or of each of a batch."""
