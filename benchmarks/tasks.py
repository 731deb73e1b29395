"""One row for every task on real data: the bundled checkpoint beside an answer without learning and a bag of words.

    litebert bench tasks --data DIR [--only wikiqa,race] [--seeds 3] [--limit 5000] [--minutes 10] [--limit race=4000,squad/v1=3000]

DIR holds the public data sets, each in its folder. A row is a named benchmark, fine-tuned through the command line with the recipe that it
names, once for each seed, the best weights on dev being kept; its figure is that of the test split where that has labels, else of dev, the
median over the seeds. The baselines see the same training records. Rows of GLUE are those of benchmarks/results/checkpoint.json, rows of
the checkpoint itself those of its saved evaluations; rows of sentence vectors are the bundled model's as it is. Results go to tasks.json
and tasks.md row by row; a row whose data or task is not there is left out with a word, one that fails keeps its earlier figures.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from baselines import Baseline, Baselines, baselines
from command_line import CommandFailed, answered
from results_folder import RESULTS
from tables import tasks_table
from task_rows import EMBEDDED, FEW_SHOT, FINETUNED, GLUE, NAMES, PRETRAINED, ZERO_SHOT, Row

import litebert
from litebert.errors import LitebertError
from litebert.files import write_json, write_text
from litebert.settings import read_recipe
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.datasets import read_splits, some_of
from litebert.tasks.official.table import OFFICIAL
from litebert.tasks.reading.records import Record
from litebert.train.run_folder import environment

PER_LABEL = 8
"""Examples of the few-shot row."""
RESULT, TABLE = RESULTS / "tasks.json", RESULTS / "tasks.md"
CHECKPOINT = "checkpoint.json"
PARTS = ("accuracy_middle", "accuracy_high", "exact_match", "mrr", "ndcg@10", "rouge2", "rougeL", "macro_f1")
"""Further metrics that are kept where a task has them."""


class Missing(Exception):  # noqa: N818 - not a fault
    """A row cannot be made here; the message says what it lacks."""


# --- One row --------------------------------------------------------------------------------------------------------------


def finetuned(row: Row, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and score a benchmark with all seeds."""
    folder = checked(row, arguments.data)
    limit = arguments.limit.get(row.name, arguments.limit.get("", row.limit))
    minutes = arguments.minutes.get(row.name, arguments.minutes.get(""))
    more = [
        *(["--set", f"limit={limit}"] if limit else []), *(["--set", f"dev_limit={row.scored}"] if row.scored else []),
        *(["--minutes", f"{minutes:g}"] if minutes else []),
    ]  # fmt: skip
    model = arguments.embedder if row.embedder else arguments.model
    train = ["finetune", row.benchmark, "--data", str(folder), "--model", model, *row.arguments(), *more]
    started, found = time.perf_counter(), []
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as name:
            out = str(Path(name) / "model")
            outcome = answered([*train, "--seed", str(seed), "--seeds", "1", "--out", out])["data"]
            if row.split is not None:
                data = ["--data", str(folder), "--benchmark", row.benchmark, "--split", row.split]
                some = ["--limit", str(row.scored)] if row.scored else []
                outcome = answered(["evaluate", out, *data, *some])["data"][row.split]
        found.append(outcome)
        print(f"{row.name}, seed {seed}: {outcome['metrics']}", file=sys.stderr, flush=True)
    minutes_a_seed = round((time.perf_counter() - started) / 60 / arguments.seeds, 1)
    splits = read_splits(
        row.benchmark, train=None, dev=None, data=str(folder), columns=None,
        options=read_recipe(row.recipe).get("options", {}), dev_fraction=0.1, limit=limit, dev_limit=row.scored,
    )  # fmt: skip
    test = OFFICIAL[row.benchmark].read(folder, row.split, warnings=[]) if row.split is not None else splits.dev
    test = some_of(test, row.scored, splits.task.source) if row.scored else test
    shown = " ".join(["litebert", *train, "--seeds", str(arguments.seeds)]).replace(str(arguments.data), "DIR")
    return {
        **summary(found, own_baselines(found[0]) or baselines(splits.task, splits.train, test)),
        "task": splits.task.name, "split": row.split or "dev", "records": {"train": len(splits.train), "test": len(test)},
        "recipe": " ".join([row.recipe, *(["--model", Path(model).name] if row.embedder else []), *row.flags, *more]), "command": shown, "model": Path(model).name,
        "minutes_a_seed": minutes_a_seed, "note": arguments.note,
    }  # fmt: skip


