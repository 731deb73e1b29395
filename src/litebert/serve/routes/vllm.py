"""vLLM's routes for models that do not generate: classify, score, pooling. Paths that others have too are in ``shared.py``."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import AliasChoices, Field

from litebert.errors import DataError, UsageError
from litebert.serve.answers import Json, clean
from litebert.serve.context import Context, Here, record
from litebert.serve.engine import NothingAskedError
from litebert.serve.models import ServedModel
from litebert.serve.routes.native_answers import Sent
from litebert.serve.routes.native_bodies import Texts
from litebert.serve.routes.openai import OpenAIUsage, formed, usage
from litebert.serve.routes.tei import Body, Inputs, Size, check_count, labels_of, vectors
from litebert.tasks.reading.records import Record
from litebert.tasks.rerank.task import Relevance

router = APIRouter(tags=["vLLM"])

OneOrMany = str | Texts


class ClassifyBody(Body):
    """What ``/classify`` takes."""

    input: Inputs
    model: str | None = None


class ScoreBody(Body):
    """What ``/score`` takes; earlier versions called the two lists otherwise."""

    queries: OneOrMany = Field(validation_alias=AliasChoices("queries", "text_1", "data_1"))
    documents: OneOrMany = Field(validation_alias=AliasChoices("documents", "text_2", "data_2"))
    model: str | None = None


class PoolingBody(Body):
    """What ``/pooling`` takes."""

    input: Inputs
    model: str | None = None
    task: Literal["embed", "token_embed", "classify", "token_classify"] | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Size | None = None


class VllmUsage(OpenAIUsage):
    """Tokens that were computed; none are generated."""

    completion_tokens: int
    prompt_tokens_details: None


class Listed(Sent):
    """What vLLM's lists have in common."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    usage: VllmUsage


class VllmLabel(Sent):
    """The best label of a text, and the probabilities of all in the order of the model's labels."""

    index: int
    label: str
    probs: list[float]
    num_classes: int


class VllmClassifyAnswer(Listed):
    """What ``/classify`` sends."""

    data: list[VllmLabel]


class VllmScore(Sent):
    """How well a document answers its query."""

    index: int
    object: Literal["score"]
    score: float


class VllmScoreAnswer(Listed):
    """What ``/score`` sends."""

    data: list[VllmScore]


class VllmPooled(Sent):
    """What a model makes of a text: numbers, numbers of each token, or either as base64 of little-endian float32."""

    index: int
    object: Literal["pooling"]
    data: list[float] | list[list[float]] | str


class VllmPoolingAnswer(Listed):
    """What ``/pooling`` sends."""

    data: list[VllmPooled]


@router.post("/classify", response_model=VllmClassifyAnswer)
async def classify(body: ClassifyBody, here: Here) -> Response:
    """Return the best label of each text, and the probabilities of all in the order of the model's labels."""
    model = here.models.find(body.model, "classify", "few-shot")
    names = model.pipeline.labels
    rows = []
    for index, probs in enumerate(await _probabilities(here, model, body.input)):
        best = names[int(np.argmax(probs))]
        rows.append({"index": index, "label": best, "probs": probs, "num_classes": len(names)})
    return Json(_listed(here, "classify", model, rows))


async def _probabilities(here: Context, model: ServedModel, inputs: Any) -> list[list[float]]:
    task, pipeline = model.asked("classify", "few-shot")
    answers = await here.answer(model, task, [record(text) for text in await here.texts(model, inputs)])
    found = [{row["label"]: row["score"] for row in labels_of(answer)} for answer in answers]
    return [[scores[name] for name in pipeline.labels or scores] for scores in found]


async def score(body: ScoreBody, here: Here) -> Response:
    """Return how well documents answer queries: each its own, or all the one."""
    model = here.models.find(body.model, "rerank", "embed")
    queries, documents = _listed_texts(body.queries), _listed_texts(body.documents)
    if not queries or not documents:
        raise NothingAskedError("`queries` and `documents` cannot be empty")
    if len(queries) not in (1, len(documents)):
        raise DataError(f"{len(queries)} queries do not go with {len(documents)} documents", hint="One, or as many.")
    check_count(here, model, documents)
    scores = await scored(here, model, queries * (len(documents) // len(queries)), documents)
    rows = [{"index": i, "object": "score", "score": one} for i, one in enumerate(scores)]
    return Json(_listed(here, "score", model, rows))


for _path in ("/score", "/v1/score"):
    router.add_api_route(
        _path, score, methods=["POST"], response_model=VllmScoreAnswer, include_in_schema=_path == "/score"
    )


async def scored(here: Context, model: ServedModel, queries: Sequence[str], documents: Sequence[str]) -> list[float]:
    """Return how well each document answers its query, 0 to 1; of a model for vectors the cosine; texts are clean already."""
    task, _ = model.asked("rerank", "embed")
    if task == "rerank":
        answers = await here.answer(model, task, [Record(*pair) for pair in zip(queries, documents, strict=True)])
        return [answer.score for answer in answers if isinstance(answer, Relevance)]
    texts = list(dict.fromkeys((*queries, *documents)))
    place = {text: i for i, text in enumerate(texts)}
    found = await vectors(here, model, texts)
    return [float(found[place[q]] @ found[place[d]]) for q, d in zip(queries, documents, strict=True)]


def _listed_texts(given: OneOrMany) -> list[str]:
    return [clean(text) for text in ([given] if isinstance(given, str) else given)]


@router.post("/pooling", response_model=VllmPoolingAnswer)
async def pooling(body: PoolingBody, here: Here) -> Response:
    """Return what the model makes of each text before anything is decided: a vector, one for each token, or probabilities."""
    if body.task == "token_classify":
        raise UsageError("the probabilities of single tokens are not kept", hint="Ask /token-classification.")
    wanted = ("classify", "few-shot", "embed") if body.task is None else (body.task.removeprefix("token_"),)
    model = here.models.find(body.model, *wanted)
    kind = body.task or ("classify" if model.own in ("classify", "few-shot") else "embed")
    found: Sequence[Any]
    if kind == "classify":
        found = [np.asarray(row) for row in await _probabilities(here, model, body.input)]
    elif kind == "embed":
        found = list(await vectors(here, model, body.input, size=body.dimensions))
    else:
        model.asked("embed")
        found = await here.states(model, await here.texts(model, body.input))
    rows = [{"index": i, "object": "pooling", "data": formed(row, body.encoding_format)} for i, row in enumerate(found)]
    return Json(_listed(here, "pool", model, rows))


def _listed(here: Context, kind: str, model: ServedModel, rows: list[dict[str, Any]]) -> dict[str, Any]:
    counts = {**usage(here), "completion_tokens": 0, "prompt_tokens_details": None}
    number = f"{kind}-{uuid.uuid4().hex}"
    return {
        "id": number,
        "object": "list",
        "created": int(time.time()),
        "model": model.name,
        "data": rows,
        "usage": counts,
    }
