"""The server for a long time: does it stay as large as it was, and does it count what its clients count?

    litebert bench serve_soak [--minutes 20] [--model litebert-small-en --model litebert-small-en-embed] [--load 0.6] [--without-faq]

Every route with texts of 5 to 512 tokens, requests that are wrong, clients that leave before they are answered or in the middle of their
request, at random moments (Poisson, fixed seed) at 60% of what the server can do of the same mix. Memory, file handles and threads of its
process are read every few seconds. Flat means: the straight line through the memory after the first fifth of the time rises by at most 2%
of it until the end, and when all clients have left, files and threads are as many as after the warm-up, two more at most. Every status must
be the one that the request deserves (a refusal under load is counted apart), and the server's counters, by route and status, must be equal
to what the clients count. Writes benchmarks/results/serve_soak.json.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from http_client import NO_ANSWER, Client, allow_many_connections, closed_loop
from results_folder import RESULTS
from servers import asked as ask_server
from servers import folder_of, free_port, litebert_command, running
from soak_calls import LEAVERS_ROUTE, Call, calls, half, leaving
from traffic import milliseconds, mix

from litebert.files import write_json
from litebert.settings import shipped_folder
from litebert.tasks.reading.records import read_records
from litebert.text import AlbertTokenizer
from litebert.train.run_folder import environment

RESULT = RESULTS / "serve_soak.json"
MODELS = ("litebert-small-en", "litebert-small-en-embed")
WARM = 0.2
"""Of the time, in which the memory may still grow."""
MOST_GROWTH = 0.02
"""Of the memory, from the end of the warm-up to the end."""
MOST_MORE = 2
"""Files or threads."""
LEAVING = 0.04
"""Of all requests: clients that leave, half of them in the middle of their request."""
UNCOUNTED = ("/metrics", "/readyz")
"""Routes that this program asks beside its traffic."""

Counts = dict[tuple[str, int], int]


# --- What is looked at ----------------------------------------------------------------------------------------------------


def look(process: int) -> dict[str, float]:
    """Return the memory in MB, file handles and threads of a process."""
    said = Path(f"/proc/{process}/status").read_text()
    values = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", said, flags=re.MULTILINE))
    files = sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())
    return {"rss_mb": round(int(values["VmRSS"]) / 1024, 1), "files": files, "threads": int(values["Threads"])}


def counters(text: str) -> Counts:
    """Return requests by route and status from what the server says for Prometheus."""
    found: Counter[tuple[str, int]] = Counter()
    for labels, value in re.findall(r"^litebert_requests_total\{(.*)\} (\S+)$", text, flags=re.MULTILINE):
        named = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))
        found[named["route"], int(named["code"])] += round(float(value))
    return dict(found)


def differences(before: Counts, after: Counts, clients: Counts, left: Mapping[str, int]) -> dict[str, list[int]]:
    """Return where the server's counts are not the clients': route and status, and the two numbers.

    Args:
        before: The server's, before.
        after: And after.
        clients: By route and status that they got.
        left: By route, clients that left. Who has sent a whole request may be noted as answered, others as refused: that needs no body.
    """
    server = {key: after[key] - before.get(key, 0) for key in after if key[0] not in UNCOUNTED}
    here = dict(clients)
    for route, number in left.items():
        if route == LEAVERS_ROUTE:
            noted = [key for key in server if key[0] == route]
            server[route, 499] = sum(server.pop(key) for key in noted)
        elif refused := max(server.get((route, 429), 0) - here.get((route, 429), 0), 0):
            server[route, 429] -= refused
            server[route, 499] = server.get((route, 499), 0) + refused
        here[route, 499] = here.get((route, 499), 0) + number
    keys = sorted({*server, *here})
    return {
        f"{r} {s}": [server.get((r, s), 0), here.get((r, s), 0)]
        for r, s in keys
        if server.get((r, s), 0) != here.get((r, s), 0)
    }


def flatness(
    samples: Sequence[Mapping[str, float]], idle: tuple[Mapping[str, float], Mapping[str, float]]
) -> dict[str, Any]:
    """Return how much grew after the warm-up, and whether that is little enough.

    Args:
        samples: In the order of their ``minute``.
        idle: What was there with no client, after the warm-up and at the end.
    """
    start = WARM * samples[-1]["minute"]
    kept = [sample for sample in samples if sample["minute"] >= start]
    minutes = np.array([sample["minute"] for sample in kept])
    found: dict[str, Any] = {}
    for name in ("rss_mb", "files", "threads"):
        values = np.array([sample[name] for sample in kept])
        slope = float(np.polyfit(minutes, values, 1)[0]) if len(set(minutes)) > 1 else 0.0
        found[name] = {
            "mean": round(float(values.mean()), 1), "slope_per_minute": round(slope, 4) + 0.0, "range": round(float(np.ptp(values)), 1),
            "idle_before": idle[0][name], "idle_after": idle[1][name],
        }  # fmt: skip
    rss = found["rss_mb"]
    rss["growth_share"] = round(rss["slope_per_minute"] * float(np.ptp(minutes)) / rss["mean"], 4)
    rss["flat"] = rss["growth_share"] <= MOST_GROWTH
    for name in ("files", "threads"):
        found[name]["flat"] = found[name]["idle_after"] - found[name]["idle_before"] <= MOST_MORE
    return found


# --- Traffic --------------------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What the clients have seen.

    Attributes:
        counts: Answers by route and status.
        left: Clients that left, by route.
        unexpected: Answers that another status was due to; a refusal under load is none.
        seconds: Of the answers, by quarter of the time after the warm-up.
        lag: Seconds that requests were sent too late.
    """

    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)
    seconds: list[list[float]] = field(default_factory=lambda: [[], [], [], []])
    lag: list[float] = field(default_factory=list)


