"""What the soak asks: every route of the server that its models can answer, with texts of every length, and requests that are wrong.

Each call knows the route that the server counts it under and the status that it must get.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from http_client import encoded
from traffic import Asked

LEAVERS_ROUTE = "/openai/v1/embeddings"
"""Only those who leave before they are answered ask here, so that the server's count of them stands by itself."""
HALVES_ROUTE = "/openai/v1/rerank"
"""And here only those who leave in the middle of their request."""
UNKNOWN = "other"
"""What the server counts requests under that reach no route."""


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        route: That the server counts it under.
        status: That it must get.
        request: As it goes over the wire.
        share: How often it is asked, relative to the others.
    """

    route: str
    status: int
    request: bytes
    share: float = 1.0


def post(path: str, body: Any, status: int = 200, *, route: str | None = None, share: float = 1.0) -> Call:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Call(route or path, status, encoded(path, data), share)


def get(path: str, status: int = 200, *, route: str | None = None, share: float = 0.2) -> Call:
    return Call(route or path, status, encoded(path, None, method="GET"), share)


def calls(
    models: Mapping[str, Sequence[str]], asked: Sequence[Asked], *, faq: bool, each: int = 20, seed: int = 0
) -> list[Call]:
    """Return all calls, each route several times with other texts.

    Args:
        models: Their tasks by name.
        asked: What texts are taken from.
        faq: Whether questions are answered.
        each: Times that a route is there.
        seed: Of the choice of texts.
    """
    draw = random.Random(seed)
    sentences = [one.texts[0] for one in asked if one.kind != "passage"]
    passages = [one.texts[0] for one in asked if one.kind == "passage"]
    found: list[Call] = []
    for _ in range(each):
        a, b, c = draw.sample(sentences, 3)
        words = _Words(a, b, c, draw.choice(passages), draw.choice([*sentences, *passages]))
        found += [*_vectors(models, words), *_tasks(models, words), *_looking(models), *_wrong(models, words)]
        found += _faq(words) if faq else []
    return found


def leaving(text: str) -> Call:
    """Return a whole request of a client that will not wait for its answer."""
    return post(LEAVERS_ROUTE, {"input": text}, 499)


def half(text: str) -> Call:
    """Return a request whose body is not all there when its client leaves."""
    whole = post(HALVES_ROUTE, {"query": text, "documents": [text]})
    return Call(HALVES_ROUTE, 499, whole.request[: -len(text) // 2 - 1])


@dataclass(frozen=True)
class _Words:
    """Texts of one turn: three sentences, a passage, and any."""

    a: str
    b: str
    c: str
    passage: str
    any: str


def _named(models: Mapping[str, Sequence[str]], task: str) -> str | None:
    """Return the first model that was trained for a task, or else answers it."""
    own = [name for name, tasks in models.items() if tasks[0] == task]
    return next(iter([*own, *(name for name, tasks in models.items() if task in tasks)]), None)


def _vectors(models: Mapping[str, Sequence[str]], w: _Words) -> Iterator[Call]:
    name = _named(models, "embed")
    if name is None:
        return
    some = [w.a, w.b, w.any]
    yield post("/embed", {"inputs": w.any, "model": name}, share=6)
    yield post("/embed", {"inputs": [w.a, w.b], "model": name}, share=3)
    yield post("/embed_all", {"inputs": w.a, "model": name})
    yield post("/similarity", {"inputs": {"source_sentence": w.a, "sentences": [w.b, w.c]}, "model": name})
    yield post("/rerank", {"query": w.a, "texts": some, "model": name})
    yield post("/rerank", {"query": w.a, "documents": some, "model": name})
    yield post("/tokenize", {"inputs": w.any, "model": name})
    yield post("/tokenize", {"prompt": w.any, "model": name})
    yield post("/decode", {"ids": [2, 100, 200, 3], "model": name})
    yield post("/", {"inputs": w.a, "model": name})
    yield post("/v1/embeddings", {"input": w.any, "model": name}, share=6)
    yield post("/v1/embeddings", {"input": some, "model": name, "encoding_format": "base64", "dimensions": 96}, share=3)
    yield post(
        "/v2/embed", {"texts": [w.a, w.b], "model": name, "embedding_types": ["int8"], "input_type": "search_query"}
    )
    yield post("/v1/rerank", {"query": w.a, "documents": some, "model": name, "return_documents": True})
    yield post("/v2/rerank", {"query": w.a, "documents": some, "model": name, "top_n": 2})
    yield post("/score", {"queries": w.a, "documents": [w.b, w.c], "model": name})
    yield post("/pooling", {"input": w.any, "model": name, "task": "embed"})
    yield post("/infinity/embeddings", {"input": some, "model": name})
    yield post("/infinity/rerank", {"query": w.a, "documents": some, "model": name})
    yield post("/feature-extraction", {"inputs": w.any, "model": name})
    yield post("/sentence-similarity", {"inputs": {"source_sentence": w.a, "sentences": [w.b]}, "model": name})
    tensor = {"name": "text", "datatype": "BYTES", "shape": [2], "data": [w.a, w.any]}
    yield post(f"/v2/models/{name}/infer", {"inputs": [tensor]}, route="/v2/models/{name}/infer")
    yield post("/litebert/v1/ask", {"model": name, "task": "embed", "inputs": [w.a]})


def _tasks(models: Mapping[str, Sequence[str]], w: _Words) -> Iterator[Call]:
    if name := _named(models, "fill-mask"):
        yield post("/fill-mask", {"inputs": f"{w.a} [MASK].", "model": name})
        yield post(f"/models/{name}", {"inputs": f"[MASK] {w.b}"}, route="/models/{name}")
        yield post(
            "/litebert/v1/ask",
            {"model": name, "task": "fill-mask", "inputs": [f"{w.c} [MASK]"], "options": {"top_k": 3}},
        )
    if name := _named(models, "coherence"):
        yield post("/litebert/v1/coherence", {"model": name, "text": w.a, "text_pair": w.b})
        yield post("/litebert/v1/coherence", {"model": name, "mode": "order", "sentences": [w.a, w.b, w.c]})
    if name := _named(models, "summarize"):
        yield post("/summarization", {"model": name, "inputs": w.passage, "parameters": {"sentences": 1}})
    if name := _named(models, "embed"):
        body = {"inputs": w.a, "parameters": {"candidate_labels": ["travel", "money", "weather"]}}
        path = f"/models/{name}/pipeline/zero-shot-classification"
        yield post(path, body, route="/models/{name}/pipeline/{task}")
    if name := _named(models, "classify"):
        yield post("/predict", {"inputs": [[w.a], [w.b]], "model": name})
        yield post("/text-classification", {"inputs": w.any, "model": name})
        yield post("/classify", {"input": [w.a, w.b], "model": name})
        yield post("/litebert/v1/explain", {"model": name, "input": "A few words.", "steps": 4}, share=0.1)
    if name := _named(models, "ner"):
        yield post("/token-classification", {"inputs": w.any, "model": name})
    if name := _named(models, "qa"):
        yield post("/question-answering", {"inputs": {"question": w.a, "context": w.passage}, "model": name})
    if name := _named(models, "choice"):
        yield post("/litebert/v1/choice", {"model": name, "question": w.a, "options": [w.b, w.c]})
    if name := _named(models, "rerank"):
        yield post("/rerank", {"query": w.a, "texts": [w.b, w.c], "model": name})


def _faq(w: _Words) -> Iterator[Call]:
    yield post("/litebert/v1/faq", {"question": w.a})
    yield post("/litebert/v1/chat", {"turns": [{"role": "user", "text": w.a}, {"role": "user", "text": w.b}]})
    yield post("/litebert/v1/search", {"query": w.a, "top_k": 3})


def _looking(models: Mapping[str, Sequence[str]]) -> Iterator[Call]:
    name = next(iter(models))
    paths = (
        "/",
        "/info",
        "/health",
        "/livez",
        "/v1/models",
        "/v2",
        "/v2/models",
        "/litebert/v1/models",
        "/infinity/models",
    )
    yield from (get(path) for path in paths)
    yield get(f"/v1/models/{name}", route="/v1/models/{name:path}")
    yield get(f"/v2/models/{name}/ready", route="/v2/models/{name}/ready")


def _wrong(models: Mapping[str, Sequence[str]], w: _Words) -> Iterator[Call]:
    name = next(iter(models))
    yield post("/embed", b"{", 422, share=0.3)
    yield post("/embed", b"\xff\xfe{}", 422, share=0.3)
    yield post("/embed", {"inputs": 5}, 422, share=0.3)
    yield post("/embed", {"inputs": []}, 400, share=0.3)
    yield post("/embed", {"inputs": w.a, "normalize": False}, 422, share=0.3)
    yield post("/embed", {"inputs": ["a"] * 3000}, 422, share=0.3)
    yield post("/v1/embeddings", {"input": ""}, 400, share=0.3)
    yield post("/litebert/v1/ask", {"inputs": ["a"], "colour": "red"}, 422, share=0.3)
    yield post(f"/v2/models/{name}/infer", {"inputs": []}, 400, route="/v2/models/{name}/infer", share=0.3)
    yield post("/no/such/path", {"inputs": w.a}, 404, route=UNKNOWN, share=0.3)
    yield get("/embed", 405, share=0.3)
    if len(models) > 1:
        yield post("/embed", {"inputs": w.a, "model": "nobody"}, 404, share=0.3)
    large = encoded("/embed", b"", headers={"content-length": str(10**8)})
    yield Call("/embed", 413, large, 0.1)
