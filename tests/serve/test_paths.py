"""All paths together: the OpenAPI document is whole, nothing is asked without a key, paths of protocols do not hide each other."""

import json
import re
from collections import Counter
from importlib import import_module

import pytest

from litebert.serve.app import FAMILIES

DOCUMENTED = [
    "/embed", "/embed_all", "/predict", "/rerank", "/similarity", "/tokenize", "/decode", "/info", "/v1/embeddings", "/v1/models",
    "/models/{name}", "/models/{name}/pipeline/{task}", "/fill-mask", "/token-classification", "/v1/rerank", "/v2/rerank", "/v2/embed",
    "/v2", "/v2/models", "/v2/models/{name}", "/v2/models/{name}/ready", "/v2/models/{name}/infer", "/classify", "/score", "/pooling",
    "/infinity/embeddings", "/infinity/rerank", "/infinity/classify", "/infinity/models", "/livez", "/readyz", "/metrics",
]  # fmt: skip


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


@pytest.mark.parametrize("path", DOCUMENTED)
def test_paths_are_documented(document, path):
    assert path in document["paths"]


def test_every_reference_in_the_document_leads_somewhere(document):
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert names and names <= set(document["components"]["schemas"])
    assert "$defs" not in json.dumps(document)


def test_every_operation_has_its_own_name(document):
    names = Counter(one["operationId"] for methods in document["paths"].values() for one in methods.values())
    assert max(names.values()) == 1


def routes():
    """Path and method of every route, in the order in which they are looked at."""
    routers = [import_module(f"litebert.serve.routes.{family}").router for family in (*FAMILIES, "page")]
    return [(route.path, method) for router in routers for route in router.routes for method in route.methods]


def test_no_path_is_there_twice():
    found = Counter(routes())
    assert len(found) > 60 and [one for one, count in found.items() if count > 1] == []


def test_nothing_is_posted_without_a_key(make_client):
    client = make_client(api_keys=("secret",))
    posted = [path for path, method in routes() if method == "POST"]
    assert "/" in posted and "/v1/embeddings" in posted
    assert [path for path in posted if client.post(path, json={"inputs": "a", "input": "a"}).status_code != 401] == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/rerank", {"query": "q", "texts": ["a\ud800"], "return_text": True}, 200),
        ("/v2/embed", {"texts": ["a\ud800"]}, 200),
        ("/infinity/rerank", {"query": "q", "documents": ["a\ud800"], "return_documents": True}, 200),
        ("/fill-mask", {"inputs": "[MASK]\ud800", "parameters": {"targets": ["a", "b\ud800"]}}, 200),
        ("/fill-mask", {"inputs": "[MASK]", "parameters": {"\ud800": 1}}, 422),
        ("/zero-shot-classification", {"inputs": "a", "parameters": {"candidate_labels": ["a\ud800", "b"]}}, 200),
        (
            "/zero-shot-classification",
            {"inputs": "a", "parameters": {"candidate_labels": ["a", "b"], "hypothesis_template": "\ud800{}"}},
            200,
        ),
        ("/v1/embeddings", {"input": "a\ud800", "model": "\ud800"}, 404),
        ("/question-answering", {"inputs": {"question": "\ud800", "context": "a \ud800 b"}}, 200),
        ("/token-classification", {"inputs": "\ud800 went"}, 200),
    ],
)
def test_half_a_surrogate_pair_breaks_nothing(client, path, body, status):
    sent = json.dumps(body)  # as ASCII, in which JSON can carry what no encoding can
    answer = client.post(path, content=sent, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.json()
