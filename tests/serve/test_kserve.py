"""KServe's protocol, version 2: metadata, readiness, tensors in and out, binary inputs, errors."""

import json
import struct

import numpy as np
import pytest

from tests.serve.conftest import GENERAL, VECTORS


def tensor(data, name="text", shape=None):
    return {"name": name, "datatype": "BYTES", "shape": shape or [len(data)], "data": data}


@pytest.fixture
def infer(post):
    """Ask a model; return its outputs by name as arrays."""

    def ask(model, *inputs, **more):
        answer = post(f"/v2/models/{model}/infer", {"inputs": list(inputs), **more})
        assert answer["model_name"] == model and answer["model_version"] == "1"
        for one in answer["outputs"]:
            assert len(one["data"]) == np.prod(one["shape"])
        return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in answer["outputs"]}

    return ask


def test_server_and_models_tell_what_they_are(client):
    assert client.get("/v2").json()["name"] == "litebert"
    assert client.get("/v2/health/live").json()["live"] and client.get("/v2/health/ready").json()["ready"]
    assert "mood" in client.get("/v2/models").json()["models"]
    for path in ("/v2/models/mood", "/v2/models/mood/versions/1"):
        told = client.get(path).json()
        assert told["name"] == "mood" and told["versions"] == ["1"] and told["inputs"][0] == {
            "name": "text", "datatype": "BYTES", "shape": [-1],
        }  # fmt: skip
        assert [one["name"] for one in told["outputs"]] == ["label", "score", "scores"]
        assert client.get(f"{path}/ready").json() == {"name": "mood", "ready": True}
    for path in ("/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/mood/versions/2"):
        assert client.get(path).status_code == 404 and client.get(path).json()["error"]


def test_every_served_model_has_metadata_and_the_outputs_it_names(client, infer):
    asked = {
        GENERAL: [tensor(["The [MASK] is blue."])], VECTORS: [tensor(["a"])], "mood": [tensor(["a"])], "topics": [tensor(["a"])],
        "value": [tensor(["a"])], "names": [tensor(["Ann went home"])], "ranker": [tensor(["q"], "query"), tensor(["a", "b"])],
        "squad": [tensor(["Who?"], "question"), tensor(["Ann went home."], "context")],
        "multiple": [tensor(["Who?"], "question"), tensor(["Ann", "Bob"], "options")], "shortener": [tensor(["One is. Two is."])],
    }  # fmt: skip
    for name in client.get("/v2/models").json()["models"]:
        told = {one["name"]: one for one in client.get(f"/v2/models/{name}").json()["outputs"]}
        found = infer(name, *asked[name])
        assert set(found) == set(told)
        assert all(found[one].ndim == len(told[one]["shape"]) for one in told)


def test_vectors_are_fp32_row_by_row(infer, post):
    found = infer(VECTORS, tensor(["a", "b c"]), id="42")
    assert found["embedding"].shape == (2, 384)
    assert np.allclose(found["embedding"], post("/embed", {"inputs": ["a", "b c"]}), atol=1e-3)


def test_id_comes_back_only_if_it_was_sent(post):
    body = {"inputs": [tensor(["a"])]}
    assert post(f"/v2/models/{VECTORS}/infer", {**body, "id": "42"})["id"] == "42"
    assert "id" not in post(f"/v2/models/{VECTORS}/infer", body)


def test_labels_with_scores_in_their_order(infer, post):
    found = infer("mood", tensor(["good", "bad"]))
    tei = {row["label"]: row["score"] for row in post("/predict", {"model": "mood", "inputs": "good"})}
    assert found["scores"].shape == (2, 3) and found["scores"][0] == pytest.approx(
        [tei["neg"], tei["neutral"], tei["pos"]], abs=1e-2
    )
    assert found["score"][0] == pytest.approx(found["scores"][0].max()) and found["label"][0] == max(tei, key=tei.get)
    pair = infer("mood", tensor(["good"]), tensor(["bad"], "text_pair"))
    assert pair["scores"][0] != pytest.approx(found["scores"][0], abs=1e-4)


def test_other_tasks_by_parameter_and_chosen_outputs(infer):
    found = infer(GENERAL, tensor(["a"]), parameters={"task": "embed"}, outputs=[{"name": "embedding"}])
    assert set(found) == {"embedding"}
    labels = tensor(["sport", "war"], "candidate_labels")
    scored = infer(VECTORS, tensor(["The match ended."]), labels, parameters={"task": "zero-shot-classification"})
    assert (
        scored["scores"].shape == (1, 2) and scored["label"][0] == ("sport", "war")[int(scored["scores"][0].argmax())]
    )
    masks = infer(GENERAL, tensor(["a [MASK]", "b [MASK]"]), parameters={"top_k": 3})
    assert masks["token_str"].shape == (2, 3)


