"""Bodies of the Hugging Face routes: what stands under ``parameters`` of each task; what is not known there is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from litebert.serve.routes.tei import Body

Positive = Annotated[int, Field(ge=1)]


class PipelineBody(Body):
    """What every task takes; of feature extraction alone the parameters may stand beside the inputs."""

    inputs: Any
    parameters: dict[str, Any] | None = None
    model: str | None = None
    normalize: bool | None = None
    prompt_name: str | None = None
    truncate: bool | None = None
    truncation_direction: Literal["left", "right", "Left", "Right"] | None = None
    dimensions: Positive | None = None


class Parameters(BaseModel):
    """Base of all parameters: what is not known is refused."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class FillMask(Parameters):
    """Of fill-mask."""

    top_k: Positive = 5
    targets: list[str] | None = None


class TextClassification(Parameters):
    """Of text-classification."""

    top_k: Positive | None = None
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None


class TokenClassification(Parameters):
    """Of token-classification."""

    aggregation_strategy: Literal["none", "simple", "first"] = "simple"
    ignore_labels: list[str] = ["O"]
    stride: int | None = None


class QuestionAnswering(Parameters):
    """Of question-answering."""

    top_k: Annotated[int, Field(ge=1, le=1000)] | None = None
    handle_impossible_answer: bool | None = None
    max_answer_len: Positive | None = None
    align_to_words: bool | None = None
    doc_stride: int | None = None
    max_seq_len: int | None = None
    max_question_len: int | None = None


class ZeroShotClassification(Parameters):
    """Of zero-shot-classification."""

    candidate_labels: list[str] | str
    hypothesis_template: str | None = None
    multi_label: bool = False


class Length(Parameters):
    """How long a summary is: whole sentences, counted in one of these ways."""

    sentences: Positive | None = None
    ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    words: Positive | None = None


class Summary(Length):
    """Of summarization."""

    generate_parameters: Length | None = None
    generate: Length | None = None
    clean_up_tokenization_spaces: bool | None = None
    truncation: str | None = None


class FeatureExtraction(Parameters):
    """Of feature-extraction."""

    normalize: bool | None = None
    prompt_name: str | None = None
    truncate: bool | None = None
    truncation_direction: Literal["left", "right", "Left", "Right"] | None = None
    dimensions: Positive | None = None
