"""``litebert index``: make texts searchable."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from litebert.cli.output import common_options, print_result, program, table

if TYPE_CHECKING:
    from litebert.search.build import Built


@click.command("index")
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--out", required=True, metavar="DIR|URL",
    help="Folder, http://host:6333/name (Qdrant), milvus:FILE.db or milvus://host:19530/name (Milvus).",
)  # fmt: skip
@click.option(
    "--columns", help="Which column of a table is what: text=...,id=... (and pair=..., the answer, with --faq)"
)
@click.option("--encoding", default="utf-8", show_default=True, help="Of text files.")
@click.option("--chunk-tokens", type=int, help="Most tokens of a chunk; default: 128.")
@click.option("--overlap", type=int, help="Most tokens a chunk shares with the one before; default: 32.")
@click.option(
    "--language", help="Whose word endings do not count for BM25, or none; default: as the index is, a new one English."
)
@click.option("--faq", is_flag=True, help="INPUT are tables of questions and answers.")
@click.option("--wordings", metavar="FILE", help="With --faq: other wordings of questions, with their answers.")
@click.option(
    "--unknown-rate", type=click.FloatRange(0, 1),
    help="With --faq: share of questions without an answer that may get one; default: as the index is, a new one 0.05.",
)  # fmt: skip
@click.option("--prune", is_flag=True, help="Remove documents that are not among INPUT any more.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, ...")
@click.option("--precision", default="auto", show_default=True, help="auto, fp32, bf16, fp16 or int8.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the computation.")
@common_options
def command(
    *, model: str, inputs: tuple[str, ...], out: str, columns: str | None, encoding: str, chunk_tokens: int | None,
    overlap: int | None, language: str | None, faq: bool, wordings: str | None, unknown_rate: float | None, prune: bool, device: str,
    precision: str, threads: int | None, as_json: bool,
    debug: bool,  # noqa: ARG001
) -> None:  # fmt: skip
    """Embed INPUT with MODEL into an index: text, Markdown and HTML files, folders of them, CSV, TSV, JSONL, JSON or Parquet tables.

    Run again, it embeds what is new or changed. Stopped, it goes on where it was. Columns beside the text become metadata to filter by.

    \b
    Example:
      litebert index MODEL notes/ --out notes.index
      litebert index MODEL articles.jsonl --columns text=body,id=url --out articles.index --prune
      litebert index MODEL faq.csv --faq --out faq.index
      litebert index MODEL notes/ --out http://localhost:6333/notes
      litebert index MODEL notes/ --out milvus://localhost:19530/notes
    """  # noqa: D301
    from litebert.cli.progress import counting
    from litebert.corpus.reading.documents import TextSettings
    from litebert.errors import Interrupted, UsageError
    from litebert.search.build import KEPT, build_index
    from litebert.search.location import open_store
    from litebert.search.models import load_embedder
    from litebert.settings import build_settings
    from litebert.tasks.reading.columns import parse_columns
    from litebert.train.interrupts import stop_signals

    if out.startswith(":memory:"):
        raise UsageError(
            f"an index in {out} would end with this command",
            hint="Name a folder; from Python, build_index takes :memory:.",
        )
    encoding = build_settings(TextSettings, {"encoding": encoding}).encoding
    chosen = None if columns is None else parse_columns(columns)
    chunks = _chunks(chunk_tokens, overlap)
    store = open_store(out)  # a missing package or a wrong URL is told before the model is loaded
    embedder, offsets = load_embedder(model, device=device, precision=precision, threads=threads)
    try:
        with stop_signals(_interrupt), counting("documents", None, quiet=as_json) as progress:
            built = build_index(
                inputs, out, embedder, offsets, model=model, columns=chosen, encoding=encoding, chunks=chunks,
                language=KEPT if language is None else None if language.lower() == "none" else language.capitalize(),
                questions=faq, wordings=wordings, unknown_rate=unknown_rate, prune=prune, progress=progress, store=store,
            )  # fmt: skip
    except KeyboardInterrupt:
        again = shlex.join([program(), *sys.argv[1:]])
        raise Interrupted("interrupted; what was embedded is kept", hint=f"Go on with: {again}") from None
    print_result("index", _figures(built), _text(built), as_json=as_json, warnings=built.warnings, artifacts=[out])


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


def _chunks(tokens: int | None, overlap: int | None) -> Any:
    from litebert.search.chunks import ChunkSettings
    from litebert.settings import build_settings

    if tokens is None and overlap is None:
        return None
    given: dict[str, int] = {} if tokens is None else {"tokens": tokens, "overlap": min(32, tokens // 4)}
    return build_settings(ChunkSettings, given if overlap is None else {**given, "overlap": overlap})


def _figures(built: Built) -> dict[str, Any]:
    names = ("location", "documents", "chunks", "added", "changed", "unchanged", "removed", "empty")
    figures = {name: getattr(built, name) for name in names}
    return {**figures, "faq": None if built.faq is None else built.faq.model_dump(exclude={"unknown"})}


def _text(built: Built) -> str:
    rows: list[tuple[str, Any]] = [
        ("index", built.location),
        ("documents", f"{built.documents:,} in {built.chunks:,} chunks"),
        (
            "this time",
            f"{built.added:,} added, {built.changed:,} changed, {built.removed:,} removed, {built.unchanged:,} as before",
        ),
    ]
    if (faq := built.faq) is not None:
        passing = (
            f"{faq.unknown_rate:.0%} of unanswerable questions pass" if faq.unknown else "nothing to learn it from"
        )
        rows.append(("answers from", f"similarity {faq.threshold:.3f}: {passing}"))
        if faq.answered is not None:
            right = "" if faq.right is None else f", {faq.right:.0%} of them rightly"
            rows.append(("other wordings", f"{faq.wordings:,}, {faq.answered:.0%} answered{right}"))
    return table(rows)
