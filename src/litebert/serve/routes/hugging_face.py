"""What Hugging Face's InferenceClient (Python and JavaScript) sends: ``inputs`` and ``parameters``, to the path of a model or a task.

A list of inputs is answered by a list. Parameters that cannot be kept to are refused. Without effect, because a text is read to its
end whatever its length: ``stride``, ``doc_stride``, ``max_seq_len``, ``max_question_len``, ``truncation``; and, because answers are
parts of the text letter by letter: ``clean_up_tokenization_spaces``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import ValidationError

from litebert.errors import DataError, UsageError, nearest
from litebert.serve.answers import Json, clean
from litebert.serve.context import Context, Here, record
from litebert.serve.models import ServedModel
from litebert.serve.routes import hugging_face_answers as sent
from litebert.serve.routes import hugging_face_bodies as bodies
from litebert.serve.routes.hugging_face_bodies import Parameters, PipelineBody
from litebert.serve.routes.tei import check_as_trained, check_count, label_kind, labels_of, vectors
from litebert.serve.texts import window_cut
from litebert.tasks.base import Answer
from litebert.tasks.ner.task import Entities
from litebert.tasks.qa.task import SpanAnswer
from litebert.tasks.reading.records import Record
from litebert.tasks.summarize.choice import Summarization

router = APIRouter(tags=["Hugging Face"])


P = TypeVar("P", bound=Parameters)


# --- Paths ----------------------------------------------------------------------------------------------------------------


async def of_model(name: str, body: PipelineBody, here: Here) -> Response:
    """Answer by a model: what it was trained for, unless the inputs are plainly another task's."""
    model = here.models.find(name, strict=True)
    return await _answered(here, model, _meant(model, body), body)


async def of_model_and_task(name: str, task: str, body: PipelineBody, here: Here) -> Response:
    """Answer a task by a model."""
    return await _answered(here, here.models.find(name, strict=True), task, body)


async def of_task(task: str, body: PipelineBody, here: Here) -> Response:
    """Answer a task by the first model that does."""
    known = _known(task)
    own = {"zero-shot-classification": ("embed",), "text-classification": ("classify", "few-shot")}
    model = here.models.find(body.model, *own.get(known, ()), _TASKS[known])
    return await _answered(here, model, known, body)


async def _answered(here: Context, model: ServedModel, task: str, body: PipelineBody) -> Response:
    return Json(await _ANSWERS[_known(task)](here, model, body))


def _known(task: str) -> str:
    found = _OTHER_NAMES.get(task, task)
    if found not in _TASKS:
        raise UsageError(f"unknown task {task!r}", hint=nearest(task, _TASKS))
    return found


def _meant(model: ServedModel, body: PipelineBody) -> str:
    given = body.inputs[0] if isinstance(body.inputs, list) and body.inputs else body.inputs
    if isinstance(given, Mapping):
        if "source_sentence" in given:
            return "sentence-similarity"
        if "question" in given:
            return "question-answering"
    if "candidate_labels" in (body.parameters or {}):
        return "zero-shot-classification"
    names = {own: task for task, own in _TASKS.items() if task != "sentence-similarity"} | {
        "few-shot": "text-classification"
    }
    if model.own not in names:
        raise UsageError(
            f"{model.name} is for {model.own}, which is no task of this protocol", hint=f"Ask /{model.own}."
        )
    return names[model.own]


# --- Tasks ----------------------------------------------------------------------------------------------------------------


def _parameters(kind: type[P], body: PipelineBody) -> P:
    """Return checked parameters; those that are null were not given."""
    given = {name: value for name, value in (body.parameters or {}).items() if value is not None}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        said = [f"`parameters.{'.'.join(map(str, one['loc']))}`: {_why(one, kind)}" for one in error.errors()[:5]]
        raise UsageError("; ".join(said)) from None


def _why(problem: Any, kind: type[Parameters]) -> str:
    if problem["type"] == "extra_forbidden":
        return f"cannot be kept to here; known are {', '.join(kind.model_fields)}"
    return str(problem["msg"])


def _texts(inputs: Any) -> tuple[bool, list[str]]:
    """Return whether one text is asked about, and the texts."""
    single = isinstance(inputs, str)
    texts = [inputs] if single else inputs
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError("`inputs` must be a text, or a list of texts")
    return single, texts


async def _each(here: Context, model: ServedModel, task: str, inputs: Any, **options: Any) -> tuple[bool, list[Answer]]:
    model.asked(task)
    single, texts = _texts(inputs)
    check_count(here, model, texts)
    return single, await here.answer(model, task, [record(text) for text in texts], **options)


