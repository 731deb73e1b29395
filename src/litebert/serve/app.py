"""The application: routes around the engine, within the guard."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
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
from litebert.serve.document import complete_document
from litebert.serve.engine import ClientGoneError, Engine, TooManyError
from litebert.serve.event_loop import ServingLoop
from litebert.serve.gate import Gate
from litebert.serve.guard import Guard
from litebert.serve.keys import VARIABLE, Keys
from litebert.serve.knowledge import open_knowledge
from litebert.serve.memory import AT_LEAST, EVERY, give_back
from litebert.serve.metrics import Metrics
from litebert.serve.models import Models, ServedModel, load_model
from litebert.serve.protocol import TURNED_AWAY
from litebert.serve.rush import Rush
from litebert.serve.settings import ServeSettings
from litebert.serve.tracing import open_tracing
from litebert.serve.visit import Door
from litebert.serve.waiting import OverloadError
from litebert.serve.wire_errors import WireError, body_of, invalid_body, status_for, unreadable, wire_error
from litebert.serve.worker import FailedError, TooLateError, WorkerLostError

logger = logging.getLogger("litebert.serve")

FAMILIES = (
    "health", "shared", "tei", "root", "openai", "cohere", "vllm", "infinity", "kserve", "hugging_face", "native",
)  # fmt: skip
"""Modules of ``routes``, the earlier before the later where paths meet."""

LEAVE = signal.SIGUSR1
"""What several processes are told when their parent hears Ctrl-C, which they do not hear themselves."""
LONGEST_CLOSE = 5.0
"""Seconds to wait for a batch that nobody waits for any more."""

_OWN_TRACES: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""Newer releases of FastAPI would tell OpenTelemetry of requests themselves, with the messages of errors, which may quote texts."""


def make_app(settings: ServeSettings, models: Models | None = None) -> FastAPI:
    """Return the application with its models loaded.

    Args:
        settings: How it behaves.
        models: Instead of those that the settings name.

    Raises:
        LitebertError: A model cannot be loaded, an index is not there or of another model, or traces cannot be told to anybody.
    """
    tracing = open_tracing(settings.otel)
    own: Iterable[ServedModel] = (
        models.values() if models is not None else
        [load_model(spec, settings.engine, settings.device) for spec in settings.models]
    )  # fmt: skip
    served, knowledge = open_knowledge(settings, own)
    metrics, door = Metrics(), Door()
    engine = Engine(Models(served), settings, metrics)
    given = (*settings.api_keys, *(key.strip() for key in os.environ.get(VARIABLE, "").split(",")))
    keys = Keys(given, settings.api_key_file)
    app = FastAPI(
        title="LiteBERT", description="Text models over HTTP.", lifespan=_lifespan, docs_url=None, redoc_url=None,
        openapi_url=None, default_response_class=Json, telemetry=_OWN_TRACES,
    )  # fmt: skip
    app.state.engine, app.state.metrics, app.state.keys, app.state.settings = engine, metrics, keys, settings
    app.state.knowledge, app.state.door, app.state.parent = knowledge, door, None
    app.state.tracing = tracing
    families = (*FAMILIES, *(("page",) if settings.page else ()))
    routers = [import_module(f"litebert.serve.routes.{family}").router for family in families]
    for router in routers:
        app.include_router(router)
    _handle_errors(app)
    complete_document(app, keys)
    routes = [route for router in routers for route in router.routes]
    paths, rush = {route.path for route in routes}, Rush(routes, engine)
    app.state.gate = Gate(settings, keys, metrics, door, paths, tracing, rush)
    app.add_middleware(Guard, gate=app.state.gate)
    if settings.cors_allow_origin:  # around the guard: a browser asks without a key whether it may ask with one
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.cors_allow_origin), allow_methods=["*"], allow_headers=["*"],
            expose_headers=["x-request-id", "retry-after", "retry-after-ms"],
        )  # fmt: skip
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    engine: Engine = app.state.engine
    gc.freeze()  # what is here now stays: looking through it again and again would hold up everybody
    engine.worker.start()
    loop = asyncio.get_running_loop()
    if isinstance(loop, ServingLoop):
        loop.while_crowded(engine.worker.backlog)
    tasks = [asyncio.ensure_future(_watch(app)), asyncio.ensure_future(_tidy(engine))]
    with suppress(ValueError):  # only the main thread is told of signals
        _heed_signals(app)
    try:
        yield {TURNED_AWAY: app.state.gate.turned_away}
    finally:
        for task in tasks:
            task.cancel()
        await engine.close(min(max(app.state.settings.shutdown_timeout, 1.0), LONGEST_CLOSE))
        app.state.tracing.close()
        app.state.knowledge.close()


