"""infinity's routes, under ``/infinity``: bodies as OpenAI's and vLLM's, answers that differ from theirs."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from litebert.serve.answers import Json, clean
from litebert.serve.context import Context, Here, record
from litebert.serve.engine import Engine
from litebert.serve.models import ServedModel
from litebert.serve.routes.native_answers import LabelScore, Sent
from litebert.serve.routes.native_bodies import Texts
from litebert.serve.routes.openai import EmbeddingsAnswer, OpenAIUsage, embedded, usage
from litebert.serve.routes.shared import best_first, relevances
from litebert.serve.routes.tei import Body, check_count, labels_of, raw_labels, raw_score

router = APIRouter(tags=["infinity"], prefix="/infinity")

NO_MODEL = "default/not-specified"
"""What infinity's clients say when no model was named."""


class InfinityEmbeddingsBody(Body):
    """What ``/embeddings`` takes; ``dimensions`` 0 is all of them."""

    input: str | Texts
    model: str | None = None
    dimensions: Annotated[int, Field(ge=0)] | None = None
    encoding_format: Literal["float", "base64"] = "float"
    modality: Literal["text"] = "text"


class InfinityRerankBody(Body):
    """What ``/rerank`` takes."""

    query: str
    documents: Texts
    model: str | None = None
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool = False
    raw_scores: bool = False


class InfinityClassifyBody(Body):
    """What ``/classify`` takes."""

    input: Texts
    model: str | None = None
    raw_scores: bool = False


class InfinityEmbeddingsAnswer(EmbeddingsAnswer):
    """What ``/infinity/embeddings`` sends."""

    id: str
    created: int


class InfinityRanked(Sent):
    """A document that answers a query."""

    index: int
    relevance_score: float
    document: str | None = None


class InfinityEnd(Sent):
    """What infinity's answers end with."""

    id: str
    created: int
    model: str
    usage: OpenAIUsage


class InfinityRerankAnswer(InfinityEnd):
    """What ``/infinity/rerank`` sends."""

    object: Literal["rerank"]
    results: list[InfinityRanked]


class InfinityClassifyAnswer(InfinityEnd):
    """What ``/infinity/classify`` sends."""

    object: Literal["classify"]
    data: list[list[LabelScore]]


class InfinityStats(Sent):
    """How busy the server is."""

    queue_fraction: float
    queue_absolute: int
    results_pending: int
    batch_size: int


class InfinityModel(Sent):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["infinity"]
    backend: str
    capabilities: list[str]
    stats: InfinityStats


class InfinityModelsAnswer(Sent):
    """What ``/infinity/models`` sends."""

    object: Literal["list"]
    data: list[InfinityModel]


class InfinityHealth(Sent):
    """What ``/infinity/health`` sends."""

    unix: float
    """Seconds since 1970."""


@router.post("/embeddings", response_model=InfinityEmbeddingsAnswer)
async def embeddings(body: InfinityEmbeddingsBody, here: Here) -> Response:
    """Return the vector of each text."""
    found = await embedded(here, body.input, _named(body.model), body.dimensions or None, body.encoding_format)
    return Json({**found, **_stamp("embed")})


@router.post("/rerank", response_model=InfinityRerankAnswer)
async def rerank(body: InfinityRerankBody, here: Here) -> Response:
    """Return documents by how well they answer a query, the best first; the documents are bare texts."""
    model = here.models.find(_named(body.model), "rerank", "embed")
    check_count(here, model, body.documents)
    texts = [clean(text) for text in body.documents]
    scores = await relevances(here, model, body.query, texts)
    rows = [
        {
            "index": i, "relevance_score": raw_score(scores[i]) if body.raw_scores else scores[i],
            **({"document": body.documents[i]} if body.return_documents else {}),
        }
        for i in best_first(scores)[: body.top_n]
    ]  # fmt: skip
    return Json({"object": "rerank", "results": rows, **_end(here, model, "rerank")})


@router.post("/classify", response_model=InfinityClassifyAnswer)
async def classify(body: InfinityClassifyBody, here: Here) -> Response:
    """Return all labels of each text with their scores, the highest first."""
    model = here.models.find(_named(body.model), "classify", "few-shot")
    task, _ = model.asked("classify", "few-shot")
    check_count(here, model, body.input)
    answers = await here.answer(model, task, [record(text) for text in body.input])
    rows = [raw_labels(model, answer) if body.raw_scores else labels_of(answer) for answer in answers]
    return Json({"object": "classify", "data": rows, **_end(here, model, "classify")})


@router.get("/models", response_model=InfinityModelsAnswer)
async def models(here: Here) -> Response:
    """Return what is served, and how busy the server is."""
    stats = _stats(here.engine)
    rows = [
        {
            "id": model.name, "object": "model", "created": 0, "owned_by": "infinity", "backend": model.pipeline.settings.backend,
            "capabilities": [_CAPABILITIES[task] for task in model.tasks if task in _CAPABILITIES], "stats": stats,
        }
        for model in here.models.values()
    ]  # fmt: skip
    return Json({"object": "list", "data": rows})


@router.get("/health", response_model=InfinityHealth)
async def health() -> Response:
    """Tell the time; what is well is at ``/livez`` and ``/readyz``."""
    return Json({"unix": time.time()})


_CAPABILITIES = {"embed": "embed", "classify": "classify", "few-shot": "classify", "rerank": "rerank"}


def _stats(engine: Engine) -> dict[str, Any]:
    waiting = engine.line.items
    return {
        "queue_fraction": waiting / engine.settings.max_queue_items, "queue_absolute": waiting, "results_pending": waiting,
        "batch_size": engine.settings.max_batch_tokens,
    }  # fmt: skip


def _named(model: str | None) -> str | None:
    return None if model == NO_MODEL else model


def _end(here: Context, model: ServedModel, kind: str) -> dict[str, Any]:
    return {"model": model.name, "usage": usage(here), **_stamp(kind)}


def _stamp(kind: str) -> dict[str, Any]:
    return {"id": f"{kind}-{uuid.uuid4().hex}", "created": int(time.time())}
