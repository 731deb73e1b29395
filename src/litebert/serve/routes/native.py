"""Our own routes, below ``/litebert/v1``: every model and task, search, questions with known answers, and reasons.

Bodies are in ``native_bodies.py``, answers in ``native_answers.py``; how a conversation is understood in ``serve/knowledge.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Annotated, Any, TypeVar, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from litebert.errors import DataError, UsageError, nearest
from litebert.inference.explain import EXPLAINED
from litebert.search.index import Index
from litebert.search.rerank import Rerank, reranker
from litebert.serve.answers import Json, clean
from litebert.serve.context import Context, Here
from litebert.serve.engine import LETTERS_A_TOKEN, TooLargeError
from litebert.serve.knowledge import Found, Knowledge, answers, converse
from litebert.serve.models import ServedModel
from litebert.serve.routes import native_answers as sent
from litebert.serve.routes import native_bodies as bodies
from litebert.serve.routes.tei import check_count
from litebert.settings import Settings, build_settings
from litebert.tasks.model_folder import TaskModel
from litebert.tasks.reading.documents import of_sentences
from litebert.tasks.reading.records import Record

router = APIRouter(prefix="/litebert/v1", tags=["LiteBERT"])


_MODES = {"meaning": "dense", "words": "bm25", "both": "hybrid"}
_PASSES = 96
"""Passes over a text that its explanation is expected to take: 32 gradients, each as dear as about three passes."""

_SECONDS = 0.02
"""That a search takes, however short the query."""

T = TypeVar("T")


async def knowledge(request: Request) -> Knowledge:
    """Return what is searched and answered from; a dependency of the routes, and like all of them asked without a further thread."""
    return cast(Knowledge, request.app.state.knowledge)


Known = Annotated[Knowledge, Depends(knowledge)]


# --- What there is --------------------------------------------------------------------------------------------------------


@router.get("/models", response_model=sent.OfferAnswer)
async def models(here: Here, known: Known) -> Response:
    """Return the models with their tasks and options, the indexes, and the limits."""
    settings = here.settings
    return Json({
        "version": version("litebert"), "models": [_model(model) for model in here.models.values()],
        "indexes": [_index(name, index, known.models[name]) for name, index in known.indexes.items()], "faq": known.faq,
        "limits": {"inputs": settings.most_items, "tokens": settings.max_request_tokens, "bytes": settings.most_bytes},
    })  # fmt: skip


def _model(model: ServedModel) -> dict[str, Any]:
    tasks = [
        {
            "task": task, "labels": list(pipeline.labels), "options": dict(options_of(model, task)),
            "explained": task in EXPLAINED and isinstance(pipeline.loaded, TaskModel),
        }
        for task, pipeline in model.pipelines.items()
    ]  # fmt: skip
    return {
        "name": model.name, "reference": model.reference, "task": model.own, "tasks": tasks, "max_length": model.max_length,
        "precision": model.precision, "mask": "[MASK]",
    }  # fmt: skip


def _index(name: str, index: Index, model: str) -> dict[str, Any]:
    documents, passages = index.count()
    fields = {one: list(kinds) for one, kinds in index.fields.items()}
    return {
        "name": name, "kind": index.description.kind, "documents": documents, "passages": passages, "model": model, "fields": fields,
    }  # fmt: skip


_VECTORS: Mapping[str, Any] = {
    "size": {"type": "integer", "minimum": 2, "description": "Numbers of a vector; all, if left out."},
    "number_type": {"enum": ["float32", "int8", "binary"], "default": "float32", "description": "Of the numbers."},
}


def options_of(model: ServedModel, task: str) -> Mapping[str, Any]:
    """Return the JSON Schema of each option that a task of a model takes."""
    if task == "embed":
        return _VECTORS
    kind = _settings_of(model, task)
    return {} if kind is None else cast(Mapping[str, Any], kind.model_json_schema()["properties"])


def _settings_of(model: ServedModel, task: str) -> type[Settings] | None:
    from litebert.tasks.classify.zero_shot_labels import LabelOptions
    from litebert.tasks.coherence.task import CoherenceOptions
    from litebert.tasks.fill_mask.task import FillMaskOptions
    from litebert.tasks.summarize.graph import GraphOptions
    from litebert.tasks.summarize.task import ScorerOptions

    trained = isinstance(model.pipelines[task].loaded, TaskModel)
    classes: dict[str, type[Settings]] = {
        "fill-mask": FillMaskOptions, "coherence": CoherenceOptions, "zero-shot-classification": LabelOptions,
        "summarize": ScorerOptions if trained else GraphOptions,
    }  # fmt: skip
    return classes.get(task)


# --- Models ---------------------------------------------------------------------------------------------------------------


@router.post("/ask", response_model=sent.AskAnswer)
async def ask(body: bodies.AskBody, here: Here) -> Response:
    """Answer inputs with any model and task."""
    model = here.models.find(body.model, *([body.task] if body.task else []))
    task, _ = model.asked(body.task or model.own)
    _check_options(here, model, task, body.options)
    check_count(here, model, body.inputs)
    found = await here.answer(model, task, [record_of(one) for one in body.inputs], **body.options)
    return Json({"model": model.name, "task": task, "answers": [one.to_dict() for one in found], "usage": _usage(here)})


def _check_options(here: Context, model: ServedModel, task: str, options: Mapping[str, Any]) -> None:
    known = options_of(model, task)
    for name, value in options.items():
        if name not in known:
            hint = nearest(name, known) if known else "It takes none."
            raise UsageError(f"{task} takes no option {name!r}", hint=hint)
        if isinstance(value, list | dict) and len(value) > here.settings.most_items:
            raise TooLargeError(f"`{name}` has {len(value)} entries, more than {here.settings.most_items}")
    kind = _settings_of(model, task)
    if kind is not None:
        build_settings(kind, options)


def record_of(given: str | Sequence[str] | bodies.Input) -> Record:
    """Return the record of an input.

    Raises:
        DataError: It has no text, or a part under two names.
    """
    if isinstance(given, str):
        return Record(clean(given))
    if not isinstance(given, bodies.Input):
        return Record(clean(given[0]), pair=clean(given[1]))
    text = _only(given, "text", "question", "query")
    pair = _only(given, "text_pair", "context", "passage")
    if given.sentences is not None:
        if text is not None or pair is not None:
            raise DataError("an input has `sentences` or a text, not both")
        return of_sentences([clean(sentence) for sentence in given.sentences])
    if text is None:
        raise DataError("an input has no text", hint="Name `text`, or `question`, or `query`, or `sentences`.")
    extra = {} if given.options is None else {"options": tuple(clean(option) for option in given.options)}
    return Record(clean(text), pair=None if pair is None else clean(pair), extra=extra)


def _only(given: bodies.Input, *names: str) -> str | None:
    found = [name for name in names if getattr(given, name) is not None]
    if len(found) > 1:
        raise DataError(f"an input has both `{found[0]}` and `{found[1]}`, which mean the same", hint="Leave one out.")
    return cast("str | None", getattr(given, found[0])) if found else None


def _usage(here: Context) -> dict[str, int]:
    return {"inputs": here.asked.items, "tokens": here.asked.tokens}


@router.post("/coherence", response_model=sent.CoherenceAnswer)
async def coherence(body: bodies.CoherenceBody, here: Here) -> Response:
    """Tell whether texts are in order, put sentences in order, or find where a text loses its thread."""
    model = here.models.find(body.model, "coherence")
    model.asked("coherence")
    one = record_of(bodies.Input(text=body.text, text_pair=body.text_pair, sentences=body.sentences))
    options = {name: getattr(body, name) for name in ("mode", "width", "measure", "strictness")}
    (found,) = await here.answer(model, "coherence", [one], **options)
    return Json({"model": model.name, "mode": body.mode, "answer": found.to_dict(), "usage": _usage(here)})


@router.post("/choice", response_model=sent.ChoiceAnswer)
async def choice(body: bodies.ChoiceBody, here: Here) -> Response:
    """Choose the option that answers a question."""
    model = here.models.find(body.model, "choice")
    model.asked("choice")
    one = record_of(bodies.Input(question=body.question, context=body.context, options=body.options))
    (found,) = await here.answer(model, "choice", [one])
    return Json({"model": model.name, "answer": found.to_dict(), "usage": _usage(here)})


@router.post("/explain", response_model=sent.ExplainAnswer)
async def explain(body: bodies.ExplainBody, here: Here) -> Response:
    """Answer one input and tell which of its tokens the answer comes from."""
    model = here.models.find(body.model, *([body.task] if body.task else EXPLAINED))
    task, pipeline = model.asked(*([body.task] if body.task else EXPLAINED))
    one = record_of(body.input)
    here.engine.check(model, [one])
    options = {"label": body.label, "baseline": body.baseline, "steps": body.steps}
    given = one.text if one.pair is None else (one.text, one.pair)

    def compute() -> dict[str, Any]:
        here.asked.tokens = sum(model.tokens_of([one]))
        if here.asked.tokens > here.settings.max_request_tokens // _PASSES:
            most = here.settings.max_request_tokens // _PASSES
            raise TooLargeError(f"a text of {here.asked.tokens} tokens is too long to be explained, beyond {most}")
        return pipeline.explain(given, **options).to_dict()

    answer = await _computed(here, "explain", compute, [one.text, one.pair or ""], (model.name, task), passes=_PASSES)
    return Json({"model": model.name, "task": task, "answer": answer, "usage": _usage(here)})


# --- Indexes --------------------------------------------------------------------------------------------------------------


@router.post("/search", response_model=sent.SearchAnswer)
async def search(body: bodies.SearchBody, here: Here, known: Known) -> Response:
    """Find the passages of an index that answer a query."""
    name, index = known.find(body.index)
    query = clean(body.query)
    second = _second_look(here, body.rerank)
    options: dict[str, Any] = {
        "top": body.top_k, "mode": _MODES[body.mode], "filter": body.filter, "rerank": second, "per_document": body.per_document,
        "dense_weight": body.dense_weight,
    }  # fmt: skip

    def compute() -> list[dict[str, Any]]:
        return [hit.to_dict() for hit in index.search(query, **options)]

    passes = 1 if second is None else 1 + 100
    hits = await _computed(here, "search", compute, [query], (known.models[name], "search"), passes=passes)
    return Json({"index": name, "hits": hits})


def _second_look(here: Context, asked: bool | str) -> Rerank | None:
    if asked is False:
        return None
    model = here.models.find(None if asked is True else asked, "rerank", strict=True)
    return reranker(model.asked("rerank")[1])


@router.post("/faq", response_model=sent.FaqAnswer)
async def faq(body: bodies.FaqBody, here: Here, known: Known) -> Response:
    """Answer a question from questions with known answers, or say that the answer is not known."""
    name, index, _ = known.answers_from(body.index)
    question = clean(body.question)
    (found,) = await _computed(
        here, "faq", lambda: answers(index, [question], body.top_k, body.filter), [question], (known.models[name], "faq")
    )  # fmt: skip
    return Json({"index": name, **_reply(found)})


@router.post("/chat", response_model=sent.ChatAnswer)
async def chat(body: bodies.ChatBody, here: Here, known: Known) -> Response:
    """Answer the last question of a conversation; a follow-up is read with the questions before it, too."""
    name, index, _ = known.answers_from(body.index)
    if body.turns[-1].role != "user":
        raise DataError("the last turn must be the user's")
    questions = [text for turn in body.turns if turn.role == "user" and (text := clean(turn.text)).strip()]
    if not body.turns[-1].text.strip():
        raise DataError("the last turn is empty")
    questions = questions[-3:]
    reading = await _computed(
        here, "chat", lambda: converse(index, questions, body.top_k), questions, (known.models[name], "chat"), passes=3
    )
    return Json({"index": name, **_reply(reading.found), "asked": reading.question, "joined": reading.joined})


def _reply(found: Sequence[Found]) -> dict[str, Any]:
    rows = [
        {
            "answer": one.answer, "confidence": one.confidence, "known": one.known, "question": one.hit.text, "score": one.hit.score,
            "id": one.hit.id, "source": one.hit.source, "start": one.hit.start, "end": one.hit.end, "metadata": one.metadata,
        }
        for one in found
    ]  # fmt: skip
    best = found[0] if found else None
    known = best is not None and best.known
    return {
        "known": known, "answer": best.answer if best is not None and known else None,
        "confidence": best.confidence if best is not None else 0.0, "answers": rows,
    }  # fmt: skip


async def _computed(
    here: Context, name: str, compute: Callable[[], T], texts: Sequence[str], noted: tuple[str, str], *, passes: int = 1
) -> T:
    """Compute one thing in turn with the others, noting what the figures and the log tell of it."""
    letters, most = sum(map(len, texts)), LETTERS_A_TOKEN * here.settings.max_batch_tokens
    if letters > most:
        raise TooLargeError(f"the texts have {letters} characters, more than {most}", hint="Shorten them.")
    asked = here.asked
    asked.model, asked.task = noted
    asked.items, asked.characters = 1, letters
    asked.tokens = sum(len(text) // 4 + 2 for text in texts)
    return await here.engine.call(name, compute, asked.tokens * passes, asked, seconds=_SECONDS)
