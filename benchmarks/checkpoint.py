"""Judge a pretrained checkpoint by fine-tuning it: against the same architecture from random weights and against TF-IDF with a linear model.

    LITEBERT_DATA=DIR python benchmarks/checkpoint.py --model litebert-small-en [--tasks cola,rte] [--seeds 5] [--arms pretrained,random]

DIR holds the public data sets. Each run is a process of its own through the command line: the same recipe for both arms, each with the
learning rate that suits it (2e-4 for trained weights, 3e-4 for random ones), all seeds reported with median and standard deviation at the
best epoch on dev. The natural-language-inference row trains on SNLI's dev part and is scored on its test part, for want of the training
part. Results go to benchmarks/results/checkpoint.json as they come.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import baselines
from command_line import answered
from results_folder import RESULTS

from litebert.files import write_json
from litebert.train.run_folder import environment

RESULT = RESULTS / "checkpoint.json"
GLUE = {"cola": 4, "sst2": 1, "mrpc": 4, "stsb": 4, "rte": 4, "wnli": 4}
"""Epochs by task."""
NLI = "snli"
RATES = {"pretrained": "2e-4", "random": "3e-4"}
HOPELESS = ("rte", "cola", "snli", "wnli")
"""Tasks in which random weights hardly get away from chance: starting them again at half the rate, as the guardian does, is left out."""
PUBLISHED = {
    "BERT-Tiny": {"cola": 0.0, "sst2": 83.2, "mrpc": 71.1, "stsb": 73.6, "rte": 57.2, "wnli": 62.3},
    "BERT-Mini": {"cola": 0.0, "sst2": 85.9, "mrpc": 71.8, "stsb": 73.3, "rte": 57.9, "wnli": 62.3},
}
"""GLUE test set, google/bert_uncased_*: Matthews, accuracy, accuracy, Spearman, accuracy; dev figures here are not the same thing."""


def snli(data: Path, folder: Path) -> tuple[Path, Path]:
    """Write SNLI's dev part (to train on) and test part as CSV."""
    names = ("entailment", "neutral", "contradiction")
    train, test = folder / "train.csv", folder / "test.csv"
    with train.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["text", "text_pair", "label"])
        for record in read_pairs(data / "snli" / "validation.tsv"):
            rows.writerow([record[0], record[1], names[int(record[2])]])
    with test.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["text", "text_pair", "label"])
        for record in read_pairs(data / "snli" / "test.tsv"):
            rows.writerow([record[0], record[1], names[int(record[2])]])
    return train, test


def read_pairs(path: Path) -> list[tuple[str, str, str]]:
    """Read premise, hypothesis and label number, whatever their columns are called."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(row[-3], row[-2], row[-1]) for row in rows[1:] if len(row) >= 3 and row[-1].strip() in ("0", "1", "2")]


def finetune(
    task: str, model: str, arm: str, data: Path, seeds: int, folder: Path, threads: int | None
) -> dict[str, object]:
    """Run all seeds of one task through the command line."""
    if task == NLI:
        train, test = snli(data, folder)
        what = ["classify", "--train", str(train), "--dev", str(test), "--recipe", "glue-small/base", "--epochs", "2"]
    else:
        what = [
            f"glue/{task}",
            "--data",
            str(data / f"glue-{task}"),
            "--recipe",
            f"glue-small/{task}",
            "--epochs",
            str(GLUE[task]),
        ]
    arguments = [
        "finetune", *what, "--model", model, "--learning-rate", RATES[arm], "--seeds", str(seeds), "--out", str(folder / "run"),
        *(("--set", "training.max_restarts=0") if arm == "random" and task in HOPELESS else ()),
    ]  # fmt: skip
    started = time.perf_counter()
    found = answered(arguments, threads=threads)["data"]
    main = next(iter(found["metrics"]))
    scores = [seed[main] for seed in found["seeds"]]
    return {
        "metric": main, "median": statistics.median(scores), "deviation": statistics.stdev(scores) if len(scores) > 1 else None,
        "scores": scores, "baseline": found["baseline"], "minutes": round((time.perf_counter() - started) / 60, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="litebert-small-en")
    parser.add_argument("--tasks", default=",".join((*GLUE, NLI)))
    parser.add_argument("--arms", default="pretrained,random")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--together", type=int, default=1, help="So many runs side by side, each with its share of the threads."
    )
    parser.add_argument("--note", default="", help="What else the machine was doing.")
    arguments = parser.parse_args()
    if not os.environ.get("LITEBERT_DATA"):
        raise SystemExit("set LITEBERT_DATA to the folder that holds the public data sets")
    data = Path(os.environ["LITEBERT_DATA"])
    results = json.loads(RESULT.read_text()) if RESULT.is_file() else {"tasks": {}}
    tasks = arguments.tasks.split(",")
    for task in tasks:
        with tempfile.TemporaryDirectory() as name:
            results["tasks"].setdefault(task, {})["bag of words"] = bag_of_words(task, data, Path(name))
    threads = max(1, (os.cpu_count() or 1) // arguments.together) if arguments.together > 1 else None
    with ThreadPoolExecutor(arguments.together) as pool:
        arms = [a for a in arguments.arms.split(",") if a]
        running = {
            pool.submit(judge, task, arm, arguments, data, threads): (task, arm) for arm in arms for task in tasks
        }
        for future in as_completed(running):
            (task, arm), row = running[future], future.result()
            results["tasks"][task][arm] = row | {"note": arguments.note}
            print(task, arm, row["metric"], row["median"], row["scores"], f"{row['minutes']} min", flush=True)
            results |= {"model": Path(arguments.model).name, "published": PUBLISHED, "environment": environment()}
            write_json(RESULT, results)


def judge(task: str, arm: str, arguments: argparse.Namespace, data: Path, threads: int | None) -> dict[str, object]:
    """Fine-tune one arm on one task."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = random_twin(arguments.model, folder) if arm == "random" else arguments.model
        return finetune(task, model, arm, data, arguments.seeds, folder, threads)


def random_twin(model: str, folder: Path) -> str:
    """Write a model of the same architecture and vocabulary with random weights."""
    import torch

    from litebert.checkpoint.pretrained import AlbertForPreTraining, AlbertTokenizer, read_source

    torch.manual_seed(0)
    twin = folder / "twin"
    AlbertForPreTraining(read_source(model).config).save_pretrained(twin)
    AlbertTokenizer.from_pretrained(model).save_pretrained(twin)
    return str(twin)


def bag_of_words(task: str, data: Path, folder: Path) -> dict[str, object]:
    """Score TF-IDF of words and word pairs with a linear model."""
    from litebert.tasks.datasets import read_splits

    name, files = f"glue/{task}", {"train": None, "dev": None, "data": str(data / f"glue-{task}")}
    if task == NLI:
        train, test = snli(data, folder)
        name, files = "classify", {"train": str(train), "dev": str(test), "data": None}
    splits = read_splits(name, **files, columns=None, options={}, dev_fraction=0.1, limit=None)
    metrics = baselines.bag_of_words(splits.task, splits.train, splits.dev)
    main = next(iter(metrics))
    return {"metric": main, "median": metrics[main], "records": len(splits.dev)}


if __name__ == "__main__":
    main()
