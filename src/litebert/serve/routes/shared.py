"""Paths that several protocols have: ``/rerank`` and ``/tokenize``, told apart by the fields of the body.

``/rerank`` with ``texts`` is Text Embeddings Inference's and answers an array; with ``documents`` it is Cohere's and its followers' and
answers an object. ``/tokenize`` with ``inputs`` is the former's, with ``prompt`` vLLM's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from litebert.errors import DataError
from litebert.serve.answers import Json, clean
from litebert.serve.context import Context, Here
from litebert.serve.engine import NothingAskedError
from litebert.serve.models import ServedModel
from litebert.serve.routes.native_answers import Sent
from litebert.serve.routes.native_bodies import MOST_ENTRIES, Texts
from litebert.serve.routes.tei import Body, CutBody, check_count, raw_score, vectors
from litebert.serve.routes.tei_answers import RankedText, Token
from litebert.serve.texts import window_cut
from litebert.tasks.reading.records import Record
from litebert.tasks.rerank.task import Relevance
from litebert.text import Encoding

router = APIRouter(tags=["shared"])

Document = str | dict[str, Any]
Documents = Annotated[list[Document], Field(max_length=MOST_ENTRIES, fail_fast=True)]


class RerankBody(CutBody):
    """What ``/rerank`` takes: ``texts`` or ``documents``."""

    query: str
    texts: Texts | None = None
    documents: Documents | None = None
    model: str | None = None
    return_text: bool = False
    return_documents: bool = False
    raw_scores: bool = False
    top_n: Annotated[int, Field(ge=0)] | None = None


class TokenizeBody(Body):
    """What ``/tokenize`` takes: ``inputs`` or ``prompt``."""

    inputs: str | Texts | None = None
    prompt: str | Texts | None = None
    add_special_tokens: bool = True
    model: str | None = None


class DocumentText(Sent):
    """A document as it was read."""

    text: str


class RankedDocument(Sent):
    """A document that answers a query."""

    index: int
    relevance_score: float
    document: DocumentText | None = None


class TotalTokens(Sent):
    """Tokens that were read."""

    total_tokens: int


class RankedDocuments(Sent):
    """What ``/rerank`` sends for ``documents``: Jina's fields."""

    model: str
    results: list[RankedDocument]
    usage: TotalTokens


class VllmTokens(Sent):
    """What ``/tokenize`` sends for ``prompt``."""

    count: int
    max_model_len: int
    tokens: list[int]


@router.post("/rerank", response_model=list[RankedText] | RankedDocuments)
async def rerank(body: RerankBody, here: Here) -> Response:
    """Return texts by how well they answer a query, the best first."""
    if (body.texts is None) == (body.documents is None):
        raise DataError("name either `texts` (as Text Embeddings Inference has it) or `documents` (as Cohere has it)")
    if body.texts is None:
        assert body.documents is not None
        return Json(
            await reranked(here, body.query, body.documents, body.model, body.top_n, body.return_documents, how=body)
        )
    scores = await relevances(here, here.models.find(body.model, "rerank", "embed"), body.query, body.texts, body)
    rows: list[dict[str, Any]] = []
    for index in best_first(scores):
        score = raw_score(scores[index]) if body.raw_scores else scores[index]
        text = {"text": body.texts[index]} if body.return_text else {}
        rows.append({"index": index, **text, "score": score})
    return Json(rows)


async def reranked(
    here: Context, query: str, documents: Sequence[Document], model: str | None, most: int | None, with_documents: bool,
    *, strict: bool = False, how: CutBody | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the answer of Cohere's and Jina's protocols.

    Args:
        here: Of the request.
        query: What is asked.
        documents: Texts, or objects with ``text``.
        model: As the client names it.
        most: Results; None for all.
        with_documents: Put the texts beside the scores.
        strict: Refuse a model that is not served.
        how: Whether what is too long is cut.
    """
    found = here.models.find(model, "rerank", "embed", strict=strict)
    check_count(here, found, documents)
    texts = [document_text(document) for document in documents]
    scores = await relevances(here, found, query, texts, how)
    results = [
        {"index": i, "relevance_score": scores[i], **({"document": {"text": texts[i]}} if with_documents else {})}
        for i in best_first(scores)[: len(scores) if most is None else most]
    ]
    return {"model": found.name, "results": results, "usage": {"total_tokens": here.asked.tokens}}


def document_text(document: Document) -> str:
    """Return the text of a document.

    Raises:
        DataError: It is an object without ``text``.
    """
    text = document if isinstance(document, str) else document.get("text")
    if not isinstance(text, str):
        raise DataError("a document must be a text, or an object with `text`")
    return clean(text)


async def relevances(
    here: Context, model: ServedModel, query: str, texts: Sequence[str], how: CutBody | None = None
) -> list[float]:
    """Return how well each text answers a query, 0 to 1: by a cross-encoder, or by vectors where the model makes those.

    Args:
        here: Of the request.
        model: Of either kind.
        query: What is asked.
        texts: That may answer it.
        how: Whether what is longer than the window, query and text together for a cross-encoder, is cut; None: it is read in windows.
    """
    if not texts:
        raise NothingAskedError("`texts` cannot be empty")
    task, _ = model.asked("rerank", "embed")
    check_count(here, model, texts)
    cut = None if how is None else window_cut(model, how.truncate, how.truncation_direction)
    if task == "embed":
        found = await vectors(here, model, [query, *texts], cut)
        return [float(value) for value in ((found[1:] @ found[0]).clip(-1, 1) + 1) / 2]
    pairs = await here.pairs(model, [(query, text) for text in texts], cut)
    answers = await here.answer(model, task, [Record(*pair) for pair in pairs])
    return [answer.score for answer in answers if isinstance(answer, Relevance)]


def best_first(scores: Sequence[float]) -> list[int]:
    """Return places by falling score; equal ones keep their order."""
    return sorted(range(len(scores)), key=lambda i: -scores[i])


@router.post("/tokenize", response_model=list[list[Token]] | VllmTokens)
async def tokenize(body: TokenizeBody, here: Here) -> Response:
    """Return the pieces of texts."""
    model = here.models.find(body.model)
    if (body.inputs is None) == (body.prompt is None):
        raise DataError("name either `inputs` (as Text Embeddings Inference has it) or `prompt` (as vLLM has it)")
    given = body.inputs if body.inputs is not None else body.prompt
    encodings = await here.encodings(model, [given] if isinstance(given, str) else given or [])
    if body.prompt is not None:
        ids = [i for one in encodings for i in one.ids]
        return Json({"count": len(ids), "max_model_len": model.max_length, "tokens": ids})
    rows = [[piece for piece in _pieces(one) if body.add_special_tokens or not piece["special"]] for one in encodings]
    return Json(rows)


def _pieces(encoding: Encoding) -> Iterator[dict[str, Any]]:
    rows = zip(encoding.ids, encoding.pieces, encoding.offsets, encoding.sequence_ids, strict=True)
    for index, piece, (start, stop), owner in rows:
        place = {"start": None, "stop": None} if owner is None else {"start": start, "stop": stop}
        yield {"id": index, "text": piece, "special": owner is None, **place}
