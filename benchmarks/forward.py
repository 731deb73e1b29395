"""One forward pass and one training step against transformers, in turn in one process: equal weights, equal batches.

    python benchmarks/forward.py [--preset base-v2] [--rounds 5]

Prints milliseconds and ratios, and writes benchmarks/results/forward.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time

import torch
import transformers
from results_folder import RESULTS

import litebert
from litebert.files import write_json
from litebert.train.run_folder import environment

RESULT = RESULTS / "forward.json"


def batch(rows: int, length: int, *, ragged: bool, vocab: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, vocab, (rows, length), generator=generator)
    lengths = (
        torch.randint(length // 8, length + 1, (rows,), generator=generator) if ragged else torch.full((rows,), length)
    )
    lengths[0] = length
    return ids, (torch.arange(length) < lengths[:, None]).long()


def milliseconds(call) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def compare(programs: dict, rounds: int) -> dict[str, float]:
    for call in programs.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, call in programs.items():
            times[name].append(milliseconds(call))
    return {name: round(statistics.median(values), 2) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="base-v2")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    ours = {
        b: litebert.AlbertForSequenceClassification(litebert.AlbertConfig.preset(arguments.preset), attention=b)
        for b in ("sdpa", "packed")
    }
    ours["packed"].load_state_dict(ours["sdpa"].state_dict())
    with tempfile.TemporaryDirectory() as folder:
        ours["sdpa"].save_pretrained(folder)
        theirs = transformers.AlbertForSequenceClassification.from_pretrained(folder, attn_implementation="sdpa")
    models = {"transformers": theirs.eval(), **{f"litebert {b}": m.eval() for b, m in ours.items()}}
    rows = []
    for rows_, length, ragged in ((1, 16, False), (1, 128, False), (8, 128, False), (8, 128, True), (4, 512, True)):
        ids, mask = batch(rows_, length, ragged=ragged, vocab=30000)
        logits = {}

        def run(name: str, ids=ids, mask=mask, logits=logits) -> None:
            with torch.inference_mode():
                logits[name] = models[name](input_ids=ids, attention_mask=mask).logits

        times = compare({name: (lambda n=name: run(n)) for name in models}, arguments.rounds)
        worst = max(float((logits[n] - logits["transformers"]).abs().max()) for n in models)
        ratios = {n: round(times["transformers"] / t, 2) for n, t in times.items() if n != "transformers"}
        rows.append(
            {
                "batch": rows_,
                "length": length,
                "ragged": ragged,
                "ms": times,
                "times_faster": ratios,
                "largest_difference": worst,
            }
        )
        print(rows[-1])
    data = {
        "command": " ".join(["python", *sys.argv]), "preset": arguments.preset, "dtype": "float32", "rows": rows,
        "environment": environment(), "transformers": transformers.__version__, "statistic": f"median of {arguments.rounds}, in turn",
    }  # fmt: skip
    write_json(RESULT, data)


if __name__ == "__main__":
    main()