def _one_or_all(single: bool, rows: Sequence[Any]) -> Any:
    return rows[0] if single else rows


async def _fill_mask(here: Context, model: ServedModel, body: PipelineBody) -> Any:
    given = _parameters(bodies.FillMask, body)
    options: dict[str, Any] = {"top_k": given.top_k}
    if given.targets is not None:
        options["targets"] = [clean(target) for target in given.targets]
    single, answers = await _each(here, model, "fill-mask", body.inputs, **options)
    return _one_or_all(single, [_plain(answer) for answer in answers])


def _plain(filling: Any) -> Any:
    return [_plain(one) for one in filling] if isinstance(filling, list) else filling.to_dict()


async def _text_classification(here: Context, model: ServedModel, body: PipelineBody) -> Any:
    given = _parameters(bodies.TextClassification, body)
    task, _ = model.asked("classify", "few-shot")
    applied = {"single": "softmax", "multi": "sigmoid"}.get(label_kind(model), "none")
    if given.function_to_apply not in (None, applied):
        raise UsageError(f"`function_to_apply` of {model.name} cannot be {given.function_to_apply}", hint=f"{applied}.")
    listed = body.inputs if isinstance(body.inputs, list) else [body.inputs]
    check_count(here, model, listed)
    answers = await here.answer(model, task, [_pair(one) for one in listed])
    return [labels_of(answer)[: given.top_k] for answer in answers]


def _pair(given: Any) -> Record:
    if isinstance(given, Mapping) and isinstance(given.get("text"), str):
        pair = given.get("text_pair")
        if pair is None or isinstance(pair, str):
            return record(given["text"], pair)
    if isinstance(given, str):
        return record(given)
    raise DataError('`inputs` must be a text, {"text": ..., "text_pair": ...}, or a list of them')


async def _token_classification(here: Context, model: ServedModel, body: PipelineBody) -> Any:
    given = _parameters(bodies.TokenClassification, body)
    grouped, ignored = given.aggregation_strategy != "none", set(given.ignore_labels)
    if grouped and "O" not in ignored:
        raise UsageError(
            "`ignore_labels` must have O where words are put together", hint='Or "aggregation_strategy": "none".'
        )
    single, answers = await _each(here, model, "ner", body.inputs, grouped=grouped)
    rows = []
    for answer in answers:
        assert isinstance(answer, Entities)
        kept = [(n, one) for n, one in enumerate(answer.entities, 1) if one.entity_group not in ignored]
        if grouped:
            rows.append([vars(one) for _, one in kept])
        else:
            rows.append([
                {"entity": e.entity_group, "score": e.score, "index": n, "word": e.word, "start": e.start, "end": e.end}
                for n, e in kept
            ])  # fmt: skip
    return _one_or_all(single, rows)


async def _question_answering(here: Context, model: ServedModel, body: PipelineBody) -> Any:
    given = _parameters(bodies.QuestionAnswering, body)
    model.asked("qa")
    single = not isinstance(body.inputs, list)
    listed = [body.inputs] if single else body.inputs
    check_count(here, model, listed)
    records = [_question(one) for one in listed]
    options: dict[str, int] = {}
    if given.max_answer_len is not None:
        options["longest_answer"] = given.max_answer_len
    if given.top_k is not None and given.top_k > 1:
        options["n_best"] = given.top_k + 1  # one of them may be none
    answers = await here.answer(model, "qa", records, **options)
    rows = [
        _spans(cast(SpanAnswer, answer), one.pair or "", given) for answer, one in zip(answers, records, strict=True)
    ]
    return _one_or_all(single, rows)


def _question(given: Any) -> Record:
    if isinstance(given, Mapping):
        question, passage = given.get("question"), given.get("context")
        if isinstance(question, str) and isinstance(passage, str):
            return record(question, passage)
    raise DataError('`inputs` must be {"question": ..., "context": ...}, or a list of such objects')


def _spans(answer: SpanAnswer, passage: str, given: bodies.QuestionAnswering) -> Any:
    """Return the best answer, or the best ones; none of them empty if the client does not handle that."""
    found = [one for one in answer.answers or (answer,) if one.answer or given.handle_impossible_answer is not False]
    rows = [spelt(one, passage, aligned=bool(given.align_to_words)) for one in found or (answer,)]
    return rows[0] if given.top_k in (None, 1) else rows[: given.top_k]


