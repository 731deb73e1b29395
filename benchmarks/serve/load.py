"""The server under more load than it can take: what it does, and what becomes of those who come when it is too much.

    litebert bench serve_load [--model litebert-small-en-embed] [--rates 0.5,0.9,1.2,3] [--seconds 20] [--rounds 3] [--clients 64]
                              [--workers 2] [--set NAME=VALUE]

Sentences, pairs and passages of 5 to 512 tokens to ``/embed``. Capacity is what clients get who send one request after the other (closed
loop); then requests come at random moments (Poisson, fixed seed) at half, nine tenths, 1.2 and three times that rate, whatever becomes of
those before, and their time counts from the moment they were due. All of that several times in turn, figures of all rounds together, since
a machine's speed changes by more than the bars leave room for. Three bars at the highest rate: goodput of at least 90% of the most that
was seen, in requests and in tokens; 99 of 100 accepted requests answered within the bound of the queue and the time that such requests
take at the lowest rate; 99 of 100 refusals within 50 ms. How late the client was, and how much of a core it used, stands beside each
figure. Writes benchmarks/results/serve_load.json, with several processes serve_load_processes.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from http_client import Client, Run, allow_many_connections, closed_loop, encoded
from open_loop import open_loop
from results_folder import RESULTS
from servers import asked as ask_server
from servers import folder_of, free_port, litebert_command, running
from traffic import Asked, mix, summary

from litebert.files import write_json
from litebert.serve.settings import ServeSettings
from litebert.text import AlbertTokenizer
from litebert.train.run_folder import environment

RESULT, RESULT_MANY = RESULTS / "serve_load.json", RESULTS / "serve_load_processes.json"
RATES = (0.5, 0.9, 1.2, 3.0)
LEAST_GOODPUT = 0.9
"""Of the most that was seen, at the highest rate."""
MOST_REFUSAL_MS = 50.0
SETTLE = 0.15
"""Of a run, in which throughput is not counted: the queue is still filling."""


async def measured(
    port: int, asked: Sequence[Asked], *, rates: Sequence[float], seconds: float, clients: int, rounds: int
) -> dict[str, Any]:
    """Measure capacity, then each rate; and all of it again: a machine that is a little faster now than then is so for all of them.

    Args:
        port: Of the server.
        asked: Requests.
        rates: Times the capacity of the same round.
        seconds: Of each run.
        clients: Of the closed loop.
        rounds: Over all that.
    """
    requests = [encoded("/embed", body_of(one)) for one in asked]
    client = Client(port)
    await closed_loop(client, requests, clients=clients, seconds=min(seconds, 3.0))
    settle = SETTLE * seconds
    full: list[Run] = []
    at_rate: dict[float, list[Run]] = {rate: [] for rate in rates}
    for turn in range(rounds):
        client.close()  # a process that began later than another shall have its part of the connections
        full.append(await closed_loop(client, requests, clients=clients, seconds=seconds))
        capacity = summary(full[-1:], asked, settle=settle)
        tell("capacity", capacity)
        if not capacity["goodput_per_second"]:
            raise SystemExit(
                f"nothing was answered between {settle:g} and {seconds:g} seconds: the server is too slow for such short runs"
            )
        for number, rate in enumerate(rates):
            client.close()
            await asyncio.sleep(min(seconds, 1.0))
            per_second, seed = rate * capacity["goodput_per_second"], turn * len(rates) + number
            at_rate[rate].append(await open_loop(client, requests, rate=per_second, seconds=seconds, seed=seed))
            tell(f"{rate:g} times", summary(at_rate[rate][-1:], asked, settle=settle))
    client.close()
    return {
        "capacity": summary(full, asked, settle=settle),
        "rates": {f"{rate:g}": summary(runs, asked, settle=settle) for rate, runs in at_rate.items()},
    }


def body_of(asked: Asked) -> bytes:
    return json.dumps({"inputs": asked.texts[0] if len(asked.texts) == 1 else asked.texts}).encode()


def tell(name: str, found: dict[str, Any]) -> None:
    print(
        f"{name:<10} {found['goodput_per_second']:8.1f} a second of {found['offered_per_second']:.1f}, p50 {found['p50_ms']} p99 {found['p99_ms']} ms, "
        f"{found['refused']} refused (p99 {found['refused_p99_ms']} ms), errors {found['errors']}, client {found['client']}",
        flush=True,
    )


def judged(found: dict[str, Any], queue_ms: float) -> dict[str, Any]:
    """Return each bar: what is allowed, what was found, and whether it is kept to.

    Args:
        found: What was measured.
        queue_ms: Bound of the queue.
    """
    rates = {float(rate): row for rate, row in found["rates"].items()}
    low, high = rates[min(rates)], rates[max(rates)]
    bars = {}
    for unit in ("per_second", "tokens_per_second"):
        peak = max(row[f"goodput_{unit}"] for row in (found["capacity"], *rates.values()))
        part = round(high[f"goodput_{unit}"] / peak, 3) if peak else None
        bars[f"goodput, of the most {unit.replace('_', ' ')}"] = _bar(part, at_least=LEAST_GOODPUT)
    allowed = queue_ms + (low["p99_ms"] or 0.0)
    bars["accepted p99 ms"] = _bar(high["p99_ms"], at_most=round(allowed, 1))
    bars["refused p99 ms"] = _bar(high["refused_p99_ms"], at_most=MOST_REFUSAL_MS)
    errors = sum(sum(row["errors"].values()) for row in (found["capacity"], *rates.values()))
    bars["errors"] = _bar(errors, at_most=0)
    return bars


def _bar(found: float | None, *, at_least: float | None = None, at_most: float | None = None) -> dict[str, Any]:
    """Nothing found is no goodput; but where nobody was refused, nobody was refused too slowly."""
    if at_least is not None:
        return {"found": found, "at_least": at_least, "kept": found is not None and found >= at_least}
    assert at_most is not None
    return {"found": found, "at_most": at_most, "kept": found is None or found <= at_most}


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="litebert-small-en-embed")
    parser.add_argument("--texts", help="text to draw from; default: bundled prose")
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="times capacity")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="over capacity and all rates")
    parser.add_argument("--clients", type=int, default=64, help="that measure capacity")
    parser.add_argument("--workers", type=int, default=1, help="processes of the server")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server")
    arguments = parser.parse_args(given)
    rates = tuple(float(rate) for rate in arguments.rates.split(","))
    model = folder_of(arguments.model)
    asked = mix(AlbertTokenizer.from_pretrained(model), 2000, file=arguments.texts)
    given_queue = [s.partition("=")[2] for s in arguments.set if s.startswith("max_queue_ms=")]
    queue_ms = float(given_queue[-1]) if given_queue else ServeSettings().max_queue_ms
    allow_many_connections()
    port = free_port()
    command = litebert_command([str(model)], port, arguments.set, ("--workers", str(arguments.workers)))
    with running("litebert", command, port, "/readyz"):
        info = json.loads(ask_server(port, "/info")[1])
        found = asyncio.run(
            measured(
                port, asked, rates=rates, seconds=arguments.seconds, clients=arguments.clients, rounds=arguments.rounds
            )
        )
    bars = judged(found, queue_ms)
    for name, bar in bars.items():
        print(f"{'kept' if bar['kept'] else 'MISSED':<7} {name}: {bar}", flush=True)
    write_json(RESULT if arguments.workers == 1 else RESULT_MANY, {
        "command": " ".join(["litebert bench serve_load", *(sys.argv[1:] if given is None else given)]), "model": model.name,
        "precision": info["model_dtype"], "workers": arguments.workers, "queue_ms": queue_ms, "clients": arguments.clients, "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "tokens": {"least": min(a.tokens for a in asked), "mean": round(sum(a.tokens for a in asked) / len(asked), 1), "most": max(a.tokens for a in asked)},
        **found, "bars": bars, "environment": environment(),
    })  # fmt: skip


if __name__ == "__main__":
    main()
