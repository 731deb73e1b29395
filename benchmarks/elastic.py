"""What is lost for speed on real tasks: fewer applications, early exit, bf16 and int8, each with its metric and its time.

    LITEBERT_DATA=DIR litebert bench elastic [--model litebert-small-en] [--tasks sst2,banking77,spam] [--limit 12000] [--rounds 3]

DIR holds the public data sets. Each task is fine-tuned twice with one recipe, as usual and for every depth at once (elastic=true), and
then scored on its dev or test part by the engine: at every depth, with patience 1 to 3, and at full depth in bf16 and int8. Times are
medians of the whole part, tokenising included, one way of answering after the other, round after round. Writes
benchmarks/results/elastic.json after each task.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from results_folder import RESULTS

import litebert
from litebert.files import write_json
from litebert.inference.engine.int8 import has_int8
from litebert.inference.loading import mean_applications
from litebert.tasks.datasets import read_splits
from litebert.train.precision import has_bfloat16_cpu
from litebert.train.run_folder import environment

RESULT = RESULTS / "elastic.json"
EPOCHS = {"sst2": 2, "banking77": 10, "spam": 3}
PATIENCE = (1, 2, 3)


def sources(task: str, data: Path, folder: Path) -> list[str]:
    """Return the arguments that name a task's data, writing files where the official ones are no table with a header."""
    if task == "sst2":
        return ["glue/sst2", "--data", str(data / "glue-sst2"), "--recipe", "glue-small/sst2"]
    if task == "banking77":
        files = data / "banking77" / "train.csv", data / "banking77" / "test.csv"
    else:
        rows = [line.split("\t", 1) for line in (data / "sms-spam" / "sms.tsv").read_text("utf-8").splitlines()]
        random.Random(0).shuffle(rows)
        files = folder / "train.csv", folder / "dev.csv"
        for path, part in zip(files, (rows[1000:], rows[:1000]), strict=True):
            with path.open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows([("label", "text"), *part])
    return ["classify", "--train", str(files[0]), "--dev", str(files[1]), "--recipe", "glue-small/base"]


def finetune(what: list[str], arguments: argparse.Namespace, task: str, out: Path, *, elastic: bool) -> None:
    """Run the command line."""
    command = [
        sys.executable, "-m", "litebert", "finetune", *what, "--model", arguments.model, "--learning-rate", "2e-4", "--seeds", "1",
        "--epochs", str(EPOCHS[task]), "--out", str(out), "--set", f"limit={arguments.limit}", "--set", f"elastic={str(elastic).lower()}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{task} failed: {done.stdout}{done.stderr}")


def ways(depth: int) -> dict[str, dict[str, Any]]:
    """Return the ways of answering that are compared, by name: settings of ``litebert.load``."""
    found: dict[str, dict[str, Any]] = {f"depth {d}": {"precision": "fp32", "depth": d} for d in range(1, depth + 1)}
    found |= {f"patience {p}": {"precision": "fp32", "patience": p} for p in PATIENCE if p < depth}
    if has_bfloat16_cpu():
        found["bf16"] = {"precision": "bf16"}
    if has_int8():
        found["int8"] = {"precision": "int8"}
        found["int8, calibrated on the task"] = {"precision": "int8", "calibration": "train"}
    return found


def judge(folder: Path, splits: Any, train: Path, rounds: int) -> dict[str, dict[str, Any]]:
    """Score and time every way of answering of one model."""
    depth = litebert.load(folder, precision="fp32").loaded.model.config.num_hidden_layers
    pipes = {}
    for name, settings in ways(depth).items():
        chosen = settings | ({"calibration": str(train)} if "calibration" in settings else {})
        pipes[name] = litebert.load(folder, **chosen)
    texts = [r.text for r in splits.dev]
    times: dict[str, list[float]] = {name: [] for name in pipes}
    answers = {}
    for _ in range(rounds):
        for name, pipe in pipes.items():
            started = time.perf_counter()
            answers[name] = pipe(texts)
            times[name].append(time.perf_counter() - started)
    rows = {}
    for name, pipe in pipes.items():
        right = statistics.mean(a.label == str(r.label) for a, r in zip(answers[name], splits.dev, strict=True))
        rows[name] = {
            "accuracy": round(right, 4), "seconds": round(statistics.median(times[name]), 3),
            "applications": round(mean_applications(pipe.loaded) or pipe.settings.depth or depth, 2),
        }  # fmt: skip
    full = rows[f"depth {depth}"]["seconds"]
    for row in rows.values():
        row["times_faster"] = round(full / row["seconds"], 2)
    return rows


def calibration_file(splits: Any, folder: Path) -> Path:
    """Write some training texts, one a line, without labels."""
    path = folder / "texts.txt"
    path.write_text("\n".join(" ".join(r.text.split()) for r in splits.train[:512]) + "\n", encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="litebert-small-en")
    parser.add_argument("--tasks", default=",".join(EPOCHS))
    parser.add_argument("--limit", type=int, default=12_000, help="training records")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if not os.environ.get("LITEBERT_DATA"):
        raise SystemExit("set LITEBERT_DATA to the folder that holds the public data sets")
    data = Path(os.environ["LITEBERT_DATA"])
    results: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.is_file() else {"tasks": {}}
    for task in arguments.tasks.split(","):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            what = sources(task, data, folder)
            named = dict(zip(what[1::2], what[2::2], strict=True))
            splits = read_splits(
                what[0], train=named.get("--train"), dev=named.get("--dev"), data=named.get("--data"), columns=None,
                options={}, dev_fraction=0.1, limit=arguments.limit,
            )  # fmt: skip
            row = {"records": len(splits.dev)}
            for kind in ("usual", "elastic"):
                finetune(what, arguments, task, folder / kind, elastic=kind == "elastic")
                row[kind] = judge(folder / kind, splits, calibration_file(splits, folder), arguments.rounds)
                for way, found in row[kind].items():
                    print(task, kind, way, found, flush=True)
            results["tasks"][task] = row
        results |= {
            "command": " ".join(["litebert bench elastic", *sys.argv[1:]]), "model": Path(arguments.model).name,
            "statistic": f"median of {arguments.rounds} rounds in turn", "environment": environment(),
        }  # fmt: skip
        write_json(RESULT, results)


if __name__ == "__main__":
    main()
