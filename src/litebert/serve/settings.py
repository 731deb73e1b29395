"""How the server behaves, as one validated object."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from litebert.inference.settings import EngineSettings
from litebert.settings import Settings


class ServeSettings(Settings):
    """What is served, to whom, and how much of it. Field docstrings become the configuration reference."""

    models: tuple[str, ...] = ()
    """Model references, each ``NAME=REFERENCE`` or a reference whose last part is the name."""
    faq: str | None = None
    """File of questions and answers, or an index made with ``index --faq``: the first model embeds the questions."""
    indexes: tuple[str, ...] = ()
    """Indexes to search, each ``NAME=LOCATION`` or a location whose last part is the name."""
    host: str = "127.0.0.1"
    """Address to listen on. Another than this machine's own needs a key, or ``no_auth``."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port to listen on; 0 takes a free one and tells it."""
    workers: int = Field(default=1, ge=1)
    """Processes, each with its own copy of the models."""
    api_keys: tuple[str, ...] = ()
    """Keys that clients may send; none: everybody who can reach the port."""
    api_key_file: str | None = None
    """File with a key a line, read again on SIGHUP."""
    no_auth: bool = False
    """Listen on any address without a key."""
    max_queue_ms: float = Field(default=2000.0, gt=0)
    """Requests that are expected to wait longer are refused (429)."""
    max_queue_items: int = Field(default=32_768, ge=1)
    """Texts that may wait at once."""
    max_batch_tokens: int = Field(default=4096, ge=1)
    """Tokens computed in one batch; a longer text is computed alone."""
    max_batch_ms: float = Field(default=200.0, gt=0)
    """Milliseconds that a batch should take at most, or a quarter of what waits: a request that comes meanwhile waits for its end."""
    max_client_batch_size: int = Field(default=2048, ge=1)
    """Texts in one request."""
    max_request_tokens: int = Field(default=300_000, ge=1)
    """Tokens in one request."""
    payload_limit: int = Field(default=8 * 2**20, ge=1024)
    """Bytes of a request's body."""
    request_timeout: float = Field(default=30.0, gt=0)
    """Seconds after which a request that has no answer is given up (504)."""
    read_timeout: float = Field(default=10.0, gt=0)
    """Seconds in which a client has to send its headers, and again its body."""
    hang_timeout: float = Field(default=60.0, gt=0)
    """Seconds after which a batch counts as hanging, however slow it was expected to be."""
    drain_delay: float = Field(default=5.0, ge=0)
    """Seconds after SIGTERM in which requests are still taken, while ``/readyz`` says no."""
    shutdown_timeout: float = Field(default=25.0, ge=0)
    """Seconds after that in which requests that were taken are finished."""
    cors_allow_origin: tuple[str, ...] = ()
    """Origins whose pages may call the server, with commas between; none."""
    page: bool = True
    """Serve the page at ``/``."""
    tei_strict: bool = False
    """Keep to the limits of Text Embeddings Inference: 32 texts and 2,000,000 bytes in a request."""
    log: Literal["json", "text", "off"] = "text"
    """A line for each request on stderr, as JSON or as text."""
    log_inputs: bool = False
    """Put the texts into the log, too."""
    otel: bool = False
    """Traces for OpenTelemetry, as its variables ``OTEL_*`` say (the extra ``otel``); a variable that names a collector is enough."""
    device: str = "auto"
    """Where models run."""
    engine: EngineSettings = EngineSettings()
    """How models compute."""

    @field_validator("cors_allow_origin", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        return [one.strip() for one in given.split(",") if one.strip()] if isinstance(given, str) else given

    @property
    def most_items(self) -> int:
        """Texts in one request."""
        return min(self.max_client_batch_size, 32) if self.tei_strict else self.max_client_batch_size

    @property
    def most_bytes(self) -> int:
        """Bytes of a request's body."""
        return min(self.payload_limit, 2_000_000) if self.tei_strict else self.payload_limit
