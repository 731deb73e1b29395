"""What OpenTelemetry is told of a request: a span for all of it, and one each for tokenising, waiting in line and being computed.

The names follow OpenTelemetry's semantic conventions for HTTP servers, version 1.44; what is ours begins with ``litebert.``. Texts are
in none of them. A client's ``traceparent`` (W3C Trace Context) makes the request part of its trace. Unless the command line or one of
the standard variables of the environment asks for it, ``UNTRACED`` and ``UNNOTED`` stand where the spans would, and do nothing.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from litebert.errors import MachineError, UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

logger = logging.getLogger("litebert.serve")

WANTED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Variables of the environment any of which, or ``OTEL_TRACES_EXPORTER``, turns tracing on."""

_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
"""Exporters by the name that ``OTEL_EXPORTER_OTLP_PROTOCOL`` has for what they speak."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
_LONGEST_CLOSE = 3.0
"""Seconds that the last spans have to reach the collector: an end that is waited for must not hang on it."""
_INSTALL = "Install it with: pip install 'litebert[otel]'"


class Notes:
    """Notes of one request that nobody keeps."""

    trace_id: str | None = None
    """Of the trace that it is part of, in hexadecimal digits."""

    def step(self, name: str, started: float, ended: float, **attributes: float) -> None:
        """Note a part of the work.

        Args:
            name: What was done.
            started: Time, as ``time.monotonic`` has it.
            ended: Time.
            **attributes: Figures; they are named ``litebert.`` and their name.
        """

    def end(self, route: str, status: int, error: str | None, attributes: Mapping[str, str | int | None]) -> None:
        """Note that the request has ended.

        Args:
            route: Template of its path.
            status: Of the answer.
            error: Kind of the error, if there was one.
            attributes: What is known of it; they are named ``litebert.`` and their name, those that are None or "" left out.
        """


class Tracing:
    """Keeps no notes."""

    def begin(self, method: str, headers: Mapping[str, str]) -> Notes:
        """Return the notes of a request that has come.

        Args:
            method: Of HTTP.
            headers: By lower-case name.
        """
        return UNNOTED

    def close(self) -> None:
        """Send what has not been sent yet."""


UNNOTED = Notes()
UNTRACED = Tracing()


class _Spans(Notes):
    """Notes of one request that become spans."""

    def __init__(self, tracer: Tracer, method: str, headers: Mapping[str, str]) -> None:
        from opentelemetry import propagate, trace

        self._tracer, self._method = tracer, method if method in _METHODS else "_OTHER"
        self._began, self._clock = time.time_ns(), time.monotonic()
        self._span: Span = tracer.start_span(
            self._named("HTTP"), propagate.extract(headers), trace.SpanKind.SERVER,
            {"http.request.method": self._method}, start_time=self._began,
        )  # fmt: skip
        self._context = trace.set_span_in_context(self._span)
        self.trace_id = trace.format_trace_id(self._span.get_span_context().trace_id)

    def step(self, name: str, started: float, ended: float, **attributes: float) -> None:
        if self._span.is_recording():
            named = {f"litebert.{key}": value for key, value in attributes.items()}
            span = self._tracer.start_span(name, self._context, attributes=named, start_time=self._at(started))
            span.end(self._at(ended))

    def end(self, route: str, status: int, error: str | None, attributes: Mapping[str, str | int | None]) -> None:
        from opentelemetry.trace import StatusCode

        span = self._span
        if span.is_recording():
            span.update_name(f"{self._named('HTTP')} {route}")
            span.set_attributes({"http.route": route, "http.response.status_code": status})
            span.set_attributes({f"litebert.{key}": one for key, one in attributes.items() if one not in (None, "")})
            if error is not None:
                span.set_attribute("error.type", error)
            if status >= 500 or not status:
                span.set_status(StatusCode.ERROR)
        span.end()

    def _named(self, other: str) -> str:
        return other if self._method == "_OTHER" else self._method

    def _at(self, moment: float) -> int:
        """Return nanoseconds since 1970."""
        return self._began + round((moment - self._clock) * 1e9)


class ProviderTracing(Tracing):
    """Hands the spans of requests to OpenTelemetry's SDK.

    Args:
        provider: That receives them.
        owned: Whether to shut it down at the end.
    """

    def __init__(self, provider: TracerProvider, *, owned: bool = True) -> None:
        self._provider, self._owned = provider, owned
        self._tracer = provider.get_tracer(
            "litebert", metadata.version("litebert"), schema_url="https://opentelemetry.io/schemas/1.44.0"
        )

    def begin(self, method: str, headers: Mapping[str, str]) -> Notes:
        """Return the notes of a request, as part of the trace that its headers name."""
        return _Spans(self._tracer, method, headers)

    def close(self) -> None:
        """Send what has not been sent yet, if that is quick."""
        end = self._provider.shutdown if self._owned else self._provider.force_flush
        thread = threading.Thread(target=end, name="last spans", daemon=True)
        thread.start()
        thread.join(_LONGEST_CLOSE)
        if thread.is_alive():
            logger.warning("the last spans did not reach the collector within %g seconds", _LONGEST_CLOSE)


def open_tracing(asked: bool) -> Tracing:
    """Return what spans are told to.

    Args:
        asked: Whether the command line asks for it.

    Raises:
        MachineError: It does, and OpenTelemetry is not installed, or not the exporter that the environment names.
        UsageError: The environment names something unknown.
    """
    names = [name.strip() for name in os.environ.get("OTEL_TRACES_EXPORTER", "").split(",") if name.strip()]
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or names == ["none"]
    if disabled or not (asked or names or any(os.environ.get(name) for name in WANTED)):
        return UNTRACED
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError as error:
        if not asked:
            logger.warning("nothing is traced, though the environment asks for it: no OpenTelemetry here. %s", _INSTALL)
            return UNTRACED
        raise MachineError("tracing needs OpenTelemetry, which is not installed", hint=_INSTALL) from error
    known = trace.get_tracer_provider()
    if isinstance(known, TracerProvider):  # of `opentelemetry-instrument`, or of a program that we are part of
        return ProviderTracing(known, owned=False)
    return ProviderTracing(_provider(names or ["otlp"]))


def _provider(names: list[str]) -> TracerProvider:
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporters = [_exporter(name) for name in names]
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "litebert"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # the server shuts it down, within its time
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _exporter(name: str) -> SpanExporter:
    """Return an exporter by the name that ``OTEL_TRACES_EXPORTER`` has for it."""
    if name == "otlp":
        said = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        protocol = (said or "http/protobuf").strip()
        if protocol not in _PROTOCOLS:
            raise UsageError(
                f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, which is not known here",
                hint=f"It may be {' or '.join(_PROTOCOLS)}.",
            )
        name = _PROTOCOLS[protocol]
    found = list(metadata.entry_points(group="opentelemetry_traces_exporter", name=name))
    if not found:
        ours = f"Install opentelemetry-exporter-{name.replace('_', '-')}." if name in _PROTOCOLS.values() else None
        raise MachineError(
            f"there is no exporter {name} for traces",
            hint=ours or "Correct OTEL_TRACES_EXPORTER, or install the package that has it.",
        )
    try:
        exporter: Any = found[0].load()()
    except Exception as error:  # an exporter reads the environment in its own way
        raise UsageError(f"the exporter {name} cannot start: {error}", hint="Look at OTEL_EXPORTER_*.") from error
    return exporter  # type: ignore[no-any-return]
