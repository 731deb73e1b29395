"""Throughput at equal p99 beside other servers: the same requests, the same model, on the same machine, in turn.

    litebert bench serve_peers [--infinity-python VENV/bin/python] [--limit-ms 500] [--seconds 15] [--rounds 3] [--without plain]

The servers: ours as it comes, ours in fp32, and ours with a process a core; FastAPI around transformers, as people write it
(``plain_server.py``), in one process and with one a core; and ``infinity-emb`` from an environment of its own, which has no
such setting. All read one folder of weights, with a window of 512 tokens, and answer the same bodies on ``/embeddings`` in OpenAI's form. All run, one is asked at a time, round after round. Requests come at random moments (Poisson, the same for all) at a rate that
is doubled or halved in the interval that is left: a rate is held if 99 of 100 of all requests have their answer within the limit, a refusal
or an error counting as none. The highest rate held is then asked ``--rounds`` times more and lowered by 5% until the median of these p99
keeps to the limit. Vectors of the same texts are compared first: least cosine with those of transformers.

infinity-emb 0.0.78 with a CPU build of torch, as it was used here (its own pins end below transformers 5 and NumPy 2; its BetterTransformer,
which wants a long outdated optimum, is not part of these extras, so attention is PyTorch's own):

    python3.11 -m venv infinity
    infinity/bin/pip install 'infinity-emb[server,torch]==0.0.78' 'transformers==4.57.6' 'sentence-transformers==3.4.1' \
        'huggingface_hub==0.36.0' 'tokenizers==0.22.1' 'numpy==1.26.4' 'torch==2.13.0'

Writes benchmarks/results/serve_peers.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from http_client import Client, Outcome, allow_many_connections, closed_loop, encoded
from open_loop import open_loop
from results_folder import RESULTS
from servers import Server, folder_of, free_port, litebert_command, running, with_window
from servers import asked as ask_server
from traffic import Asked, mix, percentile, summary

from litebert.files import write_json
from litebert.processors import usable_processors
from litebert.text import AlbertTokenizer
from litebert.train.run_folder import environment

RESULT = RESULTS / "serve_peers.json"
HERE = Path(__file__).parent
PATH, MODEL, WINDOW = "/embeddings", "model", 512
OURS, OURS_FP32, OURS_MANY = "litebert", "litebert fp32", "litebert, a process a core"
PLAIN, PLAIN_MANY, INFINITY = "plain", "plain, a process a core", "infinity"
PACKAGES = ("infinity-emb", "transformers", "sentence-transformers", "torch", "numpy")
LOWER = 0.95
"""What a rate is lowered by when the rounds after the search do not hold it."""
FEWEST = 200
"""Requests of a trial, so that its p99 is not its slowest; a trial takes up to three times as long for it."""


# --- Which rate is held ---------------------------------------------------------------------------------------------------


def held_ms(outcomes: Sequence[Outcome]) -> float | None:
    """Return p99 in milliseconds over all requests, a refusal or an error never being answered; None where that is the p99."""
    found = percentile([o.seconds if o.status == 200 else float("inf") for o in outcomes], 0.99)
    return None if found is None or found == float("inf") else round(1000 * found, 1)


@dataclass
class Search:
    """The highest rate that a server holds, narrowed down trial by trial.

    Attributes:
        guess: Rate of the first trial.
        narrow: The search ends when the lowest rate that was not held is so many times the highest that was.
        held: Highest rate that was held.
        lost: Lowest that was not.
        trials: Rate, p99 in milliseconds (None: not answered) and whether it was held.
    """

    guess: float
    narrow: float = 1.04
    held: float | None = None
    lost: float | None = None
    trials: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rate(self) -> float | None:
        """The next to try; None when it is known well enough, or nothing is held at all."""
        if self.held is None and self.lost is None:
            return self.guess
        if self.lost is None:
            return 1.25 * self.held  # type: ignore[operator]
        if self.held is None:
            return None if self.lost < self.guess / 100 else 0.6 * self.lost
        return None if self.lost / self.held <= self.narrow else (self.held * self.lost) ** 0.5

    def note(self, rate: float, p99: float | None, limit: float) -> None:
        """Take in a trial."""
        ok = p99 is not None and p99 <= limit
        self.trials.append({"per_second": round(rate, 1), "p99_ms": p99, "held": ok})
        if ok:
            self.held = max(rate, self.held or 0.0)
            if self.lost is not None and self.lost <= self.held:  # it was lost by chance
                self.lost = None
        elif self.held is None or rate > self.held:
            self.lost = min(rate, self.lost or rate)


# --- Asking ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """What every server is asked.

    Attributes:
        asked: Requests.
        requests: The same as they go over the wire.
        seconds: Of a trial, at least.
        limit: Of the p99 in milliseconds.
    """

    asked: Sequence[Asked]
    requests: Sequence[bytes]
    seconds: float
    limit: float

    async def closed(self, port: int, clients: int) -> dict[str, Any]:
        """Measure what clients get who send one request after the other, after a while to get warm."""
        client = Client(port)
        await closed_loop(client, self.requests, clients=clients, seconds=self.seconds / 4)
        run = await closed_loop(client, self.requests, clients=clients, seconds=self.seconds)
        client.close()
        return summary([run], self.asked, settle=0.15 * self.seconds)

    async def open(self, port: int, rate: float, seed: int) -> tuple[float | None, dict[str, Any]]:
        """Measure a rate; returns the p99 of all requests and what became of them."""
        seconds = min(max(self.seconds, FEWEST / rate), 3 * self.seconds)
        client = Client(port)
        run = await open_loop(client, self.requests, rate=rate, seconds=seconds, seed=seed)
        client.close()
        await asyncio.sleep(min(self.seconds / 10, 1.0))
        return held_ms(run.outcomes), summary([run], self.asked)


def compared(servers: Sequence[Server], asked: Sequence[Asked]) -> dict[str, float]:
    """Return each server's least cosine with the first that is one of transformers, over the same texts."""
    vectors: dict[str, np.ndarray] = {}
    for server in servers:
        rows = []
        for one in asked:
            data = json.loads(ask_server(server.port, PATH, body_of(one))[1])["data"]
            rows += [row["embedding"] for row in sorted(data, key=lambda row: row["index"])]
        found = np.array(rows, dtype=np.float64)
        vectors[server.name] = found / np.linalg.norm(found, axis=1, keepdims=True)
    reference = vectors.get(PLAIN, vectors.get(OURS_FP32))
    assert reference is not None
    return {name: round(float((rows * reference).sum(1).min()), 6) for name, rows in vectors.items()}


