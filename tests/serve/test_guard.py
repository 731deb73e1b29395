"""What every request passes: keys, numbers, limits, notes; without a model, for the guard looks at none."""

import asyncio
import inspect
import json
import logging
from importlib import import_module

import pytest
from fastapi.testclient import TestClient

from litebert.errors import DataError, UsageError
from litebert.serve.app import FAMILIES, make_app
from litebert.serve.gate import AT_ONCE
from litebert.serve.keys import Keys, check_open
from litebert.serve.models import Models
from litebert.serve.settings import ServeSettings
from litebert.tasks.reading.records import Record
from tests.serve.live import Echo, live


def client(**settings):
    app = make_app(ServeSettings(**{"log": "off", **settings}), Models([Echo()]))
    return TestClient(app, raise_server_exceptions=False)


HELLO = {"inputs": "Hello"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401), ({"authorization": "Bearer one"}, 200), ({"authorization": "bearer two"}, 200), ({"authorization": "two"}, 200),
        ({"x-api-key": "one"}, 200), ({"api-key": "two"}, 200), ({"x-api-key": "onetwo"}, 401), ({"authorization": "Bearer "}, 401),
        ({"authorization": "Basic one"}, 401),
    ],
)  # fmt: skip
def test_keys(headers, status):
    with client(api_keys=("one", "two")) as c:
        answer = c.post("/embed", json=HELLO, headers=headers)
        assert answer.status_code == status
        if status == 401:
            assert answer.headers["www-authenticate"] == "Bearer" and answer.json()["error_type"] == "Unauthorized"
        assert c.get("/livez").status_code == c.get("/health").status_code == c.get("/metrics").status_code == 200
        assert c.get("/info").status_code == 401


def test_the_key_is_looked_at_before_the_body():
    with client(api_keys=("one",), payload_limit=2048) as c:
        assert c.post("/embed", content=b"x" * 4096).status_code == 401


def test_every_key_is_compared_in_constant_time(monkeypatch):
    """Whichever fits, all are looked at, by the function that takes as long for any two digests."""
    keys, compared = Keys(["one", "two", "three"]), []

    def compare(a, b):
        compared.append((a, b))
        return a == b

    monkeypatch.setattr("litebert.serve.keys.hmac.compare_digest", compare)
    for said, allowed in (("one", True), ("three", True), ("none", False), ("x" * 10_000, False)):
        compared.clear()
        assert keys.allow({"x-api-key": said}) is allowed
        assert len(compared) == 9, "three headers with three keys"
        assert {len(part) for pair in compared for part in pair} == {32}, "digests, whose length tells nothing"


def test_a_file_of_keys_is_read_again(tmp_path, monkeypatch):
    path = tmp_path / "keys"
    path.write_text("# ours\nfirst\n")
    keys = Keys(["given"], str(path))
    assert keys.allow({"x-api-key": "first"}) and keys.allow({"x-api-key": "given"})
    path.write_text("second\n")
    keys.reload()
    assert keys.allow({"x-api-key": "second"}) and not keys.allow({"x-api-key": "first"})
    path.write_text("\n")
    with pytest.raises(DataError, match="no key"):
        keys.reload()
    assert keys.allow({"x-api-key": "second"}), "the old ones stay"
    monkeypatch.setenv("LITEBERT_API_KEY", "a, b")
    with client() as c:
        assert [c.get("/info", headers={"x-api-key": key}).status_code for key in ("a", "b", "c")] == [200, 200, 401]


@pytest.mark.parametrize(
    ("host", "open_"),
    [("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("example.org", True)],
)
def test_an_open_address_needs_a_key(host, open_):
    settings = ServeSettings(host=host)
    if open_:
        with pytest.raises(UsageError, match="no key"):
            check_open(settings, Keys())
    else:
        check_open(settings, Keys())
    check_open(settings, Keys(["key"]))
    check_open(ServeSettings(host=host, no_auth=True), Keys())


def test_every_answer_has_a_number():
    with client() as c:
        assert c.post("/embed", json=HELLO, headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
        for said in ("has space", "x" * 200):
            found = c.get("/livez", headers={"x-request-id": said}).headers["x-request-id"]
            assert found != said and len(found) == 32


def test_limits_before_any_work():
    with client(payload_limit=2048, max_client_batch_size=3, max_request_tokens=20) as c:
        assert c.post("/embed", json={"inputs": "x" * 4000}).status_code == 413
        many = c.post("/embed", json={"inputs": ["a"] * 4})
        assert many.status_code == 422 and many.json()["error"] == "batch size 4 > maximum allowed batch size 3"
        assert c.post("/embed", json={"inputs": ["a b c d e f g h"] * 3}).status_code == 422
        assert c.post("/embed", json={"inputs": ["a"] * 3}).status_code == 200


def test_strict_limits_of_text_embeddings_inference():
    settings = ServeSettings(tei_strict=True)
    assert (settings.most_items, settings.most_bytes) == (32, 2_000_000)


def test_a_failure_inside_is_a_500_that_tells_nothing():
    with client() as c:
        answer = c.post("/embed", json={"inputs": ["fine", "boom"]})
        assert answer.status_code == 500 and "boom" not in answer.text and "Traceback" not in answer.text
        assert c.post("/embed", json=HELLO).status_code == 200


def test_json_without_its_type_is_read_other_types_are_not():
    with client() as c:
        for kind in (None, "application/x-www-form-urlencoded", "text/plain"):
            headers = {} if kind is None else {"content-type": kind}
            assert c.post("/embed", content=json.dumps(HELLO), headers=headers).status_code == 200
        assert c.post("/embed", content=b"x", headers={"content-type": "image/png"}).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"inputs": 1e999}',
        b'{"inputs": {"a": NaN}}',
        b"null",
        b'{"inputs": "\\u0000"}',
    ],
)
def test_odd_bodies_are_no_server_error(body):
    with client() as c:
        assert c.post("/embed", content=body).status_code in (200, 400, 422)


