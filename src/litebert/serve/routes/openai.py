"""OpenAI's embeddings and list of models; also under ``/openai``, where KServe has them.

Vectors are base64 of little-endian float32 where the client asks for it, as OpenAI's own always does. Token ids are taken for those of
the model's own vocabulary: ids beyond it are another tokenizer's, and refused (``texts.py``).
"""

from __future__ import annotations

import base64
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response

from litebert.errors import DataError
from litebert.serve.answers import Json
from litebert.serve.context import Context, Here
from litebert.serve.models import ServedModel
from litebert.serve.routes.native_answers import Sent
from litebert.serve.routes.tei import Body, Inputs, Size, vectors

router = APIRouter(tags=["OpenAI"])


class EmbeddingsBody(Body):
    """What ``/v1/embeddings`` takes."""

    input: Inputs
    model: str | None = None
    dimensions: Size | None = None
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None


class OpenAIUsage(Sent):
    """Tokens that were computed."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingRow(Sent):
    """The vector of one input: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsAnswer(Sent):
    """What ``/v1/embeddings`` sends."""

    object: Literal["list"]
    data: list[EmbeddingRow]
    model: str
    usage: OpenAIUsage


class ModelRow(Sent):
    """A model that is served, with what we tell beside OpenAI's fields."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int
    tasks: list[str]


class ModelsAnswer(Sent):
    """What ``/v1/models`` sends."""

    object: Literal["list"]
    data: list[ModelRow]


async def embeddings(body: EmbeddingsBody, here: Here) -> Response:
    """Return the vector of each input."""
    return Json(await embedded(here, body.input, body.model, body.dimensions, body.encoding_format))


async def embedded(here: Context, inputs: Any, name: str | None, size: int | None, form: str) -> dict[str, Any]:
    """Return the answer of ``/v1/embeddings``.

    Args:
        here: Of the request.
        inputs: A text or token ids, or a list of either.
        name: Of the model, as the client says it.
        size: Numbers of a vector; None for all.
        form: ``float`` or ``base64``.

    Raises:
        DataError: A text is empty.
    """
    if inputs == "" or (isinstance(inputs, list) and any(one in ("", []) for one in inputs)):
        raise DataError("`input` cannot be an empty string", hint="Leave it out.")
    model = here.models.find(name, "embed")
    found = await vectors(here, model, inputs, size=size)
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": i, "embedding": formed(row, form)} for i, row in enumerate(found)],
        "model": model.name,
        "usage": usage(here),
    }


def formed(vector: np.ndarray, form: str) -> np.ndarray | str:
    """Return a vector as numbers, or as base64 of little-endian float32."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii") if form == "base64" else vector


def usage(here: Context) -> dict[str, int]:
    """Return the tokens of a request."""
    return {"prompt_tokens": here.asked.tokens, "total_tokens": here.asked.tokens}


async def models(here: Here) -> Response:
    """Return what is served."""
    return Json({"object": "list", "data": [_row(model) for model in here.models.values()]})


async def one_model(name: str, here: Here) -> Response:
    """Return one of the models that are served."""
    return Json(_row(here.models.find(name, strict=True)))


def _row(model: ServedModel) -> dict[str, Any]:
    own = {"max_model_len": model.max_length, "tasks": list(model.tasks)}
    return {"id": model.name, "object": "model", "created": 0, "owned_by": "litebert", **own}


for _path in ("/v1/embeddings", "/embeddings", "/openai/v1/embeddings"):
    _shown = _path == "/v1/embeddings"
    router.add_api_route(_path, embeddings, methods=["POST"], response_model=EmbeddingsAnswer, include_in_schema=_shown)
for _path in ("/v1/models", "/openai/v1/models"):
    _shown = _path == "/v1/models"
    router.add_api_route(_path, models, methods=["GET"], response_model=ModelsAnswer, include_in_schema=_shown)
    router.add_api_route(
        _path + "/{name:path}", one_model, methods=["GET"], response_model=ModelRow, include_in_schema=_shown
    )
