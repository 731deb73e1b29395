"""What every store of an index does; where they differ, as ``Store`` says, the difference is asked for as well."""

import shutil
import sys

import numpy as np
import pytest

pytest.importorskip("lancedb", reason="needs the extra litebert[search]")
pytest.importorskip("qdrant_client", reason="needs the extra litebert[search]")

from litebert.errors import DataError, MachineError, UsageError
from litebert.search import Index
from litebert.search.filters import Test, parse_filter
from litebert.search.location import open_store
from litebert.search.store import Chunk, StoredDocument
from tests.unit.search.fakes import Engine, Stops, WordCounts, close_milvus, served

Test.__test__ = False
SIZE = 8
FIELDS = {"lang": ["text"], "year": ["number"], "open": ["flag"], "mixed": ["text", "number"], 'a "b" ü': ["text"]}
FIELDS |= {"tags": ["texts"], "either": ["text", "texts"]}
DESCRIPTION = {
    "format": 1,
    "state": "complete",
    "language": "English",
    "model": "mödel",
    "fields": {"year": ["number"]},
}
VALUES = {
    "wing": {
        "lang": "en",
        "year": 1958,
        "open": True,
        'a "b" ü': 'it\'s "x" \\ y\nz\t日本',
        "tags": ["a", 'it\'s "b"'],
    },
    "boundary/層.md#2": {"lang": "en", "year": 1962.5, "mixed": "seven", "tags": ["ä", "a"], "either": "a"},
    'it\'s "bread" \\': {"lang": "en", "year": 2004, "open": False, "mixed": 7, "tags": ["aa"], "either": ["a", "b"]},
    "🙂 katze": {"lang": "de", "year": 2004},
    "bare": {},
}
TEXTS = {
    "wing": ["The wing carries the aircraft.", "It does so by its shape."],
    "boundary/層.md#2": ["Boundary layers grow along the wing of an aircraft."],
    'it\'s "bread" \\': ["Bread needs flour and water."],
    "🙂 katze": ["Die Katze schläft auf dem Dach.", "猫は屋根で眠る 🙂"],
    "bare": ["Cats sleep on roofs."],
}
WING, BOUNDARY, BREAD, KATZE, BARE = TEXTS
FILTERS = {
    'lang == "en"': {WING, BOUNDARY, BREAD},
    'lang != "en"': {KATZE, BARE},
    'lang in ["de", "fr"]': {KATZE},
    'lang not in ["de", "fr"]': {WING, BOUNDARY, BREAD, BARE},
    "year == 2004": {BREAD, KATZE},
    "year != 2004": {WING, BOUNDARY, BARE},
    "year < 1962.5": {WING},
    "year <= 1962.5": {WING, BOUNDARY},
    "year > 1962.5": {BREAD, KATZE},
    "year >= 1962.5": {BOUNDARY, BREAD, KATZE},
    "not year < 1962.5": {BOUNDARY, BREAD, KATZE, BARE},
    "not year >= 1962.5": {WING, BARE},
    "1958 < year <= 2004": {BOUNDARY, BREAD, KATZE},
    "not 1958 < year <= 2004": {WING, BARE},
    "year in [1958, 2004]": {WING, BREAD, KATZE},
    "year is None": {BARE},
    "year is not None": {WING, BOUNDARY, BREAD, KATZE},
    "open": {WING},
    "not open": {BOUNDARY, BREAD, KATZE, BARE},
    "open == false": {BREAD},
    "open != false": {WING, BOUNDARY, KATZE, BARE},
    'mixed == 7 or mixed == "seven"': {BOUNDARY, BREAD},
    'mixed == "7"': set(),
    "mixed is None and lang is not None": {WING, KATZE},
    'not (mixed == 7 or lang == "de") and year > 0': {WING, BOUNDARY},
    'field("a \\"b\\" ü") == "it\'s \\"x\\" \\\\ y\\nz\\t日本"': {WING},
    'document in ["it\'s \\"bread\\" \\\\", "🙂 katze"]': {BREAD, KATZE},
    'document != "wing" and source == "notes/ü.md"': {BOUNDARY, BREAD, KATZE, BARE},
    '"a" in tags': {WING, BOUNDARY},
    '"a" not in tags': {BREAD, KATZE, BARE},
    '"it\'s \\"b\\"" in tags or "ä" in tags and year > 1960': {WING, BOUNDARY},
    'not ("a" in tags or "aa" in tags)': {KATZE, BARE},
    "tags is None": {KATZE, BARE},
    'tags is not None and not "a" in tags': {BREAD},
    '"a" in either': {BREAD},
    'either == "a"': {BOUNDARY},
    "either is None": {WING, KATZE, BARE},
    'source == "nowhere" or source is None': set(),
    "source is not None": set(TEXTS),
}


