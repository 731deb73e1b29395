"""What a text is answered does not depend on what is asked beside it."""

import random
import threading

import numpy as np
import pytest

pytest.importorskip("fastapi")

from litebert.serve import engine as engine_module
from litebert.serve.models import Models
from tests.serve.conftest import GENERAL, VECTORS
from tests.serve.live import PATIENT, Echo

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

    def ask(name, threads=None, **settings):
        key = name, threads, *settings
        if key not in started:
            engine = {**engines[name], "threads": threads}
            started[key] = TestClient(make_app(ServeSettings(models=models, engine=engine, **PATIENT, **settings)))
            started[key].__enter__()

        def post(path, body):
            answer = started[key].post(path, json=body)
            assert answer.status_code == 200, answer.text[:300]
            return answer.json()

        return post, started[key].app

    yield ask
    for one in started.values():
        one.__exit__(None, None, None)


@pytest.mark.parametrize("asked", [embedded, predicted, ranked, filled])
@pytest.mark.parametrize("engine", ["fp32", "deterministic"])
def test_alone_and_among_fifty_others(servers, engine, asked):
    (post, _), given = servers(engine), texts(51, " [MASK]." if asked is filled else "")
    together = asked(post, given)
    assert len(together) == 51 and len({str(row) for row in together}) > 45, "the answers must differ from text to text"
    for place in (0, 17, 50):
        (alone,) = asked(post, [given[place]])
        if engine == "deterministic":
            assert alone == together[place], "to the last digit"
        else:
            np.testing.assert_allclose(alone, together[place], rtol=1e-5, atol=1e-5)


def test_while_two_batches_are_computed_at_once(servers):
    """Full batches wait while one is computed, so the other thread takes some, each with a part of the processor."""
    given, begun, both = texts(400), [], threading.Event()

    def sharing(hands):
        begun.append(hands)
        if hands == 2:
            both.set()
        elif not both.is_set():
            both.wait(60)  # until the other has begun, too
        return share(hands)

    post, app = servers("fp32", threads=2, max_batch_tokens=300)
    worker = app.state.engine.worker
    share, worker._sharing = worker._sharing, sharing
    together = np.asarray(embedded(post, given))
    assert both.is_set() and set(begun) == {1, 2}
    alone = np.concatenate([embedded(post, [given[place]]) for place in range(0, 400, 23)])
    np.testing.assert_allclose(alone, together[::23], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "hands"),
    [
        ({}, 2),
        ({"threads": 1}, 1),
        ({"deterministic": True}, 1),
        ({"backend": "onnxruntime"}, 1),
        ({"compile": True}, 1),
    ],
)
def test_when_two_batches_are_computed_at_once(settings, hands):
    model = Echo(threads=2)
    for name, value in settings.items():
        setattr(model.pipeline.settings, name, value)
    assert engine_module._hands(Models([model]))[0] == hands