def body_of(asked: Asked) -> dict[str, Any]:
    return {"model": MODEL, "input": asked.texts[0] if len(asked.texts) == 1 else list(asked.texts)}


async def searched(servers: Sequence[Server], work: Work, *, clients: int, trials: int, rounds: int) -> dict[str, Any]:
    """Find each server's highest rate, in turn.

    Args:
        servers: All of them.
        work: What they are asked.
        clients: Of the closed loop, which gives the first guess.
        trials: Of each server at most.
        rounds: At the rate that was found.
    """
    found: dict[str, dict[str, Any]] = {}
    searches: dict[str, Search] = {}
    for server in servers:
        closed = await work.closed(server.port, clients)
        found[server.name] = {"closed_loop": closed}
        searches[server.name] = Search(max(0.8 * closed["goodput_per_second"], 0.5))
        print(
            f"{server.name:<27} closed loop {closed['goodput_per_second']} a second, p99 {closed['p99_ms']} ms",
            flush=True,
        )
    for trial in range(trials):
        for server in servers:
            search = searches[server.name]
            rate = search.rate
            if rate is None:
                continue
            p99, _ = await work.open(server.port, rate, seed=trial)
            search.note(rate, p99, work.limit)
            print(
                f"{server.name:<27} {rate:8.1f} a second: p99 {p99} ms, {'held' if search.trials[-1]['held'] else 'not held'}",
                flush=True,
            )
    rates = {name: search.held for name, search in searches.items()}
    confirmed = await _confirmed(servers, work, rates, rounds)
    return {name: row | {"trials": searches[name].trials} | confirmed[name] for name, row in found.items()}