def unit(rows, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(rows, SIZE)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def document(name, texts, digest="1", vectors=None, values=None, metadata=None):
    chunks = [Chunk(name, n, text, 3 * n, 3 * n + 2, "notes/ü.md", metadata or {}) for n, text in enumerate(texts)]
    vectors = unit(len(texts), seed=len(name)) if vectors is None else vectors
    return StoredDocument(name, digest, chunks, vectors, values or {})


def library():
    return [
        document(name, texts, values=VALUES[name], metadata={"n": [1, {"ü": None}], "half": 0.5, "whole": 3})
        for name, texts in TEXTS.items()
    ]


@pytest.fixture
def place(every_place):
    return every_place


@pytest.fixture
def store(place):
    """A store with room for vectors of eight numbers and the fields."""
    found = open_store(place)
    with found.writing():
        found.create(SIZE, "English")
        found.add_fields(FIELDS)
        found.write_description({"format": 1, "state": "building"})
        yield found


def publish(store, **options):
    store.publish(DESCRIPTION, **{"approximate_from": 1_000_000, **options})
    again = open_store(store.location)
    again.open(again.read_description())
    return again


def found_by(hits):
    return [(hit.chunk.document, hit.chunk.ordinal) for hit in hits]


def test_where_nothing_is_nothing_is_made(place, tmp_path):
    assert open_store(place).read_description() is None
    with pytest.raises(DataError, match="there is no index"):
        Index.open(place)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_index_finds_nothing(store):
    assert store.count() == (0, 0)
    assert (list(store.document_ids()), list(store.vectors()), store.digests([]), store.digests(["x"])) == (
        [],
        [],
        {},
        {},
    )
    store.remove([])
    store.remove(["x"])
    ready = publish(store)
    assert ready.by_vector(unit(1)[0], 5, None) == ready.by_words("wing", 5, None) == []


def test_documents_come_are_replaced_and_go(store):
    store.put(library(), [])
    assert store.count() == (5, 7)
    assert sorted(store.document_ids()) == sorted(TEXTS)
    assert store.digests([WING, KATZE, "nobody"]) == {WING: "1", KATZE: "1"}
    assert store.sources([WING, "nobody"]).keys() == {WING} and store.sources([]) == {}
    assert store.sources([WING])[WING] == library()[[one.id for one in library()].index(WING)].chunks[0].source
    assert not store.is_behind()
    store.put([document(KATZE, ["Kurz."], "2"), document("new", ["New."])], [KATZE])
    assert store.count() == (6, 7)
    assert store.digests([KATZE, "new"]) == {KATZE: "2", "new": "1"}
    store.remove([BREAD, BOUNDARY, "nobody"])
    assert sorted(store.document_ids()) == sorted([WING, KATZE, BARE, "new"])
    ready = publish(store)
    assert found_by(ready.by_vector(unit(1)[0], 100, Test("document", "==", KATZE))) == [(KATZE, 0)]
    assert (ready.by_words("flour", 5, None), found_by(ready.by_words("kurz", 5, None))) == ([], [(KATZE, 0)])


def test_pages_and_parts_are_put_together(store, monkeypatch):
    for name in ("qdrant_store", "milvus_store"):
        if module := sys.modules.get(f"litebert.search.{name}"):
            monkeypatch.setattr(module, "_PAGE", 3)
            monkeypatch.setattr(module, "_AT_ONCE", 2)
    names = [f"n{n}" for n in range(11)]
    store.put([document(name, [name]) for name in names], [])
    assert sorted(store.document_ids()) == sorted(names)
    assert sum(len(chunks) for chunks, _ in store.vectors()) == 11
    assert len(store.digests(names)) == 11
    store.remove(names[:5])
    assert store.count() == (6, 6)


def test_chunks_come_back_letter_by_letter_with_their_vectors(store):
    given = library()
    store.put(given, [])
    back = {
        (chunk.document, chunk.ordinal): (chunk, vector)
        for chunks, vectors in store.vectors()
        for chunk, vector in zip(chunks, vectors, strict=True)
    }
    assert len(back) == 7
    for one in given:
        for chunk, vector in zip(one.chunks, one.vectors, strict=True):
            same, stored = back[chunk.document, chunk.ordinal]
            assert (same, dict(same.metadata)) == (chunk, dict(chunk.metadata))
            np.testing.assert_allclose(stored, vector, atol=1e-6)


def test_the_nearest_are_those_of_numpy(store):
    vectors = unit(60)
    store.put([document(f"d{n:02d}", ["a", "b"], vectors=vectors[2 * n : 2 * n + 2]) for n in range(30)], [])
    ready = publish(store)
    for query in unit(3, seed=5):
        cosines = vectors @ query
        order = np.argsort(-cosines)
        for top, exact in ((7, True), (1000, True), (1000, False)):
            hits = ready.by_vector(query, top, None, exact=exact)
            assert found_by(hits) == [(f"d{n // 2:02d}", n % 2) for n in order[:top]]
            np.testing.assert_allclose([hit.score for hit in hits], cosines[order[:top]], atol=1e-5)


def test_filters_mean_the_same_everywhere(store):
    store.put(library(), [])
    ready = publish(store)
    for text, expected in FILTERS.items():
        hits = ready.by_vector(unit(1)[0], 100, parse_filter(text, FIELDS))
        assert {hit.chunk.document for hit in hits} == expected, text
    assert found_by(ready.by_words("wing aircraft", 10, parse_filter("year > 1960", FIELDS))) == [(BOUNDARY, 0)]


def test_texts_are_ordered_by_code_points_or_as_dates(store):
    days = {"old": "2023-12-31", "new": "2024-02-01", "none": None}
    store.add_fields({"day": ["text"]})
    store.put([document(name, [name], values={"day": day} if day else {}) for name, day in days.items()], [])
    ready = publish(store)
    later, odd = (Test("day", ">=", value) for value in ("2024-01-01", "2023-12-31 or so"))
    assert found_by(ready.by_vector(unit(1)[0], 5, later)) == [("new", 0)]
    if "qdrant" in type(store).__name__.lower():
        with pytest.raises(UsageError, match="ordered only as dates"):
            ready.by_vector(unit(1)[0], 5, odd)
    else:
        assert found_by(ready.by_vector(unit(1)[0], 5, odd)) == [("new", 0)]


def test_words_are_found_by_their_stems(store):
    store.put(library(), [])
    ready = publish(store)
    assert found_by(ready.by_words("carry", 5, None)) == [(WING, 0)]
    assert found_by(ready.by_words("cat", 5, None)) == [(BARE, 0)]  # words of three letters are words
    assert found_by(ready.by_words("schlaft", 5, None)) == [(KATZE, 0)]  # accents do not count
    assert found_by(ready.by_words("屋根", 5, None)) == [(KATZE, 1)]
    assert ready.by_words("zeppelin", 5, None) == ready.by_words("... ?", 5, None) == []
    hits = ready.by_words("wing boundary", 5, None)
    assert found_by(hits) == [(BOUNDARY, 0), (WING, 0)]  # the rare word weighs more
    assert hits[0].score > hits[1].score > 0
    assert len(ready.by_words("wing boundary", 1, None)) == 1


def test_what_was_published_is_there_when_it_is_opened_again(store):
    store.put(library(), [])
    store.publish(DESCRIPTION, approximate_from=1_000_000)
    close_milvus(store.location)
    again = open_store(store.location)
    assert {**again.read_description(), "version": None} == {**DESCRIPTION, "version": None}
    assert not again.is_ahead(again.read_description())
    again.open(again.read_description())
    assert again.count() == (5, 7)
    assert found_by(again.by_words("flour", 5, None)) == [(BREAD, 0)]
    assert {hit.chunk.document for hit in again.by_vector(unit(1)[0], 99, None)} == set(TEXTS)


def test_a_description_is_replaced_whole(store):
    store.write_description({**DESCRIPTION, "odd": ["ü", 'a"b', None, 0.1]})
    assert store.read_description()["odd"] == ["ü", 'a"b', None, 0.1]
    store.write_description(DESCRIPTION)
    assert store.read_description() == DESCRIPTION


def test_what_never_said_what_it_is_is_begun_anew(place):
    killed = open_store(place)
    with killed.writing():
        killed.create(SIZE, "English")
    assert open_store(place).read_description() is None
    store = open_store(place)
    with store.writing():
        store.create(3, "English")
        store.write_description(DESCRIPTION)
        store.put([document("x", ["X."], vectors=np.eye(1, 3, dtype=np.float32))], [])
        assert store.count() == (1, 1)


@pytest.mark.parametrize("every_place", ["memory", "qdrant", "milvus"], indirect=True)
def test_a_document_stopped_half_way_is_done_again(store):
    """A folder removes before it adds, and the published version shows neither."""
    store.put([document("x", ["One.", "Two."], "1")], [])
    store.put([document("x", ["Three."], "2")], [])  # stopped before the old ones were removed
    assert store.digests(["x"])["x"] not in ("1", "2")
    store.put([document("x", ["Three."], "2")], ["x"])
    assert (store.digests(["x"]), store.count()) == ({"x": "2"}, (1, 1))


ROWS = [{"id": name, "text": " ".join(texts)} for name, texts in TEXTS.items()]


def answers(place, query="wing", **options):
    return {hit.id: hit.text for hit in Index.open(place, embedder=WordCounts()).search(query, top=100, **options)}


def test_an_interrupted_build_leaves_the_last_complete_state(place, write, build):
    path = write(ROWS)
    with pytest.raises(KeyboardInterrupt):
        build(path, place, Stops(2), batch=1)
    with pytest.raises(DataError, match="not complete"):
        Index.open(place, embedder=WordCounts())
    rest = WordCounts()
    assert build(path, place, rest).unchanged == 2
    assert len(rest.embedded) == 3
    before = {row["id"]: row["text"] for row in ROWS}
    assert answers(place) == before
    changed = {name: f"Changed {text}" for name, text in before.items()}
    write([{"id": name, "text": text, "fresh": 1} for name, text in changed.items()])
    with pytest.raises(KeyboardInterrupt):
        build(path, place, Stops(3), batch=1)
    half = answers(place)
    if place.startswith((":", "http", "milvus")):  # without versions every document is as it was, or as it will be
        assert {half[name] in (before[name], changed[name]) for name in before} == {True}
        assert sum(half[name] == changed[name] for name in before) == 3
    else:
        assert half == before
    build(path, place)
    assert answers(place) == changed
    assert set(answers(place, filter="fresh == 1")) == set(TEXTS)


def test_ways_are_fused_and_other_models_refused(place, write, build):
    build(write(ROWS), place)
    (hit, *_) = Index.open(place, embedder=WordCounts()).search("flour", top=1)
    assert (hit.id, set(hit.scores)) == (BREAD, {"dense", "bm25"})
    for other in (WordCounts(name="other"), WordCounts(size=32)):
        with pytest.raises(UsageError, match="was made with words"):
            Index.open(place, embedder=other)
        with pytest.raises(UsageError, match="was made with words"):
            build(write(ROWS), place, other)
    assert len(answers(place)) == 5


def test_milvus_refuses_what_it_cannot_keep(store):
    long = [document("long", ["x" * 70_000]), document("short", ["x"], metadata={"a": "ü" * 35_000})]
    for one, what in zip(long, ("text", "metadata"), strict=True):
        if type(store).__name__ == "MilvusStore":
            with pytest.raises(DataError, match=f"the {what} of '{one.id}' has 70"):
                store.put([one], [])
        else:
            store.put([one], [])
            assert store.digests([one.id]) == {one.id: "1"}


# Where it is ----------------------------------------------------------------------------------------------------------


def test_milvus_over_the_network(tmp_path, write, build):
    milvus = pytest.importorskip("milvus_lite.adapter.grpc.server", reason="needs the extra litebert[milvus]")
    server, database, port = milvus.start_server_in_thread(data_dir=str(tmp_path / "data"), host="127.0.0.1", port=0)
    try:
        place = f"milvus://127.0.0.1:{port}/notes"
        build(write(ROWS), place, approximate_from=3)
        index = Index.open(place, embedder=WordCounts())
        assert index.store._approximate
        for exact in (True, False):
            assert len(index.search("wing", mode="dense", top=9, exact=exact)) == 5
        assert [hit.id for hit in index.search("flour", mode="bm25")] == [BREAD]
        index.store._call("drop_collection", "notes_about")
        with pytest.raises(DataError, match="holds no index of LiteBERT"):
            Index.open(place)
    finally:
        server.stop(grace=0)
        database.close()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("redis://host/notes", "no index can be kept at redis://"),
        ("http://host:port/notes", "is no URL"),
        ("milvus://host:99999/notes", "is no URL"),
        ("http://127.0.0.1:1/", "names no collection"),
        ("milvus://127.0.0.1:1/", "names no collection"),
        ("milvus://127.0.0.1:1/a/b/c", "names no collection"),
        ("milvus://127.0.0.1:1/my-notes", "'my-notes' cannot be a collection"),
        ("milvus:notes", "milvus:notes.db"),
        ("milvus:", "milvus:notes.db"),
        ("milvus+https:notes.db", "names no Milvus database"),
    ],
)
def test_wrong_locations(location, message):
    with pytest.raises(UsageError) as caught:
        open_store(location)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("module", "location", "extra"),
    [
        ("lancedb", "notes.index", "search"),
        ("qdrant_client", "http://127.0.0.1:1/notes", "search"),
        ("qdrant_client", ":memory:", "search"),
        ("pymilvus", "milvus://127.0.0.1:1/notes", "milvus"),
        ("milvus_lite", "milvus:notes.db", "milvus"),
    ],
)
def test_without_a_library_the_extra_is_named(monkeypatch, module, location, extra):
    if location.startswith("milvus"):
        pytest.importorskip("pymilvus", reason="needs the extra litebert[milvus]")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MachineError) as caught:
        open_store(location)
    assert f'pip install "litebert[{extra}]"' in str(caught.value)


