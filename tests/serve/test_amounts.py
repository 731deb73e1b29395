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
