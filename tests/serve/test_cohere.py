"""Cohere's and Jina's rerank, Cohere's embed."""

import base64

import numpy as np
import pytest

from tests.serve.conftest import VECTORS

DOCUMENTS = ["the moon is far", "a dog barks at night", "rain falls"]


def test_version_2_answers_without_documents(post):
    answer = post(
        "/v2/rerank",
        {"model": "ranker", "query": "pets", "documents": DOCUMENTS, "top_n": 2, "max_tokens_per_doc": 4096},
    )
    assert set(answer) >= {"id", "results", "meta"} and len(answer["results"]) == 2
    assert all(
        set(row) == {"index", "relevance_score"} and 0 <= row["relevance_score"] <= 1 for row in answer["results"]
    )
    scores = [row["relevance_score"] for row in answer["results"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("path", ["/v1/rerank", "/openai/v1/rerank", "/rerank"])
def test_version_1_and_jina_have_documents_and_usage(post, path):
    body = {
        "model": "ranker",
        "query": "pets",
        "documents": [{"text": one} for one in DOCUMENTS],
        "return_documents": True,
    }
    answer = post(path, body)
    assert sorted(row["index"] for row in answer["results"]) == [0, 1, 2] and answer["model"] == "ranker"
    assert all(row["document"] == {"text": DOCUMENTS[row["index"]]} for row in answer["results"])
    assert answer["usage"]["total_tokens"] > 10
    plain = post(path, {**body, "return_documents": False, "documents": DOCUMENTS})
    assert [row["index"] for row in plain["results"]] == [row["index"] for row in answer["results"]]
    assert all("document" not in row for row in plain["results"])


def test_documents_are_cut_where_asked_and_fields_chosen(post):
    def score(document, **more):
        return post("/v1/rerank", {"model": "ranker", "query": "q", "documents": [document], **more})["results"][0][
            "relevance_score"
        ]

    assert score("one two three four", max_tokens_per_doc=2) == pytest.approx(score("one two"), abs=1e-3)
    fields = {"title": "one", "body": "two", "secret": "three"}
    assert score(fields, rank_fields=["title", "body"]) == pytest.approx(score("title: one\nbody: two"), abs=1e-3)
    said = post("/v1/rerank", {"query": "q", "documents": [fields], "rank_fields": ["name"]}, 422)
    assert "name" in said["detail"]


def test_vectors_rank_where_no_ranker_is_served(make_client):
    answer = make_client().post("/v2/rerank", json={"query": "a dog", "documents": ["a stone", "a dog"]})
    assert [row["index"] for row in answer.json()["results"]] == [1, 0]


def test_embed_gives_every_type(post):
    kinds = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
    body = {"model": VECTORS, "input_type": "search_document", "texts": ["a dog", "the moon"], "embedding_types": kinds}
    answer = post("/v2/embed", body)
    found = answer["embeddings"]
    plain = np.array(found["float"])
    assert set(found) == set(kinds) and answer["texts"] == body["texts"] and plain.shape == (2, 384)
    assert answer["id"] and answer["meta"]["billed_units"]["input_tokens"] > 0
    assert np.abs(np.array(found["int8"]) - 127 * plain).max() <= 0.51
    assert np.array_equal(np.array(found["uint8"]), np.array(found["int8"]) + 128)
    signs = np.unpackbits(np.array(found["ubinary"], dtype=np.uint8), axis=1).astype(bool)
    assert np.array_equal(signs, plain > 0)
    assert np.array_equal(np.array(found["binary"]), np.array(found["ubinary"]) - 128)
    assert np.allclose([np.frombuffer(base64.b64decode(one), "<f4") for one in found["base64"]], plain, atol=1e-6)


def test_embed_is_cut_as_asked(post):
    def vector(text, **more):
        (found,) = post("/v2/embed", {"model": VECTORS, "texts": [text], **more})["embeddings"]["float"]
        return np.array(found)

    long = "the moon " + "and so on " * 200 + "a dog"
    end, start = vector(long, truncate="END"), vector(long, truncate="START")
    assert not np.allclose(end, start, atol=1e-2)
    assert np.allclose(vector("one two three four", max_tokens=2), vector("one two"), atol=1e-2)
    assert np.allclose(vector("one two three four", max_tokens=2, truncate="START"), vector("three four"), atol=1e-2)
    assert vector("a dog", output_dimension=64).shape == (64,)
    refused = post("/v2/embed", {"model": VECTORS, "texts": [long], "truncate": "NONE"}, 400)
    assert "tokens" in refused["message"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v2/rerank", {"query": "q"}, 400),
        ("/v2/rerank", {"query": "q", "documents": []}, 400),
        ("/v2/rerank", {"query": "q", "documents": ["a"], "model": "nobody"}, 404),
        ("/v2/rerank", {"query": "q", "documents": ["a"], "model": "mood"}, 400),
        ("/v1/rerank", {"query": "q", "documents": [{"title": "a"}]}, 422),
        ("/v1/rerank", {"query": "q", "documents": ["a"], "top_n": 0}, 422),
        ("/v2/embed", {"texts": []}, 400),
        ("/v2/embed", {"texts": ["a"], "embedding_types": ["int4"]}, 400),
        ("/v2/embed", {"texts": ["a"], "output_dimension": 4096}, 400),
        ("/v2/embed", {"texts": ["a"], "images": ["data:"]}, 400),
    ],
)
def test_errors_have_message_and_detail(post, path, body, status):
    answer = post(path, body, status)
    assert answer["message"] and answer["detail"] == answer["message"]
