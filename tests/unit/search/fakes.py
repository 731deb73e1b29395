"""An embedder that counts words, a tokenizer of words, and a Qdrant server over the client's own in-memory engine."""

import json
import re
import sys
import threading
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from qdrant_client import QdrantClient, models


class WordCounts:
    """Texts that share words are near; one word is one direction."""

    def __init__(self, size=64, name="words"):
        self.size, self.fingerprint = size, f"{name}-{size}"
        self.embedded = []

    def embed(self, texts):
        assert texts  # models need not know what to make of nothing
        self.embedded.extend(texts)
        vectors = np.zeros((len(texts), self.size), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                row[zlib.crc32(word.encode()) % self.size] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


class Stops(WordCounts):
    """Is interrupted after some texts."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def embed(self, texts):
        if len(self.embedded) >= self.after:
            raise KeyboardInterrupt
        return super().embed(texts)


def close_milvus(location):
    """Close a database on disk, as the end of the process would."""
    path = location.removeprefix("milvus:")
    if path != location and not path.startswith("//") and "milvus_lite" in sys.modules:
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(path)


def word_offsets(text):
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


class Engine:
    """The REST calls that the store makes, each answered by the in-memory client."""

    def __init__(self, key=None):
        self.client, self.key, self.lock = QdrantClient(":memory:"), key, threading.Lock()

    def answer(self, method, path, body):
        name, _, rest = path.removeprefix("/collections/").partition("/")
        call = {
            ("GET", "exists"): lambda: {"exists": self.client.collection_exists(name)},
            ("GET", ""): lambda: self.client.get_collection(name),
            ("PUT", ""): lambda: self.client.create_collection(name, **fields(models.CreateCollection, body)),
            ("DELETE", ""): lambda: self.client.delete_collection(name),
            ("PATCH", ""): lambda: self.client.update_collection(name, **fields(models.UpdateCollection, body)),
            ("PUT", "index"): lambda: {"operation_id": 1, "status": "completed"},
            ("PUT", "points"): lambda: self.client.upsert(name, models.PointsList.model_validate_json(body).points),
            ("POST", "points/delete"): lambda: self.client.delete(
                name, models.FilterSelector.model_validate_json(body)
            ),
            ("POST", "points/count"): lambda: self.client.count(
                name, models.CountRequest.model_validate_json(body).filter
            ),
            ("POST", "points/scroll"): lambda: self.scroll(name, models.ScrollRequest.model_validate_json(body)),
            ("POST", "points/query"): lambda: self.query(name, models.QueryRequest.model_validate_json(body)),
        }[method, rest]
        with self.lock:
            return call()

    def scroll(self, name, asked):
        points, offset = self.client.scroll(
            name,
            scroll_filter=asked.filter,
            limit=asked.limit,
            offset=asked.offset,
            with_payload=asked.with_payload,
            with_vectors=asked.with_vector,
        )
        return {"points": [point.model_dump(mode="json") for point in points], "next_page_offset": offset}

    def query(self, name, asked):
        query = asked.query.nearest if isinstance(asked.query, models.NearestQuery) else asked.query
        return self.client.query_points(
            name, query=query, using=asked.using, limit=asked.limit, query_filter=asked.filter, with_payload=True
        )


def fields(kind, body):
    parsed = kind.model_validate_json(body)
    names = {"vectors": "vectors_config", "sparse_vectors": "sparse_vectors_config"}
    return {names.get(name, name): getattr(parsed, name) for name in parsed.model_fields_set}


@contextmanager
def served(engine):
    """Serve an engine; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if engine.key is not None and self.headers.get("api-key") != engine.key:
                return self.reply(403, {"status": {"error": "forbidden"}})
            try:
                result = engine.answer(self.command, self.path.partition("?")[0], body)
            except KeyError:
                return self.reply(404, {"status": {"error": f"no {self.command} {self.path}"}})
            plain = result.model_dump(mode="json") if hasattr(result, "model_dump") else result
            return self.reply(200, {"result": plain, "status": "ok", "time": 0.0})

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815 - as the base class calls them

        def reply(self, status, data):
            payload = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
