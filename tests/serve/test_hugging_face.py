"""The bodies of Hugging Face's InferenceClient, and answers that its Python and JavaScript clients read."""

import numpy as np
import pytest

from litebert.serve.routes.hugging_face import spelt
from litebert.tasks.qa.task import SpanAnswer
from tests.serve.conftest import GENERAL, VECTORS

TEXT = "Ann and Bob went to Paris, where Carla lives near the river."


def paths(task, name):
    """The four places where a task is asked, with what the body needs beside."""
    return [
        (f"/models/{name}", {}), (f"/models/{name}/pipeline/{task}", {}), (f"/pipeline/{task}", {"model": name}),
        (f"/{task}", {"model": name}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "name", "body"),
    [
        ("fill-mask", GENERAL, {"inputs": "Paris is the [MASK] of France."}),
        ("text-classification", "mood", {"inputs": "I like you"}),
        ("token-classification", "names", {"inputs": TEXT}),
        ("question-answering", "squad", {"inputs": {"question": "Where?", "context": TEXT}}),
        (
            "zero-shot-classification",
            VECTORS,
            {"inputs": "The match ended 2:1.", "parameters": {"candidate_labels": ["sport", "war"]}},
        ),
        ("sentence-similarity", VECTORS, {"inputs": {"source_sentence": "a", "sentences": ["b", "a"]}}),
        ("feature-extraction", VECTORS, {"inputs": "Hi"}),
        ("summarization", "shortener", {"inputs": "One is here. Two is there. Three is nowhere. Four came."}),
    ],
)
def test_every_path_gives_the_same_answer(post, task, name, body):
    answers = [post(path, {**body, **more}) for path, more in paths(task, name)]
    assert answers[0] and all(str(answer)[:300] == str(answers[0])[:300] for answer in answers)


def test_masks_are_filled_flat_and_several_nested(post):
    rows = post("/fill-mask", {"inputs": "Paris is the [MASK] of France.", "parameters": {"top_k": 3}})
    assert len(rows) == 3 and all(set(row) == {"score", "token", "token_str", "sequence"} for row in rows)
    assert rows[0]["sequence"].lower() == f"paris is the {rows[0]['token_str']} of france."
    chosen = post(
        "/fill-mask", {"inputs": "Paris is the [MASK] of France.", "parameters": {"targets": ["capital", "king"]}}
    )
    assert {row["token_str"] for row in chosen} == {"capital", "king"}
    two = post("/fill-mask", {"inputs": "[MASK] is the [MASK] of France."})
    assert [len(mask) for mask in two] == [5, 5]
    assert [len(rows) for rows in post("/fill-mask", {"inputs": ["a [MASK]", "b [MASK]"]})] == [5, 5]
    assert "no mask" in post("/fill-mask", {"inputs": "nothing"}, 422)["error"]


def test_labels_are_nested_also_for_one_text(post):
    (rows,) = post("/text-classification", {"inputs": "I like you", "model": "mood"})
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True) and len(rows) == 3
    (best,) = post("/text-classification", {"inputs": "I like you", "model": "mood", "parameters": {"top_k": 1}})
    assert best == rows[:1]
    pair = {"text": "I like you", "text_pair": "Not I"}
    found = post("/text-classification", {"inputs": ["I like you", pair], "model": "mood"})
    assert found[0][0]["label"] == rows[0]["label"] and found[1] != found[0] and len(found) == 2


@pytest.mark.parametrize(("name", "applied"), [("mood", "softmax"), ("topics", "sigmoid"), ("value", "none")])
def test_only_the_function_that_the_model_has_is_applied(post, name, applied):
    for function in ("softmax", "sigmoid", "none"):
        body = {"inputs": "x", "model": name, "parameters": {"function_to_apply": function}}
        post("/text-classification", body, 200 if function == applied else 422)


def test_entities_are_grouped_unless_told_otherwise(post):
    def ask(**parameters):
        return post("/token-classification", {"inputs": TEXT, "model": "names", "parameters": parameters})

    groups = ask()
    assert groups and groups == ask(aggregation_strategy="simple") == ask(aggregation_strategy="first", stride=16)
    assert all(set(group) == {"entity_group", "score", "word", "start", "end"} for group in groups)
    assert all(TEXT[group["start"] : group["end"]] == group["word"] for group in groups)
    words = ask(aggregation_strategy="none")
    assert all(set(word) == {"entity", "score", "index", "word", "start", "end"} for word in words)
    inside = [word for word in words if groups[0]["start"] <= word["start"] < groups[0]["end"]]
    assert np.mean([word["score"] for word in inside]) == pytest.approx(groups[0]["score"], abs=1e-3)
    everything = ask(aggregation_strategy="none", ignore_labels=[])
    assert len(everything) > len(words) and [word["index"] for word in everything] == list(
        range(1, len(everything) + 1)
    )
    kind = groups[0]["entity_group"]
    assert ask(ignore_labels=["O", kind]) == [group for group in groups if group["entity_group"] != kind]
    batch = post("/token-classification", {"inputs": [TEXT, "x"], "model": "names"})
    assert len(batch) == 2 and len(batch[0]) == len(groups)