def spelt(one: SpanAnswer, passage: str, *, aligned: bool) -> dict[str, Any]:
    """Return an answer for JSON, with the whole of its first and last word if it is to be aligned to words."""
    start, end = one.start, one.end
    if aligned and start < end:
        while start > 0 and passage[start - 1].isalnum() and passage[start].isalnum():
            start -= 1
        while end < len(passage) and passage[end - 1].isalnum() and passage[end].isalnum():
            end += 1
    return {"answer": passage[start:end], "score": one.score, "start": start, "end": end}


async def _zero_shot(here: Context, model: ServedModel, body: PipelineBody) -> Any:
    given = _parameters(bodies.ZeroShotClassification, body)
    if given.multi_label:
        raise UsageError(
            "`multi_label` cannot be true", hint="Labels are compared with each other here; their scores sum to 1."
        )
    template = {} if given.hypothesis_template is None else {"template": clean(given.hypothesis_template)}
    labels = given.candidate_labels
    named = [one.strip() for one in labels.split(",") if one.strip()] if isinstance(labels, str) else labels
    options = {"labels": [clean(one) for one in named], **template}
    single, answers = await _each(here, model, "zero-shot-classification", body.inputs, **options)
    return _one_or_all(single, [labels_of(answer) for answer in answers])


async def _summarization(here: Context, model: ServedModel, body: PipelineBody) -> Any:
    given = _parameters(bodies.Summary, body)
    places = (given, given.generate_parameters, given.generate)
    options = {
        name: value
        for place in places if place is not None
        for name in bodies.Length.model_fields if (value := getattr(place, name)) is not None
    }  # fmt: skip
    _, answers = await _each(here, model, "summarize", body.inputs, **options)
    return [{"summary_text": cast(Summarization, answer).summary_text} for answer in answers]


async def _sentence_similarity(here: Context, model: ServedModel, body: PipelineBody) -> Any:
    _parameters(Parameters, body)
    given = body.inputs if isinstance(body.inputs, Mapping) else {}
    source, sentences = given.get("source_sentence"), given.get("sentences")
    if not isinstance(source, str) or not isinstance(sentences, list) or not sentences:
        raise DataError('`inputs` must be {"source_sentence": ..., "sentences": [...]}')
    found = await vectors(here, model, [source, *_texts(sentences)[1]])
    return found[1:] @ found[0]


async def _feature_extraction(here: Context, model: ServedModel, body: PipelineBody) -> Any:
    beside = body.model_dump(include=set(bodies.FeatureExtraction.model_fields), exclude_none=True)
    given = _parameters(
        bodies.FeatureExtraction, body.model_copy(update={"parameters": {**beside, **(body.parameters or {})}})
    )
    check_as_trained(given.normalize, given.prompt_name)
    cut = window_cut(model, given.truncate, given.truncation_direction or "right")
    return await vectors(here, model, _texts(body.inputs)[1], cut, size=given.dimensions)


_ANSWERS: dict[str, Callable[[Context, ServedModel, PipelineBody], Awaitable[Any]]] = {
    "fill-mask": _fill_mask, "text-classification": _text_classification, "token-classification": _token_classification,
    "question-answering": _question_answering, "zero-shot-classification": _zero_shot, "summarization": _summarization,
    "sentence-similarity": _sentence_similarity, "feature-extraction": _feature_extraction,
}  # fmt: skip

_TASKS = {
    "fill-mask": "fill-mask", "text-classification": "classify", "token-classification": "ner", "question-answering": "qa",
    "zero-shot-classification": "zero-shot-classification", "summarization": "summarize", "sentence-similarity": "embed",
    "feature-extraction": "embed",
}  # fmt: skip
"""Names of the protocol's tasks, and ours."""
_OTHER_NAMES = {
    "sentiment-analysis": "text-classification",
    "ner": "token-classification",
    "embed": "feature-extraction",
}


def _short(task: str) -> Callable[..., Awaitable[Response]]:
    async def answer(body: PipelineBody, here: Here) -> Response:
        return await of_task(task, body, here)

    answer.__name__ = task.replace("-", "_")
    answer.__doc__ = f"Answer {task} by the first model that does, or the one that `model` names."
    return answer


for _path, _route in (
    ("/models/{name}/pipeline/{task}", of_model_and_task), ("/models/{name}", of_model), ("/pipeline/{task}", of_task),
):  # fmt: skip
    router.add_api_route(_path, _route, methods=["POST"], response_model=sent.HubAnswer)
for _task in _TASKS:
    router.add_api_route(
        f"/{_task}", _short(_task), methods=["POST"], response_model=sent.ANSWER_OF[_task],
        openapi_extra=bodies.documented(_task),
    )  # fmt: skip
