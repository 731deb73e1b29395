"""The application: routes around the engine, within the guard."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from types import FrameType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from litebert.errors import LitebertError
from litebert.serve.answers import Json
from litebert.serve.engine import ClientGoneError, Engine
from litebert.serve.guard import Guard
from litebert.serve.keys import VARIABLE, Keys
from litebert.serve.knowledge import open_knowledge
from litebert.serve.metrics import Metrics
from litebert.serve.models import Models, load_model
from litebert.serve.settings import ServeSettings
from litebert.serve.waiting import OverloadError
from litebert.serve.wire_errors import WireError, body_of, status_for, wire_error
from litebert.serve.worker import TooLateError, WorkerLostError

logger = logging.getLogger("litebert.serve")

FAMILIES = (
    "health", "shared", "tei", "root", "openai", "cohere", "vllm", "infinity", "kserve", "hugging_face", "native",
)  # fmt: skip
"""Modules of ``routes``, the earlier before the later where paths meet."""


def make_app(settings: ServeSettings, models: Models | None = None) -> FastAPI:
    """Return the application with its models loaded.

    Args:
        settings: How it behaves.
        models: Instead of those that the settings name.

    Raises:
        LitebertError: A model cannot be loaded, or an index is not there or of another model.
    """
    if models is None:
        models = Models([load_model(spec, settings.engine, settings.device) for spec in settings.models])
    served, knowledge = open_knowledge(settings, models.values())
    models = Models(served)
    metrics = Metrics()
    engine = Engine(models, settings, metrics)
    given = (*settings.api_keys, *(key.strip() for key in os.environ.get(VARIABLE, "").split(",")))
    keys = Keys(given, settings.api_key_file)
    app = FastAPI(
        title="LiteBERT", description="Text models over HTTP.", lifespan=_lifespan, docs_url=None, redoc_url=None,
        openapi_url="/openapi.json", default_response_class=Json,
    )  # fmt: skip
    app.state.engine, app.state.metrics, app.state.keys, app.state.settings = engine, metrics, keys, settings
    app.state.knowledge = knowledge
    for family in (*FAMILIES, *(("page",) if settings.page else ())):
        app.include_router(import_module(f"litebert.serve.routes.{family}").router)
    _handle_errors(app)
    if settings.cors_allow_origin:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.cors_allow_origin), allow_methods=["*"], allow_headers=["*"]
        )
    app.add_middleware(Guard, settings=settings, keys=keys, metrics=metrics)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine: Engine = app.state.engine
    engine.worker.start()
    watch = asyncio.ensure_future(_watch(engine))
    with suppress(ValueError):  # only the main thread is told of signals
        _heed_signals(app)
    try:
        yield
    finally:
        watch.cancel()
        await engine.close(max(app.state.settings.shutdown_timeout, 1.0))


def _heed_signals(app: FastAPI) -> None:
    """End in two steps: after SIGTERM the server says that it is about to, and goes on for a while; read keys again on SIGHUP."""
    loop, engine, delay = asyncio.get_running_loop(), app.state.engine, app.state.settings.drain_delay
    end = {int(number): signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, frame: FrameType | None) -> None:
        ends = end[number]
        first, engine.draining = not engine.draining, True
        app.state.metrics.draining.set(1)
        wait = delay if first and number == signal.SIGTERM and not engine.worker.broken else 0.0
        if callable(ends):
            loop.call_soon_threadsafe(loop.call_later, wait, ends, number, frame)

    def reload(_number: int, _frame: FrameType | None) -> None:
        try:
            app.state.keys.reload()
        except LitebertError as error:
            logger.error("the keys stay as they were: %s", error.message)

    for number in end:
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, reload)


async def _watch(engine: Engine) -> None:
    while True:
        await asyncio.sleep(0.5)
        engine.worker.supervise()
        if engine.worker.broken:
            os.kill(os.getpid(), signal.SIGTERM)
            return


# --- Errors ---------------------------------------------------------------------------------------------------------------


def _handle_errors(app: FastAPI) -> None:
    async def expected(request: Request, error: Exception) -> Response:
        return _respond(request, wire_error(error))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _respond(request, WireError(422, "Validation", _invalid(error)))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = {404: "NotFound", 405: "MethodNotAllowed", 400: "Validation"}.get(error.status_code, "Error")
        return _respond(request, WireError(error.status_code, kind, str(error.detail), dict(error.headers or {})))

    for kind in (LitebertError, OverloadError, TooLateError, WorkerLostError, ClientGoneError, Exception):
        app.add_exception_handler(kind, expected)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _respond(request: Request, error: WireError) -> Response:
    visit = getattr(request.state, "visit", None)
    if visit is not None:
        visit.kind = error.kind
    path = request.url.path
    return Json(body_of(error, path), status_code=status_for(error, path), headers=error.headers)


def _invalid(error: RequestValidationError) -> str:
    """Return which fields are wrong, in one line."""
    said: list[str] = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem.get("loc", ()) if part != "body")
        text: Any = problem.get("msg", "is wrong")
        said.append(f"{place}: {text}" if place else str(text))
    return "; ".join(dict.fromkeys(said[:5]))
