"""Answers: order, offsets, fusion, reranking."""

import json
import math
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pytest

import litebert
from litebert.errors import DataError, UsageError
from litebert.search import Index, reranker
from litebert.search.index import fuse
from litebert.search.store import Chunk, Found
from litebert.search.words import asked_for
from tests.unit.search.conftest import ROWS
from tests.unit.search.fakes import WordCounts


def test_by_meaning_is_the_cosine(index):
    hits = index.search("wing aircraft", mode="dense", top=5)
    embedder = WordCounts()
    query = embedder.embed(["wing aircraft"])[0]
    cosines = {row["id"]: float(embedder.embed([row["text"]])[0] @ query) for row in ROWS}
    assert {hit.id: pytest.approx(hit.score, abs=1e-4) for hit in hits} == cosines
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_hits_tell_where_they_are(index):
    (hit,) = index.search("flour", top=1)
    row = next(row for row in ROWS if row["id"] == "bread")
    assert hit.text == row["text"][hit.start : hit.end] == row["text"]
    assert hit.metadata == {"lang": "en", "year": 2004, "open": False}
    assert hit.source.endswith("rows.jsonl")
    assert set(hit.scores) == {"dense", "bm25"}
    assert json.loads(json.dumps(hit.to_dict()))["id"] == "bread"


def test_several_queries_and_an_empty_one(index):
    first, empty, third = index.search(["flour", "  ", "Katze"], top=1)
    assert (first[0].id, empty, third[0].id) == ("bread", [], "katze")


def test_fusion_adds_scores_on_one_scale():
    """By words: as a share of the best. By meaning: how far from the last to 1. Who is in one only has nothing from the other."""
    chunks = [Chunk(name, 0, name, 0, 1, "s") for name in "abcd"]
    dense = [Found(0.9, chunks[0]), Found(0.8, chunks[1]), Found(0.6, chunks[3])]
    words = [Found(7.0, chunks[1]), Found(5.0, chunks[2])]
    fused = fuse({"dense": dense, "bm25": words}, 0.4)
    assert [hit.id for hit in fused] == ["b", "c", "a", "d"]
    assert [hit.score for hit in fused] == pytest.approx([0.4 * 0.5 + 0.6, 0.6 * 5 / 7, 0.4 * 0.75, 0.0])
    assert fused[0].scores == {"dense": 0.8, "bm25": 7.0}


def test_fusion_does_not_care_how_high_the_cosines_of_a_model_are():
    """Some models give any two texts a cosine of 0.8."""
    chunks = [Chunk(f"{number:02}", 0, "", 0, 1, "s") for number in range(30)]
    cosines = [math.cos(0.04 * number) for number in range(30)]
    words = [Found(20.0 / (1 + (7 * number) % 30), chunks[(7 * number) % 30]) for number in range(30)]
    words.sort(key=lambda found: -found.score)
    plain, high = ([Found(low + (1 - low) * c, k) for c, k in zip(cosines, chunks, strict=True)] for low in (0.0, 0.8))
    orders = [[(h.id, round(h.score, 9)) for h in fuse({"dense": d, "bm25": words}, 0.5)] for d in (plain, high)]
    assert orders[0] == orders[1]


@pytest.mark.parametrize(("dense", "words"), [([1.0, 1.0], [0.5]), ([0.3], []), ([], [4.0]), ([1.0000001], [4.0])])
def test_fusion_of_what_is_all_the_same(dense, words):
    def ranking(scores):
        return [Found(score, Chunk(str(place), 0, "", 0, 1, "s")) for place, score in enumerate(scores)]

    hits = fuse({"dense": ranking(dense), "bm25": ranking(words)}, 0.5)
    assert len(hits) == max(len(dense), len(words)) and all(0 <= hit.score <= 1 for hit in hits)
    if dense == [0.3]:
        assert hits[0].score == 0.15, "one candidate alone has its cosine"


def test_the_weight_of_meaning(index):
    """At the ends one ranking alone decides, and what only the other found comes after it."""
    words = [hit.id for hit in index.search("wing of an aircraft", mode="bm25")]
    meaning = [hit.id for hit in index.search("wing of an aircraft", mode="dense")]
    assert [hit.id for hit in index.search("wing of an aircraft", dense_weight=0.0)][: len(words)] == words
    assert [hit.id for hit in index.search("wing of an aircraft", dense_weight=1.0)][:3] == meaning[:3]
    half = index.search("wing of an aircraft", dense_weight=0.5)
    assert half == index.search("wing of an aircraft") and 0.5 <= half[0].score <= 1
    with pytest.raises(UsageError, match="0 to 1, not 2"):
        index.search("wing", dense_weight=2)


def test_stop_words_of_a_query_do_not_win(tmp_path, write, build):
    """In a small index they are as rare as any word."""
    rows = [
        {"id": "office", "text": "How do I get to the office?"},
        {"id": "money", "text": "Money comes back in two weeks."},
    ]
    place = str(tmp_path / "index")
    build(write(rows), place)
    index = Index.open(place, embedder=WordCounts())
    assert [hit.id for hit in index.search("how do I have my money back", mode="bm25")] == ["money"]
    assert [hit.id for hit in index.search("how do I", mode="bm25")] == ["office"], "where there is nothing else"
    assert index.search("in two", mode="bm25")[0].id == "money", "texts keep theirs"


