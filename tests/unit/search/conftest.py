"""Indices in folders and on a server, which have to behave alike."""

import json

import pytest

pytest.importorskip("lancedb", reason="needs the extra litebert[search]")
pytest.importorskip("qdrant_client", reason="needs the extra litebert[search]")

from litebert.search import Index, build_index
from tests.unit.search.fakes import Engine, WordCounts, served, word_offsets

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


@pytest.fixture(params=["folder", "server"])
def place(request, tmp_path):
    """Where an index may be."""
    if request.param == "folder":
        return str(tmp_path / "index")
    return f"{request.getfixturevalue('server')}/{request.node.name.replace('[', '-').replace(']', '')}"


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
def library(tmp_path_factory, server):
    """The five rows, in a folder and on the server; tests do not change them."""
    rows = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    found = {}
    for kind, out in (("folder", str(tmp_path_factory.mktemp("library") / "index")), ("server", f"{server}/library")):
        build_index([str(rows)], out, WordCounts(), word_offsets, model="words")
        found[kind] = Index.open(out, embedder=WordCounts())
    return found


@pytest.fixture(params=["folder", "server"])
def index(request, library):
    return library[request.param]
