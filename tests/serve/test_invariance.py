"""What a text is answered does not depend on what is asked beside it."""

import random

import numpy as np
import pytest

pytest.importorskip("fastapi")

from tests.serve.conftest import GENERAL, VECTORS
from tests.serve.live import PATIENT

WORDS = (
    "river",
    "old",
    "house",
    "of",
    "green",
    "was",
    "under",
    "some",
    "people",
    "slowly",
    "never",
    "bridge",
    "and",
    "water",
    "for",
    "their",
)


def texts(count, ending=""):
    """Return texts of 3 to 70 words, some beyond the window of the tiny models."""
    draw = random.Random(7)
    return [" ".join(draw.choices(WORDS, k=draw.choice((3, 4, 5, 6, 8, 12, 20, 70)))) + ending for _ in range(count)]


def embedded(post, given):
    return post("/embed", {"inputs": given, "model": VECTORS})


def predicted(post, given):
    rows = post("/predict", {"inputs": [[text] for text in given], "model": "mood"})
    return [[one["score"] for one in sorted(row, key=lambda one: one["label"])] for row in rows]


def ranked(post, given):
    rows = post("/rerank", {"query": "an old bridge", "texts": given, "model": "ranker"})
    return [[one["score"]] for one in sorted(rows, key=lambda one: one["index"])]


def filled(post, given):
    rows = post(f"/models/{GENERAL}", {"inputs": given, "parameters": {"top_k": 3}})
    rows = rows if isinstance(rows[0], list) else [rows]
    return [[one["score"] for one in row] for row in rows]


@pytest.fixture(scope="module")
def servers(tiny_models):
    """Clients of a server in float32, and of one that computes every text alone; started when they are asked for."""
    from fastapi.testclient import TestClient

    from litebert.serve.app import make_app
    from litebert.serve.settings import ServeSettings

    models = (GENERAL, VECTORS, str(tiny_models["mood"]), str(tiny_models["ranker"]))
    engines = {"fp32": {"precision": "fp32"}, "deterministic": {"deterministic": True}}
    started = {}

    def ask(name):
        if name not in started:
            started[name] = TestClient(make_app(ServeSettings(models=models, engine=engines[name], **PATIENT)))
            started[name].__enter__()

        def post(path, body):
            answer = started[name].post(path, json=body)
            assert answer.status_code == 200, answer.text[:300]
            return answer.json()

        return post

    yield ask
    for one in started.values():
        one.__exit__(None, None, None)


@pytest.mark.parametrize("asked", [embedded, predicted, ranked, filled])
@pytest.mark.parametrize("engine", ["fp32", "deterministic"])
def test_alone_and_among_fifty_others(servers, engine, asked):
    post, given = servers(engine), texts(51, " [MASK]." if asked is filled else "")
    together = asked(post, given)
    assert len(together) == 51 and len({str(row) for row in together}) > 45, "the answers must differ from text to text"
    for place in (0, 17, 50):
        (alone,) = asked(post, [given[place]])
        if engine == "deterministic":
            assert alone == together[place], "to the last digit"
        else:
            np.testing.assert_allclose(alone, together[place], rtol=1e-5, atol=1e-5)