def summary(found: Sequence[Mapping[str, Any]], beside: Baselines | None) -> dict[str, Any]:
    """Return the figures of all seeds, and the baselines' on the same metric."""
    metric = next(iter(found[0]["metrics"]))
    scores = [one["metrics"][metric] for one in found]
    kept = [name for name in PARTS if name in found[0]["metrics"] and name != metric]
    return {
        "metric": metric, "median": statistics.median(scores), "scores": scores,
        "deviation": statistics.stdev(scores) if len(scores) > 1 else None,
        "others": {name: statistics.median(one["metrics"][name] for one in found) for name in kept},
        "trivial": _on(metric, beside.trivial if beside else None), "words": _on(metric, beside.words if beside else None),
    }  # fmt: skip


def _on(metric: str, baseline: Baseline | None) -> dict[str, Any] | None:
    if baseline is None or metric not in baseline.figures:
        return None
    return {"name": baseline.name, "value": baseline.figures[metric]}


def own_baselines(outcome: Mapping[str, Any]) -> Baselines | None:
    """Return the baselines of a summary, which are scored with it."""
    metric, own = next(iter(outcome["metrics"])), outcome.get("baseline", {})
    if "lead" not in own:
        return None
    words = Baseline("TextRank", {metric: own["textrank"]}) if "textrank" in own else None
    return Baselines(Baseline("first sentences", {metric: own["lead"]}), words)


def checked(row: Row, data: Path) -> Path:
    """Return the folder of a row's data.

    Raises:
        Missing: The benchmark or its files are not there.
    """
    if row.benchmark not in OFFICIAL:
        raise Missing(f"the benchmark {row.benchmark} is not built yet")
    folder = data / row.folder
    if not folder.is_dir():
        raise Missing(f"there is no folder {row.folder} in the data")
    wanted = {row.split or "dev"} | ({"train"} if row.recipe else set())
    lacking = wanted - set(OFFICIAL[row.benchmark].available(folder))
    if lacking:
        raise Missing(f"{row.folder} has no {' and no '.join(sorted(lacking))} split")
    return folder


def embedded(row: Row, arguments: argparse.Namespace) -> dict[str, Any]:
    """Score the vectors of a model as it is."""
    folder = checked(row, arguments.data)
    command = [
        "evaluate",
        arguments.embedder,
        "--data",
        str(folder),
        "--benchmark",
        row.benchmark,
        "--split",
        str(row.split),
    ]
    try:
        outcome = answered(command)["data"][row.split]
    except CommandFailed as error:
        if f"no model at {arguments.embedder!r}" in str(error):
            raise Missing(f"the model {arguments.embedder} is not there yet") from None
        raise
    test = OFFICIAL[row.benchmark].read(folder, str(row.split), warnings=[])
    beside = baselines(OFFICIAL[row.benchmark].task(), [], test)
    return {
        **summary([outcome], beside), "task": "embed", "split": row.split, "records": {"train": None, "test": len(test)},
        "recipe": f"{Path(arguments.embedder).name} as it is", "command": " ".join(["litebert", *command]).replace(str(arguments.data), "DIR"),
        "minutes_a_seed": None, "note": arguments.note,
    }  # fmt: skip


def few_shot(row: Row, arguments: argparse.Namespace) -> dict[str, Any]:
    """Learn from a few examples of each label, others for each seed, on the vectors of the embedding model."""
    folder = checked(row, arguments.data)
    train, test = (OFFICIAL[row.benchmark].read(folder, split, warnings=[]) for split in ("train", "test"))
    task = ClassifyTask.from_records(train, {})
    found, words, trivial, started = [], [], [], time.perf_counter()
    for seed in range(arguments.seeds):
        few = drawn(train, PER_LABEL, seed)
        with tempfile.TemporaryDirectory() as name:
            path, out = Path(name) / "few.csv", str(Path(name) / "model")
            with path.open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows([("text", "label"), *((r.text, r.label) for r in few)])
            command = [
                row.name,
                "--train",
                str(path),
                "--dev",
                str(path),
                "--model",
                arguments.embedder,
                *row.arguments(),
            ]
            answered(["finetune", *command, "--seed", str(seed), "--seeds", "1", "--out", out])
            data = ["--data", str(folder), "--benchmark", row.benchmark, "--split", "test"]
            found.append(answered(["evaluate", out, *data])["data"]["test"])
        beside = baselines(task, few, test)
        words.append(beside.words)
        trivial.append(beside.trivial)
        print(
            f"{row.name}, seed {seed}: {found[-1]['metrics']}, words {words[-1].figures}", file=sys.stderr, flush=True
        )
    return {
        **summary(found, Baselines(median_of(trivial), median_of(words))), "task": row.name, "split": "test",
        "records": {"train": PER_LABEL * len({r.label for r in train}), "test": len(test)},
        "recipe": f"{row.recipe}, {row.benchmark}, {PER_LABEL} a label", "model": Path(arguments.embedder).name,
        "command": f"litebert finetune few-shot --train FEW.csv --model {Path(arguments.embedder).name} {' '.join(row.arguments())}",
        "minutes_a_seed": round((time.perf_counter() - started) / 60 / arguments.seeds, 1), "note": arguments.note,
    }  # fmt: skip


