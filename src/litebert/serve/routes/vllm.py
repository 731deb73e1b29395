"""vLLM's routes for models that do not generate: classify, score, pooling. Paths that others have too are in ``shared.py``."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import AliasChoices, Field

from litebert.errors import DataError, UsageError
from litebert.serve.answers import Json, clean
from litebert.serve.context import Context, Here, record
from litebert.serve.engine import NothingAskedError
from litebert.serve.models import ServedModel
from litebert.serve.routes.openai import formed, usage
from litebert.serve.routes.tei import Body, Input, labels_of, vectors
from litebert.serve.texts import texts_of
from litebert.tasks.rerank.task import Relevance

router = APIRouter(tags=["vLLM"])

Texts = str | list[str]


class ClassifyBody(Body):
    """What ``/classify`` takes."""

    input: Input | list[Input]
    model: str | None = None


class ScoreBody(Body):
    """What ``/score`` takes; earlier versions called the two lists otherwise."""

    queries: Texts = Field(validation_alias=AliasChoices("queries", "text_1", "data_1"))
    documents: Texts = Field(validation_alias=AliasChoices("documents", "text_2", "data_2"))
    model: str | None = None


class PoolingBody(Body):
    """What ``/pooling`` takes."""

    input: Input | list[Input]
    model: str | None = None
    task: Literal["embed", "token_embed", "classify", "token_classify"] | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None


@router.post("/classify")
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
    answers = await here.answer(model, task, [record(text) for text in texts_of(model, inputs)])
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
    scores = await scored(here, model, queries * (len(documents) // len(queries)), documents)
    rows = [{"index": i, "object": "score", "score": one} for i, one in enumerate(scores)]
    return Json(_listed(here, "score", model, rows))


for _path in ("/score", "/v1/score"):
    router.add_api_route(_path, score, methods=["POST"], include_in_schema=_path == "/score")


async def scored(here: Context, model: ServedModel, queries: Sequence[str], documents: Sequence[str]) -> list[float]:
    """Return how well each document answers its query, 0 to 1; of a model for vectors the cosine."""
    task, _ = model.asked("rerank", "embed")
    if task == "rerank":
        answers = await here.answer(model, task, [record(*pair) for pair in zip(queries, documents, strict=True)])
        return [answer.score for answer in answers if isinstance(answer, Relevance)]
    texts = list(dict.fromkeys((*queries, *documents)))
    place = {text: i for i, text in enumerate(texts)}
    found = await vectors(here, model, texts)
    return [float(found[place[q]] @ found[place[d]]) for q, d in zip(queries, documents, strict=True)]


def _listed_texts(given: Texts) -> list[str]:
    return [clean(text) for text in ([given] if isinstance(given, str) else given)]


@router.post("/pooling")
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
        found = await here.states(model, texts_of(model, body.input))
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
