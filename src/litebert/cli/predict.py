"""``litebert predict``: answer a file or standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from litebert.cli.engine_options import engine_options
from litebert.cli.output import common_options, print_result, reader_may_go, say


@click.command("predict")
@click.argument("model")
@click.argument("file", default="-")
@click.option("--task", help="For a pretrained MODEL: fill-mask or coherence; default: what the folder names.")
@click.option("--output", help="File to write; default: standard output.")
@click.option("--columns", help="Which column is what: text=...,pair=...")
@click.option(
    "--format", "kind", help="Format of the input: csv, tsv, jsonl, json, parquet or lines; default: by its name."
)
@click.option(
    "--benchmark", help="Answer a GLUE task's test files in FILE, a folder; --output is a folder for submission files."
)
@click.option(
    "--top",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="Add the scores of so many labels or fillings; 0: of all labels.",
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, ...")
@engine_options("auto")
@common_options
def command(
    model: str, file: str, task: str | None, output: str | None, columns: str | None, kind: str | None,
    benchmark: str | None, top: int, device: str, as_json: bool,
    debug: bool,  # noqa: ARG001
    **engine: Any,
) -> None:  # fmt: skip
    """Answer every record of FILE (- is standard input) with MODEL: JSON Lines, in the order of the input.

    Takes JSONL, CSV, TSV, Parquet, or one text a line. Long texts are read in windows, none is cut.

    \b
    Example:
      echo "where is my card?" | litebert predict model
      litebert predict model questions.csv --output answers.jsonl
      echo "Paris is the [MASK] of France." | litebert predict MODEL --task fill-mask --top 5
      litebert predict mnli AX --benchmark glue/ax --output submission
    """  # noqa: D301
    from litebert import files
    from litebert.cli.progress import counting
    from litebert.errors import UsageError
    from litebert.inference.loading import load
    from litebert.inference.predict import predict_benchmark, predict_file

    if output is not None and benchmark is None and Path(output).is_dir():
        raise UsageError(f"{output} is a folder", hint="Name a file.", path=output)
    pipeline = load(model, task, device=device, **engine)
    if benchmark is not None:
        if output is None:
            raise UsageError("a submission needs a folder", hint="Add --output DIR.")
        for path in predict_benchmark(pipeline, benchmark, file, output):
            say(f"wrote {path}")
        return
    with counting("answering", None, quiet=as_json or output is None) as progress:
        warnings: list[str] = []
        answers = predict_file(
            pipeline, file, columns=columns, kind=kind, top=top, warnings=warnings, progress=progress
        )
        if output is None:
            with reader_may_go():
                for answer in answers:
                    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
                sys.stdout.flush()
            for warning in warnings:
                say(f"warning: {warning}")
            return
        count = files.write_lines(output, (json.dumps(answer, ensure_ascii=False) for answer in answers))
    if as_json:
        data = {"records": count, "output": output}
        print_result("predict", data, "", as_json=True, warnings=warnings, artifacts=[output])
    else:
        for warning in warnings:
            say(f"warning: {warning}")
    say(f"wrote {count} answers to {output}")
