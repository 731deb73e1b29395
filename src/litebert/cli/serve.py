"""``litebert serve``: models over HTTP."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from types import FrameType
from typing import Any

import click

from litebert.cli.engine_options import engine_options
from litebert.cli.output import common_options, print_result, say


@click.command("serve")
@click.argument("models", nargs=-1)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes, each with its own models."
)
@click.option("--api-key", multiple=True, help="Key that clients must send; better in LITEBERT_API_KEY or a file.")
@click.option("--api-key-file", metavar="FILE", help="Keys, one a line; read again on SIGHUP.")
@click.option("--no-auth", is_flag=True, help="Listen on an open address without a key.")
@click.option("--faq", metavar="FILE", help="Questions and answers, or an index of them, to answer from.")
@click.option("--index", "indexes", multiple=True, metavar="NAME=LOCATION", help="An index to search.")
@click.option(
    "--log", type=click.Choice(["text", "json", "off"]), default="text", show_default=True, help="A line a request."
)
@click.option("--otel", is_flag=True, help="Traces for OpenTelemetry; on as well if OTEL_* names a collector.")
@click.option(
    "--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Any other setting, e.g. max_queue_ms=500."
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, ...")
@engine_options("auto")
@common_options
def command(
    models: tuple[str, ...], host: str, port: int, workers: int, api_key: tuple[str, ...], api_key_file: str | None,
    no_auth: bool, faq: str | None, indexes: tuple[str, ...], log: str, overrides: tuple[str, ...], device: str, *, otel: bool,
    as_json: bool, debug: bool,  # noqa: ARG001
    **engine: Any,
) -> None:  # fmt: skip
    """Serve MODELS over HTTP until told to stop; each is NAME=MODEL, or a model reference whose last part is the name.

    Clients of Text Embeddings Inference, OpenAI's embeddings, Hugging Face's InferenceClient, Cohere, Jina and KServe speak to it as
    they are; a browser finds a page at /. It listens on this machine alone unless --host says otherwise.

    \b
    Example:
      litebert serve litebert-small-en
      litebert serve embed=litebert-small-en-embed bank --port 9000
      curl localhost:8080/embed -H 'content-type: application/json' -d '{"inputs": "Hello"}'
    """  # noqa: D301
    with suppress(ValueError):  # called by another thread than the main one
        signal.signal(signal.SIGTERM, _end_at_once)
    from litebert.errors import MachineError, UsageError
    from litebert.serve.memory import uncollected

    if not models and not indexes and faq is None:
        raise UsageError("there is nothing to serve", hint="Name a model: litebert serve litebert-small-en")
    try:
        with uncollected():
            from litebert.serve.server import run
            from litebert.serve.settings import ServeSettings
            from litebert.settings import build_settings, parse_overrides
    except ImportError as error:
        raise MachineError(
            f"serving needs the package {error.name}", hint="Install it with: pip install 'litebert[serve]'"
        ) from error
    given = {
        "models": models, "host": host, "port": port, "workers": workers, "api_keys": api_key, "api_key_file": api_key_file,
        "no_auth": no_auth, "faq": faq, "indexes": indexes, "log": log, "otel": otel, "device": device, "engine": engine,
    }  # fmt: skip
    settings = build_settings(ServeSettings, {**given, **parse_overrides(overrides)})

    def tell(address: str) -> None:
        if as_json:
            print_result("serve", {"address": address, "models": list(models)}, "", as_json=True)
        if log == "json":  # nothing but objects there
            logging.getLogger("litebert.serve").info("serving on %s", address)
        else:
            say(f"serving on {address}; press Ctrl-C to stop")

    run(settings, tell)


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    """End while nothing is served yet; the first process of a container would not hear SIGTERM without a handler."""
    raise SystemExit(128 + number)
