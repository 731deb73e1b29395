"""What OpenTelemetry is told: whose spans they are, what is in them, and that no text is."""

import gzip
import json
import logging
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from itertools import pairwise

import pytest

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("opentelemetry.proto")

from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from litebert.errors import MachineError, UsageError
from litebert.serve import app as application
from litebert.serve import tracing
from litebert.serve.settings import ServeSettings
from litebert.serve.tracing import UNNOTED, UNTRACED, ProviderTracing, open_tracing
from tests.serve.processes import get, serving

VECTORS = "litebert-small-en-embed"
SECRET = "Zanzibar"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch):
    for name in (
        "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED",
        "OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_RESOURCE_ATTRIBUTES",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def kept():
    """Spans as they end."""
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def traced(kept):
    """A server that is traced into ``kept``, and logs."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    patch = pytest.MonkeyPatch()
    patch.setattr(application, "open_tracing", lambda asked: ProviderTracing(provider))
    app = application.make_app(ServeSettings(models=(VECTORS,), log="json", api_keys=("key",), max_client_batch_size=8))
    with TestClient(app, raise_server_exceptions=False, headers={"x-api-key": "key"}) as client:
        yield client
    patch.undo()


@pytest.fixture
def spans(kept):
    """Return the spans of what has been asked since, by name."""
    kept.clear()
    return lambda: {span.name: span for span in kept.get_finished_spans()}


def test_a_request_is_a_span_with_its_steps_within(traced, spans):
    answer = traced.post("/embed", json={"inputs": [f"A ship to {SECRET}.", "Rain."]}, headers={"x-request-id": "n-1"})
    assert answer.status_code == 200
    found = spans()
    assert set(found) == {"POST /embed", "tokenise", "wait", "compute"}
    request = found["POST /embed"]
    assert request.kind is SpanKind.SERVER and request.parent is None and request.status.status_code is StatusCode.UNSET
    assert dict(request.attributes) == {
        "http.request.method": "POST", "http.route": "/embed", "http.response.status_code": 200,
        "litebert.request_id": "n-1", "litebert.model": VECTORS, "litebert.task": "embed", "litebert.items": 2,
        "litebert.tokens": int(answer.headers["x-compute-tokens"]),
    }  # fmt: skip
    steps = [found[name] for name in ("tokenise", "wait", "compute")]
    assert all(step.parent.span_id == request.context.span_id for step in steps)
    times = [request.start_time, *(t for s in steps for t in (s.start_time, s.end_time)), request.end_time]
    slack = 2_000_000  # the two clocks are read one after the other
    assert all(a <= b + slack for a, b in pairwise(times))
    assert found["compute"].attributes["litebert.items"] == 2 and found["compute"].attributes["litebert.seconds"] > 0


def test_a_client_s_trace_goes_on(traced, spans):
    traced.post("/embed", json={"inputs": "Rain."}, headers={"traceparent": PARENT})
    found = spans().values()
    assert {f"{span.context.trace_id:032x}" for span in found} == {PARENT.split("-")[1]}
    request = next(span for span in found if span.kind is SpanKind.SERVER)
    assert f"{request.parent.span_id:016x}" == PARENT.split("-")[2]


def test_what_the_client_does_not_want_sampled_is_not(traced, spans):
    traced.post("/embed", json={"inputs": "Rain."}, headers={"traceparent": PARENT[:-1] + "0"})
    assert not spans()


def test_no_text_is_in_any_span(traced, spans):
    body = {"inputs": [SECRET, f"{SECRET} {SECRET}"], SECRET: SECRET}
    for path in ("/embed", "/rerank", f"/nowhere/{SECRET}", f"/embed?x={SECRET}"):
        traced.post(path, json=body)
    traced.post("/v1/embeddings", json={"model": SECRET, "input": SECRET, "dimensions": SECRET})
    traced.request(SECRET.upper(), "/embed")
    found = spans()
    assert len(found) > 5
    assert SECRET.lower() not in "".join(span.to_json() for span in found.values()).lower()


@pytest.mark.parametrize(
    ("headers", "body", "status", "error"),
    [
        ({"x-api-key": "wrong"}, {"inputs": "a"}, 401, "Unauthorized"),
        ({}, {"inputs": ["a"] * 9}, 422, "Validation"),
    ],
)
def test_what_is_refused_says_why(traced, spans, headers, body, status, error):
    traced.post("/embed", json=body, headers=headers)
    (request,) = spans().values()
    assert request.attributes["http.response.status_code"] == status and request.attributes["error.type"] == error
    assert request.status.status_code is StatusCode.UNSET  # it is the client's fault


def test_a_failure_of_the_server_is_an_error(traced, spans, monkeypatch):
    model = traced.app.state.engine.models[VECTORS]

    def fail(*_):
        raise RuntimeError(SECRET)

    monkeypatch.setattr(type(model), "answer", fail)
    assert traced.post("/embed", json={"inputs": "a"}).status_code >= 500
    found = spans()
    request = next(span for span in found.values() if span.kind is SpanKind.SERVER)
    assert request.status.status_code is StatusCode.ERROR and "compute" in found
    assert SECRET not in "".join(span.to_json() for span in found.values())


def test_looking_whether_it_is_well_leaves_no_span(traced, spans):
    for path in ("/livez", "/readyz", "/metrics", "/"):
        assert traced.get(path).status_code == 200
    assert not spans()


def test_the_log_names_the_trace(traced, caplog):
    with caplog.at_level(logging.INFO, "litebert.serve.access"):
        traced.post("/embed", json={"inputs": "Rain."}, headers={"traceparent": PARENT})
    (line,) = [json.loads(r.getMessage()) for r in caplog.records if r.name == "litebert.serve.access"]
    assert line["trace_id"] == PARENT.split("-")[1]


# --- What turns it on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}],
)  # fmt: skip
def test_it_is_off_unless_asked_for(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert open_tracing(False) is UNTRACED
    assert UNTRACED.begin("GET", {}) is UNNOTED
    if environment:  # the standard's "off" is stronger than our option
        assert open_tracing(True) is UNTRACED


@pytest.mark.parametrize(
    ("asked", "name"), [(True, None), (False, "OTEL_EXPORTER_OTLP_ENDPOINT"), (False, "OTEL_TRACES_EXPORTER")]
)
def test_an_option_or_a_variable_turns_it_on(monkeypatch, asked, name):
    if name:
        monkeypatch.setenv(name, "otlp" if name.endswith("EXPORTER") else "http://127.0.0.1:9")
    tracing = open_tracing(asked)
    try:
        assert isinstance(tracing, ProviderTracing)
        assert tracing._provider.resource.attributes["service.name"] == "litebert"
    finally:
        tracing.close()


def test_the_environment_names_the_service(monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "faq")
    tracing = open_tracing(True)
    tracing.close()
    assert tracing._provider.resource.attributes["service.name"] == "faq"


def test_who_has_set_up_opentelemetry_keeps_it(monkeypatch, kept):
    """Under ``opentelemetry-instrument`` spans go where its spans go, and it is not shut down with us."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    kept.clear()
    for route in ("/first", "/second"):
        found = open_tracing(True)
        found.begin("GET", {}).end(route, 200, None, {})
        found.close()
    assert [span.name for span in kept.get_finished_spans()] == ["GET /first", "GET /second"]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("OTEL_TRACES_EXPORTER", "carrier-pigeon", MachineError), ("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke", UsageError),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", MachineError),
    ],
)  # fmt: skip
def test_what_the_environment_names_and_is_not_there_is_told(monkeypatch, name, value, error):
    here = metadata.entry_points

    def without_grpc(**wanted):
        return [one for one in here(**wanted) if "grpc" not in one.name]

    monkeypatch.setattr(metadata, "entry_points", without_grpc)
    monkeypatch.setenv(name, value)
    with pytest.raises(error) as caught:
        open_tracing(True)
    assert value in caught.value.message and caught.value.hint


