"""How long the loader makes the step wait, where it might: while the next window of rows is planned, where one window ends, at the start.

    litebert bench loader --corpus DIR [--workers 0,2] [--rows 64] [--length 128] [--step-ms 100] [--steps 300]

DIR is a corpus made by ``litebert corpus build``. Each step asks for its batch, and then leaves the processor alone for the time that a
step would take on an accelerator; the waits are those for the batch. Three stretches are measured: from the first step on, from where half
of the first window is read (when the next begins to be planned in the background) and across the end of it. The times to the first batch
are those of a fresh start and of one that goes on in the middle, with and without the numbers of rows that a run keeps in its folder.
Writes benchmarks/results/loader.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from results_folder import RESULTS

from litebert.corpus.shards import Corpus
from litebert.files import write_json
from litebert.pretrain.batches import BatchPlan, PretrainingBatches
from litebert.pretrain.examples import ExampleSettings, with_preset
from litebert.pretrain.stream import RowStream
from litebert.train.run_folder import environment

RESULT = RESULTS / "loader.json"


def batches(arguments: argparse.Namespace, workers: int, counts: Path | None = None) -> PretrainingBatches:
    """Return what a run of one process would read."""
    rows = arguments.rows
    examples = ExampleSettings(**with_preset({"length": arguments.length}))
    stream = RowStream(Corpus(arguments.corpus), examples, seed=0, ahead=True)
    if counts is not None:
        stream.keep_counts(counts, writes=True)
    return PretrainingBatches(stream, BatchPlan(rows, rows, 0, min(rows, 32)), workers=workers)


def waits(source: PretrainingBatches, first: int, steps: int, pause: float) -> list[float]:
    """Return the milliseconds that each of some steps waits for its batch; the first one is left out."""
    source.micro_batches(first)
    found = []
    for step in range(first + 1, first + 1 + steps):
        time.sleep(pause)
        started = time.perf_counter()
        source.micro_batches(step)
        found.append(1000 * (time.perf_counter() - started))
    return found


def stretch(name: str, found: list[float], step_ms: float) -> dict[str, Any]:
    """Summarise the waits of a stretch."""
    total = sum(found) / (sum(found) + len(found) * step_ms)
    row = {
        "stretch": name, "steps": len(found), "median_ms": round(statistics.median(found), 2), "longest_ms": round(max(found), 1),
        "share_of_the_time": round(total, 4),
    }  # fmt: skip
    print(f"  {row}", flush=True)
    return row


def start(arguments: argparse.Namespace, step: int, counts: Path | None = None) -> float:
    """Return the seconds to the first batch."""
    started = time.perf_counter()
    batches(arguments, 0, counts).micro_batches(step)
    return round(time.perf_counter() - started, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--workers", default="0,2")
    parser.add_argument("--rows", type=int, default=64, help="of a step")
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--step-ms", type=float, default=100, help="that a step would take")
    parser.add_argument("--steps", type=int, default=300, help="of each stretch")
    arguments = parser.parse_args()
    corpus = Corpus(arguments.corpus)
    rows: list[dict[str, Any]] = []
    for workers in (int(n) for n in arguments.workers.split(",")):
        source = batches(arguments, workers)
        end = source.steps_per_epoch
        print(f"{workers} workers, {end} steps a window", flush=True)
        places = (
            ("the first steps", 0),
            ("half of the window", end // 2 - 10),
            ("its end", end - arguments.steps // 2),
        )
        for name, first in places:
            found = waits(source, first, arguments.steps, arguments.step_ms / 1000)
            rows.append({"workers": workers, **stretch(name, found, arguments.step_ms)})
    with tempfile.TemporaryDirectory() as folder:
        counts, middle = Path(folder) / "rows.json", end + end // 4
        starts = {
            "fresh": start(arguments, 0), "in the second window": start(arguments, middle, counts),
            "in the second window, numbers of rows kept": start(arguments, middle, counts),
        }  # fmt: skip
    print(f"  {starts}", flush=True)
    write_json(RESULT, {
        "command": " ".join(["litebert bench loader", *sys.argv[1:]]).replace(arguments.corpus, "DIR"),
        "tokens": corpus.tokens, "batch": f"{arguments.rows}x{arguments.length}", "step_ms": arguments.step_ms,
        "rows": rows, "seconds_to_the_first_batch": starts, "environment": environment(),
    })  # fmt: skip


if __name__ == "__main__":
    main()
