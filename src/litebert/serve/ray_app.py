"""The server as a deployment of Ray Serve: the same application in every replica, behind Ray's proxies.

    serve run litebert.serve.ray_app:build models=litebert-small-en,ranker=/models/ranker api_key_file=/etc/keys replicas=2

Ray starts, places and replaces the replicas, and gives a request to one that has little to do; how requests wait, are batched and are
refused is the business of each replica, as it is of a process of ``litebert serve``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from litebert.errors import MachineError, RunError, UsageError
from litebert.serve.app import make_app
from litebert.serve.keys import VARIABLE, Keys, check_open
from litebert.serve.server import prepare_process
from litebert.serve.settings import ServeSettings
from litebert.settings import build_settings, parse_overrides

ONGOING = 4096
"""Requests that a replica has at once: many more than Ray's default of 5, since the engine's own line decides who waits how long."""

_LISTS = ("models", "indexes", "api_keys", "cors_allow_origin")
_OURS_ALONE = ("host", "port", "workers", "read_timeout")


def build(args: Mapping[str, Any]) -> Any:
    """Return the application for ``serve run`` and for ``args`` of a Serve config file.

    Args:
        args: Fields of ``ServeSettings``, those of ``engine`` as ``engine.precision=int8``; lists also as text with commas between. And
            ``replicas``: how many, or ``auto``; ``cpus`` and ``gpus`` of each.

    Returns:
        A ``ray.serve.Application``.

    Raises:
        MachineError: Ray Serve is not installed.
        UsageError: A setting is wrong, or there is neither a key nor ``no_auth``: Ray's proxies may listen anywhere.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise MachineError(
            f"Ray Serve needs the package {error.name}", hint='Install it with: pip install "litebert[ray-serve]"'
        ) from error
    given = _given(args)
    replicas, cpus, gpus = (given.pop(name, default) for name, default in (("replicas", 1), ("cpus", 1), ("gpus", 0)))
    settings = _settings(given, cpus)

    def application() -> Any:  # called in the replica
        return Replica.begin(settings)

    deployment = serve.deployment(
        serve.ingress(application)(Replica), name="LiteBERT", num_replicas=replicas, max_ongoing_requests=ONGOING,
        ray_actor_options={"num_cpus": cpus, "num_gpus": gpus}, health_check_period_s=2, health_check_timeout_s=10,
        graceful_shutdown_timeout_s=settings.shutdown_timeout + 5, graceful_shutdown_wait_loop_s=1,
    )  # fmt: skip
    return deployment.bind()


class Replica:
    """One replica; what it answers is the application's business."""

    app: Any = None

    @classmethod
    def begin(cls, settings: ServeSettings) -> Any:
        """Return the application of this process, with its models loaded."""
        prepare_process(settings)
        Replica.app = make_app(settings)
        return Replica.app

    def check_health(self) -> None:
        """Tell Ray whether to replace this replica.

        Raises:
            RunError: Its worker failed again and again.
        """
        if Replica.app is not None and Replica.app.state.engine.worker.broken:
            raise RunError("the worker failed again and again")


def _given(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, read from text where they come from a command line."""
    found = parse_overrides(f"{name}={value}" for name, value in args.items() if isinstance(value, str))
    for name in _LISTS:
        if isinstance(found.get(name), str):
            found[name] = tuple(part.strip() for part in found[name].split(",") if part.strip())
    return {**found, **{name: value for name, value in args.items() if not isinstance(value, str)}}


def _settings(given: dict[str, Any], cpus: float) -> ServeSettings:
    for name in _OURS_ALONE:
        if name in given:
            raise UsageError(f"{name} is Ray's business", hint="Say it to Ray Serve: http_options, replicas.")
    engine = {"threads": max(1, int(cpus)), **given.get("engine", {})}
    # The replicas have another environment than who starts them: a key that stayed behind would leave them open.
    keys = (*given.get("api_keys", ()), *(key.strip() for key in os.environ.get(VARIABLE, "").split(",")))
    ours = {"engine": engine, "host": "0.0.0.0", "api_keys": tuple(key for key in keys if key)}
    settings = build_settings(ServeSettings, {**given, **ours})
    if not settings.models and not settings.indexes and settings.faq is None:
        raise UsageError("there is nothing to serve", hint="Say models=litebert-small-en")
    check_open(settings, Keys(settings.api_keys, settings.api_key_file))
    return settings
