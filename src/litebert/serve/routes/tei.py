"""Text Embeddings Inference, version 1.9: its routes, bodies and messages.

A list of two texts is a pair for ``/predict``, as there; a batch is a list of lists. What is longer than the model's window is read
in windows unless ``truncate`` says otherwise: true cuts it, false refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from litebert.errors import DataError, UsageError
from litebert.serve.answers import Json
from litebert.serve.context import Context, Here, record
from litebert.serve.engine import NothingAskedError
from litebert.serve.models import ServedModel
from litebert.serve.routes import tei_answers as sent
from litebert.serve.routes.native_bodies import MOST_ENTRIES, Texts
from litebert.serve.texts import Cut, window_cut
from litebert.tasks.base import Answer
from litebert.tasks.classify.task import Classification
from litebert.tasks.embed.task import Embedding
from litebert.tasks.reading.records import Record

router = APIRouter(tags=["Text Embeddings Inference"])

TokenIds = Annotated[list[Annotated[int, Field(ge=0, le=2**31, strict=True)]], Field(fail_fast=True)]
Input = str | TokenIds
Inputs = Input | Annotated[list[Input], Field(max_length=MOST_ENTRIES, fail_fast=True)]
"""A text or token ids, or a list of either. What is wrong with one of a million texts is told once."""
Size = Annotated[int, Field(ge=2)]
"""Of a vector."""
Direction = Literal["left", "right", "Left", "Right"]


class Body(BaseModel):
    """Base of all bodies: unknown fields are passed over, as everywhere on the web."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), allow_inf_nan=False)


class CutBody(Body):
    """Base of the bodies whose texts may be cut."""

    truncate: bool | None = None
    truncation_direction: Direction = "right"


class EmbedBody(CutBody):
    """What ``/embed`` takes."""

    inputs: Inputs
    normalize: bool = True
    prompt_name: str | None = None
    dimensions: Size | None = None
    model: str | None = None


class EmbedAllBody(CutBody):
    """What ``/embed_all`` takes."""

    inputs: Inputs
    model: str | None = None


class PredictBody(CutBody):
    """What ``/predict`` takes."""

    inputs: str | Texts | Annotated[list[Texts], Field(max_length=MOST_ENTRIES, fail_fast=True)]
    raw_scores: bool = False
    model: str | None = None


class SimilarityInputs(Body):
    """A text and those it is compared with."""

    source_sentence: str
    sentences: Texts


class SimilarityBody(Body):
    """What ``/similarity`` takes."""

    inputs: SimilarityInputs
    parameters: CutBody | None = None
    model: str | None = None


class DecodeBody(Body):
    """What ``/decode`` takes."""

    ids: TokenIds | Annotated[list[TokenIds], Field(max_length=MOST_ENTRIES, fail_fast=True)]
    skip_special_tokens: bool = True
    model: str | None = None


# --- Vectors --------------------------------------------------------------------------------------------------------------


@router.post("/embed", response_model=list[list[float]])
async def embed(body: EmbedBody, here: Here) -> Response:
    """Return the vector of each text."""
    check_as_trained(body.normalize, body.prompt_name)
    model = here.models.find(body.model, "embed")
    cut = window_cut(model, body.truncate, body.truncation_direction)
    return Json(await vectors(here, model, body.inputs, cut, size=body.dimensions))


def check_as_trained(normalize: bool | None, prompt: str | None) -> None:
    """Refuse vectors of another kind than models here make.

    Raises:
        UsageError: They are to have another length than 1, or a prompt before the text.
    """
    if normalize is False:
        raise UsageError("`normalize` cannot be false", hint="Vectors here have length 1.")
    if prompt is not None:
        raise UsageError(f"there is no prompt {prompt!r}", hint="The models here have none: leave `prompt_name` out.")


def check_count(here: Context, model: ServedModel, given: Sequence[Any]) -> None:
    """Refuse too many texts before anything is made of them; one text is never too many.

    Raises:
        TooLargeError: There are too many.
    """
    if given and not isinstance(given, str):
        here.engine.check_lengths(model, [0] * len(given))


async def vectors(
    here: Context, model: ServedModel, inputs: Any, cut: Cut | None = None, *, size: int | None = None
) -> np.ndarray:
    """Return (N, size) vectors of length 1.

    Args:
        here: Of the request.
        model: One that embeds.
        inputs: A text or token ids, or a list of either.
        cut: How long texts may be; None: what is longer than the model's window is read in windows.
        size: Numbers of a vector; None for all.
    """
    model.asked("embed")
    if size is not None and size > model.config.hidden_size:
        raise UsageError(f"`dimensions` must be at most {model.config.hidden_size}. Given: {size}")
    texts = await here.texts(model, inputs, cut)
    answers = await here.answer(model, "embed", [record(text) for text in texts], size=size)
    return np.stack([answer.vector for answer in answers if isinstance(answer, Embedding)])


@router.post("/embed_all", response_model=list[list[list[float]]])
async def embed_all(body: EmbedAllBody, here: Here) -> Response:
    """Return the state of each token of each text, one window of each."""
    model = here.models.find(body.model, "embed")
    model.asked("embed")
    cut = window_cut(model, bool(body.truncate), body.truncation_direction)
    return Json(await here.states(model, await here.texts(model, body.inputs, cut)))


@router.post("/embed_sparse", include_in_schema=False)
async def embed_sparse() -> Response:
    """Refuse: no model here has sparse vectors."""
    raise UsageError("no model here makes sparse vectors", hint="Use /embed.")


