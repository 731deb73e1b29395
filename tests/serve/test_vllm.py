"""vLLM's pooling routes and infinity's own forms."""

import base64

import numpy as np
import pytest

from tests.serve.conftest import VECTORS


def test_classify_has_probabilities_in_the_order_of_the_labels(post):
    answer = post("/classify", {"model": "mood", "input": ["good", "bad day"]})
    tei = {row["label"]: row["score"] for row in post("/predict", {"model": "mood", "inputs": "good"})}
    row = answer["data"][0]
    assert set(answer) == {"id", "object", "created", "model", "data", "usage"} and answer["object"] == "list"
    assert row["num_classes"] == 3 and row["index"] == 0 and len(answer["data"]) == 2
    assert row["probs"] == [pytest.approx(tei[name], abs=1e-2) for name in ("neg", "neutral", "pos")]
    assert row["label"] == ("neg", "neutral", "pos")[int(np.argmax(row["probs"]))]
    assert len(post("/classify", {"model": "mood", "input": "good"})["data"]) == 1


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
@pytest.mark.parametrize("names", [("queries", "documents"), ("text_1", "text_2"), ("data_1", "data_2")])
def test_score_goes_one_with_many_or_each_with_its_own(post, path, names):
    def scores(queries, documents, status=200):
        answer = post(path, {"model": "ranker", names[0]: queries, names[1]: documents}, status)
        return answer if status != 200 else [row["score"] for row in answer["data"]]

    many = scores("pets", ["a dog", "the moon"])
    assert scores(["pets", "sky"], ["a dog", "the moon"])[0] == pytest.approx(many[0], abs=1e-2)
    assert len(many) == 2 and scores("pets", "a dog") == [pytest.approx(many[0], abs=1e-2)]
    assert "2 queries" in scores(["a", "b"], ["c", "d", "e"], 422)["error"]
    scores([], ["a"], 400)


def test_score_of_vectors_is_the_cosine(post):
    answer = post("/score", {"model": VECTORS, "queries": "a dog", "documents": ["a dog", "the moon"]})
    found = np.array(post("/embed", {"inputs": ["a dog", "the moon"]}))
    assert [row["score"] for row in answer["data"]] == [pytest.approx(one, abs=2e-2) for one in found @ found[0]]
    assert answer["data"][0]["object"] == "score"


def test_pooling_of_each_kind(post):
    (row,) = post("/pooling", {"model": VECTORS, "input": "Hi"})["data"]
    assert row["object"] == "pooling" and np.array(row["data"]).shape == (384,)
    (packed,) = post("/pooling", {"model": VECTORS, "input": "Hi", "encoding_format": "base64", "dimensions": 8})[
        "data"
    ]
    assert len(base64.b64decode(packed["data"])) == 4 * 8
    (states,) = post("/pooling", {"model": VECTORS, "input": "Hi", "task": "token_embed"})["data"]
    assert np.array(states["data"]).shape == (len(post("/tokenize", {"inputs": "Hi"})[0]), 384)
    (probs,) = post("/pooling", {"model": "mood", "input": "Hi"})["data"]
    assert sum(probs["data"]) == pytest.approx(1)
    assert (
        "token-classification"
        in post("/pooling", {"model": "names", "input": "Hi", "task": "token_classify"}, 422)["error"]
    )
    assert "does not answer" in post("/pooling", {"model": "mood", "input": "Hi", "task": "embed"}, 422)["error"]


def test_tokenize_with_a_prompt_is_vllms(post):
    answer = post("/tokenize", {"prompt": "A fine day", "model": VECTORS})
    assert answer["count"] == len(answer["tokens"]) and answer["max_model_len"] == 128
    assert "`prompt`" in post("/tokenize", {"model": VECTORS}, 422)["error"]


# --- infinity -------------------------------------------------------------------------------------------------------------


def test_infinity_answers_its_own_way(post, client):
    found = post("/infinity/embeddings", {"model": "default/not-specified", "input": ["a"], "dimensions": 0})
    assert (
        set(found) == {"object", "data", "model", "usage", "id", "created"}
        and len(found["data"][0]["embedding"]) == 384
    )
    ranked = post(
        "/infinity/rerank", {"model": "ranker", "query": "q", "documents": ["a", "b"], "return_documents": True}
    )
    assert ranked["object"] == "rerank" and {row["document"] for row in ranked["results"]} == {"a", "b"}
    raw = post(
        "/infinity/rerank", {"model": "ranker", "query": "q", "documents": ["a", "b"], "raw_scores": True, "top_n": 1}
    )
    best = ranked["results"][0]["relevance_score"]
    assert raw["results"][0]["relevance_score"] == pytest.approx(np.log(best / (1 - best)), abs=2e-2)
    labels = post("/infinity/classify", {"model": "mood", "input": ["a", "b"]})
    assert [len(rows) for rows in labels["data"]] == [3, 3] and set(labels["data"][0][0]) == {"score", "label"}
    stats = client.get("/infinity/models").json()["data"][0]
    assert {"queue_fraction", "queue_absolute", "results_pending", "batch_size"} == set(stats["stats"])
    assert stats["capabilities"] == ["embed"] and client.get("/infinity/health").json()["unix"] > 0


def test_infinity_errors_are_openais(post):
    for body in (
        {"model": VECTORS, "input": []},
        {"model": VECTORS, "input": "a", "modality": "image"},
        {"model": VECTORS},
    ):
        assert post("/infinity/embeddings", body, 400)["error"]["type"] == "invalid_request_error"
    assert post("/infinity/embeddings", {"model": "nobody", "input": "a"}, 404)["error"]["message"]
