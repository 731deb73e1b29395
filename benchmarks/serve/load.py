"""Load on the server: how much it does, and what becomes of those who come when it is too much; beside other servers.

    python benchmarks/serve/load.py [--model litebert-small-en-embed] [--texts FILE] [--seconds 10] [--peers plain]

Single texts of mixed length to ``/embed``. Capacity is what clients get who send one request after the other; then requests come at a
steady rate of half, nine tenths, 1.2 and three times that, whatever becomes of those before (open loop). Peers answer the same texts on
the same machine in turn: ``plain`` is FastAPI around transformers (``plain_server.py``). Writes benchmarks/results/serve.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from http_client import Client, Outcome, closed_loop, open_loop
from results_folder import RESULTS

import litebert
from litebert.files import write_json
from litebert.train.run_folder import environment

RESULT = RESULTS / "serve.json"
RESOURCES = Path(litebert.__file__).parent / "resources"
RATES = (0.5, 0.9, 1.2, 3.0)
HERE = Path(__file__).parent


def texts_of(path: str | None) -> list[str]:
    """Return texts of five to some hundred words, in random order."""
    text = Path(path or RESOURCES / "calibration.txt").read_text("utf-8")
    words, draw, found = text.split(), random.Random(0), []
    for _ in range(2000):
        count = min(round(draw.lognormvariate(3.0, 0.8)) + 3, 400)
        start = draw.randrange(max(len(words) - count, 1))
        found.append(" ".join(words[start : start + count]))
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """Start a server and wait until it answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(f"{command[:6]} has ended: {process.returncode}")
            if asyncio.run(Client(port, "/embed").post({"inputs": "ready?"})).status == 200:
                break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(60)


def percentile(values: list[float], share: float) -> float | None:
    return None if not values else round(1000 * sorted(values)[min(int(share * len(values)), len(values) - 1)], 1)


def summary(outcomes: list[Outcome], seconds: float) -> dict[str, Any]:
    """Return what became of requests; milliseconds."""
    good = [o.seconds for o in outcomes if o.status == 200]
    refused = [o.seconds for o in outcomes if o.status == 429]
    return {
        "requests": len(outcomes), "answered": len(good), "refused": len(refused), "failed": len(outcomes) - len(good) - len(refused),
        "per_second": round(len(good) / seconds, 1), "p50_ms": percentile(good, 0.5), "p99_ms": percentile(good, 0.99),
        "refused_p99_ms": percentile(refused, 0.99),
    }  # fmt: skip


def measure(port: int, bodies: list[bytes], seconds: float, rates: tuple[float, ...], clients: int) -> dict[str, Any]:
    """Measure one server."""

    async def all_of_it() -> dict[str, Any]:
        client = Client(port, "/embed")
        await closed_loop(client, bodies, clients=clients, seconds=2)
        capacity = summary(await closed_loop(client, bodies, clients=clients, seconds=seconds), seconds)
        found: dict[str, Any] = {"capacity": capacity, "open": {}}
        for rate in rates:
            started = time.perf_counter()
            outcomes = await open_loop(client, bodies, rate=rate * capacity["per_second"], seconds=seconds)
            took = max(seconds, time.perf_counter() - started)
            found["open"][str(rate)] = summary(outcomes, took) | {
                "offered_per_second": round(rate * capacity["per_second"], 1)
            }
            print(f"  {rate} x: {found['open'][str(rate)]}", flush=True)
            await asyncio.sleep(1)
        client.close()
        return found

    return asyncio.run(all_of_it())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="litebert-small-en-embed")
    parser.add_argument("--texts")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--peers", default="plain")
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--set", action="append", default=[], help="A setting of the server.")
    arguments = parser.parse_args()
    bodies = [json.dumps({"inputs": text}).encode() for text in texts_of(arguments.texts)]
    rates = tuple(float(rate) for rate in arguments.rates.split(","))
    more = [part for one in arguments.set for part in ("--set", one)]
    port, results = free_port(), {}
    with running(
        [sys.executable, "-m", "litebert", "serve", arguments.model, "--port", str(port), "--log", "off", *more], port
    ):
        print("litebert", flush=True)
        results["litebert"] = measure(port, bodies, arguments.seconds, rates, arguments.clients)
    bundled = RESOURCES / "models" / arguments.model
    folder = bundled if bundled.is_dir() else arguments.model
    for peer in [name for name in arguments.peers.split(",") if name]:
        port = free_port()
        with running([sys.executable, str(HERE / f"{peer}_server.py"), str(folder), str(port)], port):
            print(peer, flush=True)
            results[peer] = measure(port, bodies, arguments.seconds, (0.9,), arguments.clients)
    ours = results["litebert"]["capacity"]["per_second"]
    lengths = [len(json.loads(body)["inputs"].split()) for body in bodies]
    write_json(RESULT, {
        "command": " ".join(["python", "benchmarks/serve/load.py", *sys.argv[1:]]), "model": Path(arguments.model).name,
        "servers": results, "times_the_peers": {n: round(ours / r["capacity"]["per_second"], 2) for n, r in results.items() if n != "litebert"},
        "words": {"median": statistics.median(lengths), "longest": max(lengths)}, "clients": arguments.clients,
        "seconds": arguments.seconds, "environment": environment(),
    })  # fmt: skip
    print(json.dumps(results["litebert"]["capacity"]), flush=True)


if __name__ == "__main__":
    main()