@router.post("/similarity", response_model=list[float])
async def similarity(body: SimilarityBody, here: Here) -> Response:
    """Return the cosine of each text with the source."""
    given = body.inputs
    if not given.sentences:
        raise NothingAskedError("`inputs.sentences` cannot be empty")
    how = body.parameters or CutBody()
    model = here.models.find(body.model, "embed")
    cut = window_cut(model, how.truncate, how.truncation_direction)
    found = await vectors(here, model, [given.source_sentence, *given.sentences], cut)
    return Json(found[1:] @ found[0])


# --- Labels ---------------------------------------------------------------------------------------------------------------


@router.post("/predict", response_model=sent.Predictions)
async def predict(body: PredictBody, here: Here) -> Response:
    """Return labels with their scores, highest first: a list for one text or pair, a list of lists for a batch."""
    model = here.models.find(body.model, "classify", "few-shot")
    task, _ = model.asked("classify", "few-shot")
    check_count(here, model, body.inputs)
    single, records = _pairs(body.inputs)
    cut = window_cut(model, body.truncate, body.truncation_direction)
    answers = await here.answer(model, task, records if cut is None else await _shortened(here, model, records, cut))
    rows = [raw_labels(model, answer) if body.raw_scores else labels_of(answer) for answer in answers]
    return Json(rows[0] if single else rows)


def _pairs(inputs: str | list[str] | list[list[str]]) -> tuple[bool, list[Record]]:
    """Return whether one thing is asked, and the records."""
    if isinstance(inputs, str):
        return True, [record(inputs)]
    if inputs and all(isinstance(one, str) for one in inputs):
        return True, [_one([str(one) for one in inputs])]
    return False, [_one([one] if isinstance(one, str) else one) for one in inputs]


def _one(texts: Sequence[str]) -> Record:
    if not 1 <= len(texts) <= 2:
        raise DataError(f"`inputs` must have a single string or a pair of strings. Given: {len(texts)}")
    return record(*texts)


async def _shortened(here: Context, model: ServedModel, records: Sequence[Record], cut: Cut) -> list[Record]:
    """Return records with their texts cut."""
    single = [one.text for one in records if one.pair is None]
    double = [(one.text, one.pair) for one in records if one.pair is not None]
    texts = iter(await here.texts(model, single, cut) if single else [])
    pairs = iter(await here.pairs(model, double, cut) if double else [])
    return [Record(next(texts)) if one.pair is None else Record(*next(pairs)) for one in records]


def labels_of(answer: Answer) -> list[dict[str, Any]]:
    """Return all labels of a classification with their scores, highest first."""
    assert isinstance(answer, Classification)
    scores = answer.scores or ((answer.label, answer.score),)
    return [{"score": score, "label": label} for label, score in scores]


def raw_labels(model: ServedModel, answer: Answer) -> list[dict[str, Any]]:
    """Return all labels with their logits, but for the constant that a softmax takes back; a value is its own.

    Args:
        model: That answered.
        answer: A classification.
    """
    raw = _RAW.get(label_kind(model), float)
    return [{**one, "score": raw(one["score"])} for one in labels_of(answer)]


def raw_score(score: float) -> float:
    """Return the logit of a probability."""
    bounded = min(max(score, 1e-12), 1 - 1e-12)
    return math.log(bounded / (1 - bounded))


_RAW: dict[str, Callable[[float], float]] = {"single": lambda score: math.log(max(score, 1e-38)), "multi": raw_score}


def label_kind(model: ServedModel) -> str:
    """Return whether a classifier assigns a ``single`` label, ``multi``, or a value (``regression``)."""
    return str(getattr(model.pipeline.loaded.task, "kind", "single"))


# --- Tokens ---------------------------------------------------------------------------------------------------------------


@router.post("/decode", response_model=list[str])
async def decode(body: DecodeBody, here: Here) -> Response:
    """Return the texts of token ids."""
    model = here.models.find(body.model)
    rows = [list(one) if isinstance(one, list) else [one] for one in body.ids]
    rows = rows if body.ids and isinstance(body.ids[0], list) else [[i for row in rows for i in row]]
    return Json(await here.decoded(model, rows, skip_special=body.skip_special_tokens))


@router.get("/info", response_model=sent.InfoAnswer)
async def info(here: Here, model: str | None = None) -> Response:
    """Return what is served and its limits: of the model named, else the first, or that of ``/embed`` where TEI knows no such task."""
    found, settings = here.models.find(model), here.settings
    if not model and found.own not in _KINDS and any("embed" in one.pipelines for one in here.models.values()):
        found = here.models.find(None, "embed")
    labels = found.pipeline.labels
    named = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    kinds = {"classify": {"classifier": named}, "few-shot": {"classifier": named}, "rerank": {"reranker": named}}
    return Json({
        "model_id": found.reference, "model_sha": None, "model_dtype": _TYPES.get(found.precision, found.precision),
        "served_model_name": found.name, "model_type": kinds.get(found.own, {"embedding": {"pooling": "mean"}}),
        "max_concurrent_requests": settings.max_queue_items, "max_input_length": found.max_length,
        "max_batch_tokens": settings.max_batch_tokens, "max_batch_requests": None, "max_client_batch_size": settings.most_items,
        "auto_truncate": False, "tokenization_workers": 2, "version": version("litebert"), "sha": None, "docker_label": None,
        "payload_limit": settings.most_bytes, "max_request_tokens": settings.max_request_tokens,
        "task": found.own, "tasks": list(found.tasks),
        "models": {name: {"task": one.own, "tasks": list(one.tasks)} for name, one in here.models.items()},
    })  # fmt: skip


_KINDS = ("embed", "classify", "few-shot", "rerank")
"""Tasks of models that TEI knows."""
_TYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Numbers, as TEI calls them."""
