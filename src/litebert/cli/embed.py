"""``litebert embed``: texts to vectors."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from litebert.cli.engine_options import engine_options, refuse_flags
from litebert.cli.output import common_options, print_result, reader_may_go, say

if TYPE_CHECKING:
    from litebert.inference.embedding_files import MakesVectors
    from litebert.tasks.reading.records import Record


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
@click.option(
    "--fragments",
    is_flag=True,
    help="FILE is a file or folder of documents, as for index: embed their sentences, passages, words and runs of words.",
)
@click.option("--limit", type=click.IntRange(1), help="With --fragments: most of them, drawn at random.")
@engine_options("auto")
@common_options
def command(
    *, model: str, file: str, output: str | None, size: int | None, number_type: str, columns: str | None, kind: str | None,
    device: str, teacher: bool, fragments: bool, limit: int | None, as_json: bool,
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
      litebert embed all-MiniLM-L6-v2 --teacher notes/ --fragments --output taught.parquet
    """  # noqa: D301
    from litebert.cli.progress import counting
    from litebert.errors import UsageError, nearest
    from litebert.inference.embedding_files import embedded, first_texts, json_lines, write_vectors
    from litebert.tasks.datasets import in_file
    from litebert.tasks.embed.task import NUMBER_TYPES
    from litebert.tasks.reading.records import STDIN

    if number_type not in NUMBER_TYPES:
        raise UsageError(f"unknown number type {number_type!r}", hint=nearest(number_type, NUMBER_TYPES))
    output = _file_to_write(output, fragments=fragments)
    if teacher and (size is not None or number_type != "float32"):
        raise UsageError("--size and --number-type do not go with --teacher", hint="Its vectors are kept as they are.")
    if teacher:
        refuse_flags(click.get_current_context(), ("precision",), "--teacher")
    warnings: list[str] = []
    records = _records(file, columns, kind, warnings, fragments=fragments, limit=limit)
    maker = _maker(model, device, size, number_type, engine, teacher=teacher)
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


def _file_to_write(output: str | None, *, fragments: bool) -> str | None:
    """Return the file to write, None for standard output."""
    from litebert.errors import UsageError

    output = None if output == "-" else output
    if output is not None and Path(output).is_dir():
        raise UsageError(f"{output} is a folder", hint="Name a file.", path=output)
    if fragments and (output is None or Path(output).suffix.lower() != ".parquet"):
        raise UsageError("--fragments needs --output FILE.parquet", hint="It keeps the texts beside the vectors.")
    return output


def _records(
    file: str, columns: str | None, kind: str | None, warnings: list[str], *, fragments: bool, limit: int | None
) -> Iterable[Record]:
    """Return the texts, or the fragments of documents; documents that are not there are told before a model is loaded."""
    from litebert.errors import UsageError
    from litebert.tasks.base import Task
    from litebert.tasks.reading.records import STDIN, Record, parse_columns

    found = parse_columns(columns) if columns else None
    if not fragments:
        if limit is not None:
            raise UsageError("--limit is for --fragments", hint="Leave it out.")
        return Task.stream(file, columns=found, format=kind, warnings=warnings)
    if kind is not None or file == STDIN:
        raise UsageError("--fragments needs a file or a folder", hint="What it is is known by its name, as for index.")
    from litebert.search.documents import Reading, find_files, read_documents
    from litebert.search.fragments import fragments as of_texts

    documents = read_documents(
        find_files([file], warnings), Reading(columns=found, named=frozenset([file]), warnings=warnings)
    )
    return (Record(text) for text in of_texts((one.text for one in documents), limit=limit))


def _maker(
    model: str, device: str, size: int | None, number_type: Any, engine: Mapping[str, Any], *, teacher: bool
) -> MakesVectors:
    from litebert.inference.embedding import Embedder
    from litebert.inference.embedding_files import SentenceTransformerModel
    from litebert.inference.loading import load

    if teacher:
        return SentenceTransformerModel(model, device, engine["precision"])
    return Embedder(load(model, "embed", device=device, **engine), size=size, number_type=number_type)