class Soak:
    """Traffic on one server.

    Args:
        port: Of the server.
        found: What is asked.
        seed: Of the order and the moments.
    """

    def __init__(self, port: int, found: Sequence[Call], seed: int = 0) -> None:
        self.client, self.calls, self.seen = Client(port), found, Seen()
        self._draw = random.Random(seed)
        self._shares = [call.share for call in found]
        texts = [call for call in found if call.route == "/v1/embeddings" and call.status == 200]
        self._texts = [json.loads(call.request.partition(b"\r\n\r\n")[2])["input"] for call in texts] or ["a text"]

    async def capacity(self, seconds: float, clients: int) -> float:
        """Return the requests a second that the server does of this mix; nothing of it is counted."""
        order = self._draw.choices(self.calls, self._shares, k=2000)
        run = await closed_loop(self.client, [call.request for call in order], clients=clients, seconds=seconds)
        return len(run.outcomes) / seconds

    async def run(self, rate: float, seconds: float) -> None:
        """Ask at a rate for some seconds, and wait for all answers."""
        started, moment, pending = time.perf_counter(), 0.0, set()
        while (moment := moment + self._draw.expovariate(rate)) < seconds:
            delay = started + moment - time.perf_counter()
            if delay > 0:
                await asyncio.sleep(delay)
            task = asyncio.ensure_future(self._one(started + moment, min(int(4 * moment / seconds), 3)))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.gather(*pending)

    async def _one(self, due: float, quarter: int) -> None:
        if self._draw.random() < LEAVING:
            await self._leave()
            return
        (call,) = self._draw.choices(self.calls, self._shares)
        outcome = await self.client.ask(call.request, 0, due)
        self.seen.lag.append(outcome.sent - due)
        if outcome.status == NO_ANSWER:
            self.seen.unexpected[f"{call.route}: no answer"] += 1
            return
        self.seen.counts[call.route, outcome.status] += 1
        if outcome.status not in (call.status, 429):
            self.seen.unexpected[f"{call.route}: {outcome.status} in place of {call.status}"] += 1
        if outcome.status == 200:
            self.seen.seconds[quarter].append(outcome.seconds)

    async def _leave(self) -> None:
        text = self._draw.choice(self._texts)
        text = text if isinstance(text, str) else " ".join(text)
        call = leaving(text) if self._draw.random() < 0.5 else half(text)
        patience = 0.05 * self._draw.random()
        try:
            connection = await self.client.connect()
        except OSError:
            self.seen.unexpected["no connection"] += 1
            return
        answer = connection.send(call.request)
        await asyncio.sleep(patience)
        connection.close()
        await answer
        self.seen.left[call.route] += 1


async def settled(port: int, process: int) -> tuple[Counts, dict[str, float]]:
    """Return counters and sizes of a server that all clients have left."""
    for _ in range(100):
        await asyncio.sleep(0.2)
        text = ask_server(port, "/metrics")[1].decode()
        if re.search(r"^litebert_inflight(\{.*\})? 1\.0$", text, flags=re.MULTILINE):  # this question alone
            break
    await asyncio.sleep(1.0)
    return counters(text), look(process)


