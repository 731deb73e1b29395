"""Bodies of the Hugging Face routes: what stands under ``parameters`` of each task; what is not known there is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from litebert.serve.routes.native_bodies import Texts, check_names
from litebert.serve.routes.tei import Body, Direction, Size

Positive = Annotated[int, Field(ge=1)]


class PipelineBody(Body):
    """What every task takes; of feature extraction alone the parameters may stand beside the inputs."""

    inputs: Any
    parameters: dict[str, Any] | None = None
    model: str | None = None
    normalize: bool | None = None
    prompt_name: str | None = None
    truncate: bool | None = None
    truncation_direction: Direction | None = None
    dimensions: Size | None = None


class Parameters(BaseModel):
    """Base of all parameters: what is not known is refused."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), allow_inf_nan=False)
    _few = model_validator(mode="before")(check_names)


class FillMask(Parameters):
    """Of fill-mask."""

    top_k: Positive = 5
    targets: Annotated[list[str], Field(max_length=2048, fail_fast=True)] | None = None


class TextClassification(Parameters):
    """Of text-classification."""

    top_k: Positive | None = None
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None


class TokenClassification(Parameters):
    """Of token-classification."""

    aggregation_strategy: Literal["none", "simple", "first"] = "simple"
    ignore_labels: Annotated[list[str], Field(max_length=1000, fail_fast=True)] = ["O"]
    stride: int | None = None


class QuestionAnswering(Parameters):
    """Of question-answering."""

    top_k: Annotated[int, Field(ge=1, le=1000)] | None = None
    handle_impossible_answer: bool | None = None
    max_answer_len: Annotated[int, Field(ge=1, le=100)] | None = None
    align_to_words: bool | None = None
    doc_stride: int | None = None
    max_seq_len: int | None = None
    max_question_len: int | None = None


class ZeroShotClassification(Parameters):
    """Of zero-shot-classification."""

    candidate_labels: Texts | str
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
    truncation_direction: Direction | None = None
    dimensions: Size | None = None


# --- For the OpenAPI document -----------------------------------------------------------------------------------------------

_TEXTS: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _one_or_many(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}


_INPUTS: dict[str, dict[str, Any]] = {
    "text-classification": _one_or_many({"anyOf": [
        {"type": "string"}, _object("text", text={"type": "string"}, text_pair={"type": ["string", "null"]}),
    ]}),
    "question-answering": _one_or_many(_object("question", "context", question={"type": "string"}, context={"type": "string"})),
    "sentence-similarity": _object(
        "source_sentence", "sentences", source_sentence={"type": "string"},
        sentences={"type": "array", "items": {"type": "string"}, "minItems": 1},
    ),
}  # fmt: skip
"""Of the tasks that take more than texts."""
_PARAMETERS: dict[str, type[Parameters]] = {
    "fill-mask": FillMask, "text-classification": TextClassification, "token-classification": TokenClassification,
    "question-answering": QuestionAnswering, "zero-shot-classification": ZeroShotClassification, "summarization": Summary,
    "sentence-similarity": Parameters, "feature-extraction": FeatureExtraction,
}  # fmt: skip


def documented(task: str) -> dict[str, Any]:
    """Return what the document has for the body of a task's own path, beside ``PipelineBody``.

    Args:
        task: Of the protocol.
    """
    kind = _PARAMETERS[task]
    parameters = kind.model_json_schema()
    for name, length in parameters.pop("$defs", {}).items():  # the document has no place for definitions within a body
        for field in parameters["properties"].values():
            field["anyOf"] = [length if one == {"$ref": f"#/$defs/{name}"} else one for one in field["anyOf"]]
    required = any(field.is_required() for field in kind.model_fields.values())
    body = _object(
        "inputs", *(["parameters"] if required else []), inputs=_INPUTS.get(task, _TEXTS),
        parameters=parameters if required else {"anyOf": [parameters, {"type": "null"}]},
    )  # fmt: skip
    return {"requestBody": {"content": {"application/json": {"schema": body}}}}