def test_logs_hold_no_texts_and_no_keys(caplog):
    with caplog.at_level(logging.INFO, "litebert.serve.access"), client(log="json", api_keys=("secret",)) as c:
        c.post("/embed", json={"inputs": "private words"}, headers={"x-api-key": "secret"})
        c.post("/embed", json={"inputs": "private words"}, headers={"x-api-key": "wrong"})
        c.get("/livez")
    lines = [json.loads(record.message) for record in caplog.records if record.name == "litebert.serve.access"]
    assert [(line["status"], line["path"]) for line in lines] == [(200, "/embed"), (401, "/embed")]
    assert lines[0]["tokens"] == 4 and lines[0]["inputs"] == 1 and lines[1]["error"] == "Unauthorized"
    assert "private" not in caplog.text and "secret" not in caplog.text


def test_pages_of_others_may_not_ask_unless_allowed():
    asked = {"origin": "https://example.org", "access-control-request-method": "POST"}
    with client() as c:
        assert "access-control-allow-origin" not in c.options("/embed", headers=asked).headers
    with client(cors_allow_origin="https://other.org, https://example.org", api_keys=("k",)) as c:
        answer = c.options("/embed", headers=asked)
        assert answer.status_code == 200, "a browser asks without the key whether it may ask with it"
        assert answer.headers["access-control-allow-origin"] == "https://example.org"
        refused = c.post("/embed", json=HELLO, headers={"origin": "https://example.org"})
        assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == "https://example.org"


def test_overload_says_when_to_come_back():
    app = make_app(ServeSettings(log="off", max_queue_ms=100), Models([Echo()]))
    with TestClient(app) as c:
        worker = app.state.engine.worker
        worker.expected_wait = lambda tokens: 1.35
        answer = c.post("/embed", json=HELLO)
    assert answer.status_code == 429 and answer.json()["error"] == "Model is overloaded"
    assert answer.headers["retry-after"] == "2" and answer.headers["retry-after-ms"] == "1250"


def test_in_a_rush_only_what_would_wait_is_refused_and_before_it_is_read():
    app = make_app(ServeSettings(log="off", max_queue_ms=100), Models([Echo()]))
    with TestClient(app) as c:
        worker = app.state.engine.worker
        worker.expected_wait = lambda tokens: 1.35
        assert c.post("/embed", content=b"{").status_code == 429, "what is wrong with it is not looked for"
        assert c.post("/v2/models/echo/infer", json={}).status_code == 429
        large = c.post("/embed", content=b" " * (AT_ONCE + 1))
        assert large.status_code == 429 and large.headers["connection"] == "close", "the rest is not waited for"
        assert c.post("/tokenize", json=HELLO).status_code == 200
        assert c.post("/no/such/path", json=HELLO).status_code == 404 and c.get("/embed").status_code == 405
        assert c.get("/info").status_code == 200
        figures = c.get("/metrics").text
    assert 'litebert_requests_total{code="429",model="",route="/v2/models/{name}/infer"} 1.0' in figures
    assert 'litebert_rejected_total{reason="overloaded"} 3.0' in figures


def test_nothing_is_kept_free_for_who_has_ended():
    echo = Echo()
    app = make_app(ServeSettings(log="off"), Models([echo]))
    with TestClient(app) as c:
        worker = app.state.engine.worker
        assert c.post("/embed", json=HELLO).status_code == 200 and worker.coming == 0
        assert c.post("/embed", content=b"{").status_code == 422 and worker.coming == 0
        assert c.post("/embed", json={"inputs": ["boom"]}).status_code == 500 and worker.coming == 0


