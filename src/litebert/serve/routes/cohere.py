"""Cohere's rerank and embed, versions 1 and 2; Jina's rerank, which is the former's with ``usage``.

What a document says beyond the model's window is read in further windows, so ``max_chunks_per_doc`` has no effect; ``input_type`` has
none because the models have no prompts.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from litebert.errors import DataError
from litebert.serve.answers import Json, clean
from litebert.serve.context import Context, Here
from litebert.serve.models import ServedModel
from litebert.serve.routes.openai import formed
from litebert.serve.routes.shared import Document, document_text, reranked
from litebert.serve.routes.tei import Body, vectors
from litebert.tasks.embed.task import quantised

router = APIRouter(tags=["Cohere and Jina"])

Form = Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]
Positive = Annotated[int, Field(ge=1)]


class RerankBody(Body):
    """What version 2 takes."""

    query: str
    documents: list[Document]
    model: str | None = None
    top_n: Positive | None = None
    max_tokens_per_doc: Positive | None = None


class RerankBodyV1(RerankBody):
    """What version 1, and Jina, take."""

    return_documents: bool = False
    rank_fields: list[str] | None = None
    max_chunks_per_doc: Positive | None = None


class EmbedBody(Body):
    """What ``/v2/embed`` takes."""

    texts: list[str]
    model: str | None = None
    input_type: str | None = None
    embedding_types: list[Form] | None = None
    output_dimension: Positive | None = None
    max_tokens: Positive | None = None
    truncate: Literal["NONE", "START", "END"] | None = None
    images: list[Any] | None = None


# --- Rerank ---------------------------------------------------------------------------------------------------------------


@router.post("/v2/rerank")
async def rerank_v2(body: RerankBody, here: Here) -> Response:
    """Return documents by how well they answer a query, the best first."""
    return Json(await _reranked(here, body, body.documents, "2"))


async def rerank_v1(body: RerankBodyV1, here: Here) -> Response:
    """Return documents by how well they answer a query, the best first."""
    documents = body.documents
    if body.rank_fields is not None:
        documents = [_fields(document, body.rank_fields) for document in documents]
    return Json(await _reranked(here, body, documents, "1", body.return_documents))


for _path in ("/v1/rerank", "/openai/v1/rerank"):
    router.add_api_route(_path, rerank_v1, methods=["POST"], include_in_schema=_path == "/v1/rerank")


async def _reranked(
    here: Context, body: RerankBody, documents: Sequence[Document], version: str, with_documents: bool = False
) -> dict[str, Any]:
    if body.max_tokens_per_doc is not None:
        model = here.models.find(body.model, "rerank", "embed")
        documents = shortened(model, [document_text(one) for one in documents], body.max_tokens_per_doc)
    found = await reranked(here, body.query, documents, body.model, body.top_n, with_documents)
    return {"id": _number(), **found, "meta": _meta(version, {"search_units": 1})}


def _fields(document: Document, names: Sequence[str]) -> Document:
    """Return the fields of a document that count, each with its name, as Cohere reads them."""
    if isinstance(document, str):
        return document
    if not any(name in document for name in names):
        raise DataError(f"a document has none of the fields {', '.join(names)}", hint="`rank_fields` names them.")
    return "\n".join(f"{name}: {document[name]}" for name in names if name in document)


def shortened(model: ServedModel, texts: Sequence[str], most: int, *, left: bool = False) -> list[str]:
    """Return texts cut to a number of tokens, special ones not counted.

    Args:
        model: Whose tokens count.
        texts: Any number.
        most: Tokens at most.
        left: Cut the beginning.
    """
    found = []
    for text, encoding in zip(texts, model.tokenizer.encode_batch(list(texts), offsets=True), strict=True):
        places = encoding.offsets[1:-1]
        if len(places) > most:
            text = text[places[-most][0] :] if left else text[: places[most - 1][1]]  # noqa: PLW2901
        found.append(text)
    return found


# --- Embed ----------------------------------------------------------------------------------------------------------------


@router.post("/v2/embed")
async def embed(body: EmbedBody, here: Here) -> Response:
    """Return the vectors of texts in each of the types asked for."""
    if body.images:
        raise DataError("`images` cannot be embedded", hint="The models here read texts.")
    model = here.models.find(body.model, "embed")
    left = body.truncate == "START"
    texts = [clean(text) for text in body.texts]
    if body.max_tokens is not None and body.truncate != "NONE":
        texts = shortened(model, texts, body.max_tokens, left=left)
    cut = None if body.truncate is None else body.truncate != "NONE"
    found = await vectors(here, model, texts, cut, "left" if left else "right", size=body.output_dimension)
    forms: list[Form] = body.embedding_types or ["float"]
    return Json({
        "response_type": "embeddings_by_type", "id": _number(), "texts": body.texts,
        "embeddings": {form: _FORMS[form](found) for form in forms},
        "meta": _meta("2", {"input_tokens": here.asked.tokens}),
    })  # fmt: skip


_FORMS: dict[Form, Callable[[np.ndarray], Any]] = {
    "float": lambda found: found,
    "int8": lambda found: quantised(found, "int8"),
    "uint8": lambda found: (quantised(found, "int8").astype(np.int16) + 128).astype(np.uint8),
    "binary": lambda found: (quantised(found, "binary").astype(np.int16) - 128).astype(np.int8),
    "ubinary": lambda found: quantised(found, "binary"),
    "base64": lambda found: [formed(row, "base64") for row in found],
}
"""Vectors of length 1 in Cohere's types: 127 times the number, that plus 128, and eight signs in a byte, minus 128 or as they are."""


def _meta(version: str, billed: dict[str, int]) -> dict[str, Any]:
    return {"api_version": {"version": version}, "billed_units": billed}


def _number() -> str:
    return str(uuid.uuid4())