def test_nobody_answers(monkeypatch):
    with pytest.raises(MachineError, match=r"http://127\.0\.0\.1:1/notes"):
        Index.open("http://127.0.0.1:1/notes")
    pytest.importorskip("pymilvus", reason="needs the extra litebert[milvus]")
    monkeypatch.setattr("litebert.search.milvus_access._CONNECTING", 0.5)
    with pytest.raises(MachineError, match=r"answers at milvus://127\.0\.0\.1:1/notes"):
        Index.open("milvus://127.0.0.1:1/notes")


def test_a_server_with_a_key(monkeypatch):
    with served(Engine(key="secret")) as address:
        with pytest.raises(UsageError, match="refuses access"):
            Index.open(f"{address}/notes")
        monkeypatch.setenv("LITEBERT_SEARCH_API_KEY", "secret")
        with pytest.raises(DataError, match="there is no index"):
            Index.open(f"{address}/notes")


def test_a_milvus_database_that_cannot_be_opened(tmp_path):
    pytest.importorskip("milvus_lite", reason="needs the extra litebert[milvus]")
    fcntl = pytest.importorskip("fcntl", reason="locks of POSIX")
    place = tmp_path / "index.db"
    place.write_text("of another version")
    with pytest.raises(UsageError, match="is a file"):
        open_store(f"milvus:{place}").read_description()
    place.unlink()
    place.mkdir()
    (place / "letters.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds other files: letters\.txt"), open_store(f"milvus:{place}").writing():
        pass
    shutil.rmtree(place)
    place.mkdir()
    with (place / "LOCK").open("w") as stream:  # as another process has it
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process has the database"):
            open_store(f"milvus:{place}").read_description()


def test_memory_goes_by_names(write, build):
    build(write(ROWS[:1]), ":memory:one of two")
    build(write(ROWS[:2]), ":memory:two of two")
    assert [len(answers(place)) for place in (":memory:one of two", ":memory:two of two")] == [1, 2]
    with pytest.raises(DataError, match="in the process that built it only"):
        Index.open(":memory:three of two")
