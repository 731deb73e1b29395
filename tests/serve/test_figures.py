"""The figures are what the client counted, after everything that can happen to a request."""

from collections import Counter

import pytest

pytest.importorskip("fastapi")

from tests.serve.live import Echo, live, wait_until

KEY = {"x-api-key": "k"}


class Client:
    """Asks, and counts what came of it by route and status."""

    def __init__(self, server):
        self.server, self.counted, self.items, self.tokens = server, Counter(), 0, 0

    def note(self, route, status, texts=()):
        self.counted[route, str(status)] += 1
        if status == 200:
            self.items += len(texts)
            self.tokens += sum(len(text.split()) + 2 for text in texts)

    def embed(self, *texts, expected=200, **headers):
        status = self.server.ask({"inputs": list(texts)}, headers={**KEY, **headers})[0]
        assert status == expected
        self.note("/embed", status, texts)

    def other(self, route, path, *args, expected, **options):
        status = self.server.ask(*args, path=path, **options)[0]
        assert status == expected, path
        self.note(route, status)


def test_every_request_is_counted_once_as_what_it_was():
    echo = Echo()
    with live(echo, api_keys=("k",), max_client_batch_size=8, payload_limit=4096) as server:
        client = Client(server)
        for _ in range(5):
            client.embed("hello there")
        for _ in range(3):
            client.embed("a", "b c", "d e f", "")
        _refused(server, client)
        _failed(server, client, echo)
        _left(server, client, echo)
        found = server.figures()
    _check_own(found, client)
    _check_others(found, client)


def _refused(server, client):
    for _ in range(2):
        client.embed(*"abcdefghi", expected=422)
    client.embed(expected=400)
    client.other("/embed", "/embed", b"{", headers=KEY, expected=422)
    client.other("/embed", "/embed", {"inputs": "a"}, expected=401)
    client.other("/embed", "/embed", {"inputs": "a" * 5000}, headers=KEY, expected=413)
    client.other("/embed", "/embed", None, method="GET", headers=KEY, expected=405)
    client.other("other", "/no/such/path", {}, headers=KEY, expected=404)
    client.other("/info", "/info", None, method="GET", headers=KEY, expected=200)
    client.other("/livez", "/livez", None, method="GET", expected=200)
    client.other("/tokenize", "/tokenize", {"inputs": "some text"}, headers=KEY, expected=200)
    worker = server.engine.worker
    worker.expected_wait = lambda _tokens: 1e6
    for _ in range(4):
        client.embed("too", "much", expected=429)
    del worker.expected_wait


def _failed(server, client, echo):
    client.embed("boom", expected=500)
    client.embed("wait", expected=504, **{"x-request-timeout-ms": "50"})
    echo.open.set()
    client.embed("after that")
    echo.open.clear()


def _left(server, client, echo):
    """Two leave, one of whom waits: the last to be counted, so that there is something to wait for."""

    def gone():
        return sum(v for k, v in server.figures().items() if k.startswith('litebert_requests_total{code="499"'))

    head = b"POST /embed HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\ncontent-length: 29\r\n\r\n"
    first = server.connect(head + b'{"inputs": ["wait", "there"]}')
    wait_until(server.computing, "a batch")
    second = server.connect(head + b'{"inputs": ["gone", "there"]}')
    server.waits(2)
    for number, sock in enumerate((first, second), start=1):
        sock.close()
        wait_until(lambda number=number: gone() == number, "the notice")
        client.note("/embed", 499)
    echo.open.set()
    client.embed("the", "last")


def _check_own(found, client):
    own = Counter()
    for name, value in found.items():
        if name.startswith("litebert_requests_total{") and '"/metrics"' not in name:
            labels = dict(part.split("=") for part in name[name.index("{") + 1 : -1].replace('"', "").split(","))
            own[labels["route"], labels["code"]] += value
    assert own == client.counted
    assert found['litebert_inputs_total{model="echo",task="embed"}'] == client.items
    assert found['litebert_tokens_total{model="echo"}'] == client.tokens
    rejected = {k.split('"')[1]: v for k, v in found.items() if k.startswith("litebert_rejected_total")}
    assert rejected == {"unauthorized": 1, "toolarge": 1, "overloaded": 4}
    assert found['litebert_dropped_total{reason="gone"}'] == 2
    assert found["litebert_inflight"] == 1, "this one"
    assert found["litebert_waiting_inputs"] == found["te_queue_size"] == 0
    assert found["litebert_draining"] == found["litebert_worker_restarts_total"] == 0
    embedded = sum(v for (route, _), v in client.counted.items() if route == "/embed")
    assert found['litebert_request_seconds_count{route="/embed"}'] == embedded


def _check_others(found, client):
    """Text Embeddings Inference's own: what it does not count (keys, sizes, paths) is not counted here."""
    answered = client.counted["/embed", "200"]
    failures = {k.split('"')[1]: v for k, v in found.items() if k.startswith("te_request_failure")}
    assert failures == {"batch_size": 2, "validation": 2, "overloaded": 4, "inference": 1, "dropped": 3}
    success = {k.split('"')[1]: v for k, v in found.items() if k.startswith("te_request_success")}
    assert success == {"single": 6, "batch": 4} and sum(success.values()) == answered
    count = sum(v for k, v in found.items() if k.startswith("te_request_count{"))
    assert count == sum(success.values()) + sum(failures.values())
    assert (
        found["te_embed_success"]
        == found["te_request_duration_count"]
        == found["te_embed_queue_duration_count"]
        == answered
    )
    assert found["te_request_input_length_count"] == found["litebert_queue_seconds_count"] == answered
    assert found["te_batch_next_size_count"] == found["litebert_batch_items_count"]


def test_what_waits_is_told_also_when_nobody_asks_this_process():
    """Another process may be asked for the figures of all."""
    echo = Echo()
    with live(echo) as server:
        first = server.begin("wait")
        wait_until(server.computing, "a batch")
        second = server.begin("a", "b", "c")
        server.waits(3)
        gauge = server.app.state.metrics.waiting
        wait_until(lambda: gauge._value.get() == 3, "the figure")
        echo.open.set()
        assert first.result() == second.result() == 200


@pytest.mark.parametrize("multiple", [False, True])
def test_every_counter_has_the_name_that_boards_look_for(multiple):
    """TEI's have no suffix, ours have."""
    with live(Echo()) as server:
        server.embed("a", *(["b"] if multiple else []))
        text = server.ask(None, "/metrics", "GET")[2]
    for name in ("te_request_count", "te_request_success", "te_embed_count", "te_embed_success"):
        assert f"# TYPE {name} counter" in text and f"\n{name}_total" not in text
    for name in (
        "te_request_duration",
        "te_request_tokenization_duration",
        "te_embed_inference_duration",
        "te_batch_next_size",
    ):
        assert f"# TYPE {name} histogram" in text
    assert "# TYPE litebert_requests_total counter" in text
    assert f'method="{"batch" if multiple else "single"}"' in text
