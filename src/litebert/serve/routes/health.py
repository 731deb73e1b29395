"""Is it there, is it well, may it be sent work: for people, Kubernetes and the protocols' own names of these questions."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import Field

from litebert.serve.answers import Json
from litebert.serve.engine import Engine
from litebert.serve.metrics import Metrics
from litebert.serve.routes.native_answers import Sent

router = APIRouter(tags=["health"])

_ALIVE = ("/livez", "/v2/health/live")
_READY = ("/readyz", "/healthz", "/startupz", "/health", "/ping", "/v2/health/ready")


class Checks(Sent):
    """What was looked at."""

    worker: bool
    models: bool
    not_draining: bool = Field(alias="not draining")


class Health(Sent):
    """How the server is."""

    status: Literal["ok", "unavailable"]
    live: bool
    ready: bool
    checks: Checks | None = None


def checks(engine: Engine) -> dict[str, bool]:
    """Return what is looked at: a thread that computes and is not stuck, and no end in sight."""
    return {"worker": engine.worker.alive(), "models": len(engine.models) > 0, "not draining": not engine.draining}


def _answer(ok: bool, found: dict[str, bool], verbose: bool) -> Response:
    body: dict[str, Any] = {"status": "ok" if ok else "unavailable", "live": found["worker"], "ready": ok}
    return Json(body | ({"checks": found} if verbose or not ok else {}), status_code=200 if ok else 503)


async def live(request: Request, verbose: bool = False) -> Response:
    """Tell whether the process is worth keeping."""
    found = checks(request.app.state.engine)
    return _answer(found["worker"], found, verbose)


async def ready(request: Request, verbose: bool = False) -> Response:
    """Tell whether it may be sent work."""
    found = checks(request.app.state.engine)
    return _answer(all(found.values()), found, verbose)


async def metrics(request: Request) -> Response:
    """Return the figures for Prometheus."""
    engine: Engine = request.app.state.engine
    figures: Metrics = request.app.state.metrics
    figures.wait(engine.line.items)
    text = figures.render()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


for _path in (*_ALIVE, *_READY):
    _check, _shown = (live if _path in _ALIVE else ready), _path in ("/livez", "/readyz")
    router.add_api_route(
        _path, _check, methods=["GET"], response_model=Health, responses={503: {"model": Health}}, include_in_schema=_shown,
    )  # fmt: skip
router.add_api_route("/metrics", metrics, methods=["GET"], response_class=PlainTextResponse)