def test_entities_and_answers_and_choices(infer):
    (entities,) = infer("names", tensor(["Ann went to Paris with Bob"]))["entities"]
    assert all(set(one) == {"entity_group", "score", "word", "start", "end"} for one in json.loads(entities))
    asked = infer("squad", tensor(["Who?", "Where?"], "question"), tensor(["Ann went home."], "context"))
    assert asked["answer"].shape == (2,) and asked["start"].dtype.kind == "i"
    chosen = infer(
        "multiple", tensor(["Who?", "Where?"], "question"), tensor(["Ann", "Bob", "home", "away"], "options", [2, 2])
    )
    assert set(chosen["label"]) <= {"A", "B"} and chosen["scores"].sum(axis=1) == pytest.approx([1, 1])
    assert chosen["answer"][1] in ("home", "away")


def test_nested_data_and_a_text_by_any_name(infer):
    assert infer(VECTORS, tensor([["a"], ["b"]], "INPUT__0", [2, 1]))["embedding"].shape == (2, 384)


def test_binary_inputs_are_tritons(client, post):
    texts = ["a", "Łódź"]
    binary = b"".join(struct.pack("<I", len(one.encode())) + one.encode() for one in texts)
    head = {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(binary)}}]
    }
    encoded = json.dumps(head).encode()

    def send(content, length):
        headers = {"Inference-Header-Content-Length": str(length), "content-type": "application/octet-stream"}
        return client.post(f"/v2/models/{VECTORS}/infer", content=content, headers=headers)

    found = send(encoded + binary, len(encoded))
    plain = post(f"/v2/models/{VECTORS}/infer", {"inputs": [tensor(texts)]})
    assert found.status_code == 200 and found.json()["outputs"][0]["data"] == pytest.approx(
        plain["outputs"][0]["data"], abs=1e-2
    )
    for content, length in (
        (encoded + binary[:-1], len(encoded)),  # fewer bytes than named
        (encoded + b"\xff\xff\xff\x7f" + binary[4:], len(encoded)),  # a text longer than all
        (encoded + binary[:-1] + b"\xff", len(encoded)),  # no UTF-8
        (encoded + binary, 10**9),
        (encoded + binary, "x"),
    ):
        refused = send(content, length)
        assert refused.status_code == 400 and refused.json()["error"]


@pytest.mark.parametrize(
    ("name", "body", "status", "said"),
    [
        ("nobody", {"inputs": [tensor(["a"])]}, 404, "nobody"),
        (VECTORS, {}, 400, "inputs"),
        (VECTORS, {"inputs": []}, 400, "text"),
        (VECTORS, {"inputs": [tensor([])]}, 400, "empty"),
        (VECTORS, {"inputs": [tensor(["a"], shape=[2])]}, 400, "shape"),
        (VECTORS, {"inputs": [{**tensor([1.0]), "datatype": "FP32"}]}, 400, "BYTES"),
        (VECTORS, {"inputs": [tensor([1])]}, 400, "no texts"),
        (VECTORS, {"inputs": [tensor(["a"])], "outputs": [{"name": "logits"}]}, 400, "logits"),
        (VECTORS, {"inputs": [tensor(["a"])], "parameters": {"task": "ner"}}, 400, "does not answer"),
        ("ranker", {"inputs": [tensor(["q"], "query")]}, 400, "'text' is missing"),
        ("ranker", {"inputs": [tensor(["q", "r"], "query"), tensor(["a", "b", "c"])]}, 400, "texts"),
        (
            "squad",
            {"inputs": [tensor(["q"], "question"), tensor(["c"], "context"), tensor(["x"], "more")]},
            400,
            "more",
        ),
        ("multiple", {"inputs": [tensor(["q", "r"], "question"), tensor(["a", "b", "c"], "options")]}, 400, "options"),
        (GENERAL, {"inputs": [tensor(["[MASK] and [MASK]"])]}, 400, "several masks"),
    ],
)
def test_errors_say_what_is_wrong(post, name, body, status, said):
    assert said in post(f"/v2/models/{name}/infer", body, status)["error"]


def test_a_body_that_is_no_json(client):
    for content in (b"", b"{", b"[1]", b"\xff"):
        answer = client.post(f"/v2/models/{VECTORS}/infer", content=content)
        assert answer.status_code == 400 and answer.json()["error"]