def test_a_question_has_one_answer_or_several(post):
    asked = {"question": "Where does Carla live?", "context": TEXT}

    def ask(inputs=asked, **parameters):
        return post("/question-answering", {"inputs": inputs, "parameters": parameters})

    one = ask(handle_impossible_answer=False)
    assert set(one) == {"answer", "score", "start", "end"} and one["answer"] == TEXT[one["start"] : one["end"]] != ""
    several = ask(top_k=4, handle_impossible_answer=False)
    assert len(several) == 4 and several[0]["answer"] == one["answer"] and all(row["answer"] for row in several)
    assert any(row["answer"] == "" for row in ask(top_k=1000, handle_impossible_answer=True))
    short = ask(top_k=10, max_answer_len=1, handle_impossible_answer=False)
    assert all(len(row["answer"].split()) <= 1 for row in short)
    assert ask(top_k=10, max_answer_len=1, align_to_words=True, handle_impossible_answer=False)
    assert len(ask([asked, asked], doc_stride=128, max_seq_len=384, max_question_len=64)) == 2


@pytest.mark.parametrize(
    ("part", "whole"),
    [("live", "lives"), ("arl", "Carla"), (",", ","), ("ris, wh", "Paris, where"), ("river", "river")],
)
def test_answers_are_aligned_to_words(part, whole):
    start = TEXT.index(part)
    given = SpanAnswer(part, start, start + len(part), 0.5)
    found = spelt(given, TEXT, aligned=True)
    assert found["answer"] == whole == TEXT[found["start"] : found["end"]]
    assert spelt(given, TEXT, aligned=False)["answer"] == part


def test_candidate_labels_are_scored(post):
    text = "The goalkeeper saved a penalty in the last minute."
    labels = ["football", "cooking", "banking"]
    rows = post("/zero-shot-classification", {"inputs": text, "parameters": {"candidate_labels": labels}})
    assert rows[0]["label"] == "football" and sum(row["score"] for row in rows) == pytest.approx(1, abs=1e-3)
    template = {"candidate_labels": labels, "hypothesis_template": "This text is about {}."}
    other = post("/zero-shot-classification", {"inputs": [text], "parameters": template})
    assert other[0][0]["label"] == "football" and other[0] != rows
    said = post(
        "/zero-shot-classification",
        {"inputs": text, "parameters": {"candidate_labels": labels, "multi_label": True}},
        422,
    )
    assert "multi_label" in said["error"]


def test_vectors_take_their_parameters_beside_the_inputs(post):
    plain = np.array(post("/feature-extraction", {"inputs": ["Hi", "there"], "normalize": True, "truncate": True}))
    assert plain.shape == (2, 384)
    assert np.array(post("/feature-extraction", {"inputs": "Hi", "dimensions": 16})).shape == (1, 16)
    assert np.array(post("/feature-extraction", {"inputs": "Hi", "parameters": {"dimensions": 16}})).shape == (1, 16)
    assert "normalize" in post("/feature-extraction", {"inputs": "Hi", "normalize": False}, 422)["error"]
    scores = post("/sentence-similarity", {"inputs": {"source_sentence": "Hi", "sentences": ["there", "Hi"]}})
    assert scores == [pytest.approx(plain[0] @ plain[1], abs=2e-2), pytest.approx(1, abs=1e-3)]


def test_summaries_are_as_long_as_said(post):
    sentences = [
        f"The {n} thing happened in the town of number {n}." for n in ("first", "second", "third", "fourth", "fifth")
    ]
    text = " ".join(sentences)

    def count(**parameters):
        (row,) = post("/summarization", {"inputs": text, "parameters": parameters})
        return sum(sentence in row["summary_text"] for sentence in sentences)

    assert [count(), count(sentences=1), count(generate_parameters={"sentences": 2}), count(ratio=0.8, truncation="only_first")] == [
        3, 1, 2, 4,
    ]  # fmt: skip
    assert count(generate_parameters={"words": 20}) == 2


@pytest.mark.parametrize(
    ("task", "inputs", "parameters", "said"),
    [
        ("summarization", "A. B.", {"generate_parameters": {"max_new_tokens": 20}}, "max_new_tokens"),
        ("summarization", "A. B.", {"sentences": 2, "words": 9}, "one length"),
        ("fill-mask", "a [MASK]", {"topk": 3}, "topk"),
        ("fill-mask", "a [MASK]", {"top_k": 0}, "top_k"),
        ("token-classification", "a", {"aggregation_strategy": "average"}, "aggregation_strategy"),
        ("token-classification", "a", {"ignore_labels": []}, "ignore_labels"),
        ("question-answering", "a", {}, "question"),
        ("zero-shot-classification", "a", {}, "candidate_labels"),
        ("zero-shot-classification", "a", {"candidate_labels": ["one"]}, "one label"),
        ("sentence-similarity", "a", {}, "source_sentence"),
        ("feature-extraction", {"a": 1}, {}, "`inputs`"),
        ("text-classification", 3, {}, "`inputs`"),
    ],
)
def test_what_cannot_be_kept_to_is_refused_by_name(post, task, inputs, parameters, said):
    assert said in post(f"/{task}", {"inputs": inputs, "parameters": parameters}, 422)["error"]


def test_null_parameters_were_not_given(post):
    assert len(post("/fill-mask", {"inputs": "a [MASK]", "parameters": {"top_k": None, "targets": None}})) == 5


def test_unknown_names_are_told_with_the_nearest(post):
    assert "'mood'" in post("/models/moood", {"inputs": "a"}, 404)["error"]
    assert "fill-mask" in post(f"/models/{GENERAL}/pipeline/fill-maks", {"inputs": "a"}, 422)["error"]
    assert "does not answer" in post("/models/mood/pipeline/fill-mask", {"inputs": "a [MASK]"}, 422)["error"]
    assert "/rerank" in post("/models/ranker", {"inputs": "a"}, 422)["error"]