def drawn(records: Sequence[Record], per_label: int, seed: int) -> list[Record]:
    """Return some records of each label."""
    places: dict[str, list[Record]] = {}
    for record in records:
        places.setdefault(str(record.label), []).append(record)
    chance = random.Random(seed)
    return [record for _, own in sorted(places.items()) for record in chance.sample(own, min(per_label, len(own)))]


def median_of(runs: Sequence[Baseline]) -> Baseline:
    """Return a baseline with the median of each metric."""
    first = runs[0]
    return Baseline(first.name, {name: statistics.median(run.figures[name] for run in runs) for name in first.figures})


def zero_shot(row: Row, arguments: argparse.Namespace) -> dict[str, Any]:
    """Take the label whose name is nearest, by the vectors of the embedding model."""
    folder = checked(row, arguments.data)
    test = OFFICIAL[row.benchmark].read(folder, "test", warnings=[])
    names = sorted({str(r.label) for r in test})
    spoken = {name: name.replace("_", " ") for name in names}
    pipe = litebert.load(arguments.embedder, task="zero-shot-classification")
    answers = [answer.label for answer in pipe([r.text for r in test], labels=spoken)]
    right = statistics.mean(a == r.label for a, r in zip(answers, test, strict=True))
    beside = Baselines(Baseline("each label alike", {"accuracy": 1 / len(names)}), None)
    return {
        **summary([{"metrics": {"accuracy": right}}], beside), "task": row.name, "split": "test",
        "records": {"train": None, "test": len(test)}, "recipe": f"{row.benchmark}, the labels' names", "model": Path(arguments.embedder).name,
        "command": f"litebert.load({Path(arguments.embedder).name!r}, task='zero-shot-classification')(texts, labels=...)",
        "minutes_a_seed": None, "note": arguments.note,
    }  # fmt: skip


