"""A server on a real socket in a thread of this process, around a model that does what a test tells it."""

import asyncio
import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import torch
import uvicorn

from litebert.serve.app import make_app
from litebert.serve.models import Models
from litebert.serve.protocol import PatientProtocol
from litebert.serve.server import listening, uvicorn_config
from litebert.serve.settings import ServeSettings
from litebert.tasks.embed.task import Embedding
from litebert.text import AlbertTokenizer

HANG = 600
"""Seconds after which a test counts as hanging; nothing here is expected to take any time."""

PATIENT = {"log": "off", "request_timeout": 3600.0, "hang_timeout": 3600.0, "max_queue_ms": 3.6e6}
"""Settings of a server that is not in a hurry, for tests that run on busy machines."""


def wait_until(condition, what="it"):
    """Wait for a condition; return what it returns."""
    for _ in range(HANG * 100):
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {HANG} seconds")


class Echo:
    """Stands for a served model. It answers with the number of letters of each text; "boom" in a text makes it fail.

    Attributes:
        batches: Texts of each call.
        open: While it is not set, calls with "wait" in a text do not return.
        held: Whether such a call is under way.
        rate: Tokens a second, as measured.
    """

    own, tasks, precision, max_length = "embed", ("embed",), "fp32", 32

    def __init__(self, name="echo", rate=1e6, threads=1):
        self.name = self.reference = name
        self.rate, self.batches, self.open, self.held = rate, [], threading.Event(), False
        self.tokenizer = AlbertTokenizer.bundled()
        self.pipelines = {"embed": None}
        self.config = type("Config", (), {"hidden_size": 4})()
        settings = type(
            "Settings", (), {"backend": "torch", "threads": threads, "compile": False, "deterministic": False}
        )()
        self.pipeline = type("Pipe", (), {"settings": settings, "labels": (), "device": torch.device("cpu")})()

    def measured_rate(self):
        return self.rate

    def asked(self, *tasks):
        return "embed", None

    def tokens_of(self, records):
        return [len(r.text.split()) + 2 for r in records]

    def answer(self, task, records, options):
        texts = [r.text for r in records]
        self.batches.append(texts)
        if any("wait" in text for text in texts):
            self.held = True
            assert self.open.wait(HANG)
            self.held = False
        if any("boom" in text for text in texts):
            raise ValueError("boom: " + " ".join(texts))
        return [Embedding(np.full(2_000_000 if "huge" in t else 2, len(t), np.float32)) for t in texts]

    @property
    def computed(self):
        """All texts it was ever called with."""
        return [text for batch in self.batches for text in batch]


class Live:
    """What a test needs of a running server."""

    def __init__(self, app, server, port, loop, models):
        self.app, self.server, self.port, self.loop, self.models = app, server, port, loop, models
        self.engine = app.state.engine

    def ask(self, body, path="/embed", method="POST", headers=None):
        """Return status, headers and text."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG)
        try:
            connection.request(method, path, data, {"content-type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, dict(answer.headers.items()), answer.read().decode()
        finally:
            connection.close()

    def embed(self, *texts, **headers):
        """Return the status of a request for some texts."""
        return self.ask({"inputs": list(texts)}, headers={k.replace("_", "-"): v for k, v in headers.items()})[0]

    def begin(self, *texts, **headers):
        """Ask in a thread; return what waits for the status."""
        return Later(lambda: self.embed(*texts, **headers))

    def connect(self, sent=b"", **options):
        """Return a socket on which something has been sent."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=HANG, **options)
        sock.sendall(sent)
        return sock

    def abandon(self, *texts):
        """Return a socket on which a whole request has been sent: closing it is leaving."""
        body = json.dumps({"inputs": list(texts)}).encode()
        head = (
            f"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return self.connect(head.encode() + body)

    def figures(self):
        """Return the figures by name and labels."""
        return figures_of(self.ask(None, "/metrics", "GET")[2])

    def computing(self):
        """Return whether a batch is being computed that waits for the test."""
        return any(model.held for model in self.models)

    def waits(self, items):
        """Wait until so many texts wait."""
        wait_until(lambda: self.engine.line.items == items, f"{items} waiting texts")


class Later:
    """A call in a thread."""

    def __init__(self, call):
        self._found = []
        self._thread = threading.Thread(target=lambda: self._found.append(call()), daemon=True)
        self._thread.start()

    def result(self):
        """Return what it returned."""
        self._thread.join(HANG)
        assert self._found, "there is no answer, or it failed"
        return self._found[0]


def figures_of(text):
    """Return the figures by name and labels."""
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in lines}


@contextmanager
def live(*models, **settings):
    """Serve models on a free port."""
    chosen = ServeSettings(**{**PATIENT, "drain_delay": 0.0, **settings})
    app = make_app(chosen, Models(models))
    sock = listening(chosen.model_copy(update={"port": 0}))
    server, loops = uvicorn.Server(uvicorn_config(chosen, app)), []

    async def serve():
        loops.append(asyncio.get_running_loop())
        await server.serve(sockets=[sock])

    before, PatientProtocol.patience = PatientProtocol.patience, chosen.read_timeout
    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, "the start")
        yield Live(app, server, sock.getsockname()[1], loops[0], models)
    finally:
        for model in models:
            model.open.set()
        server.should_exit = True
        thread.join(HANG)
        PatientProtocol.patience = before
        assert not thread.is_alive()
