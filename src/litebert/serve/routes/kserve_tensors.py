"""Tensors of KServe's protocol: the texts in those that come, and those that go with a task's answers."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, ValidationError

from litebert.errors import DataError, UsageError
from litebert.serve.answers import clean
from litebert.serve.routes.tei import Body, labels_of
from litebert.tasks.base import Answer
from litebert.tasks.choice.task import Choice
from litebert.tasks.embed.task import Embedding
from litebert.tasks.fill_mask.task import Filling, Fillings
from litebert.tasks.reading.records import Record

LENGTH = "inference-header-content-length"
"""Header that says how long the JSON before binary tensors is."""


class TensorIn(Body):
    """One input."""

    name: str
    shape: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(max_length=32)]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class TensorWanted(Body):
    """One output that is asked for."""

    name: str


class InferBody(Body):
    """What ``infer`` takes."""

    inputs: Annotated[list[TensorIn], Field(fail_fast=True)]
    outputs: Annotated[list[TensorWanted], Field(fail_fast=True)] | None = None
    id: str | None = None
    parameters: dict[str, Any] | None = None


def read_body(content: bytes, length: str | None) -> tuple[InferBody, dict[str, list[str]]]:
    """Return the body, and the texts of each input."""
    size = len(content)
    if length is not None:
        if not length.isdecimal() or int(length[:19]) > size:
            raise DataError(f"{LENGTH} is {length[:19]!r}, of a body of {size} bytes")
        size = int(length)
    try:
        body = InferBody.model_validate_json(content[:size])
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")) from None
    rest = memoryview(content)[size:]
    columns: dict[str, list[str]] = {}
    for tensor in body.inputs:
        binary = (tensor.parameters or {}).get("binary_data_size")
        if binary is not None and (not isinstance(binary, int) or not 0 <= binary <= len(rest)):
            raise DataError(f"input {tensor.name!r} has not the {binary} bytes that it names")
        columns[tensor.name] = _strings(tensor, None if binary is None else bytes(rest[:binary]))
        rest = rest[binary or 0 :]
    return body, columns


def _strings(tensor: TensorIn, binary: bytes | None) -> list[str]:
    """Return the texts of an input.

    Raises:
        DataError: It has no texts, or another number than its shape says.
    """
    if tensor.datatype != "BYTES":
        raise DataError(f"input {tensor.name!r} is {tensor.datatype}", hint="Texts are BYTES.")
    found = list(_flat(tensor.data or []) if binary is None else _unpacked(tensor.name, binary))
    if not all(isinstance(one, str) for one in found):
        raise DataError(f"input {tensor.name!r} has data that are no texts")
    if len(found) != math.prod(tensor.shape):
        raise DataError(f"input {tensor.name!r} has {len(found)} elements, its shape {tensor.shape} says otherwise")
    return found


def _flat(data: Sequence[Any]) -> Iterator[Any]:
    waiting = [iter(data)]
    while waiting:
        for one in waiting[-1]:
            if isinstance(one, list):
                waiting.append(iter(one))
                break
            yield one
        else:
            waiting.pop()


def _unpacked(name: str, content: bytes) -> Iterator[str]:
    """Yield texts, each with its length in four bytes before it."""
    at = 0
    while at < len(content):
        length = struct.unpack_from("<I", content, at)[0] if at + 4 <= len(content) else len(content)
        if at + 4 + length > len(content):
            raise DataError(f"input {name!r} ends within a text")
        try:
            yield content[at + 4 : at + 4 + length].decode("utf-8")
        except UnicodeDecodeError:
            raise DataError(f"input {name!r} is not UTF-8") from None
        at += 4 + length


# --- Tensors to records ---------------------------------------------------------------------------------------------------

PARTS: dict[str, tuple[str, ...]] = {
    "embed": ("text",), "fill-mask": ("text",), "ner": ("text",), "summarize": ("text",), "classify": ("text", "text_pair"),
    "few-shot": ("text",), "coherence": ("text", "text_pair"), "qa": ("question", "context"), "rerank": ("query", "text"),
    "choice": ("question", "options", "context"), "zero-shot-classification": ("text", "candidate_labels"),
}  # fmt: skip
"""Inputs of each task; ``text_pair`` and the ``context`` of a choice may be left out."""
_OPTIONAL = {"classify": {"text_pair"}, "coherence": {"text_pair"}, "choice": {"context"}}
_WHOLE = {"candidate_labels", "options"}
"""Inputs that are not one text a record."""


def records_of(task: str, columns: Mapping[str, list[str]]) -> list[Record]:
    """Return the records that the inputs make."""
    parts = PARTS[task]
    if len(columns) == 1 and len(parts) - len(_OPTIONAL.get(task, ())) == 1:
        columns = {parts[0]: next(iter(columns.values()))}  # a text by whatever name
    for name in columns:
        if name not in parts:
            raise UsageError(f"there is no input {name!r}", hint=f"{task} takes {', '.join(parts)}.")
    for name in parts:
        if name not in columns and name not in _OPTIONAL.get(task, ()):
            raise DataError(f"the input {name!r} is missing", hint=f"{task} takes {', '.join(parts)}.")
    count = max(len(texts) for name, texts in columns.items() if name not in _WHOLE)
    rows = {name: _spread(name, texts, count) for name, texts in columns.items() if name not in _WHOLE}
    pairs = rows[parts[-1]] if len(rows) == 2 else [None] * count
    records = [Record(text, pair) for text, pair in zip(rows[parts[0]], pairs, strict=True)]
    if task != "choice":
        return records
    each, over = divmod(len(columns["options"]), max(count, 1))
    if over:
        raise DataError(f"{len(columns['options'])} options do not go with {count} questions", hint="shape [N, K]")
    options = [tuple(columns["options"][i * each : (i + 1) * each]) for i in range(count)]
    return [Record(one.text, one.pair, extra={"options": o}) for one, o in zip(records, options, strict=True)]


def _spread(name: str, texts: list[str], count: int) -> list[str]:
    if len(texts) not in (1, count):
        raise DataError(f"the input {name!r} has {len(texts)} texts, another {count}")
    texts = [clean(text) for text in texts]
    return texts * count if len(texts) == 1 else texts


# --- Answers to tensors ---------------------------------------------------------------------------------------------------

Column = tuple[str, str, list[int]]
_LABELS: list[Column] = [("label", "BYTES", []), ("score", "FP32", []), ("scores", "FP32", [-1])]
OUTPUTS: dict[str, list[Column]] = {
    "embed": [("embedding", "FP32", [-1])],
    "classify": _LABELS, "few-shot": _LABELS, "coherence": _LABELS, "zero-shot-classification": _LABELS,
    "fill-mask": [("token_str", "BYTES", [-1]), ("token", "INT64", [-1]), ("score", "FP32", [-1]), ("sequence", "BYTES", [-1])],
    "ner": [("entities", "BYTES", [])],
    "qa": [("answer", "BYTES", []), ("score", "FP32", []), ("start", "INT64", []), ("end", "INT64", [])],
    "rerank": [("score", "FP32", [])],
    "choice": [("label", "BYTES", []), ("answer", "BYTES", []), ("score", "FP32", []), ("scores", "FP32", [-1])],
    "summarize": [("summary_text", "BYTES", [])],
}  # fmt: skip
"""Outputs of each task: name, type, and what its shape has beside the number of texts."""


def values_of(task: str, answer: Answer, names: Sequence[str]) -> dict[str, Any]:
    """Return what each output has for one answer.

    Args:
        task: Whose answer it is.
        answer: Of one text.
        names: The labels, in the order of their scores.
    """
    return _VALUES[task](answer, names) if task in _VALUES else answer.to_dict()


def _labels(answer: Any, names: Sequence[str]) -> dict[str, Any]:
    found = {row["label"]: row["score"] for row in labels_of(answer)}
    return {"label": answer.label, "score": answer.score, "scores": [found[name] for name in names or found]}


def _fillings(answer: Any, _: Sequence[str]) -> dict[str, Any]:
    if not isinstance(answer, Fillings) or not all(isinstance(one, Filling) for one in answer):
        raise UsageError("a text has several masks", hint="This protocol answers one mask a text: ask /fill-mask.")
    rows = [one.to_dict() for one in answer]
    return {name: [row[name] for row in rows] for name in ("token_str", "token", "score", "sequence")}


def _choice(answer: Any, _: Sequence[str]) -> dict[str, Any]:
    assert isinstance(answer, Choice)
    return {**answer.to_dict(), "scores": [score for _, score in answer.scores]}


def _embedding(answer: Any, _: Sequence[str]) -> dict[str, Any]:
    assert isinstance(answer, Embedding)
    return {"embedding": answer.vector}


_VALUES: dict[str, Callable[[Any, Sequence[str]], dict[str, Any]]] = {
    "embed": _embedding, "classify": _labels, "few-shot": _labels, "coherence": _labels, "zero-shot-classification": _labels,
    "fill-mask": _fillings, "choice": _choice,
    "ner": lambda answer, _: {"entities": json.dumps(answer.to_dict()["entities"], ensure_ascii=False)},
}  # fmt: skip


def tensor_of(column: Column, values: list[Any]) -> dict[str, Any]:
    """Return an output with the values of all texts."""
    name, kind, rest = column
    shape = [len(values), *([len(values[0])] if rest else [])]
    flat: Any = [one for row in values for one in row] if rest else values
    if kind == "FP32":
        flat = np.asarray(flat, dtype=np.float32)
    return {"name": name, "datatype": kind, "shape": shape, "data": flat}
