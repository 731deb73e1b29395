"""No text is tokenised where everybody waits for it: the event loop only passes requests on."""

import threading

import pytest

pytest.importorskip("fastapi")

from litebert.errors import DataError
from litebert.serve.texts import Cut, texts_of, window_cut
from litebert.text import AlbertTokenizer
from tests.serve.conftest import GENERAL, VECTORS

LONG = "this is a rather long text " * 40


def watched(method, where):
    """Return a method that notes in which thread it is called."""

    def seen(self, *args, **options):
        where.add(threading.current_thread().name.split("_")[0])
        return method(self, *args, **options)

    return seen


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {"inputs": [LONG, "b"], "truncate": True}),
        ("/embed", {"inputs": [[5, 6, 7]]}),
        ("/embed_all", {"inputs": "some text"}),
        ("/predict", {"inputs": [[LONG], ["a", "b"]], "truncate": True, "model": "mood"}),
        ("/similarity", {"inputs": {"source_sentence": LONG, "sentences": ["a"]}, "parameters": {"truncate": True}}),
        ("/tokenize", {"inputs": [LONG, "b"]}),
        ("/tokenize", {"prompt": LONG}),
        ("/decode", {"ids": [[5, 6], [7]]}),
        ("/v1/embeddings", {"input": [[5, 6], [7, 8]], "model": VECTORS}),
        ("/v2/rerank", {"query": "q", "documents": [LONG, "b"], "model": "ranker", "max_tokens_per_doc": 5}),
        ("/v2/embed", {"texts": [LONG], "model": VECTORS, "max_tokens": 5, "truncate": "START"}),
        ("/pooling", {"input": "some text", "model": VECTORS, "task": "token_embed"}),
        (f"/models/{VECTORS}/pipeline/feature-extraction", {"inputs": LONG, "truncate": True}),
        (f"/models/{GENERAL}", {"inputs": "a [MASK]"}),
        ("/litebert/v1/ask", {"inputs": ["a [MASK]"], "model": GENERAL}),
    ],
)
def test_every_route_tokenises_in_threads(post, monkeypatch, path, body):
    where = set()
    for name in ("encode", "encode_batch", "ids_batch", "decode"):
        monkeypatch.setattr(AlbertTokenizer, name, watched(getattr(AlbertTokenizer, name), where))
    post(path, body)
    assert where and where <= {"tokenise", "compute"}


def test_a_text_is_cut_at_either_end(served):
    model = served.state.engine.models[VECTORS]
    text = "one two three four five six"
    assert texts_of(model, [text, "one"], Cut(3)) == ["one two three", "one"]
    assert texts_of(model, [text], Cut(2, left=True)) == ["five six"]
    assert texts_of(model, [text], Cut(6)) == texts_of(model, [text], Cut(6, refuse=True)) == [text]
    with pytest.raises(DataError, match=r"less than 7 tokens\. Given: 8"):
        texts_of(model, [text], Cut(5, refuse=True))


def test_the_window_leaves_room_for_the_special_tokens(served):
    model = served.state.engine.models[VECTORS]
    assert window_cut(model, None) is None
    assert window_cut(model, True, "Left") == Cut(model.max_length - 2, left=True)
    assert window_cut(model, False) == Cut(model.max_length - 2, refuse=True)
    (cut,) = texts_of(model, ["word " * 4 * model.max_length], window_cut(model, True))
    assert len(model.tokenizer.encode(cut)) == model.max_length


def test_what_is_cut_is_bounded_before_it_is_tokenised(make_client, monkeypatch):
    """Too many texts, or one that is far too long, are refused without a look at their tokens."""
    client = make_client(max_client_batch_size=3)
    monkeypatch.setattr(AlbertTokenizer, "encode_batch", None)
    for inputs, said in ((["a"] * 4, "batch size 4"), (["x" * 3_000_000], "characters"), ([], "empty")):
        answer = client.post("/embed", json={"inputs": inputs, "truncate": True})
        assert answer.status_code in (400, 422) and said in answer.json()["error"]
    assert client.post("/tokenize", json={"inputs": ["a"] * 4}).status_code == 422