async def _confirmed(
    servers: Sequence[Server], work: Work, rates: Mapping[str, float | None], rounds: int
) -> dict[str, dict[str, Any]]:
    """Ask each server at its rate again, in turn; who does not hold it is asked again at a lower one."""
    left = {server.name: rates[server.name] for server in servers}
    found: dict[str, dict[str, Any]] = {server.name: {"held_per_second": None} for server in servers}
    for attempt in range(10):
        asked = [server for server in servers if left[server.name] is not None]
        if not asked:
            break
        runs: dict[str, list[tuple[float | None, dict[str, Any]]]] = {server.name: [] for server in asked}
        for turn in range(rounds):
            for server in asked:
                runs[server.name].append(
                    await work.open(server.port, left[server.name] or 0.0, seed=1000 + 10 * attempt + turn)
                )
        for name, rows in runs.items():
            p99 = round(statistics.median(float("inf") if p is None else p for p, _ in rows), 1)
            rate = left[name] or 0.0
            if p99 > work.limit:
                left[name] = LOWER * rate
                continue
            left[name] = None
            answered = [row["goodput_per_second"] for _, row in rows]
            found[name] = {
                "held_per_second": round(rate, 1), "p99_ms": p99, "p50_ms": statistics.median(row["p50_ms"] for _, row in rows),
                "answered_per_second": answered, "client": [row["client"] for _, row in rows],
            }  # fmt: skip
            print(f"{name:<27} holds {rate:.1f} a second: p99 {p99} ms", flush=True)
    return found


