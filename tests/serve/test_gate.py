"""What is turned away at the gate while there is too much to do, from the head of a request alone: as the guard would answer it."""

import json
import time
from contextlib import contextmanager

import pytest

from tests.serve.live import Echo, live, wait_until

HELLO = {"inputs": "Hello"}
SLOW = {"x-request-timeout-ms": "60000"}
"""A header that the gate leaves to the guard."""


@contextmanager
def crowded(*, wait=1e6, **settings):
    """A server with far too much to do; ``turned`` counts what its gate turns away."""
    with live(Echo(), **settings) as server:
        gate, worker = server.app.state.gate, server.engine.worker
        server.turned = []
        visits = gate._note

        def noted(visit):
            if visit._send.__name__ == "_nowhere":
                server.turned.append(visit.path)
            visits(visit)

        gate._note = noted
        worker.expected_wait, worker.crowded = (lambda _tokens: wait), (lambda: True)
        server.calm = lambda: (delattr(worker, "expected_wait"), delattr(worker, "crowded"))
        yield server


def head(length, path="/embed", *more):
    lines = (f"POST {path} HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {length}", *more)
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


class Line:
    """A connection on which requests are written as they are."""

    def __init__(self, server):
        self._sock = server.connect()
        self._answers = self._sock.makefile("rb")

    def send(self, *parts):
        self._sock.sendall(b"".join(parts))

    def status(self):
        """Read one answer; return its status."""
        status = int(self._answers.readline().split()[1])
        length = 0
        while line := self._answers.readline().strip():
            name, _, value = line.partition(b": ")
            length = int(value) if name == b"content-length" else length
        assert len(self._answers.read(length)) == length
        return status

    def ended(self):
        """Wait for its end; return whether that is all that comes."""
        return self._answers.read(1) == b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._answers.close()
        self._sock.close()


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings", "/v2/models/echo/infer", "/rerank"])
def test_it_answers_as_the_guard_does(path):
    with crowded(wait=3601.35, log_inputs=True) as server:
        found = [server.ask(HELLO, path, headers={"x-request-id": "n", **more}) for more in ({}, SLOW)]
        assert server.turned == [path], "the first of the two"
        figures = server.figures()
    (status, headers, body), (other_status, other_headers, other_body) = found
    for one in (headers, other_headers):
        one.pop("date")
    assert status == other_status == 429 and body == other_body and headers == other_headers
    assert headers["retry-after"] == "2" and headers["x-request-id"] == "n"
    counted = [v for k, v in figures.items() if k.startswith('litebert_requests_total{code="429"')]
    assert counted == [2.0] and figures['litebert_rejected_total{reason="overloaded"}'] == 2.0


def test_only_what_would_be_refused_is_turned_away():
    with crowded(api_keys=("k",), payload_limit=2_000_000) as server:
        key = {"x-api-key": "k"}
        expected = [
            (HELLO, "/embed", "POST", {}, 401), (HELLO, "/tokenize", "POST", key, 200), (HELLO, "/no/such/path", "POST", key, 404),
            (None, "/embed", "GET", key, 405), (None, "/livez", "GET", {}, 200),
            (HELLO, "/embed", "POST", {**key, "x-request-timeout-ms": "soon"}, 422),
            (HELLO, "/embed", "POST", {**key, "content-encoding": "gzip"}, 415),
            (b"", "/embed", "POST", key, 429),
        ]  # fmt: skip
        for body, path, method, headers, status in expected:
            assert server.ask(body, path, method, headers)[0] == status, (path, headers)
        for length, status in (
            (3_000_000, 413),
            (100_000, 429),
        ):  # answered, and the connection ended, before the body has come
            with Line(server) as line:
                line.send(head(length, "/embed", "x-api-key: k"))
                assert line.status() == status and line.ended()
        assert not server.turned, "all of it was the guard's"
        assert server.ask(HELLO, headers=key)[0] == 429 and server.turned == ["/embed"]
        server.engine.worker.expected_wait = lambda _tokens: 0.0
        assert server.ask(HELLO, headers=key)[0] == 200 and server.turned == ["/embed"], "a crowd, but not too large"