async def soaked(soak: Soak, port: int, process: int, *, load: float, minutes: float, every: float) -> dict[str, Any]:
    """Let the server work for some minutes.

    Args:
        soak: The traffic.
        port: Of the server.
        process: Its number.
        load: Of what it can do.
        minutes: How long.
        every: Seconds between two looks at it.
    """
    capacity = await soak.capacity(min(30.0, 15 * minutes), 16)
    rate = load * capacity
    print(f"capacity of the mix {capacity:.1f} requests a second; {rate:.1f} for {minutes:g} minutes", flush=True)
    soak.client.close()
    before, _ = await settled(port, process)
    started, samples = time.perf_counter(), []

    async def watch() -> None:
        while True:
            samples.append({"minute": round((time.perf_counter() - started) / 60, 3), **look(process)})
            if len(samples) % 12 == 1:
                print(f"  {samples[-1]}", flush=True)
            await asyncio.sleep(every)

    watching = asyncio.ensure_future(watch())
    worked = time.process_time()
    await soak.run(rate, 60 * minutes * WARM)
    soak.client.close()
    _, idle_before = await settled(port, process)
    soak.seen.seconds = [[], [], [], []]
    await soak.run(rate, 60 * minutes * (1 - WARM))
    share = (time.process_time() - worked) / (time.perf_counter() - started)
    watching.cancel()
    soak.client.close()
    after, idle_after = await settled(port, process)
    seen = soak.seen
    return {
        "capacity_per_second": round(capacity, 1), "asked_per_second": round(rate, 1), "minutes": minutes,
        "requests": sum(seen.counts.values()) + sum(seen.left.values()), "statuses": _by_status(seen.counts), "routes": len({r for r, _ in seen.counts}),
        "left": dict(seen.left), "unexpected": dict(seen.unexpected), "counters_that_differ": differences(before, after, seen.counts, seen.left),
        "flatness": flatness(samples, (idle_before, idle_after)),
        "ms_by_quarter": [{f"p{round(100 * p)}": milliseconds(part, p) for p in (0.5, 0.99)} for part in seen.seconds],
        "client": {"lag_p99_ms": milliseconds(seen.lag, 0.99), "share_of_a_core": round(share, 3)}, "samples": samples,
    }  # fmt: skip


def _by_status(counts: Counts) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (_, status), number in sorted(counts.items(), key=lambda item: item[0][1]):
        found[str(status)] += number
    return dict(found)


def kept(found: Mapping[str, Any]) -> dict[str, bool]:
    """Return which of the promises were kept."""
    flat = found["flatness"]
    return {
        **{f"flat {name}": flat[name]["flat"] for name in ("rss_mb", "files", "threads")},
        "counters equal": not found["counters_that_differ"], "every status as it should be": not found["unexpected"],
    }  # fmt: skip


@contextmanager
def questions(place: Path, wanted: bool) -> Iterator[list[str]]:
    """Yield the options that serve questions and answers, from the bundled Banking77, if there is anything to search with."""
    if not wanted or find_spec("lancedb") is None:
        yield []
        return
    rows: dict[str, list[str]] = {}
    for record in read_records(shipped_folder("banking77") / "train.csv.xz"):
        rows.setdefault(str(record.label), []).append(record.text)
    file = place / "faq.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["question", "answer"])
        writer.writerows([text, label.replace("_", " ")] for label, texts in rows.items() for text in texts[:3])
    yield ["--faq", str(file)]


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--model", action="append", help=f"may be repeated; default: {' and '.join(MODELS)}")
    parser.add_argument("--load", type=float, default=0.6, help="of what the server can do")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks at the process")
    parser.add_argument(
        "--without-faq", action="store_true", help="no questions and answers; they need the extra search"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server")
    arguments = parser.parse_args(given)
    models = [folder_of(model) for model in arguments.model or MODELS]
    asked = mix(AlbertTokenizer.from_pretrained(models[0]), 800)
    allow_many_connections()
    port = free_port()
    with tempfile.TemporaryDirectory() as place, questions(Path(place), not arguments.without_faq) as options:
        command = litebert_command([str(model) for model in models], port, arguments.set, options)
        with running("litebert", command, port, "/readyz") as server:
            offered = json.loads(ask_server(port, "/litebert/v1/models")[1])
            tasks = {model["name"]: [one["task"] for one in model["tasks"]] for model in offered["models"]}
            soak = Soak(port, calls(tasks, asked, faq=bool(options)))
            found = asyncio.run(
                soaked(
                    soak,
                    port,
                    server.process.pid,
                    load=arguments.load,
                    minutes=arguments.minutes,
                    every=arguments.every,
                )
            )
    promises = kept(found)
    for name, true in promises.items():
        print(f"{'kept' if true else 'BROKEN':<7} {name}", flush=True)
    print(
        json.dumps({name: found[name] for name in ("flatness", "counters_that_differ", "unexpected")}, indent=1),
        flush=True,
    )
    write_json(RESULT, {
        "command": " ".join(["litebert bench serve_soak", *(sys.argv[1:] if given is None else given)]), "models": tasks, "faq": bool(options),
        "load": arguments.load, "mean_tokens": round(statistics.mean(one.tokens for one in asked), 1), "kept": promises, **found,
        "environment": environment(),
    })  # fmt: skip


if __name__ == "__main__":
    main()
