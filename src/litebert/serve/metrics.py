"""Figures for Prometheus: our own, and those of Text Embeddings Inference under exactly its names.

Several processes add theirs up through files (``PROMETHEUS_MULTIPROC_DIR``), so any of them answers for all.
"""

from __future__ import annotations

import os
import re
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from litebert.serve.engine import Asked

SECONDS = tuple(15e-6 * 1.5**n for n in range(35))
"""Bounds of Text Embeddings Inference's histograms of time."""
COUNTS = tuple(float(2**n) for n in range(20))
"""Bounds of its histograms of lengths."""

_SUFFIX = re.compile(r"(?m)^((?:# (?:HELP|TYPE) )?te_\w+?)_total\b")
"""What the client library appends to the name of a counter, and TEI's names do not have."""

FAILURES = {
    "Validation": "validation", "Empty": "validation", "BatchSize": "batch_size", "NotFound": "model_type", "Overloaded": "overloaded",
    "Timeout": "dropped", "Gone": "dropped", "Tokenizer": "tokenization", "Backend": "inference", "Unhealthy": "inference",
}  # fmt: skip
"""Kinds of our errors, and Text Embeddings Inference's names of them; it counts no others."""


class Metrics:
    """All figures of a process.

    Args:
        registry: Where they are kept; None: one of its own.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry or CollectorRegistry()
        r: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter(
            "litebert_requests", "Requests by route, model and status.", ["route", "model", "code"], **r
        )
        self.seconds = Histogram(
            "litebert_request_seconds",
            "From the first byte of a request to its answer.",
            ["route"],
            buckets=SECONDS,
            **r,
        )
        self.queue = Histogram("litebert_queue_seconds", "Between arrival and first batch.", buckets=SECONDS, **r)
        self.inputs = Counter("litebert_inputs", "Texts of requests that were answered.", ["model", "task"], **r)
        self.tokens = Counter("litebert_tokens", "Tokens of requests that were answered.", ["model"], **r)
        self.batch_items = Histogram("litebert_batch_items", "Texts in a batch.", buckets=COUNTS, **r)
        self.batch_tokens = Histogram("litebert_batch_tokens", "Tokens in a batch.", buckets=COUNTS, **r)
        self.batch_seconds = Histogram("litebert_batch_seconds", "Time of a batch.", buckets=SECONDS, **r)
        self.padding = Histogram(
            "litebert_padding_ratio",
            "Padding that a rectangle round the batch would have.",
            buckets=[n / 10 for n in range(11)],
            **r,
        )
        self.rejected = Counter("litebert_rejected", "Requests that were refused.", ["reason"], **r)
        self.drops = Counter("litebert_dropped", "Texts that nobody waited for any more.", ["reason"], **r)
        self.restarts = Counter("litebert_worker_restarts", "Threads that were replaced.", **r)
        self.inflight = Gauge("litebert_inflight", "Requests that are being served.", multiprocess_mode="livesum", **r)
        self.waiting = Gauge("litebert_waiting_inputs", "Texts that wait.", multiprocess_mode="livesum", **r)
        self.draining = Gauge(
            "litebert_draining", "Whether the server is about to end.", multiprocess_mode="livemax", **r
        )
        self._tei(r)

    def _tei(self, r: dict[str, Any]) -> None:
        self.te_count = Counter("te_request_count", "Requests.", ["method"], **r)
        self.te_success = Counter("te_request_success", "Requests that were answered.", ["method"], **r)
        self.te_failure = Counter("te_request_failure", "Requests that were not.", ["err"], **r)
        self.te_queue_size = Gauge("te_queue_size", "Texts that wait.", multiprocess_mode="livesum", **r)
        self.te_length = Histogram("te_request_input_length", "Tokens of a text.", buckets=COUNTS, **r)
        self.te_batch_size = Histogram("te_batch_next_size", "Texts in a batch.", buckets=COUNTS, **r)
        self.te_batch_tokens = Histogram("te_batch_next_tokens", "Tokens in a batch.", buckets=COUNTS, **r)
        self.te_times = {
            kind: {
                part: Histogram(f"te_{kind}_{part}duration", "Seconds.", buckets=SECONDS, **r)
                for part in ("", "tokenization_", "queue_", "inference_")
            }
            for kind in ("request", "embed", "predict")
        }  # fmt: skip
        self.te_kinds = {
            kind: (Counter(f"te_{kind}_count", "Requests.", **r), Counter(f"te_{kind}_success", "Requests that were answered.", **r))
            for kind in ("embed", "predict")
        }  # fmt: skip

    # --- Told by the worker ---------------------------------------------------------------------------------------------

    def batch(self, items: int, tokens: int, padded: int, seconds: float) -> None:
        """Note a batch that was computed."""
        self.batch_items.observe(items)
        self.te_batch_size.observe(items)
        self.batch_tokens.observe(tokens)
        self.te_batch_tokens.observe(tokens)
        self.batch_seconds.observe(seconds)
        self.padding.observe(1 - tokens / max(padded, 1))

    def restarted(self) -> None:
        """Note a thread that was replaced."""
        self.restarts.inc()

    def dropped(self, items: int, reason: str) -> None:
        """Note texts that nobody waited for any more."""
        self.drops.labels(reason).inc(items)

    # --- Told of each request -------------------------------------------------------------------------------------------

    def finished(self, route: str, status: int, kind: str | None, asked: Asked, seconds: float) -> None:
        """Note a request that has ended.

        Args:
            route: Template of its path.
            status: Of the answer.
            kind: Of the error, if there was one; ``BatchSize`` where it was too many texts.
            asked: What is known of it.
            seconds: It took.
        """
        self.requests.labels(route, asked.model, str(status)).inc()
        self.seconds.labels(route).observe(seconds)
        if status in (401, 408, 413, 429, 503):
            self.rejected.labels(str(kind).lower()).inc()
        if not asked.task and (kind not in FAILURES or route == "other"):
            return
        method = "batch" if asked.items > 1 else "single"
        self.te_count.labels(method).inc()
        of_task = self.te_kinds["embed" if asked.task == "embed" else "predict"] if asked.task else None
        if of_task is not None:
            of_task[0].inc()
        if status >= 400:
            self.te_failure.labels(FAILURES.get(str(kind), "inference")).inc()
            return
        if of_task is not None:
            of_task[1].inc()
        self.te_success.labels(method).inc()
        self.inputs.labels(asked.model, asked.task).inc(asked.items)
        self.tokens.labels(asked.model).inc(asked.tokens)
        self.queue.observe(asked.queued)
        if asked.items:
            self.te_length.observe(asked.tokens / asked.items)
        for name in ("request", "embed" if asked.task == "embed" else "predict"):
            times = self.te_times[name]
            for part, value in (
                ("", seconds),
                ("tokenization_", asked.tokenising),
                ("queue_", asked.queued),
                ("inference_", asked.computing),
            ):
                times[part].observe(value)

    def wait(self, items: int) -> None:
        """Note how many texts wait now; to be called every second or so, since another process may be asked for the figures."""
        self.waiting.set(items)
        self.te_queue_size.set(items)

    def render(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        registry = self.registry
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        text = generate_latest(registry).decode("utf-8")
        return _SUFFIX.sub(r"\1", text).encode("utf-8")
