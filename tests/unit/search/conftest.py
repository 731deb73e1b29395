"""Indices in a folder, and in every store there is, which have to behave alike."""

import json
import re

import pytest

pytest.importorskip("lancedb", reason="needs the extra litebert[search]")
pytest.importorskip("qdrant_client", reason="needs the extra litebert[search]")

from litebert.search import Index, build_index
from tests.unit.search.fakes import Engine, WordCounts, close_milvus, served, word_offsets

ROWS = [
    {"id": "wing", "text": "The wing carries the aircraft.", "lang": "en", "year": 1958, "open": True},
    {"id": "boundary", "text": "Boundary layers grow along the wing of an aircraft.", "lang": "en", "year": 1962},
    {"id": "bread", "text": "Bread needs flour and water.", "lang": "en", "year": 2004, "open": False},
    {"id": "katze", "text": "Die Katze schläft auf dem Dach.", "lang": "de", "year": 2004},
    {"id": "bare", "text": "Cats sleep on roofs."},
]


@pytest.fixture(scope="session")
def server():
    with served(Engine()) as address:
        yield address


@pytest.fixture
def place(tmp_path):
    """Where an index is by default."""
    return str(tmp_path / "index")


@pytest.fixture(params=["folder", "memory", "qdrant", "milvus"])
def every_place(request, tmp_path):
    """Where an index may be."""
    name = re.sub(r"\W+", "_", request.node.name)
    if request.param == "milvus":
        pytest.importorskip("milvus_lite", reason="needs the extra litebert[milvus]")
    places = {"folder": str(tmp_path / "index"), "memory": f":memory:{name}", "milvus": f"milvus:{tmp_path}/index.db"}
    place = places.get(request.param) or f"{request.getfixturevalue('server')}/{name}"
    yield place
    close_milvus(place)


@pytest.fixture
def write(tmp_path):
    """Write rows as JSON Lines or a text, and return the path."""

    def make(content, name="rows.jsonl"):
        path = tmp_path / "input" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content))
        return str(path)

    return make


@pytest.fixture
def build():
    """Build an index with an embedder that counts words."""

    def make(inputs, out, embedder=None, **options):
        inputs = [inputs] if isinstance(inputs, str) else inputs
        return build_index(inputs, out, embedder or WordCounts(), word_offsets, model="words", **options)

    return make


@pytest.fixture(scope="session")
def index(tmp_path_factory):
    """The five rows in a folder; tests do not change them."""
    rows, out = tmp_path_factory.mktemp("rows") / "rows.jsonl", str(tmp_path_factory.mktemp("library") / "index")
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    build_index([str(rows)], out, WordCounts(), word_offsets, model="words")
    return Index.open(out, embedder=WordCounts())