def test_a_client_may_be_less_patient_than_the_server():
    app = make_app(ServeSettings(log="off"), Models([Echo()]))
    app.state.engine.worker.start = lambda: None  # nobody computes
    with TestClient(app) as c:
        assert c.post("/embed", json=HELLO, headers={"x-request-timeout-ms": "80"}).status_code == 504
        for said in ("abc", "-5", "0", "1.5", ""):
            refused = c.post("/embed", json=HELLO, headers={"x-request-timeout-ms": said})
            assert refused.status_code == 422 and "milliseconds" in refused.json()["error"]
        assert c.get("/livez").status_code == 503


def test_a_client_that_leaves_is_not_computed_for():
    """Straight through the ASGI interface, since no client of tests leaves."""
    app = make_app(ServeSettings(log="off"), Models([Echo()]))
    engine = app.state.engine
    body = json.dumps(HELLO).encode()
    scope = {
        "type": "http", "method": "POST", "path": "/embed", "raw_path": b"/embed", "query_string": b"", "headers": [], "scheme": "http",
        "server": ("x", 80), "client": ("y", 1), "http_version": "1.1", "root_path": "", "state": {},
    }  # fmt: skip
    messages = [{"type": "http.request", "body": body}]
    sent = []

    async def ask():
        async def receive():
            if messages:
                return messages.pop()
            await asyncio.sleep(0.1)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)

    asyncio.run(ask())
    assert engine.line.items == 1
    engine.worker.start()
    engine.worker.close()
    assert engine.worker.join(5) and engine.line.items == 0
    assert 'litebert_dropped_total{reason="gone"} 1.0' in app.state.metrics.render().decode()


def test_records_are_texts_or_pairs_never_both_in_one_batch():
    app = make_app(ServeSettings(log="off"), Models([Echo()]))
    seen = []
    echo = app.state.engine.models["echo"]
    answer = echo.answer
    echo.answer = lambda task, records, options: (
        seen.append({r.pair is None for r in records}),
        answer(task, records, options),
    )[1]

    async def ask():
        from litebert.serve.engine import Asked

        engine = app.state.engine
        engine.worker.start()
        records = [Record("a"), Record("bb", "x"), Record("ccc"), Record("dddd", "y")]
        found = await engine.answer(echo, "embed", records, Asked(5.0, asyncio.Event()))
        await engine.close(5)
        return [one.vector[0] for one in found]

    assert asyncio.run(ask()) == [1, 2, 3, 4]
    assert seen == [{True}, {False}]


@pytest.mark.parametrize(
    "path", ["/metrics", "/v1/models", "/v1/models/echo", "/info", "/openapi.json", "/livez", "/v2", "/"]
)
def test_whatever_can_be_got_can_be_looked_at(path):
    with client() as c:
        got, looked = c.get(path), c.head(path)
        assert (got.status_code, looked.status_code, looked.content) == (200, 200, b"")
        for name in ("content-type", "content-length"):
            assert path == "/metrics" or looked.headers.get(name) == got.headers.get(name)


def test_what_cannot_be_got_cannot_be_looked_at():
    with client(api_keys=("one",)) as c:
        mine = {"x-api-key": "one"}
        for path, status, headers in (("/embed", 405, mine), ("/nowhere", 404, mine), ("/info", 401, {})):
            looked = c.head(path, headers=headers)
            assert (looked.status_code, looked.content) == (status, b""), path
            assert looked.status_code == c.get(path, headers=headers).status_code


def test_who_looks_is_sent_no_body_on_the_wire():
    with live(Echo()) as server, server.connect(b"HEAD /v1/models HTTP/1.1\r\nhost: x\r\n\r\n") as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        got = b""
        while piece := sock.recv(4096):
            got += piece
        first, then = got.split(b"\r\n\r\n", 1)
        assert first.startswith(b"HTTP/1.1 200") and b"content-length" in first
        assert then.startswith(b"HTTP/1.1 200"), then


def test_the_document_says_where_it_is():
    app = make_app(ServeSettings(log="off"), Models([Echo()]))
    with TestClient(app, root_path="/below") as below, client() as c:
        assert below.get("/openapi.json").json()["servers"] == [{"url": "/below"}]
        assert "servers" not in c.get("/openapi.json").json()


def dependencies(of):
    for one in of.dependencies:
        yield one.call
        yield from dependencies(one)


def test_nothing_is_asked_in_a_thread_of_its_own():
    """The framework runs plain functions in threads that come and go; only the document, made once, is worth one."""
    routes = [r for family in FAMILIES for r in import_module(f"litebert.serve.routes.{family}").router.routes]
    asked = [call for route in routes for call in (route.endpoint, *dependencies(route.dependant))]
    assert len(asked) > len(routes) > 50
    assert [call for call in asked if not inspect.iscoroutinefunction(call)] == []
