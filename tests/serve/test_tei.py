"""Text Embeddings Inference's routes: bodies, answers and errors as its server and its clients have them."""

import numpy as np
import pytest

from litebert.serve import engine
from tests.serve.conftest import VECTORS

LONG = "word " * 400
END = "the match was lost in the rain " * 20
"""More than one window of any model here."""


def test_vectors_are_nested_for_one_text_and_equal_alone_and_in_a_batch(post):
    one = np.array(post("/embed", {"inputs": "Hi"}))
    two = np.array(post("/embed", {"inputs": ["Hi", "There is more to say."]}))
    assert one.shape == (1, 384) and two.shape == (2, 384)
    assert np.allclose(np.linalg.norm(two, axis=1), 1, atol=1e-3)
    assert np.allclose(one[0], two[0], atol=2e-2)


def test_fewer_dimensions_are_the_first_numbers_at_length_1(post):
    whole, few = (np.array(post("/embed", {"inputs": "Hi", **more})[0]) for more in ({}, {"dimensions": 64}))
    assert few.shape == (64,) and np.linalg.norm(few) == pytest.approx(1, abs=1e-3)
    assert np.allclose(few, whole[:64] / np.linalg.norm(whole[:64]), atol=1e-3)
    assert "at most 384" in post("/embed", {"inputs": "Hi", "dimensions": 385}, 422)["error"]


def test_token_ids_are_a_text_and_those_of_another_vocabulary_are_refused(post):
    (pieces,) = post("/tokenize", {"inputs": "A fine day", "model": VECTORS})
    ids = [piece["id"] for piece in pieces]
    text = post("/embed", {"inputs": "A fine day"})
    for inputs in (ids, [ids]):
        assert np.allclose(post("/embed", {"inputs": inputs}), text, atol=1e-3)
    refused = post("/embed", {"inputs": [[100_257, 31]]}, 422)
    assert refused["error_type"] == "Validation" and "check_embedding_ctx_length=False" in refused["error"]


def test_truncate_cuts_refuses_or_reads_on(post):
    assert (
        "must have less than 128 tokens. Given: 402"
        in post("/embed", {"inputs": LONG, "truncate": False}, 422)["error"]
    )
    text = "the end is near " + LONG + " football match"
    right, left, whole = (
        np.array(post("/embed", {"inputs": text, **how})[0])
        for how in ({"truncate": True}, {"truncate": True, "truncation_direction": "Left"}, {})
    )
    assert not np.allclose(right, left, atol=1e-2) and not np.allclose(right, whole, atol=1e-2)


def test_truncate_is_of_a_pair_too_whose_longer_text_loses_first(post):
    """By a cross-encoder and a classifier query and text share the window; by vectors each has its own."""
    window = post("/tokenize", {"inputs": LONG, "model": "ranker"})[0]
    fits = LONG[: window[41]["start"]].strip()  # forty pieces: windows are of 64
    for path, body, texts in (
        ("/rerank", {"query": "pets", "model": "ranker"}, "texts"), ("/predict", {"model": "mood"}, "inputs"),
    ):  # fmt: skip

        def ask(text, status=200, *, path=path, body=body, texts=texts, **how):
            given = [text] if texts == "texts" else ["pets", text]
            found = post(path, {**body, texts: given, **how}, status)
            return found[0]["score"] if status == 200 else found["error"]

        for how in ({"truncate": True}, {"truncate": False}):
            assert ask(fits, **how) == pytest.approx(ask(fits), abs=1e-4)
        assert "must have less than 64 tokens. Given: 40" in ask(LONG, 422, truncate=False)
        right, left = (ask(LONG + END, truncate=True, truncation_direction=side) for side in ("Right", "Left"))
        assert right == pytest.approx(ask(LONG, truncate=True), abs=1e-4), "what is behind the window is not seen"
        assert left == pytest.approx(ask(END, truncate=True, truncation_direction="Left"), abs=1e-4)
        assert abs(left - right) > 5e-4
    vectors = {"query": "a", "texts": [LONG], "model": VECTORS, "truncate": False}
    assert "Given: 402" in post("/rerank", vectors, 422)["error"]
    both = {"query": LONG, "texts": [LONG], "model": "ranker"}
    assert len(post("/rerank", {**both, "truncate": True})) == 1 and post("/rerank", {**both, "truncate": False}, 422)