def _heed_signals(app: FastAPI) -> None:
    """End in steps (``leave``), the second time at once; read keys again on SIGHUP."""
    loop, engine, delay = asyncio.get_running_loop(), app.state.engine, app.state.settings.drain_delay
    ends = {int(number): signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    kept: set[asyncio.Task[None]] = set()

    def stop(number: int, frame: FrameType | None) -> None:
        first, engine.draining = not engine.draining, True
        patient = first and number == signal.SIGTERM and not engine.worker.broken
        meant = signal.SIGTERM if number == LEAVE else number
        handler = ends[meant]
        end: Callable[[], object] = partial(handler, meant, frame) if callable(handler) else _nothing

        def begin() -> None:
            if not first:
                engine.worker.abandon()
                end()
                return
            kept.add(loop.create_task(leave(app, delay if patient else 0.0, end)))

        loop.call_soon_threadsafe(begin)

    def reload(_number: int, _frame: FrameType | None) -> None:
        try:
            app.state.keys.reload()
        except LitebertError as error:
            logger.error("the keys stay as they were: %s", error.message)
        else:
            logger.info("the keys have been read again")

    for number in (*ends, LEAVE):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, reload)


def _nothing() -> None:
    """End nothing: somebody else does."""


async def leave(app: FastAPI, delay: float, end: Callable[[], object]) -> None:
    """Go on for a while, saying that the server is about to end; then refuse what comes, and end when all that was taken is answered.

    Args:
        app: With its state.
        delay: Seconds to go on for.
        end: Called at last.
    """
    engine, door = app.state.engine, app.state.door
    engine.draining = door.leaving = True
    app.state.metrics.draining.set(1)
    await asyncio.sleep(delay)
    door.closed = True
    try:
        async with asyncio.timeout(app.state.settings.shutdown_timeout):
            while door.taken:
                await asyncio.sleep(0.02)
    except TimeoutError:
        logger.error("%d requests were not answered in time", door.taken)
        engine.worker.abandon()
    end()


async def _watch(app: FastAPI) -> None:
    engine: Engine = app.state.engine
    while True:
        await asyncio.sleep(0.5)
        app.state.metrics.wait(engine.line.items)
        engine.worker.supervise()
        orphan = app.state.parent not in (None, os.getppid())
        if engine.worker.broken or orphan:
            os.kill(os.getpid(), signal.SIGTERM)
            return


async def _tidy(engine: Engine) -> None:
    put_off = 0
    while True:
        await asyncio.sleep(EVERY)
        put_off = put_off + 1 if engine.worker.crowded() else 0
        collect = put_off % AT_LEAST == 0
        await asyncio.get_running_loop().run_in_executor(None, partial(give_back, collect=collect))


# --- Errors ---------------------------------------------------------------------------------------------------------------


_EXPECTED = (
    LitebertError, OverloadError, TooLateError, WorkerLostError, FailedError, ClientGoneError, RecursionError,
)  # fmt: skip


def _handle_errors(app: FastAPI) -> None:
    async def expected(request: Request, error: Exception) -> Response:
        if isinstance(error, TooManyError):
            request.state.visit.failure = "BatchSize"
        return _respond(request, wire_error(error))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        said = invalid_body(error, request.headers.get("content-type", ""))
        return _respond(request, WireError(422, "Validation", said))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 400 and error.__cause__ is not None:  # FastAPI's word for a body that cannot be read
            return _respond(request, WireError(422, "Validation", unreadable(error.__cause__)))
        kind = {404: "NotFound", 405: "MethodNotAllowed", 400: "Validation"}.get(error.status_code, "Error")
        return _respond(request, WireError(error.status_code, kind, str(error.detail), dict(error.headers or {})))

    for kind in _EXPECTED:
        app.add_exception_handler(kind, expected)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _respond(request: Request, error: WireError) -> Response:
    visit = getattr(request.state, "visit", None)
    if visit is not None:
        visit.kind = error.kind
    path = request.url.path
    return Json(body_of(error, path), status_code=status_for(error, path), headers=error.headers)
