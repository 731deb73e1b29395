"""OpenAI's embeddings and models: forms of a vector, of an input, of an error."""

import base64

import numpy as np
import pytest

from tests.serve.conftest import VECTORS

PATHS = ("/v1/embeddings", "/embeddings", "/openai/v1/embeddings")


@pytest.mark.parametrize("path", PATHS)
def test_answers_have_every_field(post, path):
    answer = post(path, {"model": VECTORS, "input": ["a", "b c"]})
    assert (
        set(answer) == {"object", "data", "model", "usage"}
        and answer["object"] == "list"
        and answer["model"] == VECTORS
    )
    assert [(row["object"], row["index"], len(row["embedding"])) for row in answer["data"]] == [
        ("embedding", 0, 384), ("embedding", 1, 384),
    ]  # fmt: skip
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


def test_base64_is_little_endian_float32(post):
    plain, packed = (
        post("/v1/embeddings", {"model": VECTORS, "input": "Hi", **form})["data"][0]["embedding"]
        for form in ({"encoding_format": "float"}, {"encoding_format": "base64"})
    )
    assert np.allclose(np.frombuffer(base64.b64decode(packed), dtype="<f4"), plain, atol=1e-6)


def test_dimensions_are_cut_and_made_length_1(post):
    vector = np.array(
        post("/v1/embeddings", {"model": VECTORS, "input": "Hi", "dimensions": 32})["data"][0]["embedding"]
    )
    assert vector.shape == (32,) and np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)


def test_ids_of_this_vocabulary_are_texts(post):
    ids = [piece["id"] for piece in post("/tokenize", {"inputs": "A fine day"})[0]]
    vectors = [
        post("/v1/embeddings", {"model": VECTORS, "input": one})["data"][0]["embedding"]
        for one in ("A fine day", ids, [ids])
    ]
    assert np.allclose(vectors[0], vectors[1], atol=1e-3) and np.allclose(vectors[0], vectors[2], atol=1e-3)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"input": [[100_256, 9906]]}, 400, "check_embedding_ctx_length=False"),
        ({"input": ""}, 400, "empty"),
        ({"input": ["a", ""]}, 400, "empty"),
        ({"input": []}, 400, "empty"),
        ({}, 400, "input"),
        ({"input": "a", "dimensions": 0}, 400, "dimensions"),
        ({"input": [True]}, 400, "input"),
        ({"input": "a", "dimensions": 1000}, 400, "at most 384"),
        ({"input": "a", "encoding_format": "hex"}, 400, "encoding_format"),
        ({"input": ["a"] * 2049}, 400, "2048"),
        ({"input": "a", "model": "nobody"}, 404, "nobody"),
        ({"input": "a", "model": "mood"}, 400, "embed"),
    ],
)
def test_errors_are_openais(post, body, status, said):
    error = post("/v1/embeddings", {"model": VECTORS, **body}, status)["error"]
    assert set(error) == {"message", "type", "param", "code"} and said in error["message"]
    assert error["type"] == "invalid_request_error" and (error["code"] == "model_not_found") == (status == 404)


def test_one_model_alone_answers_to_any_name(make_client):
    client = make_client()
    found = client.post("/v1/embeddings", json={"model": "text-embedding-3-small", "input": "a"})
    assert found.status_code == 200 and found.json()["model"] == VECTORS


def test_models_are_listed_and_found(client):
    for prefix in ("", "/openai"):
        rows = client.get(f"{prefix}/v1/models").json()
        assert rows["object"] == "list" and {row["id"] for row in rows["data"]} >= {VECTORS, "mood"}
        one = client.get(f"{prefix}/v1/models/mood").json()
        assert one["object"] == "model" and one["owned_by"] == "litebert" and one["tasks"] == ["classify"]
        missing = client.get(f"{prefix}/v1/models/moood")
        assert missing.status_code == 404 and "mood" in missing.json()["error"]["message"]


def test_a_missing_key_is_openais_error(make_client):
    refused = make_client(api_keys=("secret",)).post("/v1/embeddings", json={"input": "a"})
    assert refused.status_code == 401 and refused.json()["error"]["type"] == "authentication_error"
    assert refused.headers["www-authenticate"] == "Bearer" and refused.headers["x-request-id"]
