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
from litebert.serve.answers import Json
from litebert.serve.context import Context, Here
from litebert.serve.models import ServedModel
from litebert.serve.routes.native_answers import Sent
from litebert.serve.routes.native_bodies import Texts
from litebert.serve.routes.openai import formed
from litebert.serve.routes.shared import Document, Documents, RankedDocuments, document_text, reranked
from litebert.serve.routes.tei import Body, Size, check_count, vectors
from litebert.serve.texts import Cut, window_cut
from litebert.tasks.embed.task import quantised

router = APIRouter(tags=["Cohere and Jina"])

Form = Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]
Positive = Annotated[int, Field(ge=1)]


class CohereRerankBody(Body):
    """What version 2 takes."""

    query: str
    documents: Documents
    model: str | None = None
    top_n: Positive | None = None
    max_tokens_per_doc: Positive | None = None


class CohereRerankBodyV1(CohereRerankBody):
    """What version 1, and Jina, take."""

    return_documents: bool = False
    rank_fields: Annotated[list[str], Field(max_length=100)] | None = None
    max_chunks_per_doc: Positive | None = None


class CohereEmbedBody(Body):
    """What ``/v2/embed`` takes."""

    texts: Texts
    model: str | None = None
    input_type: str | None = None
    embedding_types: Annotated[list[Form], Field(max_length=100, fail_fast=True)] | None = None
    output_dimension: Size | None = None
    max_tokens: Positive | None = None
    truncate: Literal["NONE", "START", "END"] | None = None
    images: list[Any] | None = None


class ApiVersion(Sent):
    """Of Cohere's protocol."""

    version: Literal["1", "2"]


class BilledSearch(Sent):
    """Cohere's count of searches."""

    search_units: int


class BilledTokens(Sent):
    """Cohere's count of tokens."""

    input_tokens: int


class SearchMeta(Sent):
    """What Cohere tells beside the results."""

    api_version: ApiVersion
    billed_units: BilledSearch


class EmbedMeta(Sent):
    """What Cohere tells beside the vectors."""

    api_version: ApiVersion
    billed_units: BilledTokens


class CohereRerankAnswer(RankedDocuments):
    """What ``/v1/rerank`` and ``/v2/rerank`` send."""

    id: str
    meta: SearchMeta


class CohereVectors(Sent):
    """Vectors in each of the types asked for."""

    floats: list[list[float]] | None = Field(default=None, alias="float")
    int8: list[list[int]] | None = None
    uint8: list[list[int]] | None = None
    binary: list[list[int]] | None = None
    ubinary: list[list[int]] | None = None
    base64: list[str] | None = None


class CohereEmbedAnswer(Sent):
    """What ``/v2/embed`` sends."""

    response_type: Literal["embeddings_by_type"]
    id: str
    texts: list[str]
    embeddings: CohereVectors
    meta: EmbedMeta


# --- Rerank ---------------------------------------------------------------------------------------------------------------


@router.post("/v2/rerank", response_model=CohereRerankAnswer)
async def rerank_v2(body: CohereRerankBody, here: Here) -> Response:
    """Return documents by how well they answer a query, the best first."""
    return Json(await _reranked(here, body, body.documents, "2"))


async def rerank_v1(body: CohereRerankBodyV1, here: Here) -> Response:
    """Return documents by how well they answer a query, the best first."""
    documents = body.documents
    if body.rank_fields is not None:
        names = list(dict.fromkeys(body.rank_fields))
        documents = [_fields(document, names) for document in documents]
    return Json(await _reranked(here, body, documents, "1", body.return_documents))


for _path in ("/v1/rerank", "/openai/v1/rerank"):
    router.add_api_route(
        _path, rerank_v1, methods=["POST"], response_model=CohereRerankAnswer, include_in_schema=_path == "/v1/rerank"
    )


async def _reranked(
    here: Context, body: CohereRerankBody, documents: Sequence[Document], version: str, with_documents: bool = False
) -> dict[str, Any]:
    if body.max_tokens_per_doc is not None:
        model = here.models.find(body.model, "rerank", "embed")
        check_count(here, model, documents)
        documents = await here.texts(model, [document_text(one) for one in documents], Cut(body.max_tokens_per_doc))
    found = await reranked(here, body.query, documents, body.model, body.top_n, with_documents)
    return {"id": _number(), **found, "meta": _meta(version, {"search_units": 1})}


def _fields(document: Document, names: Sequence[str]) -> Document:
    """Return the fields of a document that count, each with its name, as Cohere reads them."""
    if isinstance(document, str):
        return document
    if not any(name in document for name in names):
        raise DataError(f"a document has none of the fields {', '.join(names)}", hint="`rank_fields` names them.")
    return "\n".join(f"{name}: {document[name]}" for name in names if name in document)


# --- Embed ----------------------------------------------------------------------------------------------------------------


@router.post("/v2/embed", response_model=CohereEmbedAnswer)
async def embed(body: CohereEmbedBody, here: Here) -> Response:
    """Return the vectors of texts in each of the types asked for."""
    if body.images:
        raise DataError("`images` cannot be embedded", hint="The models here read texts.")
    model = here.models.find(body.model, "embed")
    found = await vectors(here, model, body.texts, _cut(model, body), size=body.output_dimension)
    forms: list[Form] = body.embedding_types or ["float"]
    return Json({
        "response_type": "embeddings_by_type", "id": _number(), "texts": body.texts,
        "embeddings": {form: _FORMS[form](found) for form in forms},
        "meta": _meta("2", {"input_tokens": here.asked.tokens}),
    })  # fmt: skip


def _cut(model: ServedModel, body: CohereEmbedBody) -> Cut | None:
    """Return how long texts may be: what ``max_tokens`` and the window allow, the former alone where only it was said."""
    if body.truncate == "NONE":
        return window_cut(model, truncate=False)
    left, most = body.truncate == "START", body.max_tokens
    if body.truncate is None:
        return None if most is None else Cut(most)
    whole = window_cut(model, truncate=True)
    assert whole is not None
    return Cut(whole.most if most is None else min(most, whole.most), left=left)


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
