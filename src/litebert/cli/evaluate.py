"""``litebert evaluate``: score a task model."""

from __future__ import annotations

import click

from litebert.cli.output import common_options, print_result, table


@click.command("evaluate")
@click.argument("model")
@click.option("--data", required=True, help="File of labelled records, or the folder of a benchmark.")
@click.option("--benchmark", help="Name of a benchmark, e.g. glue/mrpc: official files and metrics.")
@click.option("--columns", help="Which column is what: text=...,pair=...,label=...")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, ...")
@common_options
def command(
    model: str,
    data: str,
    benchmark: str | None,
    columns: str | None,
    device: str,
    as_json: bool,
    debug: bool,  # noqa: ARG001
) -> None:
    """Score MODEL on labelled data with the task's metrics.

    \b
    Example:
      litebert evaluate model --data test.csv
      litebert evaluate mrpc --data MRPC --benchmark glue/mrpc
    """  # noqa: D301
    from litebert.cli.progress import counting
    from litebert.tasks.evaluate import evaluate
    from litebert.tasks.finetune import choose_device
    from litebert.tasks.model_folder import load_task_model

    place = choose_device(device)
    loaded = load_task_model(model, device=place)
    with counting("evaluating", None, quiet=as_json) as progress:
        found = evaluate(loaded, data, benchmark=benchmark, columns=columns, device=place, progress=progress)
    parts = []
    for name, score in found.scores.items():
        rows = [(metric, f"{value:.4f}") for metric, value in score.evaluation.metrics.items()]
        rows += [(f"({metric})", f"{value:.4f}") for metric, value in score.evaluation.baseline.items()]
        parts.append(f"{name}: {found.records[name]} records\n{table(rows)}")
    print_result("evaluate", found.to_dict(), "\n\n".join(parts), as_json=as_json, warnings=found.warnings)
