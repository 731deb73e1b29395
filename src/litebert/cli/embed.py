"""``litebert embed``: texts to vectors."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from litebert.cli.engine_options import engine_options, refuse_flags
from litebert.cli.output import common_options, print_result, reader_may_go, say

if TYPE_CHECKING:
    from litebert.inference.embedding_files import MakesVectors


@click.command("embed")
@click.argument("model")
@click.argument("file", default="-")
@click.option("--output", help="File to write, .npy, .parquet or .jsonl; default, or -: JSON Lines on standard output.")
@click.option("--size", type=click.IntRange(2), help="Keep the first N numbers; for models trained with sizes.")
@click.option(
    "--number-type", default="float32", show_default=True, help="float32, int8 or binary (8 numbers in a byte)."
)
@click.option("--columns", help="Which column is the text: text=NAME")
@click.option(
    "--format", "kind", help="Format of the input: csv, tsv, jsonl, json, parquet or lines; default: by its name."
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, ...")
@click.option("--teacher", is_flag=True, help="MODEL is one of sentence-transformers, whose vectors are to be learnt.")
@engine_options("auto")
@common_options
def command(
    model: str, file: str, output: str | None, size: int | None, number_type: str, columns: str | None, kind: str | None,
    device: str, teacher: bool, as_json: bool,
    debug: bool,  # noqa: ARG001
    **engine: Any,
) -> None:  # fmt: skip
    """Make a vector of each text of FILE (- is standard input) with MODEL, in order.

    Long texts are read in windows, none is cut. Vectors have length 1: their dot product is the cosine.

    \b
    Example:
      echo "where is my card?" | litebert embed litebert-small-en
      litebert embed model texts.txt --output vectors.npy --number-type int8
      litebert embed all-MiniLM-L6-v2 --teacher texts.txt --output taught.parquet
      litebert finetune embed --model litebert-small-en --train taught.parquet --out student
    """  # noqa: D301
    from litebert.cli.progress import counting
    from litebert.errors import UsageError, nearest
    from litebert.inference.embedding_files import embedded, first_texts, json_lines, write_vectors
    from litebert.tasks.base import Task
    from litebert.tasks.datasets import in_file
    from litebert.tasks.embed.task import NUMBER_TYPES
    from litebert.tasks.reading.records import STDIN, parse_columns

    if number_type not in NUMBER_TYPES:
        raise UsageError(f"unknown number type {number_type!r}", hint=nearest(number_type, NUMBER_TYPES))
    output = None if output == "-" else output
    if output is not None and Path(output).is_dir():
        raise UsageError(f"{output} is a folder", hint="Name a file.", path=output)
    if teacher and (size is not None or number_type != "float32"):
        raise UsageError("--size and --number-type do not go with --teacher", hint="Its vectors are kept as they are.")
    if teacher:
        refuse_flags(click.get_current_context(), ("precision",), "--teacher")
    maker = _maker(model, device, size, number_type, engine, teacher=teacher)
    warnings: list[str] = []
    found = parse_columns(columns) if columns else None
    records = Task.stream(file, columns=found, format=kind, warnings=warnings)
    with (
        counting("embedding", None, quiet=as_json or output is None) as progress,
        in_file("<stdin>" if file == STDIN else file),
    ):
        chunks = embedded(maker, first_texts(records, warnings), progress)
        if output is None:
            with reader_may_go():
                for line in json_lines(chunks):
                    sys.stdout.write(line + "\n")
                sys.stdout.flush()
            count = None
        else:
            count = write_vectors(output, chunks)
    warnings += maker.told()
    if as_json and output is not None:
        data = {"records": count, "output": output}
        print_result("embed", data, "", as_json=True, warnings=warnings, artifacts=[output])
        return
    for warning in warnings:
        say(f"warning: {warning}")
    if output is not None:
        say(f"wrote {count} vectors to {output}")


def _maker(
    model: str, device: str, size: int | None, number_type: Any, engine: Mapping[str, Any], *, teacher: bool
) -> MakesVectors:
    from litebert.inference.embedding import Embedder
    from litebert.inference.embedding_files import SentenceTransformerModel
    from litebert.inference.loading import load

    if teacher:
        return SentenceTransformerModel(model, device, engine["precision"])
    return Embedder(load(model, "embed", device=device, **engine), size=size, number_type=number_type)
