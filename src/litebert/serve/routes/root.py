"""Text Embeddings Inference's nameless route, ``POST /``, and SageMaker's name for it: what is asked tells what is meant.

It is what ``InferenceClient("http://host:port")`` posts to, whichever of its methods is called. The answers are Text Embeddings
Inference's; those of the Hub, where they differ, are at ``/models/...`` and ``/{task}``.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError

from litebert.serve.context import Here
from litebert.serve.routes import shared, tei
from litebert.serve.routes.tei_answers import Predictions, RankedText

router = APIRouter(tags=["Text Embeddings Inference"])


async def answer(body: dict[str, Any], here: Here) -> Response:
    """Rerank what has a query, compare what has a source, else do what the model is for: labels, or vectors."""
    inputs, name = body.get("inputs"), body.get("model")
    try:
        if "query" in body:
            return await shared.rerank(shared.RerankBody.model_validate(body), here)
        if isinstance(inputs, dict):
            return await tei.similarity(tei.SimilarityBody.model_validate(body), here)
        if here.models.find(name if isinstance(name, str) else None).own in ("classify", "few-shot"):
            return await tei.predict(tei.PredictBody.model_validate(body), here)
        return await tei.embed(tei.EmbedBody.model_validate(body), here)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


_BODIES = [
    {"$ref": f"#/components/schemas/{one.__name__}"}
    for one in (shared.RerankBody, tei.SimilarityBody, tei.PredictBody, tei.EmbedBody)
]
for _path in ("/", "/invocations"):
    router.add_api_route(
        _path, answer, methods=["POST"], include_in_schema=_path == "/",
        response_model=list[float] | list[list[float]] | Predictions | list[RankedText] | shared.RankedDocuments,
        openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"anyOf": _BODIES}}}}},
    )  # fmt: skip
