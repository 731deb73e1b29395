"""``litebert finetune``: train a task model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from litebert.cli.output import common_options, counted, print_result, program, some_of, table

if TYPE_CHECKING:
    from litebert.tasks.base import Task
    from litebert.tasks.finetune import FinetuneResult, FinetuneSettings, Prepared


@click.command("finetune")
@click.argument("task")
@click.option("--model", help="Model to start from: folder, Google checkpoint, hub id, or random:PRESET.")
@click.option("--train", help="Training records: CSV, TSV, JSONL, JSON or Parquet.")
@click.option("--dev", help="Held-out records; default: a tenth of the training records.")
@click.option("--data", help="Folder with a benchmark's official files.")
@click.option("--out", required=True, help="Folder for the model, the figures and the report.")
@click.option("--columns", help="Which column is what: text=...,pair=...,label=...")
@click.option("--kind", type=click.Choice(["single", "multi", "regression"]), help="Kind of labels; default: single.")
@click.option("--recipe", help="Run file, or the name of a shipped recipe (litebert recipes).")
@click.option(
    "--set", "overrides", multiple=True, metavar="A.B=VALUE", help="Override a setting, e.g. training.epochs=5."
)
@click.option("--epochs", type=float, help="Passes over the training data.")
@click.option("--learning-rate", type=float, help="Peak learning rate.")
@click.option("--batch-size", type=int, help="Records in one step.")
@click.option("--max-length", type=int, help="Tokens in one window.")
@click.option("--seed", type=int, help="First seed.")
@click.option("--seeds", type=int, help="Number of seeds; the median is reported, the best on dev kept.")
@click.option("--minutes", type=float, help="Training time for each seed, instead of epochs.")
@click.option("--device", help="cpu, cuda, ...; default: a GPU when there is one.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--force", is_flag=True, help="Replace the run in --out.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and stop.")
@common_options
def command(
    task: str, out: str, recipe: str | None, overrides: tuple[str, ...], resume: bool, force: bool, dry_run: bool,
    as_json: bool, debug: bool, **flags: Any,  # noqa: ARG001
) -> None:  # fmt: skip
    """Train a model for TASK: classify, few-shot, qa, ner, choice, rerank, embed, summarize, or a benchmark such as glue/mrpc.

    \b
    Example:
      litebert finetune classify --model random:nano --train train.csv --dev dev.csv --out model
      litebert finetune glue/mrpc --model albert/albert-base-v2 --data MRPC --out mrpc --seeds 5
      litebert finetune rerank --model litebert-small-en --train pairs.jsonl --out ranker --recipe rerank-small
    """  # noqa: D301
    from litebert.tasks.finetune import finetune, prepare

    settings = resolve(task, recipe, overrides, flags)
    prepared = prepare(settings)
    if dry_run:
        _print_plan(prepared, out, as_json=as_json)
        return
    result = finetune(prepared, out, resume=resume, force=force, progress=not as_json)
    print_outcome("finetune", result, prepared.task, as_json=as_json)


def resolve(task: str, recipe: str | None, overrides: tuple[str, ...], flags: dict[str, Any]) -> FinetuneSettings:
    """Merge a recipe, ``--set`` and the flags, which win in that order, into settings."""
    from litebert.settings import build_settings, merge, parse_overrides, read_recipe
    from litebert.tasks.finetune import FinetuneSettings, with_suggestions

    data: dict[str, Any] = read_recipe(recipe) if recipe else {}
    data = merge(data, parse_overrides(overrides))
    top = {k: flags[k] for k in ("model", "train", "dev", "data", "columns", "device") if flags.get(k) is not None}
    training = {k: flags[k] for k in _TRAINING_FLAGS if flags.get(k) is not None}
    nested: dict[str, Any] = {**top, "task": task}
    if training:
        nested["training"] = training
    if flags.get("max_length") is not None:
        nested["text"] = {"max_length": flags["max_length"]}
    if flags.get("kind") is not None:
        nested["options"] = {"kind": flags["kind"]}
    return build_settings(FinetuneSettings, with_suggestions(merge(data, nested)))


_TRAINING_FLAGS = ("epochs", "learning_rate", "batch_size", "seed", "seeds", "minutes")


def _print_plan(prepared: Prepared, out: str, *, as_json: bool) -> None:
    from litebert.tasks.plan import plan

    figures = plan(prepared, Path(out))
    rows = [
        ("task", prepared.settings.task),
        ("outputs", some_of(figures["labels"], 10)),
        ("records", f"{figures['records']['train']} to train, {figures['records']['dev']} held out"),
        ("tokens", f"{figures['tokens_per_record']:.1f} a record, {figures['tokens']:,} in all"),
        ("steps", f"{figures['steps']} for each of {counted(figures['seeds'], 'seed')}"),
        ("time", f"about {figures['seconds'] / 60:.1f} minutes (three steps measured)"),
        ("memory", f"about {figures['memory_bytes'] / 1e6:.0f} MB for weights, gradients and optimiser"),
        ("learning rate", f"{figures['settings']['training']['learning_rate']:g}"),
        ("files", ", ".join(figures["files"])),
    ]
    print_result("finetune", figures, table(rows), as_json=as_json, warnings=prepared.warnings)


def print_outcome(command_name: str, result: FinetuneResult, task: Task, *, as_json: bool) -> None:
    """Print what all seeds reached."""
    from litebert.train.evaluation import baseline_rows

    kept = next(seed for seed in result.seeds if seed.seed == result.kept)
    metrics = kept.score.evaluation.metrics
    data = {
        "out": str(result.folder), "metrics": metrics, "median": result.median, "kept_seed": result.kept,
        "seeds": [seed.row() for seed in result.seeds], "baseline": kept.score.evaluation.baseline,
    }  # fmt: skip
    lines = [table((name, f"{value:.4f}") for name, value in metrics.items())]
    if len(result.seeds) > 1:
        main = next(iter(metrics))
        scores = ", ".join(f"{s.score.evaluation.metrics[main]:.4f}" for s in result.seeds)
        lines.append(f"seeds: {scores}; median {result.median[main]:.4f}; kept seed {result.kept}")
    lines += [f"for comparison, {told}: {value:.4f}" for told, value in baseline_rows(kept.score.evaluation)]
    report = result.folder / "report.html"
    lines += [
        f"model   {result.folder}",
        f"report  {report}",
        f"try     echo '{task.piped()}' | {program()} predict {shlex.quote(str(result.folder))}",
    ]
    print_result(
        command_name, data, "\n".join(lines), as_json=as_json, warnings=result.warnings,
        artifacts=[str(result.folder), str(report)],
    )  # fmt: skip
