"""Running it: the socket, the processes, and an end that loses no request that was taken."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from litebert.errors import RunError
from litebert.serve.app import make_app
from litebert.serve.keys import VARIABLE, Keys, check_open
from litebert.serve.settings import ServeSettings

SETTINGS = "LITEBERT_SERVE_SETTINGS"
"""Environment variable by which processes of one server get its settings."""

logger = logging.getLogger("litebert.serve")


def run(settings: ServeSettings, tell: Callable[[str], None]) -> None:
    """Serve until told to stop.

    Args:
        settings: What and how.
        tell: Called with the address when requests are taken.

    Raises:
        LitebertError: A model cannot be loaded, the port is taken, or the address is open to the world without a key.
    """
    check_open(settings, Keys((*settings.api_keys, os.environ.get(VARIABLE, "")), settings.api_key_file))
    _prepare_process(settings)
    sock = _bound(settings)
    host, port = sock.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        if settings.workers == 1:
            app = make_app(settings)
            tell(address)
            with _signals_end_it():
                uvicorn.Server(_config(settings, app)).run(sockets=[sock])
            if app.state.engine.worker.broken:
                raise RunError(
                    "the worker failed again and again", hint="The log says why; a supervisor may start it anew."
                )
        else:
            tell(address)
            _run_many(settings, sock)
    finally:
        sock.close()


def application() -> FastAPI:
    """Return the application of a process that another one started; settings are in the environment."""
    settings = ServeSettings(**json.loads(os.environ[SETTINGS]))
    _prepare_process(settings)
    return make_app(settings)


class PatientProtocol(HttpToolsProtocol):
    """Closes a connection whose headers do not come in time, which would hold it for ever otherwise."""

    patience = 10.0
    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the headers."""
        super().connection_made(transport)
        self._watch = self.loop.call_later(self.patience, self._close)

    def on_message_begin(self) -> None:
        """Begin to wait for the headers of a further request."""
        super().on_message_begin()
        if self._watch is None:
            self._watch = self.loop.call_later(self.patience, self._close)

    def on_headers_complete(self) -> None:
        """Stop waiting."""
        self._stop()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def _stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _close(self) -> None:
        self._watch = None
        self.transport.close()


def _config(settings: ServeSettings, app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app, http=PatientProtocol, ws="none", log_config=None, access_log=False, server_header=False, timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_timeout)), lifespan="on", h11_max_incomplete_event_size=65536,
    )  # fmt: skip


def _bound(settings: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((settings.host, settings.port))
    except OSError as error:
        sock.close()
        raise RunError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}",
            hint="Choose another --port; --port 0 takes a free one.",
        ) from error
    sock.listen(2048)  # who comes while the models are loaded waits
    sock.set_inheritable(True)
    return sock


def _run_many(settings: ServeSettings, sock: socket.socket) -> None:
    """Run several processes on one socket; each that ends is replaced, and all add their figures up in one folder."""
    with tempfile.TemporaryDirectory(prefix="litebert-metrics-") as folder:
        os.environ[SETTINGS], os.environ["PROMETHEUS_MULTIPROC_DIR"] = settings.model_dump_json(), folder
        config = _config(settings, "litebert.serve.server:application")
        config.factory, config.workers = True, settings.workers
        Multiprocess(config, sockets=[sock]).run()


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """Let the signals that end the server end it without killing the process, which uvicorn would do once it is done."""
    kept = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _prepare_process(settings: ServeSettings) -> None:
    """Set what belongs to the process: how long it waits for headers, and where it logs to."""
    PatientProtocol.patience = settings.read_timeout
    root = logging.getLogger("litebert")
    root.setLevel(logging.INFO if settings.log != "off" else logging.WARNING)
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        root.addHandler(handler)
