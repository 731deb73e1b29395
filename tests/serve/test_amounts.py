"""Requests that are more work than they look: each is refused by its own bound before anything is computed, whichever protocol asks."""

import pytest

from litebert.serve import amounts
from tests.serve.conftest import GENERAL, VECTORS


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/fill-mask", {"inputs": "[MASK] " * (amounts.MOST_MASKS + 1)}, "masks"),
        ("/fill-mask", {"inputs": ["a [MASK] " * 600] * 2}, "masks"),
        (
            "/zero-shot-classification",
            {"inputs": "a", "parameters": {"candidate_labels": [str(i) for i in range(1001)]}},
            "labels",
        ),
        (
            "/zero-shot-classification",
            {"inputs": "a", "parameters": {"candidate_labels": ["a" * 60_000, "b" * 60_000]}},
            "labels",
        ),
        (
            "/zero-shot-classification",
            {"inputs": "a", "parameters": {"candidate_labels": list("abc"), "hypothesis_template": "{} " * 20_000}},
            "labels",
        ),
        ("/rerank", {"query": "q" * 900_000, "texts": ["a"] * 20, "model": "ranker"}, "characters"),
    ],
)
def test_hidden_work_is_refused(post, path, body, said):
    assert said in post(path, body, 422)["error"]


def test_putting_many_long_texts_in_order_is_refused(served):
    text = "This is a sentence. " * 90
    records = [amounts.Record(text)] * 3
    model = served.state.engine.models[GENERAL]
    amounts.check_amount(model, "coherence", records[:1], {"mode": "order"}, 300_000)
    amounts.check_amount(model, "coherence", records, {"mode": "drift"}, 300_000)
    with pytest.raises(amounts.UsageError, match="pairs of sentences"):
        amounts.check_amount(model, "coherence", records, {"mode": "order"}, 300_000)


def test_work_counts_what_is_read_several_times(served):
    """The wait is estimated from it, and what counts as hanging."""
    models = served.state.engine.models
    general, chooser = models[GENERAL], models["multiple"]
    text = " ".join(f"This is the sentence number {number}." for number in "abcdefgh")
    records = [amounts.Record(text), amounts.Record("One. Two.")]
    tokens = general.tokens_of(records)

    def work(model, task, given, counts, **options):
        return amounts.work_of(model, task, given, options, counts)

    assert work(general, "coherence", records, tokens, mode="order") == [14 * tokens[0], 2 * tokens[1]]
    assert work(general, "coherence", records, tokens, mode="pair") == work(general, "embed", records, tokens) == tokens
    question = amounts.Record("q" * 10, pair="c" * 190, extra={"options": ("a" * 50, "b" * 50)})
    assert work(chooser, "choice", [question], [30]) == [50], "question and context, two thirds of it, twice"
    masks = amounts.Record("[MASK] " * 3)
    assert work(general, "fill-mask", [masks], [9]) == [9], "one pass fills all masks of a window"
    window = general.max_length
    assert work(general, "fill-mask", [masks], [window + 1]) == [3 * window]
    labelled = work(
        models[VECTORS], "zero-shot-classification", records, [5, 6], labels=["a" * 40, "b" * 40], template=""
    )
    assert labelled == [25, 6]


def test_putting_sentences_in_order_waits_for_as_long_as_it_takes(served, client):
    """What is behind it is told so: the pairs count, not the text."""
    engine, seen = served.state.engine, []
    put = engine.worker.put
    engine.worker.put = lambda request, **more: (seen.append(request.waiting_tokens), put(request, **more))
    try:
        for mode in ("pair", "order"):
            body = {"text": "It rained. The street was wet. Nobody slept. It was cold.", "mode": mode}
            assert client.post("/litebert/v1/coherence", json=body).status_code == 200
    finally:
        del engine.worker.put
    assert seen[1] >= 5 * seen[0]


def test_usual_requests_pass(post):
    assert len(post("/fill-mask", {"inputs": "[MASK] and [MASK]"})) == 2
    labels = [f"label {i}" for i in range(30)]
    assert (
        len(
            post(
                "/zero-shot-classification",
                {"inputs": "a", "model": VECTORS, "parameters": {"candidate_labels": labels}},
            )
        )
        == 30
    )