def of_glue(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Take a row from the figures of ``checkpoint.py``.

    Raises:
        Missing: They are not there.
    """
    places = (RESULTS / CHECKPOINT, Path(__file__).parent / "results" / CHECKPOINT)
    path = next((place for place in places if place.is_file()), None)
    rows = json.loads(path.read_text()) if path else {"tasks": {}}
    row = rows["tasks"].get(name, {})
    if "pretrained" not in row:
        raise Missing(f"{CHECKPOINT} has no row {name}: litebert bench checkpoint --tasks {name}")
    mine, words = row["pretrained"], row.get("bag of words")
    trivial = next(iter(mine.get("baseline", {}).items()), None)
    try:
        folder = str(arguments.data / f"glue-{name}")
        splits = read_splits(
            f"glue/{name}", train=None, dev=None, data=folder, columns=None, options={}, dev_fraction=0.1, limit=None
        )
        records = {"train": len(splits.train), "test": len(splits.dev)}
    except LitebertError:
        records = {"train": None, "test": words["records"] if words else None}
    same = trivial is not None and trivial[0] == mine["metric"]
    return {
        "metric": mine["metric"], "median": mine["median"], "deviation": mine["deviation"], "scores": mine["scores"], "others": {},
        "trivial": {"name": "most frequent label", "value": trivial[1]} if same else None,
        "words": {"name": "TF-IDF, linear model", "value": words["median"]} if words else None,
        "task": "classify", "split": "dev", "records": records, "recipe": f"glue-small/{name}",
        "command": f"litebert bench checkpoint --tasks {name}", "minutes_a_seed": round(mine["minutes"] / len(mine["scores"]), 1),
        "note": mine.get("note", ""),
    }  # fmt: skip


def of_pretrained(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Take a row from what ``litebert evaluate --json`` said of the checkpoint.

    Raises:
        Missing: It is not there.
    """
    row, model = PRETRAINED[name], Path(arguments.model).name
    file = f"{model}-{row.benchmark}.json"
    path = next((p for p in (RESULTS / file, Path(__file__).parent / "results" / file) if p.is_file()), None)
    if path is None:
        raise Missing(f"there is no {file}: litebert evaluate {model} --benchmark {row.benchmark} --json")
    parts = json.loads(path.read_text())["data"]
    found = parts[row.part] if row.part else next(iter(parts.values()))
    words = found.get("baseline", {}).get("unigram")
    value = found["metrics"][row.metric]
    return {
        "metric": row.metric, "median": value, "deviation": None, "scores": [value], "others": {},
        "trivial": None if row.chance is None else {"name": "guessing", "value": row.chance},
        "words": None if words is None else {"name": "pieces by themselves", "value": words},
        "task": row.task, "split": "held-out" if row.benchmark == "pretraining" else "all",
        "records": {"train": None, "test": found[row.count] if row.count else found["records"]},
        "recipe": f"{model} as it is", "command": f"litebert evaluate {model} --benchmark {row.benchmark}", "minutes_a_seed": None,
        "note": "",
    }  # fmt: skip


def run(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Make a row by name."""
    if name in GLUE:
        return of_glue(name, arguments)
    if name in PRETRAINED:
        return of_pretrained(name, arguments)
    row = next(row for row in (*FINETUNED, FEW_SHOT, ZERO_SHOT, *EMBEDDED) if row.name == name)
    own = {FEW_SHOT.name: few_shot, ZERO_SHOT.name: zero_shot, **dict.fromkeys((r.name for r in EMBEDDED), embedded)}
    return own.get(name, finetuned)(row, arguments)


# --- All rows -------------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parsed(argv)
    failed = []
    for name in arguments.only:
        try:
            row = run(name, arguments)
        except Missing as missing:
            results = earlier()
            results["skipped"][name] = str(missing)
            print(f"{name}: left out, {missing}", flush=True)
        except (CommandFailed, LitebertError) as error:
            failed.append(name)
            print(f"{name}: failed\n{error}", file=sys.stderr, flush=True)
            continue
        else:
            results = earlier()
            results["rows"][name] = {"model": Path(arguments.model).name} | row
            results["skipped"].pop(name, None)
            print(f"{name}: {row['metric']} {row['median']:.4f}", flush=True)
        results["rows"] = {one: results["rows"][one] for one in NAMES if one in results["rows"]}
        results |= {
            "command": "litebert bench tasks --data DIR", "model": Path(arguments.model).name, "environment": environment(),
        }  # fmt: skip
        write_json(RESULT, results)
        write_text(TABLE, "# Every task\n\n" + "\n".join(tasks_table(results)) + "\n")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def earlier() -> dict[str, Any]:
    """Return the rows so far; read anew each time, since another run may add its own beside this one."""
    found: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.is_file() else {"rows": {}, "skipped": {}}
    return found


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LITEBERT_DATA"), help="default: LITEBERT_DATA")
    parser.add_argument("--model", default="litebert-small-en", help="to start from")
    parser.add_argument("--embedder", default="litebert-small-en-embed", help="whose vectors are scored")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(NAMES), help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=by_row(int), default={}, help="training records: N for all rows, or ROW=N,...")
    parser.add_argument("--minutes", type=by_row(float), default={}, help="training time a seed, the same way")
    parser.add_argument("--note", default="", help="what else the machine was doing")
    arguments = parser.parse_args(argv)
    if arguments.data is None:
        parser.error("name the folder of the public data sets: --data DIR")
    if not arguments.data.is_dir():
        parser.error(f"there is no folder {arguments.data}")
    if arguments.seeds < 1:
        parser.error("--seeds must be at least 1")
    named = {*arguments.only, *arguments.limit, *arguments.minutes} - {""}
    if unknown := sorted(named - set(NAMES)):
        parser.error(f"no row {unknown[0]!r}; there are {', '.join(NAMES)}")
    return arguments


def by_row(number: type) -> Any:
    """Return what reads ``5`` (all rows) or ``race=5,dream=6``, into a mapping in which "" stands for all."""

    def number_by_row(text: str) -> dict[str, Any]:
        parts = [part.rpartition("=") for part in text.split(",")]
        return {name: number(value) for name, _, value in parts}

    number_by_row.__name__ = f"{number.__name__} or ROW={number.__name__},..."  # argparse says: invalid NAME value
    return number_by_row


if __name__ == "__main__":
    main()
