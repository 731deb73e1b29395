"""``litebert evaluate``: score a task model on labelled data, or a pretrained model on a benchmark of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from litebert.cli.engine_options import engine_options, refuse_flags
from litebert.cli.output import common_options, print_result, say, table

if TYPE_CHECKING:
    from litebert.tasks.evaluate import Evaluated


@click.command("evaluate")
@click.argument("model")
@click.option("--data", required=True, help="File of labelled records, or the folder of a benchmark.")
@click.option(
    "--benchmark",
    help="Name of a benchmark, e.g. glue/mrpc: official files and metrics; blimp, pretraining: for a pretrained MODEL.",
)
@click.option("--task", help="For a MODEL that was not fine-tuned: embed; default: what the folder names.")
@click.option("--split", help="Of a benchmark: test, ...; default: those held out to choose by.")
@click.option("--columns", help="Which column is what: text=...,pair=...,label=...")
@click.option("--variant", help="blimp: original, within_word_l2r or both; default: both.")
@click.option(
    "--limit", type=click.IntRange(1),
    help="Score on N records, always the same; blimp: the first N pairs of each paradigm; pretraining: the first N rows.",
)  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, ...")
@engine_options("fp32")
@common_options
def command(
    model: str,
    data: str,
    benchmark: str | None,
    task: str | None,
    split: str | None,
    columns: str | None,
    variant: str | None,
    limit: int | None,
    device: str,
    as_json: bool,
    debug: bool,  # noqa: ARG001
    **engine: Any,
) -> None:
    """Score MODEL on labelled data with the task's metrics, or a pretrained MODEL on a benchmark of its own.

    \b
    Example:
      litebert evaluate model --data test.csv
      litebert evaluate mrpc --data MRPC --benchmark glue/mrpc
      litebert evaluate reader --data RACE --benchmark race --split test
      litebert evaluate pretrained --data blimp --benchmark blimp --limit 100
    """  # noqa: D301
    from litebert.cli.progress import counting
    from litebert.errors import UsageError
    from litebert.inference.loading import load, mean_applications
    from litebert.inference.stream import computing
    from litebert.tasks.evaluate import evaluate
    from litebert.tasks.model_folder import TaskModel
    from litebert.tasks.official.pretrained import ENGINE, BenchmarkCall, known_benchmark, run_benchmark
    from litebert.train.devices import choose_device

    of_pretrained = benchmark is not None and known_benchmark(benchmark)
    if of_pretrained and split is not None:
        raise UsageError(f"{benchmark} has no splits", hint="Leave --split out.")
    if not of_pretrained and variant is not None:
        raise UsageError("--variant belongs to --benchmark blimp")
    place = choose_device(device)
    if benchmark is not None and of_pretrained:
        if columns is not None or task is not None:
            raise UsageError(
                f"--columns and --task do not go with --benchmark {benchmark}",
                hint="Its files have fixed columns, and it names its task.",
            )
        refuse_flags(click.get_current_context(), ENGINE.get(benchmark, ()), f"--benchmark {benchmark}")

        def loaded(task: str) -> Any:
            return load(model, task=task, device=device, **engine).loaded

        with counting("evaluating", None, quiet=as_json) as progress, computing(engine["threads"]):
            call = BenchmarkCall(model, data, place, variant=variant, limit=limit, progress=progress, load=loaded)
            result = run_benchmark(benchmark, call)
        parts = [f"{title}\n{table(rows)}" for title, rows in result.tables]
        print_result("evaluate", result.data, "\n\n".join(parts), as_json=as_json, warnings=result.warnings)
        return
    pipeline = load(model, task, device=device, **engine)
    if not isinstance(pipeline.loaded, TaskModel):
        raise UsageError(
            f"{model} was not fine-tuned: it answers {pipeline.task}, which has no labels",
            hint="Fine-tune it first, or add --task embed, or --benchmark pretraining or blimp.",
        )
    with counting("evaluating", None, quiet=as_json) as progress, computing(engine["threads"]):
        found = evaluate(
            pipeline.loaded, data, benchmark=benchmark, split=split, columns=columns, limit=limit, passes=pipeline.passes(progress),
        )  # fmt: skip
    if (mean := mean_applications(pipeline.loaded)) is not None:
        say(f"{mean:.2f} applications of the shared block on average")
    _print_scores(found, as_json=as_json)


def _print_scores(found: Evaluated, *, as_json: bool) -> None:
    from litebert.train.evaluation import baseline_rows

    parts = []
    for name, score in found.scores.items():
        rows = [(metric, f"{value:.4f}") for metric, value in score.evaluation.metrics.items()]
        rows += [(told, f"{value:.4f}") for told, value in baseline_rows(score.evaluation)]
        parts.append(f"{name}: {found.records[name]} records\n{table(rows)}")
    print_result("evaluate", found.to_dict(), "\n\n".join(parts), as_json=as_json, warnings=found.warnings)