def test_without_the_package_an_option_is_an_error_and_a_variable_a_warning(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(MachineError, match="OpenTelemetry") as caught:
        open_tracing(True)
    assert "litebert[otel]" in caught.value.hint
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING, "litebert.serve"):
        assert open_tracing(False) is UNTRACED
    assert "litebert[otel]" in caplog.text


class Stuck(SpanExporter):
    """An exporter whose collector does not answer."""

    def __init__(self, gate):
        self.gate = gate

    def export(self, spans):
        self.gate.wait(60)

    def shutdown(self):
        self.gate.set()


def test_the_end_does_not_wait_for_a_collector_that_hangs(monkeypatch, caplog):
    monkeypatch.setattr(tracing, "_LONGEST_CLOSE", 0.2)
    gate = threading.Event()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Stuck(gate)))
    served = ProviderTracing(provider)
    served.begin("GET", {}).end("/", 200, None, {})
    with caplog.at_level(logging.WARNING, "litebert.serve"):
        served.close()  # would be half a minute
    gate.set()
    assert "did not reach the collector" in caplog.text


# --- A server of its own --------------------------------------------------------------------------------------------------


def test_a_collector_is_sent_the_spans_before_the_server_ends():
    """All of it by the environment alone, and over HTTP; the last spans are sent at the end, long before their batch is full."""
    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}", "OTEL_BSP_SCHEDULE_DELAY": "600000",
        "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    try:
        with serving(VECTORS, "--set", "drain_delay=0", environment=environment) as (process, address):
            assert get(address, "/embed", {"inputs": "Rain."})[0] == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    finally:
        collector.shutdown()
    ((path, sent),) = received
    assert path == "/v1/traces"
    (of_service,) = sent.resource_spans
    assert {one.key: one.value.string_value for one in of_service.resource.attributes}["service.name"] == "litebert"
    names = {span.name for of_tracer in of_service.scope_spans for span in of_tracer.spans}
    assert names == {"POST /embed", "tokenise", "wait", "compute"}
