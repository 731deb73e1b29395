"""KServe's inference protocol, version 2, which Triton and others speak: tensors in, tensors out.

Texts come and go as ``BYTES``. Beside JSON, inputs may be Triton's binary extension, which its own client sends unless told otherwise;
answers are JSON, which that client takes, too. What is not a rectangle (entities) is JSON in one string a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from litebert.errors import UsageError, nearest
from litebert.serve.answers import Json
from litebert.serve.context import Context, Here
from litebert.serve.models import ServedModel, UnknownModelError
from litebert.serve.routes.kserve_tensors import LENGTH, OUTPUTS, PARTS, read_body, records_of, tensor_of, values_of
from litebert.serve.routes.native_answers import Sent

router = APIRouter(tags=["KServe"])

VERSION = "1"
"""Of every model."""
_LONGEST = 2**63
"""Microseconds; no server waits as long, and no float holds any number."""


class KServeServer(Sent):
    """What ``/v2`` sends."""

    name: str
    version: str
    extensions: list[str]


class KServeModels(Sent):
    """What ``/v2/models`` sends."""

    models: list[str]


class TensorMeta(Sent):
    """An input or output of a model; -1 in a shape is any number."""

    name: str
    datatype: str
    shape: list[int]


class KServeModel(Sent):
    """What ``/v2/models/{name}`` sends."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMeta]
    outputs: list[TensorMeta]


class KServeReady(Sent):
    """Whether a model may be asked."""

    name: str
    ready: bool


class TensorOut(TensorMeta):
    """One output: numbers or texts, row by row."""

    data: list[float | str]


class InferAnswer(Sent):
    """What ``infer`` sends; ``id`` is there if it was sent."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[TensorOut]


# --- What is there --------------------------------------------------------------------------------------------------------


@router.get("/v2", response_model=KServeServer)
async def server() -> Response:
    """Return what this is."""
    return Json({"name": "litebert", "version": metadata.version("litebert"), "extensions": ["binary_tensor_data"]})


@router.get("/v2/models", response_model=KServeModels)
async def models(here: Here) -> Response:
    """Return the names of the models."""
    return Json({"models": list(here.models)})


async def tensors(name: str, here: Here, version: str = VERSION) -> Response:
    """Return the inputs and outputs of a model."""
    model = _found(here, name, version)
    inputs = [{"name": part, "datatype": "BYTES", "shape": [-1]} for part in PARTS[model.own]]
    outputs = [{"name": part, "datatype": kind, "shape": [-1, *rest]} for part, kind, rest in OUTPUTS[model.own]]
    row = {"name": model.name, "versions": [VERSION], "platform": "litebert", "inputs": inputs, "outputs": outputs}
    return Json(row)


async def ready(name: str, here: Here, version: str = VERSION) -> Response:
    """Tell whether a model may be asked."""
    model = _found(here, name, version)
    well = here.engine.worker.alive() and not here.engine.draining
    return Json({"name": model.name, "ready": well}, status_code=200 if well else 503)


def _found(here: Context, name: str, version: str) -> ServedModel:
    model = here.models.find(name, strict=True)
    if version != VERSION:
        raise UnknownModelError(f"{name} has no version {version!r}", hint=f"It has {VERSION}.")
    return model


# --- Inference ------------------------------------------------------------------------------------------------------------


async def infer(name: str, request: Request, here: Here, version: str = VERSION) -> Response:
    """Answer texts by the task of the model, or the one that the parameter ``task`` names."""
    model = _found(here, name, version)
    body, columns = read_body(await request.body(), request.headers.get(LENGTH))
    given = dict(body.parameters or {})
    _hurry(here, given.get("timeout"))
    task, _ = model.asked(str(given.get("task", model.own)))
    outputs = {one["name"]: one for one in await _outputs(here, model, task, columns, given)}
    wanted = list(dict.fromkeys(one.name for one in body.outputs)) if body.outputs else list(outputs)
    for one in wanted:
        if one not in outputs:
            raise UsageError(f"there is no output {one!r}", hint=nearest(one, outputs))
    number = {} if body.id is None else {"id": body.id}
    return Json({
        "model_name": model.name, "model_version": VERSION, **number, "outputs": [outputs[one] for one in wanted],
    })  # fmt: skip


def _hurry(here: Context, timeout: Any) -> None:
    """Keep to the microseconds that a client waits."""
    if isinstance(timeout, int) and 0 < timeout < _LONGEST:
        here.asked.timeout = min(here.asked.timeout, timeout / 1e6)


async def _outputs(
    here: Context, model: ServedModel, task: str, columns: Mapping[str, list[str]], given: Mapping[str, Any]
) -> list[dict[str, Any]]:
    options: dict[str, Any] = {}
    names: Sequence[str] = model.pipelines[task].labels
    if task == "zero-shot-classification":
        names = list(dict.fromkeys(columns.get("candidate_labels", ())))
        options = {"labels": list(names)}
    if task == "fill-mask" and "top_k" in given:
        options = {"top_k": given["top_k"]}
    answers = await here.answer(model, task, records_of(task, columns), **options)
    rows = [values_of(task, answer, names) for answer in answers]
    return [tensor_of(column, [row[column[0]] for row in rows]) for column in OUTPUTS[task]]


_NAMED: dict[str, Any] = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
_SENT: dict[str, Any] = {
    "type": "object", "required": ["inputs"],
    "properties": {
        "id": {"type": ["string", "null"]}, "parameters": {"type": ["object", "null"]},
        "outputs": {"type": ["array", "null"], "items": _NAMED},
        "inputs": {
            "type": "array",
            "items": {
                "type": "object", "required": ["name", "shape", "datatype", "data"],
                "properties": {
                    "name": {"type": "string"}, "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                    "datatype": {"type": "string", "const": "BYTES"}, "data": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
}  # fmt: skip
"""The body of ``infer`` for the OpenAPI document, which cannot see it because of the binary extension."""
for _prefix in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
    router.add_api_route(_prefix, tensors, methods=["GET"], response_model=KServeModel)
    router.add_api_route(
        f"{_prefix}/ready", ready, methods=["GET"], response_model=KServeReady, responses={503: {"model": KServeReady}}
    )
    router.add_api_route(
        f"{_prefix}/infer", infer, methods=["POST"], response_model=InferAnswer,
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _SENT}}}},
    )  # fmt: skip