def ratios(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Return how many times each peer's rate each of ours holds."""
    peers = [name for name in found if name in (PLAIN, PLAIN_MANY, INFINITY)]

    def of(ours: str, peer: str) -> float | None:
        a, b = found[ours]["held_per_second"], found[peer]["held_per_second"]
        return round(a / b, 2) if a and b else None

    return {ours: {peer: of(ours, peer) for peer in peers} for ours in (OURS, OURS_FP32, OURS_MANY) if ours in found}


# --- Starting -------------------------------------------------------------------------------------------------------------


def commands(
    folder: Path, ports: Mapping[str, int], infinity: Path | None, options: Sequence[str]
) -> dict[str, list[str]]:
    """Return the commands that start the servers, by name."""
    cores, plain = usable_processors(), [sys.executable, str(HERE / "plain_server.py"), str(folder)]
    known = {
        OURS: litebert_command([f"{MODEL}={folder}"], ports[OURS]),
        OURS_FP32: litebert_command([f"{MODEL}={folder}"], ports[OURS_FP32], (), ("--precision", "fp32")),
        OURS_MANY: litebert_command([f"{MODEL}={folder}"], ports[OURS_MANY], (), ("--workers", str(cores))),
        **{
            name: [*plain, str(ports[name]), str(WINDOW), str(count)]
            for name, count in ((PLAIN, 1), (PLAIN_MANY, cores))
        },
    }
    if infinity is not None:
        known[INFINITY] = [
            str(infinity.parent / "infinity_emb"), "v2", "--model-id", str(folder), "--served-model-name", MODEL, "--engine", "torch",
            "--device", "cpu", "--host", "127.0.0.1", "--port", str(ports[INFINITY]), "--log-level", "error", *options,
        ]  # fmt: skip
    return known


def versions_of(python: Path | None) -> dict[str, dict[str, str]]:
    """Return the versions of packages: beside this program, and in the environment of infinity."""
    code = (
        "import json, sys; from importlib.metadata import version, PackageNotFoundError as E\nfound = {}\n"
        "for name in sys.argv[1:]:\n    try: found[name] = version(name)\n    except E: pass\nprint(json.dumps(found))"
    )
    found = {PLAIN: {name: version(name) for name in ("transformers", "torch", "fastapi", "uvicorn")}}
    if python is not None:
        done = subprocess.run([str(python), "-c", code, *PACKAGES], capture_output=True, text=True, check=True)
        found[INFINITY] = json.loads(done.stdout)
    return found


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="litebert-small-en-embed")
    parser.add_argument("--texts", help="text to draw from; default: bundled prose")
    parser.add_argument(
        "--infinity-python", type=Path, help="Python of the environment that infinity-emb is in; default: without it"
    )
    parser.add_argument(
        "--infinity-option", action="append", default=[], help="of infinity, e.g. --infinity-option=--dtype=bfloat16"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=[OURS_FP32, OURS_MANY, PLAIN, PLAIN_MANY],
        help="a server that is left out",
    )
    parser.add_argument("--limit-ms", type=float, default=500.0, help="of the p99")
    parser.add_argument("--seconds", type=float, default=15.0, help="of a trial")
    parser.add_argument("--trials", type=int, default=9, help="of each server at most")
    parser.add_argument("--rounds", type=int, default=3, help="at the rate that was found")
    parser.add_argument("--clients", type=int, default=16, help="of the closed loop that gives the first guess")
    arguments = parser.parse_args(given)
    source = folder_of(arguments.model)
    asked = mix(AlbertTokenizer.from_pretrained(source), 2000, file=arguments.texts)
    work = Work(
        asked,
        [encoded(PATH, json.dumps(body_of(one)).encode()) for one in asked],
        arguments.seconds,
        arguments.limit_ms,
    )
    allow_many_connections()
    versions = versions_of(arguments.infinity_python)
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = with_window(source, Path(place), WINDOW)
        ports = {name: free_port() for name in (OURS, OURS_FP32, OURS_MANY, PLAIN, PLAIN_MANY, INFINITY)}
        chosen = commands(folder, ports, arguments.infinity_python, arguments.infinity_option)
        servers = [
            stack.enter_context(running(name, command, ports[name], PATH, {"model": MODEL, "input": "ready?"}))
            for name, command in chosen.items()
            if name not in arguments.without
        ]
        precision = {
            server.name: json.loads(ask_server(server.port, "/info")[1])["model_dtype"]
            for server in servers
            if server.name in (OURS, OURS_FP32, OURS_MANY)
        }
        cosines = compared(servers, asked[:64])
        print(f"least cosine with transformers: {cosines}", flush=True)
        found = asyncio.run(
            searched(servers, work, clients=arguments.clients, trials=arguments.trials, rounds=arguments.rounds)
        )
    times = ratios(found)
    print(f"times the rate of the peers: {times}", flush=True)
    write_json(RESULT, {
        "command": " ".join(["litebert bench serve_peers", *_without_places(sys.argv[1:] if given is None else given)]), "model": source.name,
        "window": WINDOW, "limit_ms": arguments.limit_ms, "seconds": arguments.seconds, "rounds": arguments.rounds, "precision": precision,
        "servers": found, "times_the_peers": times, "least_cosine": cosines, "versions": versions, "environment": environment(),
        "mean_tokens": round(statistics.mean(one.tokens for one in asked), 1),
    })  # fmt: skip


def _without_places(arguments: Sequence[str]) -> list[str]:
    """Return arguments with no path of this machine in them."""
    found = list(arguments)
    for i, one in enumerate(found):
        if one.startswith("--infinity-python="):
            found[i] = "--infinity-python=VENV/bin/python"
        elif i and found[i - 1] == "--infinity-python":
            found[i] = "VENV/bin/python"
    return found


if __name__ == "__main__":
    main()