@pytest.mark.parametrize(
    ("query", "language", "asked"),
    [
        ("What is the fee?", "English", "fee"), ("what is the fee?", None, "what is the fee?"), ("The Who", "English", "The Who"),
        ("Wann ist der Laden offen?", "German", "wann laden offen"), ("naïve café", "English", "naïve café"), ("", "English", ""),
        ("πώς μπορώ", "Greek", "πώς μπορώ"),
    ],
)  # fmt: skip
def test_what_a_query_asks_for(query, language, asked):
    assert asked_for(query, language) == asked


def test_reranking_decides_the_order_of_the_candidates(index):
    pairs = []

    def shortest_first(asked):
        pairs.extend(asked)
        return [-len(text) for _, text in asked]

    hits = index.search("wing of an aircraft", rerank=shortest_first, mode="bm25")
    assert [hit.id for hit in hits] == ["wing", "boundary"]
    assert hits[0].score == hits[0].scores["rerank"] == -len(hits[0].text)
    assert {query for query, _ in pairs} == {"wing of an aircraft"}
    assert len(index.search("wing of an aircraft", rerank=shortest_first, candidates=1, top=1, mode="bm25")) == 1


class _Pipeline:
    def __init__(self, task, kind=None):
        self.task, self.loaded = task, type("Loaded", (), {"task": type("Task", (), {"kind": kind})()})()

    def __call__(self, pairs):
        return [type("Answer", (), {"score": len(text)})() for _, text in pairs]


def test_who_may_rerank():
    assert reranker(_Pipeline("rerank"))([("q", "abc")]) == [3.0]
    assert reranker(_Pipeline("classify", "regression"))([("q", "ab")]) == [2.0]
    for task, kind in (("classify", "single"), ("qa", None)):
        with pytest.raises(UsageError, match="scores no pairs"):
            reranker(_Pipeline(task, kind))


@pytest.mark.parametrize(("options", "message"), [({"mode": "bm52"}, "bm25"), ({"top": 0}, "at least 1")])
def test_wrong_options(index, options, message):
    with pytest.raises(UsageError) as caught:
        index.search("wing", **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 99}', "format 99"),
        ('{"format": 1}', "damaged"),
        ("{", "cannot be read"),
        ('{"format": 1, "model": "m", "fingerprint": "f", "size": 3, "state": "building"}', "not complete"),
        (
            '{"format": 1, "model": "m", "fingerprint": "f", "size": 3, "state": "complete", "version": 1}',
            "cannot be used",
        ),
    ],
)
def test_what_is_no_index(tmp_path, text, message):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(DataError, match=message):
        Index.open(str(tmp_path))


def test_no_index_at_all(tmp_path):
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="there is no index"):
            Index.open(str(place))


def test_search_is_imported_when_it_is_used():
    assert litebert.search.Index is Index
    code = "import sys, litebert; litebert.search; print(any(m in sys.modules for m in ('torch', 'lancedb', 'qdrant_client')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_an_open_index_follows_what_is_published(tmp_path, write, build, monkeypatch):
    """However often that is, and however old the versions are that are cleaned up."""
    monkeypatch.setattr("litebert.search.lance_store._KEPT", timedelta(microseconds=1))
    place = str(tmp_path / "index")
    build(write([{"id": 1, "text": "zebra"}, {"id": 2, "text": "lion"}]), place)
    index = Index.open(place, embedder=WordCounts())
    assert [hit.text for hit in index.search("zebra", mode="bm25")] == ["zebra"]
    for word in ("bear", "wolf", "hare"):
        build(write([{"id": 1, "text": f"{word} zebra", "kind": word}, {"id": 2, "text": "lion"}]), place)
        late = index.store.by_words("zebra", 5, None)  # a search that began before
        assert late[0].chunk.text.endswith("zebra") and word not in late[0].chunk.text
        for mode in ("bm25", "dense", "hybrid"):
            assert index.search("zebra", mode=mode, filter=f'kind == "{word}"')[0].text == f"{word} zebra"
    other = WordCounts(size=32)
    (tmp_path / "index").rename(tmp_path / "old")
    build(write([{"id": 1, "text": "zebra"}]), place, embedder=other)
    with pytest.raises(UsageError, match="was made with"):
        index.search("zebra")


def test_approximate_search_finds_nearly_the_same(tmp_path, build):
    rng = np.random.default_rng(0)
    words = [f"word{n}" for n in range(200)]
    rows = [{"id": str(n), "text": " ".join(rng.choice(words, 6))} for n in range(600)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    build(str(tmp_path / "rows.jsonl"), str(tmp_path / "index"), approximate_from=500)
    index = Index.open(str(tmp_path / "index"), embedder=WordCounts())
    assert any(found.columns == ["vector"] for found in index.store._table.list_indices())
    same = 0
    for row in rows[:20]:
        exact = {hit.id for hit in index.search(row["text"], mode="dense", exact=True)}
        same += len(exact & {hit.id for hit in index.search(row["text"], mode="dense")})
    assert same >= 180