def test_a_connection_is_kept_and_goes_on():
    body = json.dumps(HELLO).encode()
    one = head(len(body)) + body
    with crowded() as server, Line(server) as line:
        line.send(one)
        assert line.status() == 429
        line.send(one, one)  # the second before the first is answered
        assert [line.status(), line.status()] == [429, 429] and len(server.turned) == 3
        server.calm()
        for _ in range(2):
            line.send(one)
            assert line.status() == 200
        line.send(head(len(body), "/embed", "connection: close"), body)
        assert line.status() == 200 and line.ended()


def test_what_comes_behind_one_that_is_computed_waits_for_it():
    """Answers come in order, so one that follows another on a connection is not turned away before that has its own."""
    first, body = json.dumps({"inputs": "wait"}).encode(), json.dumps(HELLO).encode()
    with live(Echo()) as server, Line(server) as line:
        line.send(head(len(first)), first)
        wait_until(server.computing, "a batch")
        worker = server.engine.worker
        worker.expected_wait, worker.crowded = (lambda _tokens: 1e6), (lambda: True)
        line.send(head(len(body)), body)
        time.sleep(0.1)
        server.models[0].open.set()
        assert [line.status(), line.status()] == [200, 429]


def test_the_answer_comes_before_the_body_and_a_body_that_never_comes_is_not_waited_for():
    body = json.dumps(HELLO).encode()
    with crowded(read_timeout=2.0) as server:
        with Line(server) as line:
            line.send(head(len(body)))
            assert line.status() == 429
            line.send(body[:5])
            line.send(body[5:], head(len(body)), body)
            assert line.status() == 429
            line.send(head(60_000), b"x" * 59_990)
            assert line.status() == 429
            assert line.ended(), "ten letters short, and its time is over"
        with Line(server) as line:
            for _ in range(3):  # head and body together are longer than a head may be
                line.send(head(65_500), b"x" * 65_500)
                assert line.status() == 429
        assert len(server.turned) == 6


def test_a_server_that_ends_leaves_it_to_the_guard():
    with crowded(cors_allow_origin="https://example.org") as server:
        _, headers, _ = server.ask(HELLO, headers={"origin": "https://example.org"})
        assert headers["access-control-allow-origin"] == "https://example.org" and not server.turned
        server.app.state.door.leaving = True
        status, headers, _ = server.ask(HELLO)
        assert status == 429 and headers["connection"] == "close" and not server.turned


def test_who_reads_no_answers_is_not_answered_without_end():
    """Thousands of requests in a row whose answers nobody takes: the server stops reading, and its memory does not grow."""
    body = json.dumps(HELLO).encode()
    one = head(len(body)) + body
    with crowded(read_timeout=60.0) as server:
        sock, sent = server.connect(), 0
        sock.settimeout(1.0)
        with pytest.raises(TimeoutError):
            while sent < 200_000:
                sock.sendall(one * 100)
                sent += 100
        assert server.turned and sent < 200_000
        sock.close()


def test_requests_are_noted_in_the_log(caplog):
    caplog.set_level("INFO", logger="litebert.serve.access")
    with crowded(log="json") as server:
        server.ask(HELLO, headers={"x-request-id": "mine"})
        assert server.turned
    (line,) = [json.loads(r.message) for r in caplog.records if r.name == "litebert.serve.access"]
    assert (line["request_id"], line["status"], line["path"], line["error"]) == ("mine", 429, "/embed", "Overloaded")


def test_requests_that_are_traced_go_through_the_guard(monkeypatch):
    with crowded() as server:
        monkeypatch.setattr(server.app.state.gate, "tracing", object.__new__(type(server.app.state.gate.tracing)))
        assert server.ask(HELLO)[0] == 429 and not server.turned


def test_many_requests_at_once_are_no_endless_head():
    """More bytes in one reading than a head may have, the last of them the beginning of another request."""
    one = head(2, "/embed", f"x-long: {'x' * 4000}") + b"{}"
    with live(Echo()) as server, Line(server) as line:
        line.send(one * 100, one[:2000])
        assert [line.status() for _ in range(100)] == [422] * 100
        line.send(one[2000:])
        assert line.status() == 422