@pytest.mark.parametrize("body", [{"normalize": False}, {"prompt_name": "query"}])
def test_vectors_of_another_kind_are_refused_not_silently_the_usual_ones(post, body):
    assert next(iter(body)) in post("/embed", {"inputs": "Hi", **body}, 422)["error"] + "prompt_name"


def test_states_of_every_token(post):
    (states,) = post("/embed_all", {"inputs": "Hi"})
    (pieces,) = post("/tokenize", {"inputs": "Hi", "model": VECTORS})
    assert np.array(states).shape == (len(pieces), 384)
    assert "sparse" in post("/embed_sparse", {"inputs": "Hi"}, 422)["error"]


def test_more_states_than_an_answer_can_hold_are_refused(post, monkeypatch):
    monkeypatch.setattr(engine, "MOST_NUMBERS", 384 * 10)
    assert len(post("/embed_all", {"inputs": ["Hi"] * 2})) == 2
    assert "more than 3840. Split it." in post("/embed_all", {"inputs": ["Hi"] * 20}, 422)["error"]


def test_similarity_is_the_cosine_of_vectors(post):
    sentences = ["A cat sat.", "Stocks fell."]
    found = post(
        "/similarity",
        {"inputs": {"source_sentence": "A cat sat.", "sentences": sentences}, "parameters": {"truncate": True}},
    )
    assert found[0] == pytest.approx(1, abs=1e-3) and found[1] < 0.9
    assert post("/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400)["error_type"] == "Empty"


def test_two_texts_are_a_pair_and_a_batch_is_of_lists(post):
    one = post("/predict", {"inputs": "good", "model": "mood"})
    pair = post("/predict", {"inputs": ["good", "bad"], "model": "mood"})
    batch = post("/predict", {"inputs": [["good"], ["good", "bad"]], "model": "mood"})
    assert [row["score"] for row in one] == sorted((row["score"] for row in one), reverse=True)
    assert {row["label"] for row in one} == {"neg", "neutral", "pos"}
    assert sum(row["score"] for row in one) == pytest.approx(1)
    assert [[row["label"] for row in rows] for rows in batch] == [
        [row["label"] for row in rows] for rows in (one, pair)
    ]
    assert "pair of strings. Given: 3" in post("/predict", {"inputs": [["a", "b", "c"]], "model": "mood"}, 422)["error"]


def test_raw_scores_give_the_probabilities_back(post):
    def both(model):
        plain, raw = (post("/predict", {"inputs": "good", "model": model, "raw_scores": r}) for r in (False, True))
        return [np.array([row["score"] for row in rows]) for rows in (plain, raw)]

    plain, raw = both("mood")
    assert np.allclose(np.exp(raw) / np.exp(raw).sum(), plain, atol=1e-3)
    plain, raw = both("topics")
    assert np.allclose(1 / (1 + np.exp(-raw)), plain, atol=1e-3)
    plain, raw = both("value")  # a value has no logit
    assert np.allclose(plain, raw)


def test_rerank_answers_an_array_sorted_with_texts_when_asked(post):
    texts = ["the moon", "a dog barks", "rain"]
    rows = post("/rerank", {"query": "pets", "texts": texts})
    assert sorted(row["index"] for row in rows) == [0, 1, 2] and all(set(row) == {"index", "score"} for row in rows)
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    shown = post("/rerank", {"query": "pets", "texts": texts, "return_text": True, "raw_scores": True})
    assert [row["text"] for row in shown] == [texts[row["index"]] for row in rows]
    assert 1 / (1 + np.exp(-shown[0]["score"])) == pytest.approx(rows[0]["score"], abs=1e-3)


@pytest.mark.parametrize("body", [{}, {"texts": ["a"], "documents": ["a"]}])
def test_rerank_with_both_or_neither_names_both(post, body):
    said = post("/rerank", {"query": "q", **body}, 422)["error"]
    assert "`texts`" in said and "`documents`" in said


def test_tokenize_and_decode_give_the_text_back(post):
    text = "Naïve cafés in Łódź"
    (pieces,) = post("/tokenize", {"inputs": text})
    assert pieces[0]["special"] and pieces[0]["start"] is None
    assert [piece["id"] for piece in post("/tokenize", {"inputs": text, "add_special_tokens": False})[0]] == [
        piece["id"] for piece in pieces[1:-1]
    ]
    assert "".join(text[piece["start"] : piece["stop"]] for piece in pieces[1:-1]).replace(" ", "") == text.replace(
        " ", ""
    )
    ids = [piece["id"] for piece in post("/tokenize", {"inputs": "a fine day, it is"})[0]]
    assert post("/decode", {"ids": ids}) == post("/decode", {"ids": [ids]}) == ["a fine day, it is"]
    assert post("/decode", {"ids": ids, "skip_special_tokens": False})[0].startswith("[CLS]")
    assert "below 16000" in post("/decode", {"ids": [16_000]}, 422)["error"]


def test_info_names_model_and_limits(client):
    first = client.get("/info").json()
    assert (
        first["model_id"] == VECTORS and first["max_client_batch_size"] == 2048 and "embedding" in first["model_type"]
    )
    mood = client.get("/info", params={"model": "mood"}).json()
    assert mood["model_type"]["classifier"] == {
        "id2label": {"0": "neg", "1": "neutral", "2": "pos"}, "label2id": {"neg": 0, "neutral": 1, "pos": 2},
    }  # fmt: skip
    assert "reranker" in client.get("/info", params={"model": "ranker"}).json()["model_type"]


def test_the_nameless_route_does_what_the_model_is_for(post):
    assert np.array(post("/", {"inputs": ["a", "b"]})).shape == (2, 384)
    assert post("/", {"inputs": "good", "model": "mood"}) == post("/predict", {"inputs": "good", "model": "mood"})
    rerank = {"query": "pets", "texts": ["a dog", "rain"]}
    assert [row["index"] for row in post("/invocations", rerank)] == [row["index"] for row in post("/rerank", rerank)]
    assert len(post("/", {"inputs": {"source_sentence": "a", "sentences": ["b", "c"]}})) == 2
    assert "inputs" in post("/", {}, 422)["error"]


def test_success_has_the_times_in_its_headers(client):
    headers = client.post("/embed", json={"inputs": ["a", "bc"]}).headers
    assert headers["x-compute-characters"] == "3" and headers["x-compute-tokens"] == "6"
    names = (
        "x-compute-type",
        "x-compute-time",
        "x-total-time",
        "x-tokenization-time",
        "x-queue-time",
        "x-inference-time",
    )
    assert all(name in headers for name in names)


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/embed", {"inputs": []}, 400, "Empty"),
        ("/predict", {"inputs": [], "model": "mood"}, 400, "Empty"),
        ("/rerank", {"query": "q", "texts": []}, 400, "Empty"),
        ("/embed", {"inputs": 3.5}, 422, "Validation"),
        ("/embed", {}, 422, "Validation"),
        ("/embed", {"inputs": "a", "dimensions": 0}, 422, "Validation"),
        ("/embed", {"inputs": "a", "model": "nobody"}, 404, "NotFound"),
        ("/predict", {"inputs": "a", "model": "names"}, 422, "Validation"),
        ("/embed", {"inputs": ["a"] * 2049}, 422, "Validation"),
        ("/embed", {"inputs": "a" * 1_100_000}, 422, "Validation"),
    ],
)
def test_errors_name_their_kind(post, path, body, status, kind):
    answer = post(path, body, status)
    assert answer["error_type"] == kind and answer["error"]


def test_unknown_fields_are_passed_over(post):
    assert len(post("/embed", {"inputs": "a", "colour": "red"})) == 1


def test_strict_limits_keys_and_public_paths(make_client):
    client = make_client(tei_strict=True, api_keys=("secret",))
    assert client.post("/embed", json={"inputs": "a"}).status_code == 401
    assert client.post("/", json={"inputs": "a"}).status_code == 401  # only looking at / is free
    assert client.get("/health").status_code == client.get("/metrics").status_code == 200
    for headers in (
        {"authorization": "Bearer secret"},
        {"authorization": "secret"},
        {"x-api-key": "secret"},
        {"api-key": "secret"},
    ):
        assert client.post("/embed", json={"inputs": "a"}, headers=headers).status_code == 200
    key = {"authorization": "Bearer secret"}
    refused = client.post("/embed", json={"inputs": ["a"] * 33}, headers=key)
    assert refused.status_code == 422 and "batch size 33 > maximum allowed batch size 32" in refused.json()["error"]
    assert client.post("/embed", json={"inputs": "a" * 2_000_001}, headers=key).status_code == 413
